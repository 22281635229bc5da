"""The process that runs are forked from: imports, loads the definitions, then forks when asked to.

Forking is safe here because nothing has begun yet: loading the graph opens no connection and starts no thread (I6), and
neither does importing. What it has loaded is compared with the files before each fork; once they differ, it ends, and
another takes its place.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence

PATIENCE = 180  # seconds in which the definitions have to load
_PACKAGE = __name__.partition(".")[0]


class ForkingFailed(RuntimeError):
    """No process for a run; the message says why."""


class Forking:
    """The warm process, as whoever asks it for forks holds it. It ends with that process, however that ends.

    Args:
        imports: modules that it imports beside the definitions.
    """

    def __init__(self, imports: Sequence[str]) -> None:
        command = [sys.executable, "-m", __name__, *imports]
        self._process = subprocess.Popen(  # noqa: S603 - this module, and module names from dagster.yaml
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # what could not be written is not tried again when it has ended
        )

    def fork(self, arguments: str) -> int | None:
        """Forks a process that executes a run.

        Args:
            arguments: Dagster's `ExecuteRunArgs`, serialised.

        Returns:
            The process' number; None if the definitions have changed since they were loaded: another has to fork.

        Raises:
            ForkingFailed: the definitions cannot be loaded, or a fork is refused. Another has to take its place.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise ForkingFailed("It has no pipes.")
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{arguments}\n".encode())
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            raise ForkingFailed(f"The definitions did not load within {PATIENCE} seconds.")
        answer = json.loads(self._process.stdout.readline() or b"{}")
        if "error" in answer:
            raise ForkingFailed(answer["error"])
        pid: int | None = answer.get("pid")
        return pid

    def end(self) -> None:
        """Ends it at once, which loses nothing, and none of its forks."""
        with self._process:
            self._process.kill()


def serve(imports: Sequence[str]) -> None:
    """Forks for every line of standard input, until there are no more or the definitions have changed."""
    # Ctrl-C in a terminal is for whoever started this. What has ended is collected by the system.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    with open(os.devnull) as nothing:  # noqa: PTH123 - a device
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)  # whatever prints while it is imported
    for name in imports:
        importlib.import_module(name)
    loaded: Mapping[str, int] | None = None
    for line in requests:
        try:
            if loaded is None:
                before = files()
                load(line)
                loaded = before | {path: stamp for path, stamp in files().items() if path not in before}
            elif loaded != files():
                return
            pid = os.fork()
        except Exception:  # noqa: BLE001 - whatever it is, it is told to whoever waits
            print(json.dumps({"error": traceback.format_exc()}), file=answers, flush=True)
            return
        if not pid:
            requests.close()
            answers.close()
            execute(line)
        print(json.dumps({"pid": pid}), file=answers, flush=True)


def load(arguments: str) -> None:
    """Loads the definitions of a run, which Dagster keeps for whoever asks for them next in this process."""
    import dagster._cli.api  # noqa: F401 - what `execute` calls in each fork
    from dagster._grpc.types import ExecuteRunArgs
    from dagster._serdes import deserialize_value
    from dagster._utils.hosted_user_process import recon_job_from_origin

    origin = deserialize_value(arguments, ExecuteRunArgs).job_origin
    recon_job_from_origin(origin).get_definition()


def execute(arguments: str) -> None:
    """Executes a run in this process, and ends it."""
    from dagster._cli.api import execute_run_command

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    code = 1
    try:
        execute_run_command.main([arguments.strip()], standalone_mode=False)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001 - there is nobody above
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # what was imported before the fork is not this process' to take down


def files() -> dict[str, int]:
    """Every file that the definitions were made from, and when it was written last (nanoseconds since 1970)."""
    from platform_assets.settings import load_settings

    settings = load_settings()
    paths = {module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == _PACKAGE}
    found = {path: os.stat(path).st_mtime_ns for path in paths if path and os.path.exists(path)}  # noqa: PTH110, PTH116
    for folder in (settings.sources, settings.dbt_project / "models"):
        found.update(_below(str(folder)))
    return found


def _below(folder: str) -> Iterator[tuple[str, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if entry.name != "__pycache__":
                    yield from _below(entry.path)
            else:
                yield entry.path, entry.stat().st_mtime_ns


if __name__ == "__main__":
    serve(sys.argv[1:])

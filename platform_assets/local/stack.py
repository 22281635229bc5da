"""Everything that `platform-assets up` runs on one machine: which processes, in which order, with which environment.

How one process is started and stopped belongs to `servers`; what a person sees while it runs belongs to the CLI.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

import yaml

from platform_assets.dagit import CODE_LOCATION, Dagit, DagitError
from platform_assets.ingestion.resources import ensure_for
from platform_assets.local import home, servers
from platform_assets.local.home import StackError, running_environment
from platform_assets.local.servers import HOST, Probe, Server, ServerError
from platform_assets.settings import CHECKOUT, Settings
from platform_assets.sources.registry import load_sources, read_sources

# The port that each process takes when it is free.
PREFERRED_PORTS = {"gcs": 4443, "pubsub": 8085, "fakestore": 8787, "code server": 4000, "dagit": 3000, "pages": 8090}
DEFINITIONS = "platform_assets.definitions"
FAKESTORE_FILES = ("products.json", "users.json", "carts.json")
CHECK_INTERVAL_SECONDS = 0.5

Say = Callable[[str], None]

__all__ = ["LocalStack", "StackError", "running_environment"]


class LocalStack:
    """The stand-ins and Dagster on this machine: one at a time for each home, ended with the process that started it.

    As a context manager it also stops everything when the process is asked to end (Ctrl-C, SIGTERM, a closed terminal).

    Args:
        settings: where state lives and what the bucket and the project are called.
        say: told each step, one sentence at a time.
        after_stand_ins: called when the stand-ins are ready and before Dagster starts. The Pub/Sub emulator forgets
            everything when it stops: what was published and never landed has to be published again here.
    """

    def __init__(self, settings: Settings, say: Say, after_stand_ins: Callable[[], None] = lambda: None) -> None:
        self.settings = settings
        self.home = settings.home.resolve()
        self.environment: dict[str, str] = {}
        self._say = say
        self._after_stand_ins = after_stand_ins
        self._servers: list[Server] = []
        self._lock: IO[str] | None = None
        self._environment_before: dict[str, str | None] = {}
        self._signals_before: dict[int, signal.Handlers | Callable[[int, FrameType | None], object] | int | None] = {}

    @property
    def servers(self) -> tuple[Server, ...]:
        """What runs, in the order of starting."""
        return tuple(self._servers)

    @property
    def dagit_url(self) -> str:
        """Where Dagit can be opened.

        Raises:
            StackError: it is not running.
        """
        return self._url("Dagit")

    @property
    def freshness_url(self) -> str:
        """Where an analyst reads how fresh every table is.

        Raises:
            StackError: the pages are not running.
        """
        return f"{self._url('Pages')}/freshness"

    def start(self) -> None:
        """Start the stand-ins, then Dagster; on failure whatever was started is stopped again.

        Raises:
            StackError: another stack runs on this home, or something does not start.
        """
        try:
            self.start_stand_ins()
            self._after_stand_ins()
            self.start_dagster()
        except BaseException:
            self.stop()
            raise

    def start_stand_ins(self) -> None:
        """Start Cloud Storage, Pub/Sub and the FakeStore API, with bucket, topics and subscriptions.

        The environment of this process is set to reach them until `stop`.

        Raises:
            StackError: another stack runs on this home, or something does not start.
        """
        self._lock = self._lock or home.take_lock(self.home, patience=2 * servers.GRACE_SECONDS)
        logs = self.home / "logs"
        data = self._fakestore_data()
        gcs = self._step(
            "gcs", "GCS emulator", lambda port: servers.start_gcs(self.home / "gcs", logs / "gcs.log", port)
        )
        pubsub = self._step("pubsub", "Pub/Sub emulator", lambda port: servers.start_pubsub(logs / "pubsub.log", port))
        if pubsub.flavour != "google":
            self._say("  It is drongo's: it neither redelivers an expired lease, nor dead-letters, nor streams.")
        fakestore = self._step(
            "fakestore", "FakeStore API", lambda port: servers.start_fakestore(data, logs / "fakestore.log", port)
        )
        self._set_environment(gcs, pubsub, fakestore)
        self._create_resources()
        self._write_state()

    def start_dagster(self) -> None:
        """Start the code server, the webserver and the daemon that share it, the pages. The stand-ins must be running.

        Raises:
            StackError: one of them does not start, for instance because the definitions do not load.
        """
        dagster_home = self.home / "dagster"
        # Alone: two processes that make Dagster's databases at the same time disturb each other.
        self._prepare_instance(dagster_home)
        code = self._step("code server", "Dagster code server", self._start_code_server)
        workspace = dagster_home / "workspace.yaml"
        location = {"host": HOST, "port": code.port, "location_name": CODE_LOCATION}
        home.write_atomically(workspace, yaml.safe_dump({"load_from": [{"grpc_server": location}]}))
        self._step("dagit", "Dagit", lambda port: self._start_dagit(workspace, port))
        self.environment["PLATFORM_DAGIT_URL"] = self.dagit_url
        self._require_definitions()
        self._step(None, "Dagster daemon", lambda _: self._start_daemon(workspace))
        self._step("pages", "Pages", self._start_pages)
        self._write_state()

    def check(self) -> None:
        """Raise StackError, with the end of its log, if one of the processes has died."""
        for server in self._servers:
            try:
                server.check()
            except ServerError as error:
                raise StackError(str(error)) from error

    def wait(self, seconds: float) -> None:
        """Let `seconds` pass, watching the processes.

        Raises:
            StackError: one of them died.
        """
        deadline = time.monotonic() + seconds
        while True:
            self.check()
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, CHECK_INTERVAL_SECONDS))

    def stop(self) -> None:
        """Stop what this stack started, last first, and nothing else. Again is harmless."""
        with _no_interruption():
            while self._servers:
                server = self._servers[-1]
                server.stop()
                self._say(f"{server.name}: stopped")
                self._servers.pop()
            for name, value in self._environment_before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            self._environment_before.clear()
            if self._lock is not None:
                home.forget_state(self.home)
                self._lock.close()
                self._lock = None

    def __enter__(self) -> Self:
        """From here on, a request to end the process arrives as KeyboardInterrupt."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                self._signals_before[number] = signal.signal(number, _interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        try:
            self.stop()
        finally:
            for number, handler in self._signals_before.items():
                signal.signal(number, handler)
            self._signals_before.clear()

    def _url(self, name: str) -> str:
        for server in self._servers:
            if server.name == name:
                return server.url
        raise StackError(f"{name}: not running.")

    def _step(self, port_of: str | None, name: str, start: Callable[[int | None], Server]) -> Server:
        """Start one process on its preferred port or another, and say so."""
        self._say(f"{name}: starting …")
        began = time.monotonic()
        preferred = PREFERRED_PORTS[port_of] if port_of else None
        if self._lock is None:
            raise StackError("The stand-ins have to be started first.")
        try:
            with servers.held_until_the_last_server_ended(self._lock):
                try:
                    server = start(servers.free_port(preferred) if preferred else None)
                except ServerError as error:
                    if preferred is None or "address already in use" not in str(error).lower():
                        raise
                    server = start(servers.free_port())  # somebody took it between the look and the start
        except ServerError as error:
            raise StackError(str(error)) from error
        self._servers.append(server)
        where = f" at {server.url}" if preferred else ""
        anew = f"; port {preferred} was taken" if preferred and server.port != preferred else ""
        self._say(f"{name}: ready{where} ({time.monotonic() - began:.1f} s{anew})")
        return server

    def _fakestore_data(self) -> Path:
        """The folder that the FakeStore API serves: FAKESTORE_DATA_DIR, or a sample made once."""
        if chosen := self.settings.fakestore_data_dir:
            folder = chosen.expanduser().resolve()
            missing = [name for name in FAKESTORE_FILES if not (folder / name).is_file()]
            if missing:
                raise StackError(f"FAKESTORE_DATA_DIR is {folder}, which has no {', '.join(missing)}.")
            return folder
        from platform_assets.local.fakestore import write_sample

        folder = self.home / "fakestore"
        if not all((folder / name).is_file() for name in FAKESTORE_FILES):
            write_sample(folder)
        return folder

    def _set_environment(self, gcs: Server, pubsub: Server, fakestore: Server) -> None:
        dagster_home = self.home / "dagster"
        dagster_home.mkdir(exist_ok=True)
        self.environment = {
            "PLATFORM_HOME": str(self.home),
            "PLATFORM_LANDING_BUCKET": self.settings.landing_bucket,
            "PLATFORM_SOURCES": str(self.settings.sources.resolve()),
            "GOOGLE_CLOUD_PROJECT": self.settings.project,
            "STORAGE_EMULATOR_HOST": gcs.url,
            "PUBSUB_EMULATOR_HOST": pubsub.address,
            "FAKESTORE_URL": fakestore.url,
            "DAGSTER_HOME": str(dagster_home),
            "PLATFORM_BROKEN_SOURCES": "leave_out",
        }
        if self.settings.pii_key is None:
            self.environment["PLATFORM_PII_KEY_FILE"] = str(self.settings.pii_key_file or home.pii_key_file(self.home))
        for name, value in self.environment.items():
            self._environment_before.setdefault(name, os.environ.get(name))
            os.environ[name] = value

    def _create_resources(self) -> None:
        """What each source needs, where it does not exist yet."""
        for error in read_sources(self.settings.sources).broken.values():
            self._say(f"LEFT OUT, because it cannot be used: {error}")
        for source in load_sources():
            for name in ensure_for(self.settings, source):
                self._say(f"{source.name}: made {name}")

    def _start_code_server(self, port: int | None) -> Server:
        """What loads the definitions, again when asked to (a source was added), for the webserver and the daemon."""
        arguments = ["code-server", "start", "--module-name", DEFINITIONS, "--working-directory", str(CHECKOUT)]
        arguments += ["--location-name", CODE_LOCATION, "--host", HOST, "--use-python-environment-entry-point"]
        arguments += ["--inject-env-vars-from-instance"]
        return self._program("Dagster code server", "dagster", arguments, port, servers.accepts_connections)

    def _start_dagit(self, workspace: Path, port: int | None) -> Server:
        arguments = ["-w", str(workspace), "-h", HOST]
        return self._program("Dagit", "dagster-webserver", arguments, port, servers.http_ready("/server_info"))

    def _require_definitions(self) -> None:
        """Say why the definitions do not load, if they do not: the code server itself waits for better ones."""
        try:
            Dagit(self.dagit_url).require_loaded()
        except DagitError as error:
            raise StackError(str(error)) from None

    def _start_daemon(self, workspace: Path) -> Server:
        log = self.home / "logs" / "daemon.log"
        arguments = ["run", "-w", str(workspace)]
        return self._program("Dagster daemon", "dagster-daemon", arguments, None, lambda _: _says_ready(log))

    def _start_pages(self, port: int | None) -> Server:
        return self._program(
            "Pages", "platform-assets", ["pages", "--host", HOST], port, servers.http_ready("/healthz")
        )

    def _program(self, name: str, program: str, arguments: list[str], port: int | None, ready: Probe) -> Server:
        """Start one of the programs of this Python environment: Dagster's, or our own command."""
        programs = Path(sys.executable).parent
        environment = {
            **os.environ,
            **self.environment,
            # dbt is run by its name.
            "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}",
            # Calls of the webserver and the daemon, which are stopped before, need not be waited for.
            "DAGSTER_GRPC_SHUTDOWN_GRACE_PERIOD": "2",
        }
        command = [str(programs / program), *arguments, *(["--port", str(port)] if port else [])]
        log = self.home / "logs" / f"{name.removeprefix('Dagster ').replace(' ', '_').lower()}.log"
        address = f"{HOST}:{port}" if port else ""
        return servers.launch(
            name, command, address, log, ready=ready, environment=environment, cwd=CHECKOUT, deadline_seconds=180
        )

    def _prepare_instance(self, dagster_home: Path) -> None:
        """Make Dagster's instance, and record the end of runs whose processes went with an earlier stack.

        The daemon would find out, but of those that were being cancelled only after a minute, in which they hold their
        pools. As crashed runs they are retried.
        """
        from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

        config = CHECKOUT / "dagster.yaml"
        if not config.is_file():
            raise StackError(f"{config} does not exist: the local stack runs from a checkout of the project.")
        shutil.copyfile(config, dagster_home / "dagster.yaml")
        running = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
        with DagsterInstance.from_config(str(dagster_home)) as instance:
            for run in instance.get_runs(RunsFilter(statuses=running)):
                if run.status == DagsterRunStatus.CANCELING:
                    instance.report_run_canceled(run, "Its process ended while it was being cancelled.")
                else:
                    instance.report_run_failed(run, "Its process ended when the local platform was stopped.")
                self._say(f"Run {run.run_id} was cut off by the last stop and is recorded as such")

    def _write_state(self) -> None:
        home.write_state(
            self.home,
            {
                "addresses": {server.name: server.address for server in self._servers if server.address},
                "pids": {server.name: server.process.pid for server in self._servers},
                "environment": self.environment,
            },
        )


def _says_ready(log: Path) -> bool:
    """Whether the daemon has read its instance and begins; it listens on no port that could be asked."""
    return log.is_file() and "Instance is configured with the following daemons" in log.read_text(encoding="utf-8")


def _interrupt(number: int, _: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


@contextmanager
def _no_interruption() -> Iterator[None]:
    """Let nothing cut a stop short: each process is given a bounded time, so it ends soon anyway."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

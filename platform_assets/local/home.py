"""What the local stack keeps in $PLATFORM_HOME about itself: the lock, the state of what runs, and the key for PII."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import psutil

LOCK_POLL_SECONDS = 0.1


class StackError(RuntimeError):
    """The local stack cannot start or has lost a process; the message says which and what it last wrote."""


def running_environment(home: Path) -> dict[str, str]:
    """The environment variables that reach a stack running on `home`, or none when nothing runs there."""
    state = running_state(home)
    return {} if state is None else dict(state["environment"])


def running_state(home: Path) -> dict[str, Any] | None:
    """What the stack running on `home` says of itself: pid, started_at, addresses, pids, environment.

    None if nothing runs there: a file left by a killed process counts for nothing, nor does a new process that was
    given its number.
    """
    try:
        state: dict[str, Any] = json.loads(_state_file(home).read_text(encoding="utf-8"))
        same = psutil.Process(state["pid"]).create_time() == state["process_started_at"]
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None
    return state if same else None


def write_state(home: Path, state: Mapping[str, Any]) -> None:
    """Say that this process runs the stack on `home`."""
    process = psutil.Process()
    known = running_state(home) or {}
    stamped = {
        "pid": process.pid,
        "process_started_at": process.create_time(),
        "started_at": known.get("started_at", datetime.now(UTC).isoformat(timespec="seconds")),
        **state,
    }
    write_atomically(_state_file(home), json.dumps(stamped, indent=2) + "\n")


def forget_state(home: Path) -> None:
    """Nothing runs on `home` any more."""
    _state_file(home).unlink(missing_ok=True)


def take_lock(home: Path, patience: float) -> IO[str]:
    """Be the only stack on `home` until the returned file is closed, by this process and by those that inherited it.

    Args:
        home: the folder.
        patience: seconds to wait for what a killed stack left behind and is about to end.

    Raises:
        StackError: another stack runs there.
    """
    home.mkdir(parents=True, exist_ok=True)
    lock = (home / "up.lock").open("a", encoding="utf-8")
    deadline = time.monotonic() + patience
    while not _locked(lock):
        if running_state(home) is None and _state_file(home).exists() and time.monotonic() < deadline:
            time.sleep(LOCK_POLL_SECONDS)
            continue
        lock.close()
        state = running_state(home) or {}
        dagit = state.get("addresses", {}).get("Dagit")
        raise StackError(
            f"The platform already runs on {home}: process {state.get('pid', 'unknown (it is starting)')}, "
            f"{f'Dagit at http://{dagit}' if dagit else 'Dagit not up yet'}. Stop it there with Ctrl-C, or set "
            "PLATFORM_HOME to another folder."
        )
    return lock


def pii_key_file(home: Path) -> Path:
    """The file of the tokenisation key, made once: without it nobody can tell which new token equals which old one."""
    path = home / "secrets" / "pii.key"
    if not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_atomically(path, secrets.token_hex(32) + "\n", mode=0o600)
    return path


def write_atomically(path: Path, content: str, mode: int = 0o644) -> None:
    """Replace the file so that a reader sees the old content or the new, also after a crash."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _state_file(home: Path) -> Path:
    return home / "run.json"

"""The simulated clock: libfaketime below every process of the day, told by a variable how far the clock is ahead.

It reaches what no patch of Python does: SQLite's CURRENT_TIMESTAMP, DuckDB's now(), and the processes of runs, which
inherit the variable. Waiting is real: monotonic clocks are left alone, so that time-outs mean what they say.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

_AHEAD = "FAKETIME"


def restart_below() -> None:
    """Starts this program again below the library, if it is not there yet; does not return then."""
    if _AHEAD in os.environ:
        return
    import libfaketime  # type: ignore[import-untyped]

    library = Path(libfaketime.__file__).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    settings = {
        "LD_PRELOAD": str(library),
        _AHEAD: "+0",
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
        "TZ": "UTC",
    }
    os.execve(sys.executable, sys.orig_argv, os.environ | settings)  # noqa: S606 - the same program again


class Clock:
    """What time it is for this process and those that it starts; it goes on by itself, at the speed of the real one.

    Args:
        file: where it is told to processes that go on while it is set.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._below = os.environ["LD_PRELOAD"]
        self._ahead = 0.0
        self._tell()

    def followed(self) -> dict[str, str]:
        """The environment of a process that follows this clock, instead of going on by itself from where it was."""
        own = {name: value for name, value in os.environ.items() if name != _AHEAD}
        return own | {"LD_PRELOAD": self._below, "FAKETIME_TIMESTAMP_FILE": str(self._file)}

    def set(self, moment: datetime) -> None:
        """From now on it is this moment."""
        real = time.time() - self._ahead
        self._ahead = moment.timestamp() - real
        self._tell()
        if abs(time.time() - moment.timestamp()) > 1:
            raise RuntimeError("the clock cannot be moved: libfaketime does not work on this system")

    def advance(self, by: timedelta) -> None:
        """Later by that much."""
        self.set(datetime.now(UTC) + by)

    def _tell(self) -> None:
        os.environ[_AHEAD] = f"{self._ahead:+.6f}"
        written = self._file.with_suffix(".new")
        written.write_text(os.environ[_AHEAD], encoding="utf-8")
        written.replace(self._file)

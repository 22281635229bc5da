"""A process beside maintenance: reads the events again and again, or publishes to them.

`python -m platform_assets_tests.lakehouse.maintenance.beside read|publish FOLDER`: says `ready`, goes on until the file
`stop` is in FOLDER, and prints what it saw as one line of JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.publisher import ConcurrentPublish
from platform_assets.settings import load_settings
from platform_assets_tests.lakehouse.maintenance.events import DAY, NEXT, append, planned, read, replace, rows

_ATTEMPTS = 5  # as of whoever publishes with a base (`ingestion.bronze`)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def reading(lakehouse: Lakehouse, stop: Callable[[], bool]) -> dict[str, int]:
    """One plan is read all the time, and a new one each time; every answer must be the same."""
    first, expected = planned(lakehouse), rows(lakehouse)
    _say("ready")
    looks = 0
    while not stop() or not looks:
        assert read(lakehouse, first) == expected
        assert rows(lakehouse) == expected
        looks += 1
    return {"looks": looks}


def publishing(lakehouse: Lakehouse, stop: Callable[[], bool]) -> dict[str, int]:
    """One arrival after the other, and a partition made anew; each as often as the platform itself tries it."""
    _say("ready")
    arrivals = conflicts = 0
    while not stop() or not arrivals:
        arrivals += 1
        for attempt in range(_ATTEMPTS):
            try:
                append(lakehouse, DAY, count=1, first=1_000 + arrivals)
            except ConcurrentPublish:
                conflicts += 1
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                break
        replace(lakehouse, NEXT, count=1, first=arrivals)
    return {"arrivals": arrivals, "conflicts": conflicts}


if __name__ == "__main__":
    done = (reading if sys.argv[1] == "read" else publishing)(
        Lakehouse(load_settings()), (Path(sys.argv[2]) / "stop").exists
    )
    _say(json.dumps(done))

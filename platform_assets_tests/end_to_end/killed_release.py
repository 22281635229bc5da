"""Releases a quarantined row in a process of its own, which kills itself (SIGKILL) when the record has landed.

`python -m platform_assets_tests.end_to_end.killed_release TABLE ROW CHANGE`, on the platform of the environment.
"""

from __future__ import annotations

import os
import signal
import sys

from platform_assets.ingestion.landing import Landing
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.operations import release as releasing
from platform_assets.operations.fixed_record import parse_change
from platform_assets.settings import load_settings


def _die(*_: object) -> list[object]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def main() -> None:
    """Does what the arguments say, and does not return."""
    table, row_id, change = sys.argv[1:]
    releasing.record = _die  # type: ignore[assignment,attr-defined]
    settings = load_settings()
    changes = [parse_change(change)]
    releasing.release(
        Lakehouse(settings), Landing(settings), table, [row_id], changes=changes, by="the killed one", why="to die"
    )


if __name__ == "__main__":
    main()

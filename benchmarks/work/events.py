"""The input of the work, and the answer that every side must find: both follow from the generator's numbering."""

from __future__ import annotations

import gzip
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

from platform_assets.local.web_events import generate

FIRST_DAY = date(2026, 3, 1)
KEY = "a key for benchmarks, and nothing else"
_SEED = 7


@dataclass(frozen=True)
class Input:
    """Web events as plain JSON lines, `source=web_events/date=<day>/*.jsonl` below `folder`.

    Attributes:
        rows: lines.
        days: dates of the files, which are those of the events.
        valid: distinct event ids of rows that keep the contract: the rows of silver.
        quarantined: rows that break it.
        duplicates: further rows of an event id.
    """

    folder: Path
    rows: int
    days: tuple[date, ...]
    valid: int
    quarantined: int
    duplicates: int


def events(folder: Path, rows: int, *, days: int = 2, objects: int = 20) -> Input:
    """Makes the input, or takes what an earlier call with the same numbers has made.

    About 2 % of the rows are duplicates, 0.5 % break the contract, none is late: each file holds its own day alone.
    """
    place = folder / f"web_events-{rows}-{days}-{objects}"
    report = place / "report.json"
    if not report.exists():
        shutil.rmtree(place, ignore_errors=True)
        making = place.with_name(f".{place.name}")
        shutil.rmtree(making, ignore_errors=True)
        batch = generate(
            making, events=rows, first_day=FIRST_DAY, days=days, objects=objects, seed=_SEED, late_share=0.0
        )
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(_inflate, sorted(making.rglob("*.jsonl.gz"))))
        (making / "report.json").write_text(json.dumps(asdict(batch)), encoding="utf-8")
        making.rename(place)
    said = json.loads(report.read_text(encoding="utf-8"))
    return Input(
        folder=place,
        rows=said["events"],
        days=tuple(FIRST_DAY + timedelta(days=number) for number in range(days)),
        valid=said["distinct_valid_event_ids"],
        quarantined=said["quarantined"],
        duplicates=said["duplicates"],
    )


def _inflate(path: Path) -> None:
    with gzip.open(path) as packed, path.with_suffix("").open("wb") as plain:
        shutil.copyfileobj(packed, plain, 2**20)
    path.unlink()

"""What maintenance is good for: `python -m benchmarks.maintenance`.

Two tables of the same arrivals, each a commit of few rows; one of them is compacted, its old snapshots expire, its
orphans are removed. Then both are planned, read, asked for their progress, and published to, in turns. Ratios are of
seconds of the processor, of the maintained table by the other; both must give the same rows before and after.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.measure import Ratio
from benchmarks.verdicts import Verdict, tell

if TYPE_CHECKING:
    from platform_assets.contracts.model import Contract
    from platform_assets.lakehouse.catalog import Lakehouse

_TABLE = "bronze.arrivals"
_FIRST_DAY = date(2026, 3, 1)
_LONG_FROM_NOW = timedelta(days=365)
# What somebody should see of it: to read and to plan is to take at most half as long (goal of our own, not of a paper).
_GOAL = 0.5


@dataclass(frozen=True)
class Held:
    """What a table holds: files and bytes in its folder, and what reading it opens."""

    live_files: int
    snapshots: int
    metadata_bytes: int
    folder_files: int
    folder_bytes: int


@dataclass(frozen=True)
class Compared:
    """One thing that is done to both tables, in turns; seconds of the processor.

    Attributes:
        before: median on the table as the arrivals left it.
        after: median on the maintained one.
        ratio: of neighbouring runs, after by before.
    """

    what: str
    before: float
    after: float
    ratio: Ratio


def main(
    commits: Annotated[int, typer.Option(help="Arrivals, each a commit.", min=10)] = 500,
    rows: Annotated[int, typer.Option(help="Rows of each.", min=1)] = 200,
    days: Annotated[int, typer.Option(help="Partitions that they are spread over.", min=1)] = 5,
    pairs: Annotated[int, typer.Option(help="Times that each thing is done to each table.", min=1)] = 7,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measures and prints both sides."""
    with TemporaryDirectory() as folder:
        found = measure(Path(folder), commits, rows, days, pairs)
    for one in found["compared"]:
        what = f"{commits} small arrivals after maintenance: {one.what}"
        tell(Verdict(what, f"{one.ratio} of before", f"at most {_GOAL}", one.ratio.median <= _GOAL))
    if as_json:
        typer.echo(json.dumps(found, indent=2, default=asdict))
    else:
        _print(found)


def measure(folder: Path, commits: int, rows: int, days: int, pairs: int) -> dict[str, Any]:
    """Everything that is printed.

    Raises:
        RuntimeError: the tables do not hold the same rows.
    """
    plain, maintained = (_arrivals(folder / name, commits, rows, days) for name in ("plain", "maintained"))
    before = _answer(maintained)
    if _answer(plain) != before:
        raise RuntimeError("the two tables were not made of the same rows")
    jobs = _maintain(maintained)
    if _answer(maintained) != before:
        raise RuntimeError("maintenance has changed rows")
    held = {"before": _held(plain), "after": _held(maintained)}  # as publishing has not touched them yet
    compared = [
        _compare(what, (plain, maintained), do, pairs)
        for what, do in (("plan", _plan), ("read", _read), ("progress", _progress), ("publish", _publisher(rows)))
    ]
    if _answer(maintained) != _answer(plain):
        raise RuntimeError("the two tables do not hold the same rows after the same publishes")
    return {"commits": commits, "rows": commits * rows, "jobs": jobs, "held": held, "compared": compared}


def _contract() -> Contract:
    from platform_assets.contracts.model import Column, Contract

    texts = [Column(f"column_{number}", "string") for number in range(10)]
    return Contract(
        _TABLE,
        (Column("id", "integer", nullable=False), *texts, Column("_arrival_date", "date", nullable=False)),
        partition_column="_arrival_date",
    )


def _source(first: int, rows: int, day: date) -> str:
    texts = ", ".join(f"hash(i * {number} + {first})::VARCHAR AS column_{number}" for number in range(10))
    return f"(SELECT i AS id, {texts}, DATE '{day}' AS _arrival_date FROM range({first}, {first + rows}) r(i))"


def _arrivals(home: Path, commits: int, rows: int, days: int) -> Lakehouse:
    """A lakehouse whose table has so many commits."""
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.settings import Settings

    lakehouse = Lakehouse(Settings(home=home))
    lakehouse.settings.home.mkdir()
    for number in range(commits):
        _append(lakehouse, number * rows, rows, _FIRST_DAY + timedelta(days=number * days // commits))
    return lakehouse


def _append(lakehouse: Lakehouse, first: int, rows: int, day: date) -> None:
    from platform_assets.lakehouse import publisher

    properties = {"platform.partition": day.isoformat(), "platform.touched-dates": json.dumps([day.isoformat()])}
    with lakehouse.connect() as connection:
        publisher.append(
            lakehouse,
            _contract(),
            connection,
            _source(first, rows, day),
            base=lakehouse.ensure(_contract()),
            partition=day,
            properties=properties,
        )


def _maintain(lakehouse: Lakehouse) -> dict[str, float]:
    """Each job, as if all that is there were a year old; its seconds of the processor."""
    from platform_assets.lakehouse.maintenance.compaction import compact
    from platform_assets.lakehouse.maintenance.expiry import Outbox, expire
    from platform_assets.lakehouse.maintenance.orphans import remove_orphans

    announced = lakehouse.catalog.load_table(_TABLE).metadata.current_snapshot_id
    later = datetime.now(UTC) + _LONG_FROM_NOW
    return {
        "compact": _seconds(lambda: compact(lakehouse, _TABLE)),
        "expire": _seconds(lambda: expire(lakehouse, _TABLE, later, outbox=Outbox(announced))),
        "orphans": _seconds(lambda: remove_orphans(lakehouse, _TABLE, later)),
    }


def _seconds(do: Callable[[], object]) -> float:
    began = time.process_time()
    do()
    return time.process_time() - began


def _compare(what: str, lakehouses: Sequence[Lakehouse], do: Callable[[Lakehouse], object], pairs: int) -> Compared:
    for lakehouse in lakehouses:  # what is imported and opened at the first time belongs to neither
        do(lakehouse)
    timed = [[_seconds(partial(do, lakehouse)) for lakehouse in lakehouses] for _ in range(pairs)]
    before, after = ([pair[side] for pair in timed] for side in (0, 1))
    return Compared(what, median(before), median(after), Ratio.of(list(zip(after, before, strict=True))))


def _plan(lakehouse: Lakehouse) -> object:
    return list(lakehouse.catalog.load_table(_TABLE).scan().plan_files())


def _read(lakehouse: Lakehouse) -> object:
    """Planning included, as whoever reads does it."""
    return _answer(lakehouse)


def _progress(lakehouse: Lakehouse) -> object:
    from platform_assets.lakehouse.progress import progress

    return progress(lakehouse.catalog.load_table(_TABLE))


def _publisher(rows: int) -> Callable[[Lakehouse], None]:
    counts: dict[Path, int] = {}

    def publish(lakehouse: Lakehouse) -> None:
        number = counts[lakehouse.settings.home] = counts.get(lakehouse.settings.home, 0) + 1
        _append(lakehouse, -number * rows, rows, _FIRST_DAY)

    return publish


def _answer(lakehouse: Lakehouse) -> list[tuple[object, ...]]:
    """What both tables must give: rows, and a sum over all of their values that is the same in any order."""
    from platform_assets.lakehouse.reader import relation

    with lakehouse.connect() as connection:
        return connection.execute(
            f"SELECT count(*), sum(hash(r)::HUGEINT) FROM {relation(lakehouse, _TABLE)} r"
        ).fetchall()


def _held(lakehouse: Lakehouse) -> Held:
    from platform_assets.lakehouse.catalog import local_path

    table = lakehouse.catalog.load_table(_TABLE)
    folder = [path.stat().st_size for path in Path(local_path(table.location())).rglob("*") if path.is_file()]
    return Held(
        live_files=len(list(table.scan().plan_files())),
        snapshots=len(table.snapshots()),
        metadata_bytes=Path(local_path(table.metadata_location)).stat().st_size,
        folder_files=len(folder),
        folder_bytes=sum(folder),
    )


def _print(found: dict[str, Any]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120)
    held = Table(title=f"{found['commits']:,} arrivals, {found['rows']:,} rows", box=SIMPLE)
    for heading in ("", "before", "after"):
        held.add_column(heading, justify="right" if heading else "left")
    before, after = (asdict(found["held"][side]) for side in ("before", "after"))
    for name, value in before.items():
        held.add_row(name.replace("_", " "), f"{value:,}", f"{after[name]:,}")
    console.print(held)
    times = Table(title="Seconds of the processor", box=SIMPLE)
    for heading in ("", "before", "after", "after / before", "goal"):
        times.add_column(heading, justify="right" if heading else "left")
    for one in found["compared"]:
        verdict = "reached" if one.ratio.median <= _GOAL else "missed"
        times.add_row(one.what, f"{one.before:.4f}", f"{one.after:.4f}", str(one.ratio), f"at most {_GOAL}: {verdict}")
    console.print(times)
    console.print("Once: " + ", ".join(f"{job} {seconds:.2f} s" for job, seconds in found["jobs"].items()))


if __name__ == "__main__":
    gc.disable()
    typer.run(main)

"""What a table's size costs: `python -m benchmarks.large_table`.

A table of 5,000 dates and 20,000 files beside one of 10 dates and 40 files: both are planned and published to in turns,
which should take no more than twice as long. The large one is made in three ways:

- in order: by few commits, date by date;
- one by one: its last files by a commit each, every fourth of which is of a random old date;
- unsorted: by PyIceberg's `add_files` in random order, as another tool or an older platform leaves it. The first
  publication puts the manifests in order, and is told apart.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import random
import statistics as of_list
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any
from uuid import uuid4

import typer

from benchmarks.measure import Ratio
from benchmarks.verdicts import Verdict, tell
from platform_assets.contracts.model import Column, Contract
from platform_assets.lakehouse import publisher
from platform_assets.lakehouse.catalog import Lakehouse, local_path
from platform_assets.lakehouse.manifests import commit
from platform_assets.lakehouse.progress import progress
from platform_assets.lakehouse.reader import table_relation
from platform_assets.lakehouse.statistics import statistics
from platform_assets.settings import Settings

Build = Callable[[Lakehouse, Contract, int], None]
GOAL = 2.0
FILES_EACH = 4
LAST_DAY = date(2026, 11, 20)
STAMPS = {"platform.partition": f"{LAST_DAY}", "platform.rows": "5", "platform.data-version": "5-1234567890abcdef"}
_SMALL = 10  # dates
_AT_ONCE = 4_000  # files of one of few commits
_EXPIRE_EVERY = 100  # commits
_DIMENSIONS = ("country", "channel", "device", "campaign", "currency", "status")
_MERGED = {"commit.manifest-merge.enabled": "true", "commit.manifest.min-count-to-merge": "20"}


@dataclass(frozen=True)
class Pair:
    """One operation on the large table and on the small one.

    Attributes:
        seconds: by the clock: of the large table, of the small one; medians.
        processor: the same, of the processor.
        ratio: of seconds by the clock, of runs that followed each other.
        processor_ratio: the same, of the processor.
    """

    made: str
    operation: str
    seconds: tuple[float, float]
    processor: tuple[float, float]
    ratio: Ratio
    processor_ratio: Ratio


def main(
    *,
    partitions: Annotated[int, typer.Option(help="Dates of the large table, with 4 files each.", min=20)] = 5_000,
    commits: Annotated[int, typer.Option(help="Of its last files, how many get a commit each.", min=4)] = 1_000,
    pairs: Annotated[int, typer.Option(help="How often each operation is done to both.", min=1)] = 9,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measures plans and publications of the large table beside those of the small one."""
    measured: list[Pair] = []
    first = {}
    builds: dict[str, Build] = {"in order": in_order, "one by one": partial(one_by_one, commits), "unsorted": unsorted}
    for made, build in builds.items():
        with new_lakehouse() as lakehouse:
            typer.echo(f"making {partitions * FILES_EACH:,} files, {made}", err=True)
            large, small = some_contract("large"), some_contract("small")
            build(lakehouse, large, partitions)
            in_order(lakehouse, small, _SMALL)
            both = _operations(lakehouse, large, partitions), _operations(lakehouse, small, _SMALL)
            both[1]["replace a date"]()  # imports what it needs
            first[made] = timed(both[0]["replace a date"])
            measured += _measure(made, both, pairs)
    for pair in measured:
        reached = pair.processor_ratio.median <= GOAL
        what = f"table of {partitions:,} partitions, {pair.made}: {pair.operation}"
        tell(Verdict(what, f"{pair.processor_ratio} of a small one's", f"at most {GOAL:g}", reached))
    if as_json:
        typer.echo(json.dumps({"pairs": list(map(asdict, measured)), "first_publication": first}, indent=2))
    else:
        _print(measured, first)


def some_contract(name: str) -> Contract:
    """A silver table of 15 columns, by date."""
    columns = [
        Column("event_id", "string", nullable=False),
        Column("happened_at", "timestamp", nullable=False),
        Column("day", "date", nullable=False),
        *(Column(name, "string") for name in _DIMENSIONS),
        *(Column(f"amount_{number}", "double") for number in range(6)),
    ]
    return Contract(
        f"silver.{name}", tuple(columns), key=("event_id",), partition_column="day", event_time="happened_at"
    )


@contextmanager
def new_lakehouse() -> Iterator[Lakehouse]:
    """One that is gone afterwards."""
    with TemporaryDirectory() as home:
        yield Lakehouse(Settings(home=Path(home), pii_key="0" * 64))


def days(partitions: int) -> list[date]:
    """So many dates, oldest first."""
    return [LAST_DAY - timedelta(days=number) for number in reversed(range(partitions))]


def files_of(lakehouse: Lakehouse, contract: Contract, partitions: int) -> list[str]:
    """URIs of 4 files for each date, by date: the same rows under 4 names."""
    table, found = lakehouse.ensure(contract), []
    ids = ", ".join(f"{field.name}: {field.field_id}" for field in table.schema().fields)
    folder = Path(local_path(table.location())) / "data"
    folder.mkdir(parents=True)
    with lakehouse.connect() as connection:
        for day in days(partitions):
            paths = [folder / f"{uuid4()}.parquet" for _ in range(FILES_EACH)]
            connection.execute(f"COPY {_rows(day)} TO '{paths[0]}' (FORMAT parquet, FIELD_IDS {{{ids}}})")
            for path in paths[1:]:
                os.link(paths[0], path)
            found += [f"file://{path}" for path in paths]
    return found


def _rows(day: date) -> str:
    """SQL after FROM: a few rows of a date."""
    dimensions = ", ".join(f"'{name} ' || i AS {name}" for name in _DIMENSIONS)
    amounts = ", ".join(f"i * 1.5::DOUBLE + {number} AS amount_{number}" for number in range(6))
    return (
        f"(SELECT uuid()::VARCHAR AS event_id, TIMESTAMPTZ '{day} 10:00:00+00' + INTERVAL (i) SECOND AS happened_at, "
        f"DATE '{day}' AS day, {dimensions}, {amounts} FROM range(5) r(i))"
    )


def in_order(lakehouse: Lakehouse, contract: Contract, partitions: int) -> None:
    """A table by few commits."""
    files = files_of(lakehouse, contract, partitions)
    for start in range(0, len(files), _AT_ONCE):
        commit(lakehouse.ensure(contract), files[start : start + _AT_ONCE], properties=STAMPS)


def one_by_one(commits: int, lakehouse: Lakehouse, contract: Contract, partitions: int) -> None:
    """A table of which so many files have a commit each; its snapshots expire, as maintenance does it."""
    files, chance = files_of(lakehouse, contract, partitions), random.Random(7)
    old, single = files[: -commits * 3 // 4], files[-commits * 3 // 4 :]
    late = set(chance.sample(old, commits // 4))
    for file in sorted(late):
        single.insert(chance.randrange(len(single)), file)
    commit(lakehouse.ensure(contract), [file for file in old if file not in late], properties=STAMPS)
    for start in range(0, len(single), _EXPIRE_EVERY):
        lakehouse.ensure(contract).maintenance.expire_snapshots().older_than(datetime.now(UTC)).commit()
        for file in single[start : start + _EXPIRE_EVERY]:
            commit(lakehouse.ensure(contract), [file], properties=STAMPS)


def unsorted(lakehouse: Lakehouse, contract: Contract, partitions: int) -> None:
    """A table by few commits of PyIceberg, each with files of all dates, and manifests merged by their size."""
    table, files = lakehouse.ensure(contract), files_of(lakehouse, contract, partitions)
    random.Random(7).shuffle(files)
    with table.transaction() as transaction:
        transaction.set_properties(_MERGED)
    for start in range(0, len(files), _AT_ONCE):
        table.add_files(files[start : start + _AT_ONCE], snapshot_properties=STAMPS, check_duplicate_files=False)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    gc.collect()
    began, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - busy


def _operations(lakehouse: Lakehouse, contract: Contract, partitions: int) -> dict[str, Callable[[], object]]:
    """What is done to a table, each time to another date."""
    turn = itertools.cycle(random.Random(7).sample(days(partitions), k=_SMALL))

    def publish(how: Callable[..., object], **given: Any) -> object:  # noqa: ANN401 - as the publisher takes them
        day = next(turn)
        stamps = {"platform.partition": f"{day}"}
        with lakehouse.connect() as connection:
            return how(lakehouse, contract, connection, _rows(day), partition=day, properties=stamps, **given)

    return {
        "plan one date": lambda: table_relation(lakehouse.ensure(contract), where={"day": next(turn)}),
        "plan 7 dates": lambda: table_relation(lakehouse.ensure(contract), since={"day": LAST_DAY - timedelta(days=6)}),
        "append to a date": lambda: publish(publisher.append, base=lakehouse.ensure(contract)),
        "replace a date": lambda: publish(publisher.replace),
        "progress": lambda: progress(lakehouse.ensure(contract)),
        "statistics after a commit": lambda: statistics(lakehouse.ensure(contract), contract),
    }


def _measure(
    made: str, both: tuple[dict[str, Callable[[], object]], dict[str, Callable[[], object]]], times: int
) -> Iterator[Pair]:
    for name in both[0]:
        runs = []
        for number in range(times + 1):
            if name == "statistics after a commit":
                for operations in both:
                    operations["append to a date"]()
            took = [timed(operations[name]) for operations in both]
            if number:  # the first of each imports what it needs
                runs.append(took)
        clock, processor = ([(large[of], small[of]) for large, small in runs] for of in (0, 1))
        yield Pair(made, name, _medians(clock), _medians(processor), Ratio.of(clock), Ratio.of(processor))


def _medians(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    return of_list.median(large for large, _ in pairs), of_list.median(small for _, small in pairs)


def _print(measured: list[Pair], first: dict[str, tuple[float, float]]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"A large table beside a small one, milliseconds; the goal is a ratio of {GOAL:g}", box=SIMPLE)
    for heading in ("made", "operation", "large", "small", "ratio", "of the processor", "small", "ratio"):
        table.add_column(heading, justify="left" if heading in {"made", "operation"} else "right")
    for pair in measured:
        large, small, busy_large, busy_small = (f"{s * 1_000:.1f}" for s in (*pair.seconds, *pair.processor))
        ratios = (str(pair.ratio), str(pair.processor_ratio))
        table.add_row(pair.made, pair.operation, large, small, ratios[0], busy_large, busy_small, ratios[1])
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    for made, (seconds, processor) in first.items():
        console.print(f"{made}: its first publication took {seconds:.2f} s, {processor:.2f} s of the processor")


if __name__ == "__main__":
    typer.run(main)

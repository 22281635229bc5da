"""What a table's history costs: `python -m benchmarks.table_history`.

One commit to a table that remembers 10, 100, 1,000 and 5,000 snapshots, by the platform and by PyIceberg's own
transaction: what is added to the seconds by each snapshot, and by which power of their number they grow. Seconds are of
the processor, of the whole publication of metadata: load the table, then commit a file that is written already.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from datetime import date
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks.definitions import exponent
from benchmarks.large_table import FILES_EACH, STAMPS, days, files_of, new_lakehouse, some_contract, timed
from platform_assets.lakehouse.manifests import Replaced, commit

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyiceberg.table import Table

_SNAPSHOTS = (10, 100, 1_000, 5_000)
_WAYS = ("load", "append", "replace", "own append", "own replace")


@dataclass(frozen=True)
class Measured:
    """Medians of seconds of the processor, by way; `load` is part of each other, `own` is PyIceberg's transaction."""

    snapshots: int
    seconds: dict[str, float]


def main(
    snapshots: Annotated[list[int] | None, typer.Option(help="How many snapshots; may be given several times.")] = None,
    *,
    repeat: Annotated[int, typer.Option(help="Commits of each way, in turns.", min=1)] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measures commits by the number of snapshots."""
    measured = [measure(count, repeat) for count in snapshots or _SNAPSHOTS]
    # In milliseconds, of which `exponent` leaves out none.
    growth = {way: exponent([(m.snapshots, m.seconds[way] * 1_000) for m in measured]) for way in _WAYS}
    if as_json:
        typer.echo(json.dumps({"measured": list(map(asdict, measured)), "exponents": growth}, indent=2))
    else:
        _print(measured, growth)


def measure(snapshots: int, repeat: int) -> Measured:
    """Commits to a table that has so many snapshots already."""
    contract, turns = some_contract("history"), repeat + 1
    with new_lakehouse() as lakehouse:
        files = files_of(lakehouse, contract, turns * len(_WAYS))
        by_day = dict(zip(days(turns * len(_WAYS)), zip(*[iter(files)] * FILES_EACH, strict=True), strict=True))
        held = [file for of_day in by_day.values() for file in of_day[1:]]
        commit(lakehouse.ensure(contract), held, properties=STAMPS)
        _remember(lakehouse.ensure(contract), snapshots - 1)
        ways: dict[str, Callable[[date, str], object]] = {
            "load": lambda *_: lakehouse.ensure(contract),
            "append": lambda _, file: commit(lakehouse.ensure(contract), [file], properties=STAMPS),
            "replace": lambda day, file: commit(
                lakehouse.ensure(contract), [file], replaced=Replaced(day), properties=STAMPS
            ),
            "own append": lambda _, file: _own(lakehouse.ensure(contract), file),
            "own replace": lambda day, file: _own(lakehouse.ensure(contract), file, day),
        }
        unused = iter(by_day.items())
        runs = [{way: _processor(commits, *next(unused)) for way, commits in ways.items()} for _ in range(turns)]
    return Measured(snapshots, {way: median(run[way] for run in runs[1:]) for way in ways})


def _processor(way: Callable[[date, str], object], day: date, files: tuple[str, ...]) -> float:
    return timed(lambda: way(day, files[0]))[1]


def _own(table: Table, file: str, replaced: date | None = None) -> None:
    """The same with PyIceberg's own transaction, as the platform did it before it had `lakehouse.manifests`."""
    from pyiceberg.expressions import EqualTo

    with table.transaction() as transaction:
        if replaced is not None:
            transaction.delete(EqualTo("day", f"{replaced}"), snapshot_properties=STAMPS)  # type: ignore[call-arg,misc]
        transaction.add_files([file], snapshot_properties=STAMPS, check_duplicate_files=False)


def _remember(table: Table, more: int) -> None:
    """Gives the table so many snapshots more, all of the same files."""
    from pyiceberg.table.update import AddSnapshotUpdate, SetSnapshotRefUpdate, TableUpdate

    newest = table.snapshots()[-1]
    updates: list[TableUpdate] = []
    for number in range(1, more + 1):
        made = {"snapshot_id": number, "sequence_number": number + 1, "parent_snapshot_id": number - 1 or None}
        snapshot = newest.model_copy(update=made)
        updates.append(AddSnapshotUpdate(snapshot=snapshot))
        updates.append(SetSnapshotRefUpdate(ref_name="main", type="branch", snapshot_id=number))  # type: ignore[call-arg]
    table.catalog.commit_table(table, (), tuple(updates))


def _print(measured: list[Measured], growth: dict[str, float | None]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(title="A commit by the number of snapshots, milliseconds of the processor", box=SIMPLE)
    for heading in ("snapshots", *_WAYS, "append by own", "replace by own"):
        table.add_column(heading, justify="right")
    for m in measured:
        ratios = (m.seconds[way] / m.seconds[f"own {way}"] for way in ("append", "replace"))
        milliseconds = (f"{m.seconds[way] * 1_000:.1f}" for way in _WAYS)
        table.add_row(f"{m.snapshots:,}", *milliseconds, *(f"{ratio:.2f}" for ratio in ratios))
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    for way, power in growth.items():
        added = (measured[-1].seconds[way] - measured[0].seconds[way]) * 1e6
        each = added / max(measured[-1].snapshots - measured[0].snapshots, 1)
        told = "?" if power is None else f"{power:.2f}"
        console.print(f"{way}: {each:.0f} µs for each snapshot; grows with their number to the power {told}")


if __name__ == "__main__":
    typer.run(main)

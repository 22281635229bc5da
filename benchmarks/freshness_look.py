"""What a look at the freshness of all tables costs: `python -m benchmarks.freshness_look`.

By the number of tables, the seconds of the processor of the first look, of a second one when nothing has changed, of
one after 10 tables have, and by which power of the number of tables they grow. The tables are those of generated
sources; three have a history of 30 days by 60 commits each, all others are copies of the metadata of these.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from benchmarks.definitions import exponent
from benchmarks.generated_sources import write_sources
from benchmarks.large_table import LAST_DAY, days, timed
from platform_assets.contracts.iceberg_schema import duckdb_type
from platform_assets.contracts.rules import quote
from platform_assets.lakehouse.catalog import Lakehouse, local_path
from platform_assets.lakehouse.declared import declared_tables
from platform_assets.lakehouse.freshness import table_freshness
from platform_assets.lakehouse.manifests import Replaced, commit
from platform_assets.settings import Settings
from platform_assets.sources.registry import read_sources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from platform_assets.contracts.model import Contract

_SIZES = (10, 100, 1_000, 3_000)
_CHANGED = 10
_DAYS = 30
_LAYERS = ("bronze", "silver", "quarantine")


@dataclass(frozen=True)
class Measured:
    """Seconds of the processor, by the number of tables.

    Attributes:
        declared: to read what the sources declare, which comes before the first look.
        first: the first look.
        second: another one, when nothing has changed.
        after_changes: another one, after 10 tables have.
    """

    tables: int
    declared: float
    first: float
    second: float
    after_changes: float


def main(
    tables: Annotated[list[int] | None, typer.Option(help="How many tables; may be given several times.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measures looks at the freshness of all tables."""
    measured = [measure(count) for count in tables or _SIZES]
    growth = {
        look: exponent([(m.tables, getattr(m, look)) for m in measured]) for look in ("declared", "first", "second")
    }
    if as_json:
        typer.echo(json.dumps({"measured": list(map(asdict, measured)), "exponents": growth}, indent=2))
    else:
        _print(measured, growth)


def measure(tables: int) -> Measured:
    """Looks at so many tables."""
    with _generated(tables) as lakehouse:
        project = lakehouse.settings.dbt_project
        _, declared = timed(lambda: declared_tables(project))
        contracts = [table.contract for table in declared_tables(project) if table.contract.layer in _LAYERS]
        for layer in _LAYERS:
            _fill(lakehouse, [contract for contract in contracts if contract.layer == layer])
        first, second = _look(lakehouse), _look(lakehouse)
        for contract in contracts[:: max(len(contracts) // _CHANGED, 1)][:_CHANGED]:
            commit(lakehouse.catalog.load_table(contract.table), [], properties={"platform.partition": f"{LAST_DAY}"})
        return Measured(len(contracts), declared, first, second, _look(lakehouse))


def _look(lakehouse: Lakehouse) -> float:
    now = datetime.combine(LAST_DAY, time(12), UTC)
    return timed(lambda: table_freshness(lakehouse, now))[1]


@contextmanager
def _generated(tables: int) -> Iterator[Lakehouse]:
    """An empty lakehouse, and the sources of so many tables."""
    with TemporaryDirectory() as home:
        sources = Path(home) / "sources"
        write_sources(sources, -(-tables // 3))
        before = os.environ.get("PLATFORM_SOURCES")
        os.environ["PLATFORM_SOURCES"] = str(sources)
        read_sources.cache_clear()
        try:
            yield Lakehouse(Settings(home=Path(home), pii_key="0" * 64))
        finally:
            read_sources.cache_clear()
            os.environ.pop("PLATFORM_SOURCES")
            os.environ.update({} if before is None else {"PLATFORM_SOURCES": before})


def _fill(lakehouse: Lakehouse, contracts: Sequence[Contract]) -> None:
    """Tables of one layer: the first with dates has a history, the metadata of all others are copies of its."""
    first = next(contract for contract in contracts if contract.partition_column)
    table = lakehouse.ensure(first)
    for day in (*days(_DAYS), *days(_DAYS)):
        stamps = {"platform.partition": f"{day}", "platform.rows": "1", "platform.data-version": f"1-{day}"}
        commit(table, [_write(lakehouse, first, day)], replaced=Replaced(day), properties=stamps)
    metadata = Path(local_path(table.metadata_location)).read_text(encoding="utf-8")
    for contract in contracts:
        if contract.table != first.table:
            location = table.location().replace(first.table.split(".")[1], contract.table.split(".")[1])
            copy = json.dumps(
                json.loads(metadata) | {"location": location, "table-uuid": str(uuid4()), "metadata-log": []}
            )
            path = Path(local_path(location)) / "metadata" / f"00000-{uuid4()}.metadata.json"
            path.parent.mkdir(parents=True)
            path.write_text(copy, encoding="utf-8")
            lakehouse.catalog.register_table(contract.table, f"file://{path}")


def _write(lakehouse: Lakehouse, contract: Contract, day: date) -> str:
    """A file of one row, in which all is null but its date."""
    table = lakehouse.ensure(contract)
    folder = Path(local_path(table.location())) / "data"
    folder.mkdir(parents=True, exist_ok=True)
    path, partition = folder / f"{uuid4()}.parquet", contract.partition_column
    columns = ", ".join(
        f"{f'DATE {day.isoformat()!r}' if c.name == partition else 'NULL'}::{duckdb_type(c)} AS {quote(c.name)}"
        for c in contract.columns
    )
    ids = ", ".join(f"{quote(field.name)}: {field.field_id}" for field in table.schema().fields)
    with lakehouse.connect() as connection:
        connection.execute(f"COPY (SELECT {columns}) TO '{path}' (FORMAT parquet, FIELD_IDS {{{ids}}})")
    return f"file://{path}"


def _print(measured: list[Measured], growth: dict[str, float | None]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(title="A look at the freshness of all tables, seconds of the processor", box=SIMPLE)
    for heading in ("tables", "declared", "first look", "second", f"after {_CHANGED} changed", "ms a table"):
        table.add_column(heading, justify="right")
    for m in measured:
        seconds = (f"{s:.2f}" for s in (m.declared, m.first, m.second, m.after_changes))
        table.add_row(f"{m.tables:,}", *seconds, f"{m.first / m.tables * 1_000:.1f}, {m.second / m.tables * 1_000:.1f}")
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    for look, power in growth.items():
        told = "?" if power is None else f"{power:.2f}"
        console.print(f"{look}: grows with the number of tables to the power {told}")


if __name__ == "__main__":
    typer.run(main)

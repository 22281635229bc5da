"""Takes one record through the real reading and conforming, where nobody sees it: nothing is landed or published."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from platform_assets.contracts.rules import quote
from platform_assets.ingestion.bronze import bronze_rows
from platform_assets.ingestion.landing import LandingObject
from platform_assets.ingestion.records import TABLE, read_objects
from platform_assets.lakehouse.conform import conform
from platform_assets.lakehouse.reader import relation
from platform_assets.lakehouse.silver import known_values
from platform_assets.sources.contracts import BROKEN_RULES, EVENT_DATE, bronze_fields, silver_contract

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import duckdb

    from platform_assets.contracts.model import Contract
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.conform import Conformed
    from platform_assets.sources.model import SilverTable, Source


class UnreadableRecord(Exception):
    """No row can be made of the record; the message says why, in words that hold none of it."""


@dataclass(frozen=True)
class Rehearsal:
    """What would become of the record.

    Attributes:
        broken_rules: by `silver.<table>`, the rules that it would break.
        replaced: silver tables that hold a record of the same key which landed later, and whose place it would take.
    """

    broken_rules: Mapping[str, tuple[str, ...]]
    replaced: tuple[str, ...]


def rehearse(lakehouse: Lakehouse, source: Source, line: bytes, scratch: Path, *, first_landed: datetime) -> Rehearsal:
    """What each silver table of the source would make of a record that lands now.

    Args:
        lakehouse: whose tables it may refer to.
        source: whose record it is.
        line: as it would land.
        scratch: existing folder for the time being.
        first_landed: when the record landed first.

    Raises:
        UnreadableRecord: it would be a dead letter.
    """
    broken: dict[str, tuple[str, ...]] = {}
    replaced: list[str] = []
    with lakehouse.connect() as connection:
        day = _bronze(lakehouse, connection, source, line, scratch)
        for table in source.file.silver:
            contract = silver_contract(source, table)
            split = _split(lakehouse, connection, contract, table, day)
            found = connection.execute(f"SELECT DISTINCT {BROKEN_RULES} FROM {split.quarantined}").fetchall()
            if found:
                broken[contract.table] = tuple(sorted({rule for (rules,) in found for rule in str(rules).split(", ")}))
            elif _replaces_a_later_one(lakehouse, connection, contract, split, day, first_landed):
                replaced.append(contract.table)
    return Rehearsal(broken, tuple(replaced))


def _bronze(
    lakehouse: Lakehouse, connection: duckdb.DuckDBPyConnection, source: Source, line: bytes, scratch: Path
) -> date:
    """Makes the temporary table `bronze_rows` of the one record; the silver partition that it belongs to."""
    now = datetime.now(UTC)
    path = scratch / "rehearsed.jsonl"
    path.write_bytes(line)
    name = f"source={source.name}/date={now.date().isoformat()}/{path.name}"
    arrival = LandingObject(source.name, now.date(), name, 0, len(line), now, "nowhere")
    streams = source.file.ingestion.streams
    read = read_objects(connection, [(arrival, path)], bronze_fields(source), envelope=streams)
    if read.records != 1:
        raise UnreadableRecord("; ".join(letter.reason for letter in read.dead_letters) or "it is no single record")
    rows = bronze_rows(lakehouse.settings, source, now.date(), TABLE)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE bronze_rows AS SELECT * FROM {rows}")
    found = connection.execute(f"SELECT {EVENT_DATE} FROM bronze_rows").fetchall()
    day: date = found[0][0]
    return day


def _split(
    lakehouse: Lakehouse, connection: duckdb.DuckDBPyConnection, contract: Contract, table: SilverTable, day: date
) -> Conformed:
    return conform(
        connection,
        "bronze_rows",
        contract,
        key=lakehouse.settings.require_pii_key(),
        partition=day if contract.partition_column else None,
        explode=table.explode,
        references=known_values(lakehouse, contract),
    )


def _replaces_a_later_one(
    lakehouse: Lakehouse,
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    split: Conformed,
    day: date,
    first_landed: datetime,
) -> bool:
    """Where nothing but the landing orders two records of a key, the one that lands again would win."""
    where = {contract.partition_column: day} if contract.partition_column else None
    silver = relation(lakehouse, contract.table, where=where)
    if silver is None or contract.ordering or not contract.key:
        return False
    same_key = " AND ".join(f"silver.{quote(name)} = mended.{quote(name)}" for name in contract.key)
    later = connection.execute(
        f"SELECT count(*) FROM {split.accepted} AS mended JOIN {silver} AS silver ON {same_key} "
        "WHERE silver._landed_at > $1::TIMESTAMPTZ",
        [first_landed.isoformat()],
    ).fetchone()
    return bool(later and later[0])

"""What the columns of a partition look like, in counts: rows, nulls, distinct values, and a histogram of small buckets.

Kept in `ops.column_profiles`, append-only: no value of a row (I7), only counts by buckets that are the same for all
time, so that profiles of any two partitions can be compared and added up:

- a number by its order of magnitude, four buckets for each doubling (the exponential histogram of OpenTelemetry, scale
  2): what lies less than 19 % apart may share one;
- what the contract lists (`one_of`), and a boolean, by that: the contract says it anyway;
- other text, and what only names something (an identifier, a reference), by the MD5 of its value modulo 32;
- what identifies a person, tokens as well, and nested JSON, dates and times: in no bucket at all.

What tells of the platform (`_landed_at`), and the date of the partition, have no profile.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from platform_assets.contracts.model import TOKEN_PATTERN, Classification, Column, Contract
from platform_assets.contracts.rules import REFERENCES, literal, quote
from platform_assets.lakehouse.append_only import Row, append_news
from platform_assets.lakehouse.reader import relation, table_relation

if TYPE_CHECKING:
    from pyiceberg.table import Table

    from platform_assets.lakehouse.catalog import Lakehouse

_HASH_BUCKETS = 32
_PER_DOUBLING = 4
_LARGEST = math.nextafter(1024.0, 0.0)  # as a power of two, of a double
_NUMBERS = {"integer", "double"}
_LISTED, _HASHED, _ENDLESS = "=", "#", "endless"  # of the names of buckets
_UNDIVIDED = {"date", "timestamp", "object", "array"}

PROFILES = Contract(
    table="ops.column_profiles",
    description="Counts of every column of a partition: nulls, distinct values, a histogram. It holds no value.",
    columns=(
        Column("profiled_at", "timestamp", nullable=False, description="When the partition was looked at."),
        Column("profiled_on", "date", nullable=False, description="The date (UTC) of that."),
        Column("table_name", "string", nullable=False, description="`layer.table`."),
        Column("partition_date", "date", description="The partition; none for a table without."),
        Column("data_version", "string", nullable=False, description="Version of the rows that were looked at."),
        Column("contract_version", "integer", nullable=False, description="Version of the contract they were made by."),
        Column("column_name", "string", nullable=False, description="The column."),
        Column("column_type", "string", nullable=False, description="Its logical type."),
        Column("row_count", "integer", nullable=False, description="Rows of the partition."),
        Column("null_count", "integer", nullable=False, description="Rows in which it is null."),
        Column("distinct_count", "integer", nullable=False, description="Distinct values, approximately."),
        Column("histogram", "string", description="Rows by bucket, as JSON; none for what is in no bucket."),
    ),
    event_time="profiled_at",
    partition_column="profiled_on",
)


@dataclass(frozen=True)
class ColumnProfile:
    """The counts of one column in one partition.

    Attributes:
        distinct: approximately.
        histogram: rows by bucket; empty for what is in no bucket.
    """

    name: str
    type: str
    nulls: int
    distinct: int
    histogram: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Profile:
    """A partition as it was looked at once.

    Attributes:
        partition: its date; None for a table without.
        version: of its rows.
    """

    table: str
    partition: date | None
    version: str
    contract_version: int
    profiled_at: datetime
    rows: int
    columns: tuple[ColumnProfile, ...]

    @property
    def types(self) -> dict[str, str]:
        """Logical type by column."""
        return {column.name: column.type for column in self.columns}


def take_profile(
    lakehouse: Lakehouse, table: Table, contract: Contract, partition: date | None, version: str, now: datetime
) -> Profile:
    """Looks at one partition (None: all of a table without), in one statement over its files."""
    columns = profiled_columns(contract, table)
    where = {str(contract.partition_column): partition} if partition else None
    measures = ["count(*)"]
    for column in columns:
        name, bucket = quote(column.name), _bucket(contract, column)
        counted = f"histogram({bucket})" if bucket else "NULL"
        measures += [f"count({name})", f"approx_count_distinct({name})", counted]
    ((rows, *counts),) = lakehouse.ask(f"SELECT {', '.join(measures)} FROM {table_relation(table, where=where)}")
    profiles = [
        ColumnProfile(c.name, c.type, rows - present, distinct, dict(histogram or {}))
        for c, present, distinct, histogram in zip(columns, counts[0::3], counts[1::3], counts[2::3], strict=True)
    ]
    return Profile(contract.table, partition, version, contract.version, now, rows, tuple(profiles))


def profiled_columns(contract: Contract, table: Table) -> list[Column]:
    """The columns that are looked at: of those that the contract declares and the table has by now."""
    present = set(table.schema().column_names)
    return [
        column
        for column in contract.columns
        if column.name in present and column.name != contract.partition_column and not column.name.startswith("_")
    ]


def keep(lakehouse: Lakehouse, profiles: Sequence[Profile], now: datetime) -> None:
    """Adds profiles to the history, in one commit."""
    rows: list[Row] = [
        (
            now,
            now.date(),
            profile.table,
            profile.partition,
            profile.version,
            profile.contract_version,
            column.name,
            column.type,
            profile.rows,
            column.nulls,
            column.distinct,
            json.dumps(column.histogram, sort_keys=True) if column.histogram else None,
        )
        for profile in profiles
        for column in profile.columns
    ]
    if rows:
        append_news(lakehouse, PROFILES, lambda _: rows, lambda row: row, now)


def last_looks(lakehouse: Lakehouse) -> dict[str, dict[date | None, tuple[str, datetime]]]:
    """By table and partition, the version that was last looked at, and when."""
    kept = relation(lakehouse, PROFILES.table)
    found: dict[str, dict[date | None, tuple[str, datetime]]] = {}
    if kept is None:
        return found
    rows = lakehouse.ask(
        "SELECT table_name, partition_date, arg_max(data_version, profiled_at), max(profiled_at) "
        f"FROM {kept} GROUP BY ALL"
    )
    for table, partition, version, at in rows:
        found.setdefault(table, {})[partition] = (version, at.astimezone(UTC))
    return found


def looks_at(lakehouse: Lakehouse, tables: Collection[str]) -> dict[str, list[Profile]]:
    """All looks at each of the tables, oldest first."""
    kept = relation(lakehouse, PROFILES.table)
    found: dict[str, list[Profile]] = {table: [] for table in tables}
    if kept is None or not tables:
        return found
    rows = lakehouse.ask(
        "SELECT table_name, profiled_at, partition_date, data_version, contract_version, row_count, column_name, "
        f"column_type, null_count, distinct_count, histogram FROM {kept} "
        f"WHERE table_name IN ({', '.join(map(literal, tables))}) ORDER BY ALL"
    )
    columns: dict[tuple[Any, ...], list[ColumnProfile]] = {}
    for *look, name, kind, nulls, distinct, histogram in rows:
        counts = json.loads(histogram) if histogram else {}
        columns.setdefault(tuple(look), []).append(ColumnProfile(name, kind, nulls, distinct, counts))
    for (table, at, partition, version, contract_version, count), profiles in columns.items():
        moment = at.astimezone(UTC)
        found[table].append(Profile(table, partition, version, contract_version, moment, count, tuple(profiles)))
    return found


def bucket_in_words(bucket: str) -> str:
    """What lies in a bucket: `purchase`, or `from 64 to 76`; of hashed values only that it is one of many."""
    kind, rest = bucket[:1], bucket[1:]
    if kind == _LISTED:
        return f"`{rest}`"
    if kind == _HASHED or rest == _ENDLESS:
        return f"one of {_HASH_BUCKETS} groups of values" if kind == _HASHED else "what has no end"
    if kind == "0":
        return "zero"
    low, high = (2 ** min(place / _PER_DOUBLING, _LARGEST) for place in (int(rest), int(rest) + 1))
    return f"{kind.strip('+')}{low:.4g} to {kind.strip('+')}{high:.4g}"


def _bucket(contract: Contract, column: Column) -> str | None:
    """SQL for the bucket of a value, null for null; None for what is in no bucket."""
    rules = [rule for rule in contract.rules if rule.columns == (column.name,)]
    if column.classification is not Classification.PUBLIC or any(rule.argument == TOKEN_PATTERN for rule in rules):
        return None
    name, text = quote(column.name), f"CAST({quote(column.name)} AS VARCHAR)"
    listed = next((rule.argument for rule in rules if rule.kind == "one_of"), None)
    if column.type == "boolean":
        return f"'{_LISTED}' || {text}"
    if isinstance(listed, tuple):
        known = ", ".join(map(literal, listed))
        return f"'{_LISTED}' || CASE WHEN {name} IN ({known}) THEN {text} WHEN {name} IS NOT NULL THEN 'other' END"
    if column.type in _UNDIVIDED:
        return None
    names_something = column.name in contract.key or column.name == "id" or column.name.endswith("_id")
    refers = any(rule.kind == REFERENCES for rule in rules)
    if (column.type in _NUMBERS or column.decimal) and not (names_something or refers):
        number = f"CAST({name} AS DOUBLE)"
        size = f"coalesce(TRY_CAST(floor({_PER_DOUBLING} * log2(abs({number}))) AS INTEGER)::VARCHAR, '{_ENDLESS}')"
        sign = f"CASE WHEN {number} > 0 THEN '+' ELSE '-' END"
        return f"CASE WHEN {name} = 0 THEN '0' WHEN {name} IS NOT NULL THEN {sign} || {size} END"
    return f"'{_HASHED}' || (md5_number_lower({text}) % {_HASH_BUCKETS})"

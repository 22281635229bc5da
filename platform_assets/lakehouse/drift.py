"""What arrived that the schema does not have, and what it has that did not arrive: counted, not judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from platform_assets.contracts.rules import quote
from platform_assets.lakehouse.reader import table_relation
from platform_assets.sources.contracts import UNEXPECTED, BronzeField

if TYPE_CHECKING:
    from datetime import date

    from duckdb import DuckDBPyConnection

    from platform_assets.lakehouse.catalog import Lakehouse

MAX_REPORTED = 1000  # a producer may put values where names belong
_JSON_TYPES = {
    "VARCHAR": "string",
    "UBIGINT": "integer",
    "BIGINT": "integer",
    "HUGEINT": "integer",
    "UHUGEINT": "integer",
    "DOUBLE": "number",
    "BOOLEAN": "boolean",
    "OBJECT": "object",
    "ARRAY": "array",
    "NULL": "null",
}


@dataclass(frozen=True)
class Unexpected:
    """A member that the schema does not have.

    Attributes:
        name: as the source writes it.
        json_type: string, integer, number, boolean, object, array or null.
        records: how many rows have it with a value of this type.
    """

    name: str
    json_type: str
    records: int


def unexpected_members(connection: DuckDBPyConnection, table: str) -> tuple[Unexpected, ...]:
    """What the column `_unexpected` of a table holds, most frequent first, at most MAX_REPORTED."""
    # A JSON pointer: unlike a JSONPath it has no wildcards.
    pointer = "'/' || replace(replace(name, '~', '~0'), '/', '~1')"
    found = connection.execute(
        f"SELECT name, json_type({UNEXPECTED}, {pointer}) AS kind, count(*) AS rows FROM ("
        f"SELECT {UNEXPECTED}, unnest(list_distinct(json_keys({UNEXPECTED}))) AS name "
        f"FROM {table} WHERE {UNEXPECTED} IS NOT NULL) GROUP BY ALL ORDER BY rows DESC, name, kind LIMIT {MAX_REPORTED}"
    )
    return tuple(Unexpected(name, _JSON_TYPES[kind], rows) for name, kind, rows in found.fetchall())


def drifted(lakehouse: Lakehouse, bronze: str, *, where: Mapping[str, date] | None = None) -> tuple[Unexpected, ...]:
    """As `unexpected_members`, of the rows of a bronze table that `where` chooses; none if it was never published."""
    table = lakehouse.find(bronze)
    if table is None or UNEXPECTED not in table.schema().column_names:  # published before the column was kept
        return ()
    with lakehouse.connect() as connection:
        return unexpected_members(connection, table_relation(table, where=where))


def absent_fields(connection: DuckDBPyConnection, table: str, fields: Sequence[BronzeField]) -> Mapping[str, int]:
    """Field to the rows without a value for it, of fields with such rows."""
    if not fields:
        return {}
    counts = ", ".join(f"count(*) - count({quote(field.name)})" for field in fields)
    row = connection.execute(f"SELECT {counts} FROM {table}").fetchone()
    return {field.name: absent for field, absent in zip(fields, row or (), strict=True) if absent}

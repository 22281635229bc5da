"""Reads Iceberg tables with DuckDB: PyIceberg plans the files, DuckDB reads them by field id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_assets.contracts.rules import literal, quote
from platform_assets.lakehouse.catalog import Lakehouse, LakehouseError, local_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.types import IcebergType


def relation(lakehouse: Lakehouse, name: str, *, where: Mapping[str, date] | None = None) -> str | None:
    """A DuckDB table expression over the newest snapshot of a table.

    Args:
        lakehouse: where the table lives.
        name: `layer.table`.
        where: columns and the date that each must have; files that cannot hold it are not read.

    Returns:
        SQL to stand after FROM, or None if the table was never published.
    """
    table = lakehouse.find(name)
    return None if table is None else table_relation(table, where=where)


def table_relation(
    table: Table, *, where: Mapping[str, date] | None = None, since: Mapping[str, date] | None = None
) -> str:
    """As `relation`, over a table that is already loaded; fixed to its snapshot.

    Args:
        table: the table.
        where: columns and the date that each must have.
        since: columns and the earliest date that each may have.
    """
    wanted, earliest = where or {}, since or {}
    files = _planned_files(table, wanted, earliest)
    if not files:
        return _empty(table.schema())
    paths = ", ".join(literal(path) for path in files)
    source = f"read_parquet([{paths}], schema = {field_map(table.schema())})"
    conditions = [
        f"{quote(column)} {comparison} DATE '{day.isoformat()}'"
        for comparison, days in (("=", wanted), (">=", earliest))
        for column, day in days.items()
    ]
    return f"(SELECT * FROM {source} WHERE {' AND '.join(conditions)})" if conditions else source


def _planned_files(table: Table, where: Mapping[str, date], since: Mapping[str, date]) -> list[str]:
    from pyiceberg.expressions import AlwaysTrue, And, BooleanExpression, EqualTo, GreaterThanOrEqual

    row_filter: BooleanExpression = AlwaysTrue()
    for column, day in where.items():
        row_filter = And(row_filter, EqualTo(column, day.isoformat()))  # type: ignore[call-arg,misc]
    for column, day in since.items():
        row_filter = And(row_filter, GreaterThanOrEqual(column, day.isoformat()))  # type: ignore[call-arg,misc]
    tasks = list(table.scan(row_filter=row_filter).plan_files())
    if any(task.delete_files for task in tasks):
        raise LakehouseError(
            f"{'.'.join(table.name())} has row-level delete files, which this reader would ignore; compact the table"
        )
    return sorted(local_path(task.file.file_path) for task in tasks)


def field_map(schema: Schema) -> str:
    """Field ids to names and types: a file written before a column was added reads as null there."""
    fields = ", ".join(
        f"{field.field_id}: {{name: {literal(field.name)}, type: '{sql_type(field.field_type)}', default_value: NULL}}"
        for field in schema.fields
    )
    return f"MAP {{{fields}}}"


def _empty(schema: Schema) -> str:
    columns = ", ".join(f"NULL::{sql_type(field.field_type)} AS {quote(field.name)}" for field in schema.fields)
    return f"(SELECT {columns} WHERE FALSE)"


def sql_type(iceberg: IcebergType) -> str:
    """The DuckDB type that an Iceberg column reads as."""
    from pyiceberg import types

    if isinstance(iceberg, types.DecimalType):
        return f"DECIMAL({iceberg.precision}, {iceberg.scale})"
    plain: dict[type[IcebergType], str] = {
        types.LongType: "BIGINT",
        types.IntegerType: "INTEGER",
        types.DoubleType: "DOUBLE",
        types.BooleanType: "BOOLEAN",
        types.DateType: "DATE",
        types.TimestamptzType: "TIMESTAMPTZ",
        types.StringType: "VARCHAR",
    }
    if type(iceberg) not in plain:
        raise LakehouseError(f"no DuckDB type for Iceberg's {iceberg}")
    return plain[type(iceberg)]

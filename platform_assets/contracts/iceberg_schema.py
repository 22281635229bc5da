"""Compiles a contract to the Iceberg schema, partition spec and sort order of its table.

Every field is optional in Iceberg: what must not be null is the contract's promise, held by the audit, so that a column
can be added later without rewriting the files that lack it (S0-28, S1-46).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_assets.contracts.model import Column, Contract

if TYPE_CHECKING:
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.types import IcebergType

_DUCKDB_TYPES = {
    "integer": "BIGINT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMPTZ",
}


def duckdb_type(column: Column) -> str:
    """The DuckDB type of a column; object and array are JSON text."""
    if column.decimal:
        return "DECIMAL({}, {})".format(*column.decimal)
    return _DUCKDB_TYPES.get(column.type, "VARCHAR")


def iceberg_schema(contract: Contract) -> Schema:
    """The contract as an Iceberg schema with fresh field ids from 1; a table keeps the ids it was created with."""
    from pyiceberg.schema import Schema
    from pyiceberg.types import NestedField

    return Schema(
        *(
            NestedField(number, column.name, iceberg_type(column), required=False, doc=column.description or None)
            for number, column in enumerate(contract.columns, start=1)
        )
    )


def iceberg_type(column: Column) -> IcebergType:
    """The Iceberg type of a column."""
    from pyiceberg import types

    if column.decimal:
        return types.DecimalType(*column.decimal)
    plain: dict[str, IcebergType] = {
        "integer": types.LongType(),
        "double": types.DoubleType(),
        "boolean": types.BooleanType(),
        "date": types.DateType(),
        "timestamp": types.TimestamptzType(),
    }
    return plain.get(column.type, types.StringType())


def partition_spec(contract: Contract, schema: Schema) -> PartitionSpec:
    """Identity partitioning on the contract's date column, or none.

    Identity rather than `day(...)`: PyIceberg replaces identity partitions only.
    """
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.transforms import IdentityTransform

    if contract.partition_column is None:
        return PartitionSpec()
    field = schema.find_field(contract.partition_column)
    return PartitionSpec(PartitionField(field.field_id, 1000, IdentityTransform(), contract.partition_column))

"""Compiles a contract to the Pandera schema by which a table is audited before it is published (I1, I5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_assets.contracts.model import Column, Contract, Rule
from platform_assets.contracts.rules import REFERENCES, kind_of

if TYPE_CHECKING:
    import pandera.polars as pa
    import polars as pl


def pandera_schema(contract: Contract) -> pa.DataFrameSchema:
    """The contract as a Pandera schema on Polars frames: types, nullability, rules, and the key's uniqueness.

    Foreign keys are judged where the other table is at hand, in the SQL split, not here.
    """
    import pandera.polars as pa

    columns = {
        column.name: pa.Column(
            polars_type(column),
            nullable=column.nullable,
            checks=[_check(rule) for rule in contract.rules if rule.column == column.name and rule.kind != REFERENCES],
            description=column.description or None,
        )
        for column in contract.columns
    }
    return pa.DataFrameSchema(columns, name=contract.table, unique=list(contract.key) or None, strict=True)


def polars_type(column: Column) -> pl.DataType:
    """How Polars reads the column from Parquet."""
    import polars as pl

    if column.decimal:
        return pl.Decimal(*column.decimal)
    types: dict[str, pl.DataType] = {
        "integer": pl.Int64(),
        "double": pl.Float64(),
        "boolean": pl.Boolean(),
        "date": pl.Date(),
        "timestamp": pl.Datetime("us", "UTC"),
    }
    return types.get(column.type, pl.String())


def _check(rule: Rule) -> pa.Check:
    import pandera.polars as pa

    kind = kind_of(rule)

    def holds(data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(kind.polars(rule.column, rule.argument))

    return pa.Check(holds, name=rule.name, error=rule.name)

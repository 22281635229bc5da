"""Compiles a contract to the Pandera schema by which a table is audited before it is published (I1, I5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_assets.contracts.model import Column, Contract, Rule, Severity
from platform_assets.contracts.rules import REFERENCES, RULES, TABLE_RULES, audited, kind_of

if TYPE_CHECKING:
    import pandera.polars as pa
    import polars as pl


def pandera_schema(contract: Contract) -> pa.DataFrameSchema:
    """The contract as a Pandera schema on Polars frames: types, nullability, rules, and the key's uniqueness.

    Rules of severity `warn` are not in it, because nothing is refused for them. Foreign keys are judged where the other
    table is at hand, in the SQL split, not here.
    """
    import pandera.polars as pa

    rules = [rule for rule in contract.rules if rule.severity is Severity.ERROR and rule.kind != REFERENCES]
    columns = {
        column.name: pa.Column(
            polars_type(column),
            nullable=column.nullable,
            checks=[_check(rule) for rule in rules if rule.columns == (column.name,) and rule.kind not in TABLE_RULES],
            description=column.description or None,
        )
        for column in contract.columns
    }
    whole = [_check(rule) for rule in rules if rule.kind in TABLE_RULES or len(rule.columns) > 1]
    key = list(contract.key) or None
    return pa.DataFrameSchema(columns, checks=whole, name=contract.table, unique=key, strict=True)


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

    kind_of(rule)  # refuses an unknown one here, and not in the middle of an audit
    holds = audited(rule) if rule.kind in RULES else TABLE_RULES[rule.kind].polars(rule).eq(0)

    def judge(data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(holds.alias("holds"))

    return pa.Check(judge, name=rule.name, error=rule.name)

"""Kinds of rules about a whole table, or partition of it: each counts what breaks it, in SQL and in Polars alike.

They are judged when a table is published, on what readers would see.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from platform_assets.contracts.kinds import TableKind, between, bounds, quote
from platform_assets.contracts.model import ContractError, Rule

if TYPE_CHECKING:
    import polars as pl


def _unique() -> TableKind:
    """Rows that share their values with another; a row in which one of them is null shares nothing, as in SQL."""

    def sql(rule: Rule, relation: str) -> str:
        columns = [quote(name) for name in rule.columns]
        return (
            f"SELECT coalesce(sum(n), 0)::BIGINT FROM (SELECT count(*) AS n FROM {relation} "
            f"WHERE {' AND '.join(f'{column} IS NOT NULL' for column in columns)} "
            f"GROUP BY {', '.join(columns)} HAVING count(*) > 1)"
        )

    def polars(rule: Rule) -> pl.Expr:
        import polars as pl

        there = pl.all_horizontal(pl.col(name).is_not_null() for name in rule.columns)
        return (pl.struct(rule.columns).is_duplicated() & there).sum()

    def says(rule: Rule) -> str:
        return "is unique" if len(rule.columns) == 1 else f"{', '.join(rule.columns)} are unique together"

    return TableKind(sql, polars, says)


def _null_ratio() -> TableKind:
    """All nulls, if they are more than the allowed share of the rows; compared in whole numbers, which never round."""

    def share(rule: Rule) -> Fraction:
        allowed = Fraction(str(rule.argument))
        if not 0 <= allowed <= 1:
            raise ContractError(f"{rule.name} allows a share from 0 to 1, not {rule.argument}")
        return allowed.limit_denominator(10**6)

    def sql(rule: Rule, relation: str) -> str:
        allowed, nulls = share(rule), f"count(*) FILTER ({quote(rule.column)} IS NULL)"
        return (
            f"SELECT CASE WHEN {nulls} * {allowed.denominator} > count(*) * {allowed.numerator} "
            f"THEN {nulls} ELSE 0 END FROM {relation}"
        )

    def polars(rule: Rule) -> pl.Expr:
        import polars as pl

        allowed, nulls = share(rule), pl.col(rule.column).null_count().cast(pl.Int64)
        too_many = nulls * allowed.denominator > pl.len().cast(pl.Int64) * allowed.numerator
        return pl.when(too_many).then(nulls).otherwise(0)

    return TableKind(sql, polars, says=lambda rule: f"is null in at most {float(share(rule) * 100):g}% of the rows")


def _row_count() -> TableKind:
    """Rows that are missing, or too many."""

    def sql(rule: Rule, relation: str) -> str:
        low, high = bounds(rule)
        missing = "0" if low is None else f"greatest({low} - count(*), 0)"
        excess = "0" if high is None else f"greatest(count(*) - {high}, 0)"
        return f"SELECT ({missing} + {excess})::BIGINT FROM {relation}"

    def polars(rule: Rule) -> pl.Expr:
        import polars as pl

        low, high = bounds(rule)
        rows = pl.len().cast(pl.Int64)
        missing = pl.lit(0) if low is None else (pl.lit(low, pl.Int64) - rows).clip(lower_bound=0)
        excess = pl.lit(0) if high is None else (rows - pl.lit(high, pl.Int64)).clip(lower_bound=0)
        return (missing + excess).cast(pl.Int64)

    return TableKind(sql, polars, says=lambda rule: f"has {between(*bounds(rule), unit=' rows')}")


TABLE_RULES = {"unique": _unique(), "null_ratio": _null_ratio(), "row_count": _row_count()}

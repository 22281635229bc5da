"""What a kind of rule is, and how names and values are written in SQL; the kinds are in `contracts.rules`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from platform_assets.contracts.model import ContractError, Rule

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class RuleKind:
    """The meanings of a kind of rule about a row, or about one value of it; null stands for "keeps the rule".

    Attributes:
        sql: a DuckDB boolean expression over the row's columns.
        polars: the same as a Polars expression.
        says: a sentence without subject, for docs and Dagit.
    """

    sql: Callable[[Rule], str]
    polars: Callable[[Rule], pl.Expr]
    says: Callable[[Rule], str]


@dataclass(frozen=True)
class TableKind:
    """The meanings of a kind of rule about a whole table, or partition of it.

    Attributes:
        sql: given SQL after FROM, a query for how many rows break the rule; 0 where it holds.
        polars: the same as a Polars expression of one number.
        says: a sentence, for docs and Dagit.
    """

    sql: Callable[[Rule, str], str]
    polars: Callable[[Rule], pl.Expr]
    says: Callable[[Rule], str]


def quote(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """A SQL literal.

    Raises:
        ContractError: the value is neither text, number, boolean nor null.
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    value = exact(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, int | float):
        text = repr(value)
        return text if isinstance(value, int) or "e" in text else f"{text}e0"  # without exponent DuckDB reads a decimal
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    raise ContractError(f"no SQL literal for {value!r} of type {type(value).__name__}")


def exact(value: object) -> object:
    """A float as the number that was written, where both engines can hold that exactly beside integers and decimals.

    Compared as a float it would round those.
    """
    if not isinstance(value, float):
        return value
    if value.is_integer() and abs(value) < 2**63:
        return int(value)
    written = Decimal(repr(value))
    _, digits, exponent = written.as_tuple()
    return written if isinstance(exponent, int) and -12 <= exponent <= 0 and len(digits) <= 15 else value


def bounds(rule: Rule) -> tuple[object, object]:
    """Lower and upper bound of a rule that has two, None where it is open.

    Raises:
        ContractError: the argument is no pair, or both are open.
    """
    if not isinstance(rule.argument, tuple) or len(rule.argument) != 2 or rule.argument == (None, None):
        raise ContractError(f"{rule.name} wants a lower and an upper bound, of which one may be None")
    return rule.argument


def between(low: object, high: object, unit: str = "") -> str:
    """Two bounds in words, such as `from 1 to 10`."""
    if high is None:
        return f"at least {low}{unit}"
    return f"at most {high}{unit}" if low is None else f"from {low} to {high}{unit}"

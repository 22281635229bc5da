"""Every kind of rule, once, with its two meanings: a SQL predicate for the split and a Polars expression for the audit.

A predicate is true where the value keeps the rule. A null keeps every rule but `not_null`: that a value must be there
is said once, by the column's nullability. `platform_assets_tests/contracts/test_rules.py` holds the two meanings equal
on generated data (I5).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from platform_assets.contracts.model import ContractError, Rule

if TYPE_CHECKING:
    import polars as pl

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
EMAIL_PATTERN = rf"^[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{_LABEL}(?:\.{_LABEL})+$"
UUID_PATTERN = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"


@dataclass(frozen=True)
class RuleKind:
    """The meanings of a kind of rule.

    Attributes:
        sql: quoted column and argument to a DuckDB boolean expression.
        polars: column name and argument to a Polars boolean expression.
        says: the argument to a sentence for docs and Dagit.
    """

    sql: Callable[[str, object], str]
    polars: Callable[[str, object], pl.Expr]
    says: Callable[[object], str]


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
    value = _exact(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, int | float):
        text = repr(value)
        return text if isinstance(value, int) or "e" in text else f"{text}e0"  # without exponent DuckDB reads a decimal
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    raise ContractError(f"no SQL literal for {value!r} of type {type(value).__name__}")


def _comparison(operator: str, says: str) -> RuleKind:
    def polars(name: str, bound: object) -> pl.Expr:
        import polars as pl

        column = pl.col(name)
        compared = {"<=": column.le, ">=": column.ge, "<": column.lt, ">": column.gt}[operator](_bound(bound))
        return compared | column.is_null()

    return RuleKind(
        sql=lambda column, bound: f"{column} {operator} {literal(bound)}",
        polars=polars,
        says=lambda bound: f"{says} {bound}",
    )


def _bound(bound: object) -> pl.Expr:
    import polars as pl

    return pl.lit(_exact(bound))


def _exact(value: object) -> object:
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


def _length(operator: str, says: str) -> RuleKind:
    def polars(name: str, bound: object) -> pl.Expr:
        import polars as pl

        length = pl.col(name).str.len_chars()
        return (length.ge(bound) if operator == ">=" else length.le(bound)) | pl.col(name).is_null()

    return RuleKind(
        sql=lambda column, bound: f"length({column}) {operator} {literal(bound)}",
        polars=polars,
        says=lambda bound: f"{says} {bound} characters",
    )


def _pattern(fixed: str | None, says: str) -> RuleKind:
    def polars(name: str, pattern: object) -> pl.Expr:
        import polars as pl

        return pl.col(name).str.contains(_ascii(fixed or str(pattern))) | pl.col(name).is_null()

    return RuleKind(
        sql=lambda column, pattern: f"regexp_matches({column}, {literal(fixed or pattern)})",
        polars=polars,
        says=lambda pattern: says if fixed else f"{says} {pattern}",
    )


_ASCII_CLASSES = {
    r"\d": "[0-9]",
    r"\D": "[^0-9]",
    r"\w": "[0-9A-Za-z_]",
    r"\W": "[^0-9A-Za-z_]",
    r"\s": r"[\t\n\f\r ]",
    r"\S": r"[^\t\n\f\r ]",
    r"\b": r"(?-u:\b)",
}


def _ascii(pattern: str) -> str:
    """The pattern with its digits, letters and blanks as DuckDB and JSON Schema mean them: ASCII's, not Unicode's."""
    return re.sub(r"\\.", lambda escape: _ASCII_CLASSES.get(escape[0], escape[0]), pattern)


def _one_of() -> RuleKind:
    def polars(name: str, values: object) -> pl.Expr:
        import polars as pl

        # Not `is_in`, which refuses a list of another numeric type than the column's.
        return pl.any_horizontal(pl.col(name).eq(_bound(value)) for value in _values(values)) | pl.col(name).is_null()

    return RuleKind(
        sql=lambda column, values: f"{column} IN ({', '.join(literal(value) for value in _values(values))})",
        polars=polars,
        says=lambda values: f"is one of {', '.join(map(str, _values(values)))}",
    )


def _values(values: object) -> list[object]:
    if not isinstance(values, list | tuple) or not values:
        raise ContractError(f"one_of wants a list of values, got {values!r}")
    return list(values)


# A reference is checked in the SQL split, where the other table is at hand; the audit of the published table trusts it.
REFERENCES = "references"

RULES: dict[str, RuleKind] = {
    "minimum": _comparison(">=", "is at least"),
    "maximum": _comparison("<=", "is at most"),
    "exclusive_minimum": _comparison(">", "is more than"),
    "exclusive_maximum": _comparison("<", "is less than"),
    "min_length": _length(">=", "has at least"),
    "max_length": _length("<=", "has at most"),
    "pattern": _pattern(None, "matches"),
    "email": _pattern(EMAIL_PATTERN, "is an e-mail address"),
    "uuid": _pattern(UUID_PATTERN, "is a UUID"),
    "one_of": _one_of(),
}


def predicate(rule: Rule) -> str:
    """DuckDB expression that is TRUE where `rule` holds, NULL and FALSE handled: a null value keeps the rule."""
    return f"coalesce({kind_of(rule).sql(quote(rule.column), rule.argument)}, TRUE)"


def kind_of(rule: Rule) -> RuleKind:
    """The kind of a rule.

    Raises:
        ContractError: there is no such kind.
    """
    if rule.kind not in RULES:
        raise ContractError(f"no rule is called {rule.kind!r}; there are {', '.join(sorted(RULES))} and {REFERENCES}")
    return RULES[rule.kind]

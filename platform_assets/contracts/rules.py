"""Every kind of rule, once, with its two meanings: a SQL predicate for the split and a Polars expression for the audit.

A null keeps every rule but `not_null`: that a value must be there is said once. Kinds about a whole table are in
`contracts.table_rules`, free SQL is in `contracts.sql_rule`. `platform_assets_tests/contracts/` holds the two meanings
of every kind equal on generated data (I5).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from platform_assets.contracts import sql_rule, windows
from platform_assets.contracts.formats import FORMATS, Format, countries, currencies
from platform_assets.contracts.kinds import RuleKind, TableKind, between, bounds, exact, literal, quote
from platform_assets.contracts.model import ContractError, Rule, Severity
from platform_assets.contracts.table_rules import TABLE_RULES

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "COMPARISONS",
    "REFERENCES",
    "RULES",
    "TABLE_RULES",
    "audited",
    "in_words",
    "kind_of",
    "literal",
    "predicate",
    "quote",
    "whole_in_words",
]

# A reference is checked in the SQL split, where the other table is at hand; the audit of the published table trusts it.
REFERENCES = "references"
# The day from which on a currency must have been in use, unless the rule says another.
CURRENCIES_SINCE = "2020-01-01"

COMPARISONS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "<": (operator.lt, "less than"),
    "<=": (operator.le, "at most"),
    "=": (operator.eq, "equal to"),
    "!=": (operator.ne, "not equal to"),
    ">=": (operator.ge, "at least"),
    ">": (operator.gt, "more than"),
}


def _column(rule: Rule) -> pl.Expr:
    import polars as pl

    return pl.col(rule.column)


def _number(value: object) -> pl.Expr:
    import polars as pl

    return pl.lit(exact(value))


def _bound(symbol: str, fixed: int | None = None) -> RuleKind:
    """A comparison with a number: that of the rule, or a fixed one."""
    compared, words = COMPARISONS[symbol]

    def number(rule: Rule) -> object:
        return rule.argument if fixed is None else fixed

    return RuleKind(
        sql=lambda rule: f"{quote(rule.column)} {symbol} {literal(number(rule))}",
        polars=lambda rule: compared(_column(rule), _number(number(rule))),
        says=lambda rule: f"is {words} {number(rule)}",
    )


def _range() -> RuleKind:
    def sql(rule: Rule) -> str:
        return _both(quote(rule.column), *map(_optional, bounds(rule)))

    def polars(rule: Rule) -> pl.Expr:
        low, high = (None if bound is None else _number(bound) for bound in bounds(rule))
        return _within(_column(rule), low, high)

    return RuleKind(sql, polars, says=lambda rule: f"is {between(*bounds(rule))}")


def _optional(bound: object) -> str | None:
    return None if bound is None else literal(bound)


def _both(value: str, low: str | None, high: str | None) -> str:
    return " AND ".join([f"{value} >= {low}"] * (low is not None) + [f"{value} <= {high}"] * (high is not None))


def _within(value: pl.Expr, low: Any, high: Any) -> pl.Expr:  # noqa: ANN401 - numbers or expressions of numbers
    if high is None:
        return value.ge(low)
    return value.le(high) if low is None else value.ge(low) & value.le(high)


def _length(read: Callable[[Rule], tuple[object, object]]) -> RuleKind:
    return RuleKind(
        sql=lambda rule: _both(f"length({quote(rule.column)})", *map(_optional, read(rule))),
        polars=lambda rule: _within(_column(rule).str.len_chars(), *read(rule)),
        says=lambda rule: f"has {between(*read(rule), unit=' characters')}",
    )


def _pattern() -> RuleKind:
    return RuleKind(
        sql=lambda rule: f"regexp_matches({quote(rule.column)}, {literal(rule.argument)})",
        polars=lambda rule: _column(rule).str.contains(_ascii(str(rule.argument))),
        says=lambda rule: f"matches {rule.argument}",
    )


def _format(known: Format) -> RuleKind:
    def sql(rule: Rule) -> str:
        column = quote(rule.column)
        conditions = [f"regexp_matches({column}, {literal(known.pattern)})"]
        if known.longest:
            conditions.append(f"length({column}) <= {known.longest}")
        if known.longest_before:
            mark, count = known.longest_before
            conditions.append(f"strpos({column}, {literal(mark)}) <= {count + 1}")
        return " AND ".join(conditions)

    def polars(rule: Rule) -> pl.Expr:
        import polars as pl

        column = _column(rule)
        conditions = [column.str.contains(known.pattern)]
        if known.longest:
            conditions.append(column.str.len_chars().le(known.longest))
        if known.longest_before:
            mark, count = known.longest_before
            # In bytes, which are characters where the pattern matches.
            conditions.append(column.str.find(mark, literal=True).fill_null(0).le(count))
        return pl.all_horizontal(conditions)

    return RuleKind(sql, polars, says=lambda _: known.says)


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


def _one_of(values: Callable[[Rule], tuple[object, ...]], says: Callable[[Rule], str]) -> RuleKind:
    def polars(rule: Rule) -> pl.Expr:
        import polars as pl

        allowed = values(rule)
        if all(isinstance(value, str) for value in allowed):
            return _column(rule).is_in(list(allowed))
        # Not `is_in`, which refuses a list of another numeric type than the column's.
        return pl.any_horizontal(_column(rule).eq(_number(value)) for value in allowed)

    return RuleKind(
        sql=lambda rule: f"{quote(rule.column)} IN ({', '.join(literal(value) for value in values(rule))})",
        polars=polars,
        says=says,
    )


def _values(rule: Rule) -> tuple[object, ...]:
    if not isinstance(rule.argument, list | tuple) or not rule.argument:
        raise ContractError(f"{rule.kind} wants a list of values, got {rule.argument!r}")
    return tuple(rule.argument)


def _listed(rule: Rule) -> str:
    return ", ".join(map(str, _values(rule)))


def _not(kind: RuleKind, says: Callable[[Rule], str]) -> RuleKind:
    return RuleKind(sql=lambda rule: f"NOT ({kind.sql(rule)})", polars=lambda rule: ~kind.polars(rule), says=says)


def _not_null() -> RuleKind:
    return RuleKind(
        sql=lambda rule: f"{quote(rule.column)} IS NOT NULL",
        polars=lambda rule: _column(rule).is_not_null(),
        says=lambda _: "is not null",
    )


def _window() -> RuleKind:
    """From the first moment up to, not including, the second; as numbers, which no session's time zone moves."""

    def numbers(rule: Rule) -> list[int | None]:
        return [None if bound is None else windows.microseconds(bound) for bound in bounds(rule)]

    def sql(rule: Rule) -> str:
        (after, before), value = numbers(rule), f"epoch_us({quote(rule.column)})"
        return " AND ".join(
            [f"{value} >= {after}"] * (after is not None) + [f"{value} < {before}"] * (before is not None)
        )

    def polars(rule: Rule) -> pl.Expr:
        (after, before), value = numbers(rule), _column(rule).dt.epoch("us")
        if before is None:
            return value.ge(after)
        return value.lt(before) if after is None else value.ge(after) & value.lt(before)

    def says(rule: Rule) -> str:
        after, before = bounds(rule)
        return " and ".join([f"not before {after}"] * (after is not None) + [f"before {before}"] * (before is not None))

    return RuleKind(sql, polars, says=lambda rule: f"is {says(rule)}")


def _compare() -> RuleKind:
    """With another column of the row."""

    def symbol(rule: Rule) -> str:
        if rule.argument not in COMPARISONS or len(rule.others) != 1:
            raise ContractError(f"{rule.name} wants one other column and one of {' '.join(COMPARISONS)}")
        return str(rule.argument)

    def polars(rule: Rule) -> pl.Expr:
        import polars as pl

        compared, _ = COMPARISONS[symbol(rule)]
        result: pl.Expr = compared(_column(rule), pl.col(rule.others[0]))
        return result

    return RuleKind(
        sql=lambda rule: f"{quote(rule.column)} {symbol(rule)} {quote(rule.others[0])}",
        polars=polars,
        says=lambda rule: f"is {COMPARISONS[symbol(rule)][1]} {rule.others[0]}",
    )


_ONE_OF = _one_of(_values, lambda rule: f"is one of {_listed(rule)}")

RULES: dict[str, RuleKind] = {
    "not_null": _not_null(),
    "minimum": _bound(">="),
    "maximum": _bound("<="),
    "exclusive_minimum": _bound(">"),
    "exclusive_maximum": _bound("<"),
    "positive": _bound(">", 0),
    "non_negative": _bound(">=", 0),
    "range": _range(),
    "min_length": _length(lambda rule: (rule.argument, None)),
    "max_length": _length(lambda rule: (None, rule.argument)),
    "length": _length(bounds),
    "pattern": _pattern(),
    "one_of": _ONE_OF,
    "not_one_of": _not(_ONE_OF, lambda rule: f"is none of {_listed(rule)}"),
    windows.WINDOW: _window(),
    **{name: _format(known) for name, known in FORMATS.items()},
    "currency": _one_of(
        lambda rule: currencies(str(rule.argument or CURRENCIES_SINCE)),
        lambda rule: f"is a currency code (ISO 4217) in use since {rule.argument or CURRENCIES_SINCE}",
    ),
    "country": _one_of(lambda _: countries(), lambda _: "is a country code (ISO 3166-1 alpha-2)"),
    "compare": _compare(),
    sql_rule.SQL: sql_rule.KIND,
}


def predicate(rule: Rule) -> str:
    """DuckDB expression that is TRUE where a rule about a row holds and FALSE where it does not, never NULL."""
    return f"coalesce({_row_kind(rule).sql(rule)}, TRUE)"


def audited(rule: Rule) -> pl.Expr:
    """Polars expression that says the same as `predicate`."""
    return _row_kind(rule).polars(rule).fill_null(value=True)


def in_words(rule: Rule) -> str:
    """What the rule promises of its column, which is said beside it; with what happens if that is not refusal."""
    says = f"is in {rule.argument}" if rule.kind == REFERENCES else kind_of(rule).says(rule)
    return f"{says} (only counted)" if rule.severity is Severity.WARN else says


def whole_in_words(rule: Rule) -> str:
    """What a rule about several columns, or about none, promises; with its name."""
    subject = f"{rule.column} " if rule.kind == "compare" else ""
    return f"{rule.name}: {subject}{in_words(rule)}"


def kind_of(rule: Rule) -> RuleKind | TableKind:
    """The kind of a rule.

    Raises:
        ContractError: there is no such kind.
    """
    kind = RULES.get(rule.kind) or TABLE_RULES.get(rule.kind)
    if kind is None:
        known = ", ".join(sorted((*RULES, *TABLE_RULES)))
        raise ContractError(f"no rule is called {rule.kind!r}; there are {known} and {REFERENCES}")
    return kind


def _row_kind(rule: Rule) -> RuleKind:
    kind = kind_of(rule)
    if isinstance(kind, TableKind):
        raise ContractError(f"{rule.name} is about the whole table, which no single row keeps or breaks")
    return kind

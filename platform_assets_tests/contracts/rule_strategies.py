"""Hypothesis strategies for every kind of rule: the rule, the columns that it names, and rows that keep and break it.

A kind of the catalogue that has no strategy here fails `test_rule_meanings.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from platform_assets.contracts.formats import FORMATS, countries, currencies
from platform_assets.contracts.model import Column, Rule
from platform_assets.contracts.rules import COMPARISONS

INT64 = 2**63
TRICKY_TEXT = (
    "",
    " ",
    "a",
    "abc",
    "a\nb",
    "abc\n",
    "ü",
    "ü",
    "٣",
    "\u00a0",
    "\u2028",
    "é1",
    "foo bar",
    "éfooé",
    "🇩🇪",
    "a@b",
    "Aa@b.co",
    "it's",
    r"\d",
    "(",
    "%_",
    "ABC-1234",
    "äb",
    "\x00",
    "a\x00b",
    "\u212a",
    "\u017f",
    "ab" * 40,
    "a@" + "b" * 64 + ".c",
    "123e4567-e89b-12d3-a456-426614174000",
    "123E4567-E89B-12D3-A456-426614174000\n",
)
PATTERNS = (
    "",
    "^$",
    ".",
    r"^\d+$",
    r"^\D*$",
    r"\w",
    r"^[\w.]+$",
    r"^[^\W\d]+$",
    r"\s",
    r"^\S+$",
    r"\bfoo\b",
    r"^\\d$",
    r"^[^@]+@[^@]+$",
    r"^(a|b)*$",
    "^abc",
    "abc$",
    "ü",
    "^.{2}$",
    "it's",
    r"\.",
    r"^[A-Z]{3}-\d{4}$",
    "(?i)^ÄB",
    "a.*b",
    r"\(",
    "^%_",
    r"^\pL+$",
)
# Every one may fail to be computed for some rows: sums overflow, divisors are 0, texts are no numbers.
EXPRESSIONS = (
    "a = b + 1",
    "a * b >= 0",
    "a // b = 1 or b is null",
    "a % b = 0",
    "abs(a) < 3 and not b > 2",
    "coalesce(a, b, 0) = 0",
    "case when a > 0 then b > 0 else b is null end",
    "a between b and 3",
    "a in (1, 2, b)",
    "x / a > 0.5",
    "x > a",
    "m = a + 0.5",
    "m * 3 <> x",
    "round(m, 1) = m",
    "t like 'a%' or t is not distinct from 'ü'",
    "length(t) = a",
    "cast(t as integer) > 0",
    "upper(trim(t)) <> t",
    "starts_with(t, 'a') and t || 'x' <> 'abcx'",
    "regexp_matches(t, '^[a-z]+$')",
    "d < date '2020-06-01'",
    "d + interval 1 day > '2020-06-01'",
    "extract(year from w) = 2020",
    "cast(w as date) = d",
    "date_diff('day', d, cast(w as date)) between 0 and 30",
    "f or a > b",
)

texts = st.one_of(
    st.sampled_from(TRICKY_TEXT),
    st.text(max_size=12),
    st.from_regex(r"[a-b0-9@.ü '-]{0,8}", fullmatch=True),
    st.emails(),
    st.uuids().map(str),
)
integers = st.one_of(
    st.integers(-3, 3), st.integers(-INT64, INT64 - 1), st.sampled_from([INT64 - 1, -INT64, 2**53 + 1])
)
doubles = st.floats(allow_nan=False, allow_infinity=False)
money = st.decimals(min_value=-(10**16) + 1, max_value=10**16 - 1, places=2, allow_nan=False)
bounds = st.one_of(
    integers,
    doubles,
    money.map(float),
    st.integers(-400, 400).map(lambda hundredths: hundredths / 100),
    st.sampled_from([0.1, -0.5, 2**64, -(2**70), 2.0**53, 1e300, 5e-324, 1e-7, 0.30000000000000004, 1e16, 1e22]),
)
dates = st.one_of(
    st.dates(), st.dates(datetime(2020, 5, 1, tzinfo=UTC).date(), datetime(2020, 7, 1, tzinfo=UTC).date())
)
moments = st.one_of(
    st.datetimes(timezones=st.just(UTC)),
    st.datetimes(datetime(2020, 5, 1), datetime(2020, 7, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - zone beside it
)
NUMBERS: dict[str, st.SearchStrategy[Any]] = {"integer": integers, "double": doubles, "decimal(18,2)": money}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    **NUMBERS,
    "decimal(12,4)": st.decimals(-(10**7), 10**7, places=4, allow_nan=False),
    "string": texts,
    "boolean": st.booleans(),
    "date": dates,
    "timestamp": moments,
}

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Case:
    """A rule, what it names, and rows for it.

    Attributes:
        rows: values in the order of `columns`; None is a null.
    """

    rule: Rule
    columns: tuple[Column, ...]
    rows: list[Row]


def near(bound: float, type_: str) -> list[object]:
    """The bound itself and its neighbours, where the type has them."""
    if type_ == "double":
        return [float(bound), math.nextafter(bound, math.inf), math.nextafter(bound, -math.inf)]
    if abs(bound) >= 10**15:
        return []
    whole = math.floor(bound)
    if type_ == "integer":
        return [whole - 1, whole, whole + 1]
    cent = Decimal(repr(float(bound))).quantize(Decimal("0.01"))
    return [cent - Decimal("0.01"), cent, cent + Decimal("0.01")]


def case(draw: st.DrawFn, rule: Rule, types: Mapping[str, str], extra: st.SearchStrategy[Any] | None = None) -> Case:
    """Rows of values of those types; `extra` values come in the first column, often."""
    drawn = [st.one_of(st.none(), VALUES[type_]) for type_ in types.values()]
    if extra is not None:
        drawn[0] = st.one_of(extra, drawn[0])
    rows = draw(st.lists(st.tuples(*drawn), min_size=1, max_size=8), label="rows")
    return Case(rule, tuple(Column(name, type_) for name, type_ in types.items()), rows)


Strategy = Callable[[st.DrawFn], Case]


def _numbers(kind: str, count: int) -> Strategy:
    """A kind with so many numbers as its argument: none, one, or a pair of which one may be missing."""

    def strategy(draw: st.DrawFn) -> Case:
        type_ = draw(st.sampled_from(sorted(NUMBERS)), label="type")
        numbers: list[Any] = draw(st.lists(bounds, min_size=count, max_size=count), label="bounds")
        argument = _argument(draw, numbers)
        return case(draw, Rule(kind, "v", argument), {"v": type_}, _among([v for n in numbers for v in near(n, type_)]))

    return strategy


def _argument(draw: st.DrawFn, values: list[Any]) -> object:
    if len(values) < 2:
        return values[0] if values else None
    open_end = draw(st.sampled_from([None, 0, 1]), label="open end")
    return tuple(None if number == open_end else value for number, value in enumerate(values))


def _among(values: list[Any]) -> st.SearchStrategy[Any] | None:
    return st.sampled_from(values) if values else None


def _lengths(kind: str, count: int) -> Strategy:
    def strategy(draw: st.DrawFn) -> Case:
        argument = _argument(draw, draw(st.lists(st.integers(0, 6), min_size=count, max_size=count)))
        return case(draw, Rule(kind, "v", argument), {"v": "string"})

    return strategy


def _pattern(draw: st.DrawFn) -> Case:
    return case(draw, Rule("pattern", "v", draw(st.sampled_from(PATTERNS))), {"v": "string"})


def _format(name: str) -> Strategy:
    made = st.from_regex(FORMATS[name].pattern, alphabet=st.characters(codec="utf-8"))

    def damaged(text: str) -> st.SearchStrategy[str]:
        place = st.integers(0, len(text))
        return st.builds(lambda at, what, skip: text[:at] + what + text[at + skip :], place, texts, st.integers(0, 2))

    def strategy(draw: st.DrawFn) -> Case:
        return case(draw, Rule(name, "v"), {"v": "string"}, st.one_of(made, made.flatmap(damaged)))

    return strategy


def _codes(kind: str, codes: tuple[str, ...], arguments: st.SearchStrategy[Any]) -> Strategy:
    near_codes = st.one_of(
        st.sampled_from(codes), st.sampled_from(codes).map(str.lower), st.text("ADEUKXZ", max_size=3)
    )
    return lambda draw: case(draw, Rule(kind, "v", draw(arguments)), {"v": "string"}, near_codes)


def _one_of(kind: str) -> Strategy:
    choices: dict[str, st.SearchStrategy[Any]] = {
        "string": st.sampled_from(TRICKY_TEXT),
        "integer": st.one_of(integers, st.sampled_from([1.0, 1.5])),
        "double": st.one_of(st.integers(-3, 3), st.sampled_from([0.1, 0.5, 1e300])),
        "decimal(18,2)": st.one_of(st.integers(-3, 3), st.sampled_from([0.1, 1.5, 0.125])),
        "boolean": st.booleans(),
    }

    def strategy(draw: st.DrawFn) -> Case:
        type_ = draw(st.sampled_from(sorted(choices)), label="type")
        allowed = draw(st.lists(choices[type_], min_size=1, max_size=5), label="values")
        present = [value for value in allowed if type_ != "integer" or isinstance(value, int)]
        if type_ == "decimal(18,2)":
            present = [Decimal(str(value)).quantize(Decimal("0.01")) for value in present]
        if type_ == "double":
            present = [float(value) for value in present]
        return case(draw, Rule(kind, "v", tuple(allowed)), {"v": type_}, _among(present))

    return strategy


def _not_null(draw: st.DrawFn) -> Case:
    return case(draw, Rule("not_null", "v"), {"v": draw(st.sampled_from(sorted(VALUES)))})


def _window(draw: st.DrawFn) -> Case:
    bound = st.one_of(dates.map(lambda day: day.isoformat()), moments.map(lambda moment: moment.isoformat()))
    argument = _argument(draw, draw(st.lists(bound, min_size=2, max_size=2), label="window"))
    type_ = draw(st.sampled_from(["date", "timestamp"]))
    ends = [datetime.fromisoformat(end) for end in argument if end]  # type: ignore[attr-defined]
    beside: list[Any] = []
    for end in ends:
        at = end.replace(tzinfo=UTC)
        steps: list[Any] = (
            [at] if at.year in {1, 9999} else [at, at - timedelta(microseconds=1), at + timedelta(microseconds=1)]
        )
        beside += steps if type_ == "timestamp" else [step.date() for step in steps]
    return case(draw, Rule("window", "v", argument), {"v": type_}, st.sampled_from(beside))


def _compare(draw: st.DrawFn) -> Case:
    pairs = [(type_, type_) for type_ in VALUES] + [("decimal(18,2)", "decimal(12,4)")]
    one, other = draw(st.sampled_from(pairs), label="types")
    operators = ["=", "!="] if one == "boolean" else list(COMPARISONS)
    rule = Rule("compare", "v", draw(st.sampled_from(operators)), others=("w",))
    found = case(draw, rule, {"v": one, "w": other})
    same = [(row[0], row[0]) for row in found.rows] if one == other else []
    return Case(rule, found.columns, [*found.rows, *same])


def _sql(draw: st.DrawFn) -> Case:
    from platform_assets.contracts.sql_rule import read_expression

    types = {
        "a": "integer",
        "b": "integer",
        "x": "double",
        "m": "decimal(18,2)",
        "t": "string",
        "d": "date",
        "w": "timestamp",
        "f": "boolean",
    }
    text = draw(st.sampled_from(EXPRESSIONS), label="expression")
    column, *others = read_expression(text).columns
    named = {name: types[name] for name in (column, *others)}
    return case(draw, Rule("sql", column, text, label="holds", others=tuple(others)), named)


ROW_RULES: dict[str, Strategy] = {
    "not_null": _not_null,
    **{kind: _numbers(kind, 1) for kind in ("minimum", "maximum", "exclusive_minimum", "exclusive_maximum")},
    **{kind: _numbers(kind, 0) for kind in ("positive", "non_negative")},
    "range": _numbers("range", 2),
    **{kind: _lengths(kind, 1) for kind in ("min_length", "max_length")},
    "length": _lengths("length", 2),
    "pattern": _pattern,
    "one_of": _one_of("one_of"),
    "not_one_of": _one_of("not_one_of"),
    "window": _window,
    **{
        name: _format(name)
        for name in (
            "email",
            "uuid",
            "uri",
            "ip",
            "ipv4",
            "ipv6",
            "hostname",
            "iso_date",
            "iso_time",
            "iso_datetime",
        )
    },
    "currency": _codes("currency", currencies("2020-01-01"), st.sampled_from([None, "1990-01-01", "2026-01-01"])),
    "country": _codes("country", countries(), st.none()),
    "compare": _compare,
    "sql": _sql,
}


def _few(draw: st.DrawFn, rule: Rule) -> Case:
    """Rows of few values, so that some come twice."""
    few: dict[str, st.SearchStrategy[Any]] = {
        "integer": st.integers(0, 2),
        "double": st.sampled_from([0.0, -0.0, 1.5]),
        "string": st.sampled_from(["", "a", "ü"]),
        "date": st.sampled_from([datetime(2020, 1, day, tzinfo=UTC).date() for day in (1, 2)]),
        "decimal(18,2)": st.sampled_from([Decimal("1.00"), Decimal("1.01")]),
    }
    types = {name: draw(st.sampled_from(sorted(few)), label="type") for name in rule.columns or ("v",)}
    one = st.tuples(*(st.one_of(st.none(), few[type_]) for type_ in types.values()))
    rows = draw(st.lists(one, max_size=8), label="rows")
    return Case(rule, tuple(Column(name, type_) for name, type_ in types.items()), rows)


def _unique(draw: st.DrawFn) -> Case:
    return _few(draw, Rule("unique", "v", others=draw(st.sampled_from([(), ("w",), ("w", "x")]))))


def _null_ratio(draw: st.DrawFn) -> Case:
    allowed = st.one_of(st.sampled_from([0, 1, 0.5, 0.1, 0.25, 1 / 3, 0.07]), st.floats(0, 1))
    return _few(draw, Rule("null_ratio", "v", draw(allowed)))


def _row_count(draw: st.DrawFn) -> Case:
    return _few(draw, Rule("row_count", "", _argument(draw, draw(st.lists(st.integers(0, 6), min_size=2, max_size=2)))))


TABLE_CASES: dict[str, Strategy] = {"unique": _unique, "null_ratio": _null_ratio, "row_count": _row_count}

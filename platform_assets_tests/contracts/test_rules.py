"""The SQL predicate and the Polars expression of every kind of rule mean the same, value by value (I5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from functools import cache

import duckdb
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from platform_assets.contracts.iceberg_schema import duckdb_type
from platform_assets.contracts.model import Column, ContractError, Rule
from platform_assets.contracts.pandera_schema import polars_type
from platform_assets.contracts.rules import RULES, kind_of, literal, predicate, quote

COMPARISONS = ("minimum", "maximum", "exclusive_minimum", "exclusive_maximum")
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
INT64 = 2**63

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
NUMBERS: dict[str, st.SearchStrategy[object]] = {"integer": integers, "double": doubles, "decimal(18,2)": money}


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def both(rule: Rule, type_: str, values: Sequence[object]) -> list[bool]:
    """What the rule says of each value; fails unless both of its meanings say it."""
    column = Column(rule.column, type_)
    frame = pl.DataFrame({rule.column: pl.Series(list(values), dtype=polars_type(column), strict=True)})
    connection = _engine()
    connection.execute(f"CREATE OR REPLACE TEMP TABLE kept (place INT, {quote(rule.column)} {duckdb_type(column)})")
    connection.executemany("INSERT INTO kept VALUES (?, ?)", list(enumerate(values)))
    sql = [row[0] for row in connection.execute(f"SELECT {predicate(rule)} FROM kept ORDER BY place").fetchall()]
    polars = frame.select(kind_of(rule).polars(rule.column, rule.argument)).to_series().to_list()
    assert sql == polars, (rule, values)
    assert all(isinstance(said, bool) for said in sql)
    return sql


def test_every_kind_of_rule_is_compared_below() -> None:
    compared = {*COMPARISONS, "min_length", "max_length", "pattern", "email", "uuid", "one_of"}
    assert set(RULES) == compared


@pytest.mark.parametrize("kind", COMPARISONS)
@pytest.mark.parametrize("type_", NUMBERS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_comparisons_mean_the_same_in_both_engines(kind: str, type_: str, data: st.DataObject) -> None:
    bound = data.draw(bounds, label="bound")
    values = data.draw(st.lists(st.one_of(st.none(), NUMBERS[type_]), min_size=1, max_size=8), label="values")
    both(Rule(kind, "n", bound), type_, [*values, *_near(bound, type_)])


def _near(bound: float, type_: str) -> list[object]:
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


@pytest.mark.parametrize("kind", ["min_length", "max_length"])
@settings(max_examples=25, deadline=None)
@given(bound=st.integers(0, 6), values=st.lists(st.one_of(st.none(), texts), min_size=1, max_size=10))
@example(bound=1, values=["ü", "ü", "🇩🇪", "", "\x00"])
def test_lengths_mean_the_same_in_both_engines(kind: str, bound: int, values: list[str | None]) -> None:
    said = both(Rule(kind, "t", bound), "string", values)
    for value, kept in zip(values, said, strict=True):
        length = bound if value is None else len(value)
        assert kept == (length >= bound if kind == "min_length" else length <= bound), value


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_mean_the_same_in_both_engines_on_tricky_text(pattern: str) -> None:
    both(Rule("pattern", "t", pattern), "string", [None, *TRICKY_TEXT])


@settings(max_examples=80, deadline=None)
@given(
    kind=st.one_of(
        st.sampled_from(PATTERNS).map(lambda pattern: Rule("pattern", "t", pattern)),
        st.sampled_from([Rule("email", "t"), Rule("uuid", "t")]),
    ),
    values=st.lists(st.one_of(st.none(), texts), min_size=1, max_size=10),
)
def test_patterns_mean_the_same_in_both_engines(kind: Rule, values: list[str | None]) -> None:
    both(kind, "string", values)


@settings(max_examples=40, deadline=None)
@given(
    text=texts.filter(lambda text: "\n" not in text),
    values=st.lists(st.one_of(st.none(), texts), min_size=1, max_size=6),
)
def test_a_text_with_every_special_character_escaped_matches_itself(text: str, values: list[str | None]) -> None:
    escaped = "".join(f"\\{c}" if c in r"\.+*?()|[]{}^$" else c for c in text)
    assert both(Rule("pattern", "t", f"^{escaped}$"), "string", [*values, text])[-1]


@pytest.mark.parametrize(
    ("type_", "choices", "values"),
    [
        ("string", st.sampled_from(TRICKY_TEXT), texts),
        ("integer", st.one_of(integers, st.sampled_from([1.0, 1.5])), integers),
        ("double", st.one_of(st.integers(-3, 3), st.sampled_from([0.1, 0.5, 1e300])), st.sampled_from([0.1, 0.5, 1.0])),
        ("decimal(18,2)", st.one_of(st.integers(-3, 3), st.sampled_from([0.1, 1.5, 0.125])), money),
        ("boolean", st.booleans(), st.booleans()),
    ],
)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_one_of_means_the_same_in_both_engines(
    type_: str, choices: st.SearchStrategy[object], values: st.SearchStrategy[object], data: st.DataObject
) -> None:
    allowed = data.draw(st.lists(choices, min_size=1, max_size=5), label="allowed")
    given_values = data.draw(st.lists(st.one_of(st.none(), values), min_size=1, max_size=8), label="values")
    fitting = [v for v in allowed if type_ != "integer" or isinstance(v, int)]
    fitting = [Decimal(str(v)).quantize(Decimal("0.01")) for v in fitting] if type_ == "decimal(18,2)" else fitting
    both(Rule("one_of", "v", tuple(allowed)), type_, [*given_values, *fitting])


@pytest.mark.parametrize(
    ("rule", "type_", "kept", "broken"),
    [
        (Rule("minimum", "v", 0), "integer", [None, 0, 1], [-1]),
        (Rule("maximum", "v", 0.1), "double", [None, 0.1], [0.10000000000000002]),
        (Rule("maximum", "v", 0.1), "decimal(18,2)", [Decimal("0.10")], [Decimal("0.11")]),
        (Rule("exclusive_minimum", "v", 0), "integer", [1], [0]),
        (Rule("exclusive_maximum", "v", 2**53), "integer", [2**53 - 1], [2**53, 2**53 + 1]),
        (Rule("maximum", "v", float(2**53)), "integer", [2**53], [2**53 + 1]),
        (Rule("pattern", "v", r"^\d+$"), "string", [None, "12"], ["", "1\n", "٣"]),
        (Rule("email", "v"), "string", [None, "a.b+c@ex-ample.org"], ["", "a@b", "a@b@c.de", "a b@c.de", "a@-b.de"]),
        (
            Rule("uuid", "v"),
            "string",
            ["123e4567-e89b-12d3-a456-426614174000"],
            ["", "123e4567e89b12d3a456426614174000"],
        ),
        (Rule("one_of", "v", ("it's", "")), "string", [None, "it's", ""], ["its", " "]),
        (Rule("one_of", "v", (0.5, 1)), "decimal(18,2)", [Decimal("0.50"), Decimal("1.00")], [Decimal("0.51")]),
    ],
)
def test_rules_keep_and_break_what_json_schema_says(
    rule: Rule, type_: str, kept: list[object], broken: list[object]
) -> None:
    assert both(rule, type_, kept) == [True] * len(kept)
    assert both(rule, type_, broken) == [False] * len(broken)


def test_every_kind_says_its_argument_in_words() -> None:
    says = {kind: RULES[kind].says(("a", "b") if kind == "one_of" else 7) for kind in RULES}
    assert says["minimum"] == "is at least 7"
    assert says["max_length"] == "has at most 7 characters"
    assert says["one_of"] == "is one of a, b"
    assert all(says.values())


def test_an_unknown_kind_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ContractError, match=r"no rule is called 'shiny'; there are .*minimum.* and references"):
        predicate(Rule("shiny", "n"))


@pytest.mark.parametrize("values", [(), "abc", None, {}])
def test_one_of_wants_a_list_of_values(values: object) -> None:
    with pytest.raises(ContractError, match="one_of wants a list of values"):
        predicate(Rule("one_of", "n", values))


@settings(max_examples=40, deadline=None)
@given(value=st.one_of(texts, integers, st.booleans(), st.none(), doubles))
def test_a_literal_reads_back_as_its_value(value: object) -> None:
    read = _engine().execute(f"SELECT {literal(value)}").fetchone()
    assert read is not None
    assert (float(read[0]) if isinstance(value, float) else read[0]) == value


def test_a_literal_of_anything_else_is_refused() -> None:
    with pytest.raises(ContractError, match="no SQL literal"):
        literal([1])


@settings(max_examples=30, deadline=None)
@given(name=st.text(st.characters(exclude_characters="\x00", codec="utf-8"), min_size=1, max_size=8))
def test_a_quoted_name_is_that_name(name: str) -> None:
    assert _engine().execute(f"SELECT 1 AS {quote(name)}").description[0][0] == name

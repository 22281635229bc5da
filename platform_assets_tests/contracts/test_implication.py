"""What one rule says of another, held against what the rules say of values."""

from __future__ import annotations

from functools import cache

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.contracts.implication import implied
from platform_assets.contracts.model import Rule
from platform_assets.contracts.rules import RULES, predicate

NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from([-1.5, 0.0, 0.1, 0.5, 2.5]))
NUMBER_RULES = st.one_of(
    st.tuples(st.sampled_from(["minimum", "exclusive_minimum", "maximum", "exclusive_maximum"]), NUMBERS),
    st.tuples(st.just("one_of"), st.lists(NUMBERS, min_size=1, max_size=3).map(tuple)),
).map(lambda kind_and_argument: Rule(kind_and_argument[0], "v", kind_and_argument[1]))
TEXTS = ["", "a", "ab", "abc", "1", "x@y.co"]
TEXT_RULES = st.one_of(
    st.tuples(st.sampled_from(["min_length", "max_length"]), st.integers(0, 3)),
    st.tuples(st.just("one_of"), st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3).map(tuple)),
    st.tuples(st.just("pattern"), st.sampled_from(["^a", "b", "^$"])),
    st.tuples(st.just("email"), st.none()),
).map(lambda kind_and_argument: Rule(kind_and_argument[0], "v", kind_and_argument[1]))


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def kept(rule: Rule, type_: str, values: list[str]) -> set[str]:
    rows = ", ".join(f"('{value}'::{type_})" for value in values)
    found = _engine().execute(f"SELECT v::VARCHAR FROM (VALUES {rows}) AS t(v) WHERE {predicate(rule)}").fetchall()
    return {value for (value,) in found}


@settings(max_examples=150, deadline=None)
@given(stronger=NUMBER_RULES, weaker=NUMBER_RULES)
def test_an_implied_rule_of_numbers_keeps_every_value_that_the_stronger_one_keeps(stronger: Rule, weaker: Rule) -> None:
    values = ["-4", "-1.5", "-1.4", "-1", "0", "0.05", "0.1", "0.11", "0.5", "0.6", "1", "2", "2.5", "2.6", "3", "4"]
    if implied(weaker, [stronger]):
        assert kept(stronger, "DOUBLE", values) <= kept(weaker, "DOUBLE", values)


@settings(max_examples=100, deadline=None)
@given(stronger=TEXT_RULES, weaker=TEXT_RULES)
def test_an_implied_rule_of_texts_keeps_every_value_that_the_stronger_one_keeps(stronger: Rule, weaker: Rule) -> None:
    if implied(weaker, [stronger]):
        assert kept(stronger, "VARCHAR", TEXTS) <= kept(weaker, "VARCHAR", TEXTS)


@pytest.mark.parametrize(
    ("stronger", "weaker"),
    [
        (Rule("minimum", "v", 1), Rule("minimum", "v", 0)),
        (Rule("minimum", "v", 1), Rule("exclusive_minimum", "v", 0)),
        (Rule("exclusive_minimum", "v", 0), Rule("minimum", "v", 0)),
        (Rule("maximum", "v", 0.5), Rule("exclusive_maximum", "v", 1)),
        (Rule("min_length", "v", 2), Rule("min_length", "v", 1)),
        (Rule("max_length", "v", 1), Rule("max_length", "v", 2)),
        (Rule("one_of", "v", ("a",)), Rule("one_of", "v", ["a", "b"])),
    ],
)
def test_a_tighter_rule_implies_the_looser_one_and_not_the_other_way_around(stronger: Rule, weaker: Rule) -> None:
    assert implied(weaker, [stronger])
    assert not implied(stronger, [weaker])


@pytest.mark.parametrize("kind", sorted(RULES))
def test_every_rule_implies_itself_and_none_of_another_column(kind: str) -> None:
    argument = ("a", "b") if kind == "one_of" else 1
    assert implied(Rule(kind, "v", argument), [Rule(kind, "v", argument)])
    assert not implied(Rule(kind, "w", argument), [Rule(kind, "v", argument)])


def test_what_cannot_be_told_is_not_implied() -> None:
    assert not implied(Rule("pattern", "v", "^a"), [Rule("pattern", "v", "^abc")])
    assert not implied(Rule("min_length", "v", 1), [Rule("minimum", "v", 5)])
    assert not implied(Rule("window", "v", ("2025-01-01", None)), [Rule("window", "v", ("now - 1 day", None))])


def test_several_rules_imply_together_what_none_does_alone() -> None:
    low, high = Rule("minimum", "v", 1), Rule("exclusive_maximum", "v", 10)
    both = Rule("range", "v", (0, 10))
    assert implied(both, [low, high])
    assert not implied(both, [low])
    assert not implied(both, [high])
    assert implied(Rule("minimum", "v", 0), [both])
    assert implied(Rule("positive", "v"), [low])
    assert not implied(Rule("positive", "v"), [Rule("non_negative", "v")])


@pytest.mark.parametrize(
    ("stronger", "weaker"),
    [
        (Rule("not_one_of", "v", ("a", "b")), Rule("not_one_of", "v", ("a",))),
        (Rule("null_ratio", "v", 0.1), Rule("null_ratio", "v", 0.2)),
        (Rule("row_count", "", (10, None)), Rule("row_count", "", (1, None))),
        (Rule("length", "v", (1, 5)), Rule("max_length", "v", 6)),
        (Rule("window", "v", ("2026-01-01", None)), Rule("window", "v", ("2025-12-31T23:00:00Z", None))),
        (Rule("window", "v", (None, "2026-01-01")), Rule("window", "v", (None, "2026-01-02"))),
        (Rule("positive", "v"), Rule("non_negative", "v")),
    ],
)
def test_kinds_with_fixed_double_or_dated_bounds_are_ordered_too(stronger: Rule, weaker: Rule) -> None:
    assert implied(weaker, [stronger])
    assert not implied(stronger, [weaker])

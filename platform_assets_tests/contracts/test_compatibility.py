"""Which changes of a contract break somebody, field by field, and what each policy lets pass (S0-28, S1-46, S1-83)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.exceptions import ResolveError
from pyiceberg.schema import promote
from pyiceberg.types import DecimalType

from platform_assets.contracts.compatibility import Change, Effect, Evolution, Party, What, compare, refused
from platform_assets.contracts.iceberg_schema import iceberg_type
from platform_assets.contracts.model import LOGICAL_TYPES, Classification, Column, Contract, Rule, Severity
from platform_assets_tests.lakehouse.contract_strategies import contracts

READERS, PRODUCER, PEOPLE = Party.READERS, Party.PRODUCER, Party.PEOPLE
PII, SECRET, PUBLIC = Classification.PII, Classification.SECRET, Classification.PUBLIC
TYPES = (*LOGICAL_TYPES, "decimal(10,2)", "decimal(18,2)", "decimal(18,4)", "decimal(38,2)")


def column(name: str, type_: str = "string", **more: Any) -> Column:  # noqa: ANN401 - as Column has it
    return Column(name, type_, **{"path": (name,), **more})


def contract(*columns: Column, **more: Any) -> Contract:  # noqa: ANN401 - as Contract has it
    return Contract("silver.things", (column("id", "integer", nullable=False), *columns), **{"key": ("id",), **more})


def only(old: Contract, new: Contract) -> Change:
    """The one change that there is."""
    (change,) = compare(old, new)
    return change


def seen(old: Contract, new: Contract) -> dict[tuple[str, What], tuple[Party, ...]]:
    return {(change.subject, change.what): change.breaks for change in compare(old, new)}


def test_a_removed_column_breaks_readers() -> None:
    change = only(contract(column("a")), contract())
    assert (change.subject, change.what, change.breaks) == ("a", What.COLUMN_REMOVED, (READERS,))
    assert change.effect is Effect.BREAKING
    assert change.sentence == "a: column removed (string): queries that name it fail"


def test_an_optional_column_is_compatible_and_a_required_one_breaks_the_producer() -> None:
    optional = only(contract(), contract(column("a", "integer")))
    assert (optional.what, optional.effect) == (What.OPTIONAL_COLUMN_ADDED, Effect.COMPATIBLE)
    required = only(contract(), contract(column("a", "integer", nullable=False)))
    assert (required.what, required.breaks) == (What.REQUIRED_COLUMN_ADDED, (PRODUCER,))
    assert required.after == "integer, required"


def test_a_required_column_that_is_computed_has_no_producer_to_break() -> None:
    change = only(contract(), contract(column("a", "integer", nullable=False, path=())))
    assert (change.what, change.breaks) == (What.REQUIRED_COLUMN_ADDED, ())
    assert "rebuild them" in change.because


def test_the_rules_of_a_new_or_removed_column_come_and_go_with_it() -> None:
    ruled = contract(column("a", "integer"), rules=(Rule("minimum", "a", 0),))
    assert only(contract(), ruled).effect is Effect.COMPATIBLE
    assert only(ruled, contract()).what is What.COLUMN_REMOVED


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (column("customer_id"), column("client_number", path=("customer_id",))),  # the same field of the record
        (column("customer_id"), column("customer")),  # a similar name
        (column("cid", description="Who bought."), column("buyer", description="Who bought.")),  # the same words
    ],
)
def test_a_likely_rename_is_said_at_both_columns_and_is_still_breaking(was: Column, now: Column) -> None:
    removed, added = compare(contract(was), contract(now))
    assert f"`{now.name}` is new: renamed?" in removed.because
    assert f"`{was.name}` is gone: renamed?" in added.because
    assert removed.effect is Effect.BREAKING


def test_a_table_of_2000_columns_that_all_changed_is_compared_in_seconds() -> None:
    def wide(prefix: str, bound: int) -> Contract:
        kept = [column(f"kept_{number}", "integer") for number in range(1000)]
        names = [column(f"{prefix}_{number}", "integer") for number in range(1000)]
        return contract(*kept, *names, rules=tuple(Rule("minimum", c.name, bound) for c in kept))

    started = time.process_time()
    changes = compare(wide("before", 1), wide("after", 0))
    assert time.process_time() - started < 10
    assert len(changes) == 3000


def test_columns_of_different_types_or_names_are_no_rename() -> None:
    assert "renamed" not in str(compare(contract(column("total")), contract(column("total_", "integer"))))
    assert "renamed" not in str(compare(contract(column("city")), contract(column("voucher"))))


def test_a_column_becomes_required_or_nullable() -> None:
    nullable, required = contract(column("a")), contract(column("a", nullable=False))
    assert seen(nullable, required) == {("a", What.REQUIRED): (PRODUCER,)}
    assert seen(required, nullable) == {("a", What.NULLABLE): (READERS,)}


def test_a_computed_column_may_become_required_but_not_nullable() -> None:
    nullable, required = contract(column("a", path=())), contract(column("a", path=(), nullable=False))
    assert only(nullable, required).effect is Effect.COMPATIBLE
    assert only(required, nullable).breaks == (READERS,)


def test_reading_another_field_breaks_both_sides() -> None:
    change = only(contract(column("a", path=("a",))), contract(column("a", path=("b", "a"))))
    assert (change.what, change.before, change.after) == (What.FIELD, "a", "b.a")
    assert change.breaks == (READERS, PRODUCER)
    assert only(contract(column("a")), contract(column("a", path=()))).breaks == (READERS,)


def test_words_and_the_order_of_columns_are_compatible() -> None:
    old = contract(column("a"), column("b"), description="Things.")
    new = contract(column("b"), column("a", description="An a."), description="All things.")
    assert seen(old, new) == {
        ("table", What.DESCRIPTION): (),
        ("a", What.DESCRIPTION): (),
        ("columns", What.COLUMNS_REORDERED): (),
    }


@pytest.mark.parametrize("was", TYPES)
@pytest.mark.parametrize("now", TYPES)
def test_readers_follow_a_change_of_type_exactly_where_iceberg_promotes(was: str, now: str) -> None:
    old, new = column("a", was, path=()), column("a", now, path=())
    if was == now:
        assert compare(contract(old), contract(new)) == ()
        return
    change = only(contract(old), contract(new))
    assert (change.what, change.before, change.after) == (What.TYPE, was, now)
    before, after = iceberg_type(old), iceberg_type(new)
    if before == after:  # JSON text: that it is an object may be promised later, and not be taken back
        assert bool(change.breaks) == (was != "string")
        return
    try:
        promote(before, after)
        promoted = True
    except ResolveError:
        promoted = False
    if isinstance(before, DecimalType) and isinstance(after, DecimalType):
        # PyIceberg compares a scale with itself and lets another one pass; the specification does not.
        promoted = promoted and before.scale == after.scale
    assert promoted == (not change.breaks)


def test_pyiceberg_lets_a_change_of_scale_pass() -> None:
    """If this fails, PyIceberg has mended `promote`, and the exception above is needed no more."""
    assert promote(DecimalType(10, 2), DecimalType(18, 4)) == DecimalType(18, 4)


@pytest.mark.parametrize(
    ("was", "now", "breaks"),
    [
        ("integer", "double", (READERS,)),
        ("double", "integer", (READERS, PRODUCER)),
        ("integer", "string", (READERS,)),
        ("string", "integer", (READERS, PRODUCER)),
        ("decimal(10,2)", "decimal(18,2)", ()),
        ("decimal(18,2)", "decimal(10,2)", (READERS, PRODUCER)),
        ("decimal(10,2)", "decimal(18,4)", (READERS,)),
        ("decimal(10,2)", "decimal(10,4)", (READERS, PRODUCER)),
        ("integer", "decimal(38,0)", (READERS,)),
        ("integer", "decimal(18,0)", (READERS, PRODUCER)),
        ("string", "object", (PRODUCER,)),
        ("object", "string", (READERS,)),
        ("date", "timestamp", (READERS, PRODUCER)),
    ],
)
def test_a_type_is_changed(was: str, now: str, breaks: tuple[Party, ...]) -> None:
    assert seen(contract(column("a", was)), contract(column("a", now))) == {("a", What.TYPE): breaks}


def test_readers_of_tokens_do_not_see_the_type_behind_them() -> None:
    was, now = column("a", "integer", classification=PII), column("a", "string", classification=PII)
    assert only(contract(was), contract(now)).effect is Effect.COMPATIBLE
    assert only(contract(now), contract(was)).breaks == (PRODUCER,)


@pytest.mark.parametrize(
    ("was", "now", "what", "breaks"),
    [
        (PUBLIC, PII, What.TOKENISED, (READERS,)),
        (PII, PUBLIC, What.DECLASSIFIED, (READERS, PEOPLE)),
        (PUBLIC, SECRET, What.WITHDRAWN, (READERS,)),
        (PII, SECRET, What.WITHDRAWN, (READERS,)),
        (SECRET, PII, What.DECLASSIFIED, (PEOPLE,)),
        (SECRET, PUBLIC, What.DECLASSIFIED, (PEOPLE,)),
    ],
)
def test_every_change_of_classification_breaks_somebody(
    was: Classification, now: Classification, what: What, breaks: tuple[Party, ...]
) -> None:
    change = only(contract(column("a", classification=was)), contract(column("a", classification=now)))
    assert (change.what, change.breaks) == (what, breaks)
    assert (change.before, change.after) == (was.value, now.value)


def test_protecting_values_says_that_the_law_may_ask_for_it_at_once() -> None:
    for now in (PII, SECRET):
        change = only(contract(column("a")), contract(column("a", classification=now)))
        assert "legal_basis" in change.because


def test_nothing_is_said_of_a_secret_that_stays_one_or_that_nobody_could_read() -> None:
    secret = column("pin", "integer", classification=SECRET)
    other = column("pin", "string", nullable=False, classification=SECRET)
    assert compare(contract(secret), contract(other)) == ()
    assert compare(contract(), contract(secret)) == ()
    assert compare(contract(secret), contract()) == ()


RULED = column("a", "integer")
TIGHTER = [
    (Rule("minimum", "a", 0), Rule("minimum", "a", 1)),
    (Rule("maximum", "a", 10), Rule("maximum", "a", 9)),
    (Rule("exclusive_minimum", "a", 0), Rule("exclusive_minimum", "a", 1)),
    (Rule("exclusive_maximum", "a", 9), Rule("exclusive_maximum", "a", 8)),
    (Rule("min_length", "a", 1), Rule("min_length", "a", 2)),
    (Rule("max_length", "a", 2), Rule("max_length", "a", 1)),
    (Rule("one_of", "a", (1, 2)), Rule("one_of", "a", (1,))),
]


@pytest.mark.parametrize(("loose", "tight"), TIGHTER, ids=lambda rule: rule.kind)
def test_tightening_breaks_the_producer_and_loosening_nobody(loose: Rule, tight: Rule) -> None:
    old, new = contract(RULED, rules=(loose,)), contract(RULED, rules=(tight,))
    assert seen(old, new) == {(tight.name, What.RULE_TIGHTENED): (PRODUCER,)}
    assert seen(new, old) == {(tight.name, What.RULE_LOOSENED): ()}
    assert seen(contract(RULED), old) == {(tight.name, What.RULE_ADDED): (PRODUCER,)}
    assert seen(old, contract(RULED)) == {(tight.name, What.RULE_REMOVED): ()}


def test_what_a_tightening_says() -> None:
    change = only(contract(RULED, rules=(TIGHTER[0][0],)), contract(RULED, rules=(TIGHTER[0][1],)))
    assert change.sentence == (
        "a.minimum: rule tightened (minimum 0 → minimum 1): records that were accepted would be refused"
    )


def test_a_pattern_that_changes_is_taken_for_breaking() -> None:
    old = contract(column("a"), rules=(Rule("pattern", "a", "^a"),))
    new = contract(column("a"), rules=(Rule("pattern", "a", "^ab"),))
    assert seen(old, new) == {("a.pattern", What.RULE_CHANGED): (PRODUCER,)}


@pytest.mark.parametrize("kind", ["references", "unique", "not_null"])
def test_readers_build_on_references_and_on_what_is_unique_or_there(kind: str) -> None:
    old, new = contract(RULED, rules=(Rule(kind, "a", "silver.others.id"),)), contract(RULED)
    assert seen(old, new) == {(f"a.{kind}", What.RULE_REMOVED): (READERS,)}
    assert seen(new, old) == {(f"a.{kind}", What.RULE_ADDED): (PRODUCER,)}


def test_a_reference_to_another_table_breaks_both_sides() -> None:
    old = contract(RULED, rules=(Rule("references", "a", "silver.others.id"),))
    new = contract(RULED, rules=(Rule("references", "a", "silver.strangers.id"),))
    assert seen(old, new) == {("a.references", What.RULE_CHANGED): (PRODUCER, READERS)}


def test_a_rule_that_another_one_implies_changes_nothing() -> None:
    above, at_least = Rule("exclusive_minimum", "a", 0), Rule("minimum", "a", 0)
    changes = compare(contract(RULED, rules=(above,)), contract(RULED, rules=(at_least,)))
    assert {change.what for change in changes} == {What.RULE_REMOVED, What.RULE_ADDED}
    assert all(change.effect is Effect.COMPATIBLE for change in changes)
    both = contract(RULED, rules=(above, at_least))
    assert only(contract(RULED, rules=(above,)), both).because == "no row is judged otherwise"


def warning(rule: Rule) -> Rule:
    """The rule with severity `warn`."""
    return replace(rule, severity=Severity.WARN)


def test_a_rule_that_only_warns_counts_as_none() -> None:
    error = Rule("minimum", "a", 0)
    judged, warned = contract(RULED, rules=(error,)), contract(RULED, rules=(warning(error),))
    assert seen(judged, warned) == {("a.minimum", What.RULE_LOOSENED): ()}
    assert seen(warned, judged) == {("a.minimum", What.RULE_TIGHTENED): (PRODUCER,)}
    assert seen(contract(RULED), warned) == {("a.minimum", What.RULE_ADDED): ()}
    assert only(judged, warned).after == "minimum 0 (warns only)"


def test_a_rule_about_a_computed_column_binds_no_producer() -> None:
    computed = column("a", "integer", path=())
    assert only(contract(computed), contract(computed, rules=(Rule("minimum", "a", 0),))).effect is Effect.COMPATIBLE


def test_readers_of_tokens_lose_no_foreign_key_because_they_had_none() -> None:
    pii = column("a", classification=PII)
    old = contract(pii, rules=(Rule("references", "a", "silver.others.id"),))
    assert only(old, contract(pii)).effect is Effect.COMPATIBLE
    unique = contract(pii, rules=(Rule("unique", "a"),))
    assert only(unique, contract(pii)).breaks == (READERS,)  # that it is not there twice, a token tells as well


def test_two_bounds_may_become_one_range() -> None:
    bounds = (Rule("minimum", "a", 0), Rule("maximum", "a", 9))
    old, new = contract(RULED, rules=bounds), contract(RULED, rules=(Rule("range", "a", (0, 9)),))
    assert {change.effect for change in compare(old, new)} == {Effect.COMPATIBLE}
    assert {change.because for change in compare(old, new)} == {"no row is judged otherwise"}


def test_another_expert_schema_is_reported_by_its_content(tmp_path: Path) -> None:
    def attached(folder: str, text: str) -> Contract:
        file = tmp_path / folder / "expert.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        made = contract(RULED)
        object.__setattr__(made, "expert", SimpleNamespace(name="Things", file=file))
        return made

    assert compare(attached("a", "x = 1"), attached("b", "x = 1")) == ()
    assert only(attached("a", "x = 1"), attached("b", "x = 2")).what is What.EXPERT
    assert only(contract(RULED), attached("a", "x = 1")).after.startswith("Things ")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"key": ("id",)}, {"key": ("id", "a")}, {("key", What.KEY): (READERS,)}),
        ({"key": ("id", "a")}, {"key": ("id",)}, {("key", What.KEY): (READERS,)}),
        ({"key": ("id", "a")}, {"key": ("a", "id")}, {("key", What.KEY): ()}),
        ({"ordering": ("a",)}, {"ordering": ()}, {("ordering", What.ORDERING): (READERS,)}),
        ({"event_time": "at"}, {"event_time": "day"}, {("event_time", What.EVENT_TIME): (READERS,)}),
        ({"event_time": "at"}, {}, {("event_time", What.EVENT_TIME): (READERS,)}),
        ({}, {"event_time": "at"}, {("event_time", What.EVENT_TIME): ()}),
        ({}, {"partition_column": "day"}, {("partition_column", What.PARTITIONING): (READERS,)}),
        ({"partition_column": "day"}, {}, {("partition_column", What.PARTITIONING): (READERS,)}),
        ({"clustering": ("a",)}, {"clustering": ("a", "id")}, {("clustering", What.CLUSTERING): ()}),
        ({"version": 1}, {"version": 2}, {("version", What.VERSION): ()}),
        ({"version": 2}, {"version": 1}, {("version", What.VERSION): (READERS,)}),
    ],
)
def test_a_property_of_the_table_changes(
    old: Mapping[str, Any], new: Mapping[str, Any], expected: Mapping[tuple[str, What], tuple[Party, ...]]
) -> None:
    columns = (column("a"), column("at", "timestamp"), column("day", "date"))
    assert seen(contract(*columns, **old), contract(*columns, **new)) == expected


def test_each_policy_lets_pass_what_it_says() -> None:
    old = contract(column("a", "integer"), column("gone"), rules=(Rule("minimum", "a", 1),))
    new = contract(
        column("a", "integer", description="An a."),
        column("b"),
        rules=(Rule("minimum", "a", 0),),
        clustering=("a",),
    )
    changes = compare(old, new)
    breaking = {"gone"}
    assert {change.subject for change in refused(changes, Evolution.BACKWARD_COMPATIBLE)} == breaking
    assert {change.subject for change in refused(changes, "additive")} == breaking | {"a.minimum", "clustering"}
    assert {change.subject for change in refused(changes, "frozen")} == breaking | {"a.minimum", "clustering", "b"}


def test_an_additive_contract_takes_no_required_column_even_a_computed_one() -> None:
    changes = compare(contract(), contract(column("a", nullable=False, path=())))
    assert refused(changes, Evolution.BACKWARD_COMPATIBLE) == ()
    assert refused(changes, Evolution.ADDITIVE) == changes


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="'sideways' is not a valid Evolution"):
        refused((), "sideways")


def test_a_change_as_json_says_all_of_it() -> None:
    assert only(contract(column("a")), contract()).as_json() == {
        "subject": "a",
        "what": "column removed",
        "before": "string",
        "after": "",
        "effect": "breaking",
        "breaks": ["readers"],
        "sentence": "a: column removed (string): queries that name it fail",
    }


@st.composite
def classified(draw: st.DrawFn) -> Contract:
    """Contracts with descriptions, clusterings, versions and PII."""
    drawn = draw(contracts())
    columns = tuple(
        replace(c, description=draw(st.sampled_from(["", "x"])), classification=draw(st.sampled_from([PUBLIC, PII])))
        for c in drawn.columns
    )
    names = st.sampled_from([c.name for c in columns])
    return replace(
        drawn,
        columns=columns,
        ordering=tuple(draw(st.lists(names, max_size=2, unique=True))),
        clustering=tuple(draw(st.lists(names, max_size=2, unique=True))),
        description=draw(st.sampled_from(["", "y"])),
        version=draw(st.integers(1, 3)),
    )


def meaning(drawn: Contract) -> tuple[object, ...]:
    """The contract without the order of its rules, which means nothing."""
    return replace(drawn, rules=()), sorted(map(repr, drawn.rules))


@settings(max_examples=60, deadline=None)
@given(classified())
def test_a_contract_does_not_differ_from_itself(drawn: Contract) -> None:
    assert compare(drawn, drawn) == ()
    assert compare(drawn, replace(drawn, rules=tuple(reversed(drawn.rules)))) == ()


@settings(max_examples=100, deadline=None)
@given(old=classified(), new=classified())
def test_no_difference_is_ignored_in_either_direction(old: Contract, new: Contract) -> None:
    there, back = compare(old, new), compare(new, old)
    assert bool(there) == bool(back) == (meaning(old) != meaning(new))
    assert {change.subject for change in there} == {change.subject for change in back}
    for change in (*there, *back):
        assert change.because
        assert (change.before, change.after) != ("", "") or change.what in {What.DESCRIPTION, What.RULE_CHANGED}


@settings(max_examples=60, deadline=None)
@given(old=classified(), type_=st.sampled_from(TYPES), place=st.integers(0, 9), pii=st.booleans())
def test_adding_an_optional_column_is_always_compatible(old: Contract, type_: str, place: int, pii: bool) -> None:
    added = column("fresh", type_, classification=PII if pii else PUBLIC)
    columns = (*old.columns[:place], added, *old.columns[place:])
    new = replace(old, columns=columns)
    assert refused(compare(old, new), Evolution.ADDITIVE) == ()
    assert only(new, old).effect is Effect.BREAKING


@settings(max_examples=60, deadline=None)
@given(old=classified(), data=st.data())
def test_one_altered_column_is_the_only_subject(old: Contract, data: st.DataObject) -> None:
    victim = data.draw(st.sampled_from(old.columns), label="victim")
    altered = data.draw(
        st.builds(
            Column,
            st.just(victim.name),
            st.sampled_from(TYPES),
            nullable=st.booleans(),
            description=st.sampled_from(["", "x"]),
            path=st.sampled_from([(), (victim.name,), ("deep", victim.name)]),
            classification=st.sampled_from([PUBLIC, PII]),
        ).filter(lambda c: c != victim)
    )
    new = replace(old, columns=tuple(altered if c is victim else c for c in old.columns))
    assert {change.subject for change in compare(old, new)} == {victim.name}

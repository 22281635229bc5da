"""What changed at a source, said in sentences made from counts (S0-59)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from platform_assets.contracts.drift import explain_drift
from platform_assets.contracts.model import Column, Contract, Rule

ORDERS = Contract(
    table="silver.orders",
    columns=(
        Column("order_id", "integer", nullable=False, path=("order_id",)),
        Column("customer_id", "string", nullable=False, path=("customer_id",)),
        Column("amount", "double", path=("amount",)),
        Column("status", "string", path=("status",)),
        Column("address_city", "string", path=("address", "city")),
        Column("ordered_at", "timestamp", nullable=False, path=("ordered_at",)),
        Column("order_date", "date", nullable=False),
    ),
    key=("order_id",),
    event_time="ordered_at",
    partition_column="order_date",
    rules=(
        Rule("one_of", "status", ("open", "paid")),
        Rule("minimum", "amount", 0),
        Rule("references", "customer_id", "silver.customers.id"),
    ),
)


def test_a_type_that_changed_says_what_it_was_and_how_often() -> None:
    assert explain_drift(ORDERS, {"amount.type": 980}, 1000, {}) == [
        "amount: was double, 980 of 1000 rows hold something else"
    ]


def test_a_type_that_changed_says_what_arrived_if_that_was_seen() -> None:
    assert explain_drift(ORDERS, {"amount.type": 980}, 1000, {("amount", "VARCHAR"): 980}) == [
        "amount: was double, 980 of 1000 rows hold something else: VARCHAR in 980 of 1000 rows"
    ]


def test_a_field_that_is_missing_while_a_similar_one_arrives_was_probably_renamed() -> None:
    assert explain_drift(ORDERS, {"customer_id.not_null": 1000}, 1000, {("customerId", "VARCHAR"): 1000}) == [
        "customer_id is missing in all rows; `customerId` arrived instead: renamed?"
    ]


def test_the_most_similar_field_is_the_one_that_was_renamed_and_others_are_told_apart() -> None:
    unexpected = {("customer_ids", "VARCHAR"): 7, ("customerID", "VARCHAR"): 6, ("voucher", "BIGINT"): 8}
    assert explain_drift(ORDERS, {"customer_id.not_null": 6}, 10, unexpected) == [
        "`voucher` (BIGINT) arrived in 8 of 10 rows and is not in the contract",
        (
            "`customer_ids` (VARCHAR) arrived in 7 of 10 rows and is not in the contract; "
            "it looks like customer_id: renamed?"
        ),
        "customer_id is missing in 6 of 10 rows; `customerID` arrived instead in 6 of 10 rows: renamed?",
    ]


def test_a_missing_field_without_a_likely_successor_is_just_missing() -> None:
    assert explain_drift(ORDERS, {"customer_id.not_null": 3}, 10, {}) == ["customer_id is missing in 3 of 10 rows"]


def test_rows_that_broke_several_rules_count_for_each_of_them() -> None:
    counted = {"amount.type, customer_id.not_null": 2, "amount.type": 3}
    assert explain_drift(ORDERS, counted, 10, {}) == [
        "amount: was double, 5 of 10 rows hold something else",
        "customer_id is missing in 2 of 10 rows",
    ]


def test_rules_about_values_references_and_dates_are_said_in_words() -> None:
    counted = {"status.one_of": 4, "amount.minimum": 3, "customer_id.references": 2, "ordered_at.outside_window": 1}
    assert explain_drift(ORDERS, counted, 10, {}) == [
        "status: 4 of 10 rows break the rule `one_of open, paid`",
        "amount: 3 of 10 rows break the rule `minimum 0`",
        "customer_id: 2 of 10 rows refer to something that silver.customers does not have",
        "ordered_at: 1 of 10 rows lie before PLATFORM_PARTITIONS_START or in the future",
    ]


def test_an_object_that_is_none_any_more_and_a_forgotten_rule_are_named_too() -> None:
    assert explain_drift(ORDERS, {"address.type": 2, "amount.maximum": 1}, 2, {}) == [
        "address: was nested, all rows hold something else",
        "1 of 2 rows break amount.maximum, a rule that the contract does not have any more",
    ]


def test_a_field_that_moved_to_another_depth_is_recognised() -> None:
    assert explain_drift(ORDERS, {}, 5, {("city", "VARCHAR"): 5}) == [
        "`city` (VARCHAR) arrived in all rows and is not in the contract; it looks like address_city: renamed?"
    ]


def test_another_type_without_a_broken_rule_is_reported_with_the_promised_one() -> None:
    assert explain_drift(ORDERS, {}, 5, {("status", "BIGINT"): 1}) == [
        "`status` (BIGINT) arrived in 1 of 5 rows; the contract has it as string"
    ]


def test_nothing_broken_and_nothing_unexpected_needs_no_words() -> None:
    assert explain_drift(ORDERS, {}, 1000, {}) == []
    assert explain_drift(ORDERS, {"amount.type": 0}, 1000, {("x", "VARCHAR"): 0}) == []


names = st.one_of(
    st.sampled_from([f"{column.name}.{kind}" for column in ORDERS.columns for kind in ("type", "not_null")]),
    st.sampled_from([rule.name for rule in ORDERS.rules]),
)
fields = st.tuples(
    st.one_of(st.sampled_from(["customerId", "amount", "Status", "ship.city", "x"]), st.text(max_size=8)),
    st.sampled_from(["VARCHAR", "BIGINT"]),
)


@given(
    broken=st.dictionaries(names, st.integers(1, 9), max_size=5),
    unexpected=st.dictionaries(fields, st.integers(1, 9), max_size=5),
)
def test_every_broken_rule_and_every_unexpected_field_is_named(
    broken: dict[str, int], unexpected: dict[tuple[str, str], int]
) -> None:
    sentences = explain_drift(ORDERS, broken, 9, unexpected)
    told = "\n".join(sentences)
    assert len(sentences) == len(set(sentences)) >= len(broken)
    for name in broken:
        assert name.split(".")[0] in told
    for field, type_ in unexpected:
        assert f"`{field}`" in told or type_ in told

"""The contract as plain data: what it refuses, what `published` and `relaxed` keep of it."""

from __future__ import annotations

import pytest

from platform_assets.contracts.model import Classification, Column, Contract, ContractError, Rule, Severity

COLUMNS = (
    Column("id", "integer", nullable=False),
    Column("mail", "string", classification=Classification.PII),
    Column("start", "date"),
    Column("end", "date"),
)


def contract(*rules: Rule) -> Contract:
    return Contract("silver.t", COLUMNS, key=("id",), rules=rules)


def test_rules_are_named_for_what_they_name_or_as_they_are_called() -> None:
    assert Rule("minimum", "id", 1).name == "id.minimum"
    assert Rule("compare", "start", "<=", others=("end",)).name == "start.compare.end"
    assert Rule("row_count", "", (1, None)).name == "row_count"
    assert Rule("sql", "id", "id > 1", label="big_enough").name == "big_enough"


@pytest.mark.parametrize("label", ["", "a, b", "a.b", "1st", "ü", "a b"])
def test_a_label_that_a_list_of_names_could_not_hold_is_refused(label: str) -> None:
    with pytest.raises(ContractError, match="a rule cannot be called"):
        Rule("minimum", "id", 1, label=label)


@pytest.mark.parametrize(
    "rule",
    [
        Rule("compare", "start", "<", others=("finish",)),
        Rule("unique", "finish"),
        Rule("sql", "id", "x", others=("finish",)),
    ],
)
def test_every_column_that_a_rule_names_is_one(rule: Rule) -> None:
    with pytest.raises(ContractError, match="rule names 'finish', which is no column"):
        contract(rule)


def test_the_same_rule_twice_is_one_and_two_of_one_name_are_refused() -> None:
    assert contract(Rule("minimum", "id", 1), Rule("minimum", "id", 1)).rules == (Rule("minimum", "id", 1),)
    with pytest.raises(ContractError, match=r"two different rules are called id\.minimum; give one of them a name"):
        contract(Rule("minimum", "id", 1), Rule("minimum", "id", 2))
    assert len(contract(Rule("minimum", "id", 1), Rule("minimum", "id", 2, label="two")).rules) == 2


def test_a_token_keeps_what_is_said_of_presence_and_nothing_that_is_said_of_the_value() -> None:
    presence = (
        Rule("not_null", "mail"),
        Rule("unique", "mail", others=("id",)),
        Rule("null_ratio", "mail", 0.1),
        Rule("row_count", "", (1, None)),
    )
    about_others = (Rule("compare", "start", "<=", others=("end",)), Rule("minimum", "id", 1, Severity.WARN))
    about_the_value = (
        Rule("email", "mail"),
        Rule("compare", "mail", "!=", others=("id",)),
        Rule("compare", "id", "!=", others=("mail",)),
        Rule("sql", "id", "id = length(mail)", label="as_long", others=("mail",)),
        Rule("references", "mail", "silver.users.mail"),
    )
    published = contract(*presence, *about_others, *about_the_value).published()
    assert set(published.rules) - {*presence, *about_others} == {Rule("pattern", "mail", "^[0-9a-f]{64}$")}
    assert {*presence, *about_others} <= set(published.rules)


def test_a_relaxed_contract_only_counts_broken_values_and_keeps_types_key_and_table() -> None:
    strict = (
        Rule("not_null", "mail"),
        Rule("unique", "mail"),
        Rule("null_ratio", "mail", 0.1),
        Rule("row_count", "", (1, None)),
    )
    lenient = (
        Rule("email", "mail"),
        Rule("compare", "start", "<=", others=("end",)),
        Rule("sql", "id", "id > 1", label="x"),
    )
    relaxed = contract(*strict, *lenient, Rule("minimum", "id", 1, Severity.WARN)).relaxed()
    severities = {rule.name: rule.severity for rule in relaxed.rules}
    assert {severities[rule.name] for rule in strict} == {Severity.ERROR}
    assert {severities[name] for name in ("mail.email", "start.compare.end", "x", "id.minimum")} == {Severity.WARN}
    assert (relaxed.columns, relaxed.key) == (COLUMNS, ("id",))


def test_promises_are_counted_without_those_that_only_count() -> None:
    assert contract().promises == 4 + 1 + 1
    assert contract(Rule("minimum", "id", 1), Rule("email", "mail", severity=Severity.WARN)).promises == 4 + 1 + 1 + 1

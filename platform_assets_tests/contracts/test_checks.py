"""Checks as a person writes them in YAML become rules, and a wrong one says what was expected (S1-84, S2-15)."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
import yaml

from platform_assets.contracts.check_catalogue import CHECKS, NAMES, Value
from platform_assets.contracts.checks import CheckError, read_checks
from platform_assets.contracts.model import Column, Contract, ContractError, Rule, Severity
from platform_assets.contracts.rules import REFERENCES, RULES, TABLE_RULES, in_words

COLUMNS = (
    Column("id", "string", nullable=False),
    Column("email", "string"),
    Column("amount", "double"),
    Column("total", "decimal(18,2)"),
    Column("net", "decimal(18,2)"),
    Column("tax", "decimal(18,4)"),
    Column("pieces", "integer"),
    Column("start", "date"),
    Column("end", "date"),
    Column("created_at", "timestamp"),
    Column("paid", "boolean"),
    Column("extra", "object"),
)
WARN = Severity.WARN


def read(text: str) -> tuple[Rule, ...]:
    """The rules of checks written in YAML."""
    return read_checks(yaml.safe_load(text), COLUMNS)


GOOD: list[tuple[str, Rule]] = [
    ("{field: email, check: valid_email}", Rule("email", "email")),
    ("{field: amount, check: positive_number}", Rule("positive", "amount")),
    ("{field: id, check: not_null}", Rule("not_null", "id")),
    ("{field: id, check: unique}", Rule("unique", "id")),
    ("{field: pieces, check: positive, severity: error}", Rule("positive", "pieces")),
    ("{field: pieces, check: non_negative}", Rule("non_negative", "pieces")),
    ("{field: amount, check: range, min: 0, max: 100, severity: warn}", Rule("range", "amount", (0, 100), WARN)),
    ("{field: amount, check: range, max: 0.5}", Rule("range", "amount", (None, 0.5))),
    ("{field: amount, check: minimum, value: 0}", Rule("minimum", "amount", 0)),
    ("{field: amount, check: maximum, value: 1.5}", Rule("maximum", "amount", 1.5)),
    ("{field: amount, check: more_than, value: 1}", Rule("exclusive_minimum", "amount", 1)),
    ("{field: amount, check: less_than, value: 1}", Rule("exclusive_maximum", "amount", 1)),
    ("{field: id, check: length, min: 3}", Rule("length", "id", (3, None))),
    ("{field: id, check: min_length, value: 3}", Rule("min_length", "id", 3)),
    ("{field: id, check: max_length, value: 3, name: short_id}", Rule("max_length", "id", 3, label="short_id")),
    (r"{field: id, check: pattern, pattern: '^\d+$'}", Rule("pattern", "id", r"^\d+$")),
    ("{field: id, check: one_of, values: [a, b]}", Rule("one_of", "id", ("a", "b"))),
    ("{field: paid, check: one_of, values: [true]}", Rule("one_of", "paid", (True,))),
    ("{field: pieces, check: not_one_of, values: [0, -1]}", Rule("not_one_of", "pieces", (0, -1))),
    (
        "{field: created_at, check: window, after: 2020-01-01, before: now + 1 day}",
        Rule("window", "created_at", ("2020-01-01", "now + 1 day")),
    ),
    (
        "{field: start, check: window, before: 2020-01-01T00:00:00Z}",
        Rule("window", "start", (None, "2020-01-01T00:00:00+00:00")),
    ),
    ("{field: id, check: uuid}", Rule("uuid", "id")),
    ("{field: id, check: url}", Rule("uri", "id")),
    ("{field: id, check: ip}", Rule("ip", "id")),
    ("{field: id, check: valid_ipv4}", Rule("ipv4", "id")),
    ("{field: id, check: ipv6}", Rule("ipv6", "id")),
    ("{field: id, check: hostname}", Rule("hostname", "id")),
    ("{field: id, check: iso_date}", Rule("iso_date", "id")),
    ("{field: id, check: iso_time}", Rule("iso_time", "id")),
    ("{field: id, check: iso_datetime}", Rule("iso_datetime", "id")),
    ("{field: id, check: currency}", Rule("currency", "id")),
    ("{field: id, check: currency, since: 1999-01-01}", Rule("currency", "id", "1999-01-01")),
    ("{field: id, check: country}", Rule("country", "id")),
    ("{check: compare, field: start, operator: '<=', other: end}", Rule("compare", "start", "<=", others=("end",))),
    ("{check: compare, field: net, operator: '=', other: tax}", Rule("compare", "net", "=", others=("tax",))),
    ("{check: unique, fields: [id, start]}", Rule("unique", "id", others=("start",))),
    ("{field: email, check: null_ratio, max: 0.1}", Rule("null_ratio", "email", 0.1)),
    ("{check: row_count, min: 1}", Rule("row_count", "", (1, None))),
    (
        "{check: sql, name: total_adds_up, expression: 'total = net + tax'}",
        Rule("sql", "total", "total = net + tax", label="total_adds_up", others=("net", "tax")),
    ),
    ("{field: id, check: references, to: silver.customers.id}", Rule("references", "id", "silver.customers.id")),
]


@pytest.mark.parametrize(("written", "rule"), GOOD)
def test_a_check_becomes_its_rule(written: str, rule: Rule) -> None:
    assert read(f"[{written}]") == (rule,)
    Contract("silver.t", COLUMNS, rules=(rule,))
    assert in_words(rule)


def test_every_check_is_read_above_and_every_kind_of_rule_can_be_written() -> None:
    written = {NAMES[yaml.safe_load(text)["check"]].name for text, _ in GOOD}
    assert written == set(CHECKS)
    assert {rule.kind for _, rule in GOOD} == {*RULES, *TABLE_RULES, REFERENCES}


def test_checks_keep_their_order() -> None:
    rules = read("[{field: id, check: not_null}, {field: amount, check: positive}, {field: id, check: uuid}]")
    assert [rule.name for rule in rules] == ["id.not_null", "amount.positive", "id.uuid"]
    assert read("[]") == ()


BAD: list[tuple[str, str, str]] = [
    ("{field: email, check: valid_emial}", "check", "there is no check 'valid_emial'; did you mean `valid_email`?"),
    ("{field: email, check: 7}", "check", "there is no check 7; expected one of accepted_values, compare"),
    ("{field: email}", "check", "says no `check`; expected one of"),
    ("{field: emial, check: email}", "field", "there is no field 'emial'; did you mean `email`?"),
    ("{check: email}", "check", "email needs `field`"),
    ("{field: 3, check: email}", "field", "`field` is 3; expected the name of a field"),
    ("{field: email, check: email, sevrity: warn}", "sevrity", "has no parameter 'sevrity'; did you mean `severity`?"),
    ("{field: email, check: email, max: 3}", "max", "email has no parameter 'max'"),
    ("{field: email, check: email, severity: warning}", "severity", "`severity` is 'warning'; did you mean `warn`?"),
    ("{field: email, check: email, severity: null}", "severity", "`severity` is None; expected one of error, warn"),
    ("{field: email, check: email, name: 7}", "name", "`name` is 7; expected text"),
    ("{field: email, check: email, name: 'a, b'}", "name", "a rule cannot be called 'a, b'"),
    ("{field: email, check: positive}", "check", "positive is about a number; email is string"),
    ("{field: amount, check: email}", "check", "email is about text; amount is double"),
    ("{field: amount, check: window, after: now}", "check", "window is about a date or a moment; amount is double"),
    ("{field: extra, check: unique}", "check", "extra is object"),
    ("{field: amount, check: range}", "check", "range needs `min` or `max`"),
    ("{field: amount, check: range, min: low}", "min", "`min` is 'low'; expected a number"),
    ("{field: amount, check: range, min: true}", "min", "`min` is True; expected a number"),
    ("{field: amount, check: range, min: .nan}", "min", "`min` is nan; expected a number"),
    ("{field: amount, check: minimum}", "check", "needs `value`: a number"),
    ("{field: id, check: length, min: -1}", "min", "`min` is -1; expected a whole number from 0"),
    ("{field: id, check: length, max: 2.5}", "max", "`max` is 2.5; expected a whole number from 0"),
    ("{field: id, check: pattern, pattern: '('}", "pattern", "`pattern` is '('; expected a regular expression"),
    ("{field: id, check: pattern, pattern: '(?=a)b'}", "pattern", "without lookaround"),
    ("{field: id, check: pattern, pattern: '(a)\\1'}", "pattern", "without lookaround and back-references"),
    ("{field: id, check: one_of, values: a}", "values", "`values` is 'a'; expected a list of values"),
    ("{field: id, check: one_of, values: []}", "values", "`values` is []; expected a list of values"),
    ("{field: id, check: one_of, values: [1]}", "values", "`values` holds 1; id is string"),
    ("{field: pieces, check: one_of, values: [true]}", "values", "`values` holds True; pieces is integer"),
    ("{field: paid, check: one_of, values: [1]}", "values", "`values` holds 1; paid is boolean"),
    ("{field: start, check: window, after: soon}", "after", "'soon' is no moment; expected a date, a moment"),
    ("{field: start, check: window, after: now + 1 month}", "after", "expected a date, a moment, or one relative"),
    ("{field: id, check: currency, since: 2020}", "since", "`since` is 2020; expected a date such as 2020-01-01"),
    ("{field: id, check: references, to: customers}", "to", "expected layer.table.column"),
    ("{field: email, check: null_ratio, max: 10}", "max", "`max` is 10; expected a share from 0 to 1"),
    ("{check: row_count}", "check", "row_count needs `min` or `max`"),
    ("{check: row_count, field: id, min: 1}", "field", "row_count has no parameter 'field'"),
    ("{check: unique}", "check", "unique needs either `field` or `fields`"),
    ("{check: unique, field: id, fields: [id]}", "check", "unique needs either `field` or `fields`"),
    ("{check: unique, fields: id}", "fields", "`fields` is 'id'; expected a list of names of fields"),
    ("{check: unique, fields: [id, id]}", "fields", "`fields` names one field twice"),
    ("{check: unique, fields: [id, strat]}", "fields", "there is no field 'strat'; did you mean `start`?"),
    ("{check: compare, field: start, operator: '=<', other: end}", "operator", "expected one of < <= = != >= >"),
    ("{check: compare, field: start, operator: '<', other: ennd}", "other", "no field 'ennd'; did you mean `end`?"),
    ("{check: compare, field: start, operator: '<', other: created_at}", "other", "start is date and created_at is"),
    ("{check: compare, field: paid, operator: '<', other: paid}", "operator", "expected the operator = or !="),
    ("{check: compare, field: extra, operator: '=', other: extra}", "other", "two of the same plain type"),
    ("{check: sql, expression: 'total > 0'}", "check", "needs `name`"),
    ("{check: sql, name: x, expression: 'totl > 0'}", "expression", "no field 'totl'; did you mean `total`?"),
    ("{check: sql, name: x, expression: 'total >'}", "expression", "is no SQL expression"),
    ("{check: sql, name: x, expression: \"read_text('/etc/passwd') = id\"}", "expression", "the function read_text"),
    ("not_null", "check", "expected a mapping such as {field: id, check: not_null}, got 'not_null'"),
]


@pytest.mark.parametrize(("written", "word", "message"), BAD)
def test_a_wrong_check_says_what_was_expected(written: str, word: str, message: str) -> None:
    with pytest.raises(CheckError) as caught:
        read(f"[{{field: id, check: not_null}}, {written}]")
    assert message in str(caught.value)
    assert str(caught.value).startswith("check 2 (")
    assert (caught.value.index, caught.value.word) == (1, word)


def test_an_error_names_the_check_and_its_field() -> None:
    with pytest.raises(ContractError, match=r"^check 1 \(range of amount\): `min` is 'low'"):
        read("[{field: amount, check: range, min: low}]")
    with pytest.raises(ContractError, match=r"^check 1 \(unique of id, end\): unique has no parameter 'max'"):
        read("[{fields: [id, end], check: unique, max: 3}]")


@pytest.mark.parametrize("written", [text for text, _ in GOOD])
def test_the_json_schema_of_a_check_accepts_it_as_written(written: str) -> None:
    check = plain(yaml.safe_load(written))
    jsonschema.validate(check, CHECKS[NAMES[check["check"]].name].json_schema)


@pytest.mark.parametrize(
    "written",
    [
        "{field: amount, check: range}",
        "{field: amount, check: range, min: low}",
        "{check: range, min: 0}",
        "{field: amount, check: range, min: 0, mox: 3}",
        "{field: amount, check: minimum}",
        "{field: id, check: one_of, values: []}",
        "{check: unique}",
        "{check: unique, field: id, fields: [id]}",
        "{check: compare, field: start, operator: '=<', other: end}",
        "{field: id, check: references, to: customers}",
        "{field: email, check: email, severity: warning}",
    ],
)
def test_the_json_schema_of_a_check_refuses_a_wrong_one(written: str) -> None:
    check = plain(yaml.safe_load(written))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(check, CHECKS[NAMES[check["check"]].name].json_schema)


def plain(check: dict[str, Any]) -> dict[str, Any]:
    """As JSON has it, where dates are text."""
    return {
        key: value if isinstance(value, str | int | float | list | bool) else str(value) for key, value in check.items()
    }


def test_every_check_and_parameter_has_a_sentence() -> None:
    assert all(check.sentence.endswith(".") for check in CHECKS.values())
    assert all(parameter.value in set(Value) for check in CHECKS.values() for parameter in check.parameters)
    assert len(NAMES) == sum(1 + len(check.aliases) for check in CHECKS.values())

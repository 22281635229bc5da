"""Free SQL as a rule: what it may say, and that nothing else reaches an engine."""

from __future__ import annotations

import pytest

from platform_assets.contracts.model import Column, Contract, ContractError, Rule
from platform_assets.contracts.rules import predicate
from platform_assets.contracts.sql_rule import read_expression, refuse_unbound
from platform_assets_tests.contracts.rule_strategies import EXPRESSIONS


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_what_compares_and_computes_with_the_row_is_allowed(text: str) -> None:
    assert read_expression(text).columns


def test_columns_are_named_once_in_the_order_of_the_text() -> None:
    found = read_expression("total = net + tax and net > 0 -- of course")
    assert found.columns == ("total", "net", "tax")
    assert found.sql == '"total" = "net" + "tax" AND "net" > 0'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not one SQL expression"),
        ("a = 1; b = 2", "is not one SQL expression"),
        ("a = ", "is no SQL expression"),
        ("a = 'x", "is no SQL expression"),
        ("a + b", "is neither true nor false"),
        ("lower(a)", "is neither true nor false"),
        ("1 = 1", "names no column of the row"),
        ("t.a = 1", "a column is named without a table"),
        ("a in (select 1)", "uses '(SELECT 1)'"),
        ("a = (from range(3))", "which a rule may not"),
        ("exists (select 1)", "which a rule may not"),
        ("select a = 1", "which a rule may not"),
        ("drop table a", "which a rule may not"),
        ("attach 'x.db'", "which a rule may not"),
        ("copy a to 'x'", "which a rule may not"),
        ("pragma version", "which a rule may not"),
        ("read_text('/etc/passwd') = a", "uses the function read_text"),
        ("read_csv('x') = a", "which a rule may not"),
        ("getenv('HOME') = a", "uses the function getenv"),
        ("a = current_setting('home_directory')", "uses the function current_setting"),
        ("a > now()", "the check `window`"),
        ("a > current_date", "the check `window`"),
        ("a > random()", "which a rule may not"),
        ("a = uuid()", "which a rule may not"),
        ("sum(a) > 1", "uses the function Sum"),
        ("row_number() over () = a", "which a rule may not"),
        ("columns('*') > 1", "which a rule may not"),
        ("* = 1", "which a rule may not"),
        ("a = $1", "which a rule may not"),
        ("a = ?", "which a rule may not"),
        ("list_filter([a], x -> x > 1) = [1]", "which a rule may not"),
        ("a = 1 as b", "which a rule may not"),
        ("a ~ 'x'", "write regexp_matches"),
    ],
)
def test_what_reads_more_than_the_row_is_refused(text: str, why: str) -> None:
    with pytest.raises(ContractError) as caught:
        read_expression(text)
    assert why in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_an_expression_about_columns_that_the_rule_does_not_name_is_not_run() -> None:
    with pytest.raises(ContractError, match=r"adds_up names the columns .*'a'.*, its expression .*'secret'"):
        predicate(Rule("sql", "a", "a = secret", label="adds_up"))


COLUMNS = (Column("a", "integer"), Column("t", "string"), Column("b", "boolean"))


def contract(text: str) -> Contract:
    first, *others = read_expression(text).columns
    return Contract("silver.t", COLUMNS, rules=(Rule("sql", first, text, label="said", others=tuple(others)),))


@pytest.mark.parametrize("text", ["a > 1", "b", "t = 'x' or b", "coalesce(b, a > 0)"])
def test_an_expression_that_fits_the_columns_binds(text: str) -> None:
    refuse_unbound(contract(text))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("coalesce(a, 1)", "said gives BIGINT; expected true or false"),
        ("date_trunc('day', t) = t", "said cannot be computed"),
        ("a > cast(t as mytype)", "said cannot be computed"),
    ],
)
def test_an_expression_that_does_not_fit_the_columns_is_refused(text: str, why: str) -> None:
    with pytest.raises(ContractError, match=why):
        refuse_unbound(contract(text))

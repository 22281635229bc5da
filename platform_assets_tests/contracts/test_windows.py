"""Bounds of windows: what they say, and that relative ones are made absolute once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from platform_assets.contracts.model import Column, Contract, ContractError, Rule
from platform_assets.contracts.rules import predicate
from platform_assets.contracts.windows import is_relative, moment, resolved

NOW = datetime(2026, 11, 21, 18, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        ("2020-01-01", datetime(2020, 1, 1, tzinfo=UTC)),
        ("2020-01-01T12:00:00", datetime(2020, 1, 1, 12, tzinfo=UTC)),
        ("2020-01-01T12:00:00+02:00", datetime(2020, 1, 1, 10, tzinfo=UTC)),
        ("now", datetime(2026, 11, 21, 16, tzinfo=UTC)),
        ("NOW", datetime(2026, 11, 21, 16, tzinfo=UTC)),
        ("now + 1 day", datetime(2026, 11, 22, 16, tzinfo=UTC)),
        (" now-90 minutes ", datetime(2026, 11, 21, 14, 30, tzinfo=UTC)),
        ("now - 2 weeks", datetime(2026, 11, 7, 16, tzinfo=UTC)),
        ("now + 1 hour", datetime(2026, 11, 21, 17, tzinfo=UTC)),
    ],
)
def test_a_bound_is_a_moment_in_utc(bound: str, expected: datetime) -> None:
    assert moment(bound, NOW) == expected
    assert moment(bound, NOW).tzinfo is UTC
    assert is_relative(bound) == ("now" in bound.lower())


@pytest.mark.parametrize(
    "bound", ["", "soon", "now +", "now + day", "now + 1 month", "tomorrow", "2020-13-01", "nowadays"]
)
def test_what_is_no_moment_is_refused(bound: str) -> None:
    with pytest.raises(ContractError, match="is no moment; expected a date, a moment, or one relative to now"):
        moment(bound, NOW)


def test_a_moment_beyond_the_calendar_is_refused() -> None:
    with pytest.raises(ContractError, match="lies outside the years 1 to 9999"):
        moment("now - 999999 weeks", NOW)


def test_a_contract_is_resolved_once_and_stays_as_it_was_then() -> None:
    rule = Rule("window", "at", ("2020-01-01", "now + 1 day"))
    contract = Contract("silver.t", (Column("at", "timestamp"),), rules=(rule, Rule("not_null", "at")))
    once = resolved(contract, NOW)
    assert once.rules == (
        Rule("window", "at", ("2020-01-01", "2026-11-22T16:00:00+00:00")),
        Rule("not_null", "at"),
    )
    assert resolved(once, NOW + timedelta(days=9)) is once
    assert contract.rules[0] == rule


def test_a_relative_bound_is_not_compiled() -> None:
    with pytest.raises(ContractError, match="resolve the contract's windows before it is compiled"):
        predicate(Rule("window", "at", (None, "now")))

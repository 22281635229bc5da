"""The condition of an alert: what it may say, and when it holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.sources.alert_condition import Condition, Metric, parse_condition


@pytest.mark.parametrize(
    ("text", "expected", "threshold"),
    [
        ("error_rate > 5%", Condition(Metric.ERROR_RATE, ">", 5, "%"), 0.05),
        ("data_age > 2 hours", Condition(Metric.DATA_AGE, ">", 2, "hour"), 7_200),
        ("daily_cost > $500", Condition(Metric.DAILY_COST, ">", 500, "$"), 500),
        ("record_count<1000", Condition(Metric.RECORD_COUNT, "<", 1_000), 1_000),
        (" latency_p95 >= 250 ms ", Condition(Metric.LATENCY_P95, ">=", 250, "ms"), 0.25),
        ("data_age <= 1.5 days", Condition(Metric.DATA_AGE, "<=", 1.5, "day"), 129_600),
    ],
)
def test_a_condition_is_read_with_its_unit(text: str, expected: Condition, threshold: float) -> None:
    assert parse_condition(text) == expected
    assert parse_condition(text).threshold == pytest.approx(threshold)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data_age above 2 hours", "not `metric > bound`"),
        ("cpu > 5%", "none of the metrics"),
        ("data_age > 2", "expected a time"),
        ("data_age > 2%", "expected a time"),
        ("error_rate > 5", "expected a share in percent"),
        ("daily_cost > 500", "expected an amount in dollars"),
        ("record_count < 5 days", "expected a number of rows"),
        ("daily_cost > $5 days", "expected an amount in dollars"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_words(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        parse_condition(text)


@given(bound=st.integers(0, 10_000), measured=st.floats(0, 1e9, allow_nan=False))
def test_a_condition_and_its_contrary_never_both_hold(bound: int, measured: float) -> None:
    above, not_above = (parse_condition(f"data_age {sign} {bound} minutes") for sign in (">", "<="))
    assert above.holds(measured) is not not_above.holds(measured)
    assert above.holds(measured) == (measured > bound * 60)

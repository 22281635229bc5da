"""`ops.freshness`: what is kept of every evaluation, and in how much of the time a table was fresh."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from platform_assets.contracts.model import Column, Contract
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.completeness import Completeness
from platform_assets.lakehouse.declared import DeclaredTable
from platform_assets.lakehouse.freshness import FreshnessState, TableFreshness
from platform_assets.lakehouse.freshness_history import (
    FreshShare,
    Told,
    fresh_share,
    fresh_shares,
    history,
    lag_history,
    record,
)
from platform_assets.lakehouse.lateness import Lateness
from platform_assets.lakehouse.query import query
from platform_assets.lakehouse.statistics import TableStatistics

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TODAY = NOON.date()
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
PASS, WARN, FAIL, UNKNOWN = FreshnessState


def fresh(name: str, state: FreshnessState, newest: date | None = TODAY) -> TableFreshness:
    table = DeclaredTable(Contract(name, (Column("day", "date"),)), "commerce", "team:test", None, HOUR)
    late = Lateness("bronze.orders", NOON - HOUR, "it's late") if state in {WARN, FAIL} else None
    statistics = TableStatistics(name, 1, 1, 1, newest, NOON, NOON - MINUTE)
    complete = Completeness(NOON.date(), 1, 4, "usual")
    return TableFreshness(table, statistics, state, MINUTE, "it's so", NOON.date(), complete, late)


def told(lakehouse: Lakehouse, rows: list[TableFreshness], now: datetime) -> list[str]:
    return [row.table.name for row in record(lakehouse, rows, now)]


def test_a_row_is_added_when_a_state_or_partition_changes_and_every_hour(lakehouse: Lakehouse) -> None:
    one, two = fresh("gold.one", PASS), fresh("gold.two", PASS)
    assert told(lakehouse, [one, two], NOON) == ["gold.one", "gold.two"]
    assert told(lakehouse, [one, two], NOON + MINUTE) == []
    assert told(lakehouse, [one, fresh("gold.two", FAIL)], NOON + 2 * MINUTE) == ["gold.two"]
    newer = fresh("gold.one", PASS, NOON.date() + DAY)
    assert told(lakehouse, [newer, fresh("gold.two", FAIL)], NOON + 3 * MINUTE) == ["gold.one"]
    assert told(lakehouse, [fresh("gold.one", PASS, None), two], NOON + 4 * MINUTE) == ["gold.one", "gold.two"]
    assert told(lakehouse, [fresh("gold.one", PASS, None), two], NOON + 5 * MINUTE) == []
    assert told(lakehouse, [fresh("gold.one", PASS, None), two], NOON + 4 * MINUTE + HOUR) == ["gold.one", "gold.two"]
    _, rows = query(lakehouse, "SELECT count(*), count(DISTINCT evaluated_at) FROM ops.freshness")
    assert rows == [(8, 5)]


def test_the_hour_goes_on_over_midnight(lakehouse: Lakehouse) -> None:
    late = datetime(2026, 11, 20, 23, 50, tzinfo=UTC)
    assert told(lakehouse, [fresh("gold.one", PASS)], late) == ["gold.one"]
    assert told(lakehouse, [fresh("gold.one", PASS)], late + 20 * MINUTE) == []
    assert told(lakehouse, [fresh("gold.one", WARN)], late + 20 * MINUTE) == ["gold.one"]


def test_the_history_tells_who_was_late_and_since_when(lakehouse: Lakehouse) -> None:
    record(lakehouse, [fresh("gold.one", FAIL)], NOON)
    _, rows = query(
        lakehouse,
        "SELECT table_name, state, newest_partition, expected_partition, watermark, lag_seconds, completeness, "
        "late_table, late_since, reason FROM ops.freshness",
    )
    ((name, state, newest, expected, watermark, lag, complete, blamed, since, reason),) = rows
    assert (name, state, newest, expected) == ("gold.one", "FAIL", NOON.date(), NOON.date())
    assert (watermark, lag, complete) == (NOON - MINUTE, 60.0, 0.25)
    assert (blamed, since, reason) == ("bronze.orders", NOON - HOUR, "it's so")


def test_the_fresh_share_is_that_of_the_known_time(lakehouse: Lakehouse) -> None:
    assert fresh_share(lakehouse, "gold.one", NOON) == FreshShare(None, None, timedelta())
    for hours, state in ((0, UNKNOWN), (1, PASS), (2, WARN), (3, FAIL), (4, PASS), (5, PASS), (6, PASS)):
        record(lakehouse, [fresh("gold.one", state)], NOON + hours * HOUR)
    found = fresh_share(lakehouse, "gold.one", NOON + 20 * HOUR)  # nobody has looked since 18:00: known until 20:00
    assert found.known == 7 * HOUR
    assert found.share == pytest.approx(6 / 7)
    assert found.passing == pytest.approx(5 / 7)
    assert fresh_share(lakehouse, "gold.two", NOON + 20 * HOUR).known == timedelta()


def test_the_fresh_share_looks_no_further_back_than_it_was_asked(lakehouse: Lakehouse) -> None:
    for minutes, state in ((0, FAIL), (60, FAIL), (90, PASS)):
        record(lakehouse, [fresh("gold.one", state)], NOON + minutes * MINUTE)
    found = fresh_share(lakehouse, "gold.one", NOON + HOUR + DAY, days=1)  # from 13:00 on
    assert found.known == 2.5 * HOUR
    assert found.share == pytest.approx(0.8)


def test_what_was_told_before_midnight_still_holds_when_the_day_begins(lakehouse: Lakehouse) -> None:
    midnight = datetime(2026, 11, 20, tzinfo=UTC)
    record(lakehouse, [fresh("gold.one", FAIL)], midnight - HOUR)
    record(lakehouse, [fresh("gold.one", PASS)], midnight + HOUR)
    found = fresh_share(lakehouse, "gold.one", midnight + DAY, days=1)
    assert found.known == 3 * HOUR  # of which the first failed
    assert found.share == pytest.approx(2 / 3)


def test_the_fresh_shares_of_all_tables_are_those_of_each(lakehouse: Lakehouse) -> None:
    assert fresh_shares(lakehouse, NOON) == {}
    states = {"gold.one": (PASS, FAIL, PASS), "gold.two": (FAIL, WARN, WARN), "gold.new": (UNKNOWN,) * 3}
    for hour in range(3):
        record(lakehouse, [fresh(name, told[hour]) for name, told in states.items()], NOON + hour * HOUR)
    record(lakehouse, [fresh("gold.one", FAIL)], NOON + 9 * HOUR)  # not yet, when it is three
    now = NOON + 3 * HOUR
    found = fresh_shares(lakehouse, now)
    assert found == {name: fresh_share(lakehouse, name, now) for name in states}
    assert [found[name].share for name in states] == [pytest.approx(2 / 3), pytest.approx(2 / 3), None]
    assert found["gold.two"].passing == 0.0


def test_the_history_of_a_table_is_what_was_told_of_it_in_the_days_asked_for(lakehouse: Lakehouse) -> None:
    assert history(lakehouse, "gold.one", NOON, 30) == []
    record(lakehouse, [fresh("gold.one", FAIL)], NOON - 2 * DAY)
    record(lakehouse, [fresh("gold.one", PASS), fresh("gold.two", FAIL)], NOON - HOUR)
    record(lakehouse, [replace(fresh("gold.one", UNKNOWN, None), lag=None)], NOON)
    record(lakehouse, [fresh("gold.one", FAIL)], NOON + HOUR)  # not yet, when it is noon
    passed, unknown = history(lakehouse, "gold.one", NOON, 1)
    assert passed == Told(NOON - HOUR, "PASS", MINUTE, reason="it's so")
    assert unknown == Told(NOON, "UNKNOWN", None, reason="it's so")
    failed = history(lakehouse, "gold.one", NOON, 2)[0]
    assert (failed.at, failed.state, failed.late_table) == (NOON - 2 * DAY, "FAIL", "bronze.orders")
    assert failed.late_since == NOON - HOUR


def test_lag_over_time_is_the_largest_and_the_worst_of_every_stretch_of_every_table(lakehouse: Lakehouse) -> None:
    assert lag_history(lakehouse, NOON, 7, 2 * HOUR) == {}
    told = [(-30, PASS, 3), (-29, WARN, 2), (-20, UNKNOWN, 1), (-19.5, WARN, 4), (-19, PASS, 5), (-10, FAIL, 1)]
    for hours, state, lag in told:
        rows = [replace(fresh("gold.one", state), lag=lag * HOUR), fresh("gold.two", PASS)]
        record(lakehouse, rows, NOON + hours * HOUR)
    record(lakehouse, [replace(fresh("gold.one", UNKNOWN, None), lag=None)], NOON)
    record(lakehouse, [fresh("gold.one", FAIL)], NOON - 9 * DAY)
    found = lag_history(lakehouse, NOON, 7, 2 * HOUR)
    assert [(one.at - NOON, one.state, one.lag) for one in found["gold.one"]] == [
        (-30 * HOUR, "WARN", 3 * HOUR),
        (-20 * HOUR, "WARN", 5 * HOUR),
        (-10 * HOUR, "FAIL", HOUR),
        (timedelta(), "UNKNOWN", None),
    ]
    assert {one.state for one in found["gold.two"]} == {"PASS"}

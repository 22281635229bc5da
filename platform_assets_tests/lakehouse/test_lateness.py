"""What makes a table late, since when, and whose fault it is: the rules alone, without a table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

import pytest

from platform_assets.contracts.model import Column, Contract
from platform_assets.lakehouse.commits import Commit
from platform_assets.lakehouse.completeness import against_source, against_usual
from platform_assets.lakehouse.declared import Cadence, DeclaredTable
from platform_assets.lakehouse.freshness import FreshnessState, judge
from platform_assets.lakehouse.lateness import Known, Lateness, expected_partition, latenesses
from platform_assets.lakehouse.progress import Progress, progress_of
from platform_assets.lakehouse.statistics import TableStatistics

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)  # a Friday
TODAY = NOON.date()
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
DAILY, STREAM = Cadence(daily=True), Cadence()
CHAIN = ("bronze.orders", "silver.orders", "gold.orders", "mart.revenue")


def declare(*, cadence: Cadence = STREAM, fail: timedelta = 5 * MINUTE) -> dict[str, DeclaredTable]:
    """A chain of four dated tables, each made of the one before."""
    found = {}
    for number, name in enumerate(CHAIN):
        contract = Contract(name, (Column("day", "date"),), partition_column="day")
        inputs = CHAIN[number - 1 : number] if number else ()
        found[name] = DeclaredTable(contract, "commerce", "team:test", None, fail, inputs=inputs, cadence=cadence)
    return found


def stands(
    newest: date, *, watermark: datetime | None = None, progress: Progress | None = None, landed: datetime | None = None
) -> Known:
    statistics = TableStatistics("", 1, 1, 1, newest, NOON, watermark, {newest: 1})
    return Known(statistics, progress or Progress(), landed)


def changed_and_made(moments: Mapping[date | None, datetime]) -> Progress:
    return Progress(changed=moments, made=moments)


def late(tables: dict[str, DeclaredTable], known: dict[str, Known], now: datetime = NOON) -> dict[str, Lateness]:
    """The late tables, as their promise judges them."""
    found = latenesses(tables, known, now)
    return {
        name: lateness
        for name, lateness in found.items()
        if lateness and judge(tables[name], lateness, now)[0] is not FreshnessState.PASS
    }


def at(days: int, hour: int = 0) -> datetime:
    return datetime.combine(TODAY + days * DAY, time(hour), UTC)


def test_every_table_below_blames_the_first_that_did_not_process_what_arrived() -> None:
    made = changed_and_made({TODAY: NOON - HOUR})
    known = {name: stands(TODAY, progress=made) for name in CHAIN}
    known["silver.orders"] = stands(TODAY, progress=changed_and_made({TODAY: NOON - HOUR / 2}))
    known["bronze.orders"] = stands(TODAY, progress=changed_and_made({TODAY: NOON - HOUR / 2 - MINUTE}))
    found = late(declare(), known)
    assert {name: (why.table, why.since) for name, why in found.items()} == {
        "gold.orders": ("gold.orders", NOON - HOUR / 2),
        "mart.revenue": ("gold.orders", NOON - HOUR / 2),
    }
    assert found["mart.revenue"].reason == "silver.orders 2026-11-20 changed and is not processed"


def test_to_make_another_partition_again_turns_no_table_green() -> None:
    known = {name: stands(TODAY, progress=changed_and_made({TODAY: NOON - HOUR})) for name in CHAIN}
    rebuilt = Progress(
        changed={TODAY: NOON - 2 * HOUR, TODAY - 9 * DAY: NOON}, made={TODAY: NOON - 2 * HOUR, TODAY - 9 * DAY: NOON}
    )
    known["gold.orders"] = stands(TODAY, progress=rebuilt)
    assert late(declare(), known)["gold.orders"].since == NOON - HOUR


def test_to_make_the_same_rows_again_makes_nothing_below_late() -> None:
    same = [Commit(NOON - 9 * HOUR, TODAY, "2-ab"), Commit(NOON - HOUR, TODAY, "2-ab")]
    known = {name: stands(TODAY, progress=changed_and_made({TODAY: NOON - 8 * HOUR})) for name in CHAIN}
    known["silver.orders"] = stands(TODAY, progress=progress_of(same))
    assert late(declare(), known) == {}
    known["silver.orders"] = stands(TODAY, progress=progress_of([*same, Commit(NOON - HOUR, TODAY, "3-cd")]))
    assert late(declare(), known).keys() == {"gold.orders", "mart.revenue"}


def test_what_was_made_by_a_snapshot_that_has_expired_does_not_wait() -> None:
    known = {name: stands(TODAY, progress=changed_and_made({TODAY: NOON - HOUR})) for name in CHAIN}
    for remembered, waits in ((None, True), (NOON - HOUR / 2, False), (NOON - 2 * HOUR, True)):
        known["gold.orders"] = stands(TODAY, progress=Progress(remembered_since=remembered))
        assert ("gold.orders" in late(declare(), known)) is waits


def test_a_late_event_makes_its_own_date_wait() -> None:
    old = TODAY - 3 * DAY
    bronze = progress_of(
        [
            Commit(at(-3, 9), old, "1", touched=(old,)),
            Commit(at(0, 9), TODAY, "2", touched=(TODAY, old)),
        ]
    )
    known = {name: stands(TODAY, progress=changed_and_made({old: at(-3, 10), TODAY: at(0, 10)})) for name in CHAIN}
    known["bronze.orders"] = stands(TODAY, progress=bronze)
    found = late(declare(), known)
    assert {why.reason for why in found.values()} == {"bronze.orders 2026-11-17 changed and is not processed"}
    assert {why.table for why in found.values()} == {"silver.orders"}


@pytest.mark.parametrize(("last", "since"), [(at(-1, 9), None), (at(-2, 23), at(-1)), (at(-5, 9), at(-4))])
def test_a_daily_source_is_late_when_a_whole_day_brought_nothing(last: datetime, since: datetime | None) -> None:
    known = {name: stands(last.date(), watermark=last) for name in CHAIN}
    found = late(declare(cadence=DAILY, fail=DAY), known)
    assert {(why.table, why.since) for why in found.values()} == ({("bronze.orders", since)} if since else set())
    assert len(found) == (4 if since else 0)


def test_a_dated_table_that_lacks_the_expected_date_fails_though_its_source_is_in_time() -> None:
    tables = declare(cadence=DAILY, fail=DAY)
    known = {name: stands(TODAY - 3 * DAY, watermark=NOON) for name in CHAIN}
    found = late(tables, known)
    assert {name: (why.table, why.since) for name, why in found.items()} == {
        name: ("silver.orders", at(-2)) for name in CHAIN[1:]
    }
    assert found["mart.revenue"].reason == "nothing newer than 2026-11-17"
    assert expected_partition(tables["mart.revenue"], NOON) == TODAY - DAY


@pytest.mark.parametrize(
    ("last", "now", "since"),
    [
        (at(0, 3), at(0, 12), None),
        (at(-1, 3), at(0, 2), None),  # the tick of 02:00 is only just over
        (at(-1, 3), at(0, 4), None),
        (at(-1, 3), at(0, 6), at(0, 2)),
        (at(-3, 3), at(0, 6), at(-2, 2)),
    ],
)
def test_a_scheduled_source_is_late_from_the_first_tick_that_brought_nothing(
    last: datetime, now: datetime, since: datetime | None
) -> None:
    known = {name: stands(last.date(), watermark=last) for name in CHAIN}
    found = late(declare(cadence=Cadence("0 2 * * *"), fail=3 * HOUR), known, now)
    assert {why.since for why in found.values()} == ({since} if since else set())


def test_a_weekly_source_expects_no_date_between_its_deliveries() -> None:
    tables = declare(cadence=Cadence("0 2 * * 1"), fail=6 * HOUR)  # Monday, the 16th
    delivered = {name: stands(date(2026, 11, 15), watermark=datetime(2026, 11, 16, 3, tzinfo=UTC)) for name in CHAIN}
    assert late(tables, delivered) == {}
    assert expected_partition(tables["bronze.orders"], NOON) == date(2026, 11, 16)
    assert expected_partition(tables["silver.orders"], NOON) == date(2026, 11, 9)
    assert late(tables, delivered, NOON + 4 * DAY).keys() == set(CHAIN)


def arrivals(weeks: int, hours: range) -> tuple[datetime, ...]:
    """One arrival on the hour, every day of as many weeks, the last of them yesterday."""
    return tuple(at(-day, hour) for day in range(7 * weeks, 0, -1) for hour in hours)


@pytest.mark.parametrize(
    ("history", "last", "now", "expected"),
    [
        (arrivals(8, range(8, 22)), at(-1, 21), at(0, 6), False),  # the night is always quiet
        (arrivals(8, range(8, 22)), at(-1, 21), at(0, 9), True),  # by nine there has always been something
        (arrivals(1, range(8, 22)), at(-1, 21), at(0, 9), True),  # one week of days does
        ((at(-1, 21),), at(-1, 21), at(0, 9), False),  # nobody knows its habits
        ((), at(-1, 21), at(0, 9), False),
        (tuple(at(-7 * week, 9) for week in (8, 7)), at(-1, 21), at(0, 9), False),  # not any more
    ],
)
def test_a_quiet_stream_is_late_only_if_it_is_not_quiet_usually(
    history: tuple[datetime, ...], last: datetime, now: datetime, expected: bool
) -> None:
    known = {name: stands(last.date(), watermark=last) for name in CHAIN}
    known["bronze.orders"] = stands(last.date(), watermark=last, progress=Progress(arrivals=history))
    found = late(declare(), known, now)
    assert {why.table for why in found.values()} == ({"bronze.orders"} if expected else set())


def test_a_rebuild_of_an_old_partition_is_no_arrival() -> None:
    old, new = TODAY - 30 * DAY, TODAY
    found = progress_of([Commit(NOON, old, "1", touched=(old,)), Commit(NOON + HOUR, new, "2", touched=(new,))])
    assert found.arrivals == (NOON + HOUR,)


def test_a_table_is_late_by_its_own_promise_when_its_input_is() -> None:
    tables = declare()
    tables["mart.revenue"] = DeclaredTable(
        tables["mart.revenue"].contract, "commerce", "team:test", None, DAY, inputs=("gold.orders",)
    )
    known = {name: stands(TODAY) for name in CHAIN}
    known["bronze.orders"] = stands(TODAY, landed=NOON - HOUR)
    assert late(tables, known).keys() == set(CHAIN[:3])
    assert late(tables, known, NOON + DAY)["mart.revenue"].table == "bronze.orders"


def test_completeness_compares_with_the_weekday_s_median_from_three_weeks_on() -> None:
    history = {TODAY - timedelta(weeks=week): rows for week, rows in ((1, 100), (2, 110), (3, 1), (9, 9_999))}
    found = against_usual(TODAY, {**history, TODAY: 50, TODAY - DAY: 7})
    assert found is not None
    assert (found.rows, found.expected, found.ratio, found.basis) == (50, 100.0, 0.5, "usual")
    assert against_usual(TODAY, history) == type(found)(TODAY, 0, 100.0, "usual")
    assert against_usual(TODAY - 14 * DAY, history) is None
    assert against_source(TODAY, None, 5) is None
    assert against_source(TODAY, 5, None) is None

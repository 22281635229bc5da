"""Whether promises about time were kept: the rules, at a clock of the tests' own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.contracts.model import Column, Contract
from platform_assets.contracts.sla import Promise
from platform_assets.lakehouse.commits import Commit
from platform_assets.lakehouse.declared import Cadence, DeclaredTable
from platform_assets.lakehouse.outcomes import UNDER_WAY, Arrival, Facts, Outcome, due_date, outcomes
from platform_assets.lakehouse.past import Past
from platform_assets.lakehouse.sla import SETTLED, Key, decide, key_of

TODAY = date(2026, 11, 20)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOON = datetime.combine(TODAY, time(12), UTC)
EIGHT = datetime.combine(TODAY, time(8), UTC)
YESTERDAY = TODAY - DAY
WITHIN = Promise(0.999, within=5 * MINUTE)
BY_EIGHT = Promise(0.999, ready_by=time(8))
DAILY, STREAM = Cadence(daily=True), Cadence()
Commits = Mapping[str, Sequence[Commit]]  # by layer
BRONZE, SILVER, GOLD = "bronze.orders", "silver.orders", "gold.orders"


def table(
    name: str, *promises: Promise, inputs: Sequence[str] = (), cadence: Cadence = STREAM, dated: bool = True
) -> DeclaredTable:
    contract = Contract(name, (Column("day", "date"),), partition_column="day" if dated else None)
    return DeclaredTable(
        contract, "commerce", "team:test", None, DAY, inputs=tuple(inputs), cadence=cadence, sla=promises
    )


def chain(cadence: Cadence = STREAM, gold: Promise = BY_EIGHT) -> dict[str, DeclaredTable]:
    return {
        BRONZE: table(BRONZE, WITHIN, cadence=cadence),
        SILVER: table(SILVER, WITHIN, inputs=[BRONZE], cadence=cadence),
        GOLD: table(GOLD, gold, inputs=[SILVER], cadence=cadence),
    }


def made(at: datetime, day: date | None, version: str = "", rows: int = 1) -> Commit:
    return Commit(at, day, version or f"{at}", rows=rows)


def arrived(at: datetime, day: date, *touched: date) -> Commit:
    return Commit(at, day, f"{at}", touched=touched or (day,), rows=1)


def landed(at: datetime, ingested: datetime | None, day: date | None = None, seen: datetime | None = None) -> Arrival:
    return Arrival(day or at.date(), at, seen or at + SECOND, ingested)


def facts(
    tables: Mapping[str, DeclaredTable], arrivals: Sequence[Arrival] = (), commits: Commits | None = None
) -> Facts:
    pasts = {f"{layer}.orders": Past(tuple(found)) for layer, found in (commits or {}).items()}
    return Facts(tables, pasts, {BRONZE: arrivals})


def of(known: Facts, name: str, since: datetime = EIGHT - 2 * DAY, until: datetime = NOON) -> list[Outcome]:
    return list(outcomes(known, known.tables[name], since, until))


# within


@pytest.mark.parametrize(
    ("took", "kept"), [(0 * SECOND, 1), (5 * MINUTE, 1), (5 * MINUTE + timedelta(milliseconds=1), 0), (None, 0)]
)
def test_an_object_is_in_time_if_bronze_has_it_within_the_promise(took: timedelta | None, kept: int) -> None:
    came = EIGHT + 10 * MINUTE
    (found,) = of(facts(chain(), [landed(came, None if took is None else came + took)]), BRONZE)
    assert (found.things, found.kept, found.unfinished) == (1, kept, int(took is None))
    assert found.late == (None if took is None else took - 5 * MINUTE)
    assert (found.about, found.due_at) == ("2026-11-20T08Z", EIGHT + HOUR)
    assert found.done_at == (None if took is None else came + took)


def test_what_is_due_is_counted_once_its_hour_is_over() -> None:
    known = facts(chain(), [landed(EIGHT + 56 * MINUTE, EIGHT + 57 * MINUTE)])  # due at 9:01
    assert of(known, BRONZE, until=EIGHT + 2 * HOUR - SECOND) == []
    assert [found.about for found in of(known, BRONZE, until=EIGHT + 2 * HOUR)] == ["2026-11-20T09Z"]


def test_what_landed_while_the_platform_was_off_is_missed_in_the_hour_in_which_it_was_found() -> None:
    found_at = EIGHT + 2 * HOUR + MINUTE
    (found,) = of(facts(chain(), [landed(EIGHT, found_at + MINUTE, seen=found_at)]), BRONZE)
    assert (found.about, found.kept, found.missed) == ("2026-11-20T10Z", 0, 1)
    assert found.late == 2 * HOUR - 3 * MINUTE


def test_what_bronze_had_before_it_was_seen_is_never_missed_for_want_of_knowledge() -> None:
    early = landed(EIGHT, EIGHT + MINUTE, seen=EIGHT + 2 * MINUTE)  # a run took what no sensor had listed yet
    forgotten = landed(EIGHT, EIGHT + HOUR, seen=NOON - 2 * HOUR)  # the ledger was lost: an upper bound is all there is
    (found,) = of(facts(chain(), [early, forgotten]), BRONZE)
    assert (found.things, found.kept) == (1, 1)


def test_every_change_of_an_input_is_due_below() -> None:
    old = TODAY - 9 * DAY
    known = facts(
        chain(),
        commits={
            "bronze": [arrived(EIGHT, TODAY, TODAY, old), arrived(EIGHT + MINUTE, TODAY)],
            "silver": [made(EIGHT + 2 * MINUTE, TODAY), made(EIGHT + 9 * MINUTE, old)],
        },
    )
    (found,) = of(known, SILVER)
    assert (found.things, found.kept, found.unfinished, found.late) == (3, 2, 0, 4 * MINUTE)


def test_to_make_the_same_rows_again_asks_nothing_of_the_tables_below() -> None:
    same = [made(EIGHT - HOUR, TODAY, "1-a"), made(EIGHT, TODAY, "1-a")]
    known = facts(chain(gold=WITHIN), commits={"silver": same, "gold": [made(EIGHT - HOUR + MINUTE, TODAY)]})
    assert [(found.about, found.kept) for found in of(known, GOLD)] == [("2026-11-20T07Z", 1)]


def test_a_changed_dimension_is_taken_in_when_every_date_was_made_once_more() -> None:
    tables = {"gold.dim": table("gold.dim", dated=False), GOLD: table(GOLD, WITHIN, inputs=["gold.dim"])}
    dates = [made(EIGHT - HOUR, TODAY), made(EIGHT - HOUR, YESTERDAY)]
    dimension = Past((made(EIGHT, None),))
    for last, kept, unfinished in ((3, 1, 0), (7, 0, 0), (None, 0, 1)):
        again = [made(EIGHT + MINUTE, TODAY)]
        again += [] if last is None else [made(EIGHT + last * MINUTE, YESTERDAY)]
        known = Facts(tables, {"gold.dim": dimension, GOLD: Past((*dates, *again))})
        (found,) = of(known, GOLD)
        assert (found.things, found.kept, found.unfinished) == (1, kept, unfinished)
    assert of(Facts(tables, {"gold.dim": dimension}), GOLD) == []  # no date was there that would have to be made


def test_a_table_that_was_never_made_misses_what_it_should_have_taken_in() -> None:
    (found,) = of(facts(chain(), commits={"bronze": [arrived(EIGHT, TODAY)]}), SILVER)
    assert (found.things, found.kept, found.unfinished) == (1, 0, 1)


def test_where_snapshots_have_expired_nothing_is_held_against_the_table() -> None:
    bronze = Past((arrived(EIGHT, TODAY), arrived(EIGHT + HOUR, TODAY)))
    silver = Past((made(EIGHT + HOUR + MINUTE, TODAY),), remembered_since=EIGHT + HOUR + MINUTE)
    assert of(Facts(chain(), {BRONZE: bronze, SILVER: silver}), SILVER) == [
        Outcome(SILVER, "within 5 min", "2026-11-20T09Z", EIGHT + 2 * HOUR, 1, 1, 0, -4 * MINUTE, EIGHT + HOUR + MINUTE)
    ]


# ready_by


def ready(
    commits: Commits, *, cadence: Cadence = STREAM, arrivals: Sequence[Arrival] = ()
) -> list[tuple[str, int, int]]:
    """Of gold by 8 o'clock today: date, kept, unfinished."""
    known = facts(chain(cadence), arrivals, commits)
    return [(found.about, found.kept, found.unfinished) for found in of(known, GOLD, since=EIGHT - HOUR)]


EVENING = EIGHT - 12 * HOUR
THROUGH: Commits = {
    "bronze": [arrived(EVENING, YESTERDAY)],
    "silver": [made(EVENING + MINUTE, YESTERDAY)],
    "gold": [made(EVENING + 2 * MINUTE, YESTERDAY)],
}


@pytest.mark.parametrize("cadence", [STREAM, DAILY])
def test_a_date_is_ready_when_all_that_came_for_it_has_gone_through(cadence: Cadence) -> None:
    assert ready(THROUGH, cadence=cadence) == [("2026-11-19", 1, 0)]
    known = facts(chain(cadence), commits=THROUGH)
    (found,) = of(known, GOLD, since=EIGHT - HOUR)
    assert (found.due_at, found.done_at, found.late) == (EIGHT, EVENING + 2 * MINUTE, EVENING + 2 * MINUTE - EIGHT)


@pytest.mark.parametrize(
    ("at", "kept"), [(EIGHT, 1), (EIGHT + timedelta(milliseconds=1), 0), (EIGHT - timedelta(milliseconds=1), 1)]
)
def test_the_last_table_counts_to_the_millisecond(at: datetime, kept: int) -> None:
    chained = {**THROUGH, "gold": [made(at, YESTERDAY)]}
    assert ready(chained) == [("2026-11-19", kept, 0)]


def test_what_arrives_after_the_deadline_or_just_before_it_breaks_nothing() -> None:
    for at in (EIGHT + MINUTE, EIGHT - UNDER_WAY + SECOND):
        chained = {**THROUGH, "bronze": [*THROUGH["bronze"], arrived(at, TODAY, YESTERDAY)]}
        assert ready(chained) == [("2026-11-19", 1, 0)]


def test_what_changed_earlier_must_be_in_the_table() -> None:
    chained = {**THROUGH, "bronze": [*THROUGH["bronze"], arrived(EIGHT - UNDER_WAY, TODAY, YESTERDAY)]}
    assert ready(chained) == [("2026-11-19", 0, 1)]
    chained = {**chained, "silver": [*THROUGH["silver"], made(EIGHT - MINUTE, YESTERDAY)]}
    assert ready(chained) == [("2026-11-19", 0, 1)]  # silver took it in, gold did not
    chained = {**chained, "gold": [*THROUGH["gold"], made(EIGHT + MINUTE, YESTERDAY)]}
    assert ready(chained) == [("2026-11-19", 0, 0)]


def test_what_landed_for_the_date_and_is_not_ingested_makes_it_unready() -> None:
    waiting = landed(EVENING + HOUR, None)
    assert ready(THROUGH, arrivals=[waiting]) == [("2026-11-19", 0, 1)]
    assert ready(THROUGH, arrivals=[replace(waiting, arrival_date=TODAY)]) == [("2026-11-19", 1, 0)]
    assert ready(THROUGH, arrivals=[replace(waiting, landed_at=EIGHT - MINUTE)]) == [("2026-11-19", 1, 0)]
    late = replace(waiting, ingested_at=EIGHT + HOUR)
    below = {name: [*found, arrived(EIGHT + HOUR, YESTERDAY)] for name, found in THROUGH.items()}
    assert ready(below, arrivals=[late]) == [("2026-11-19", 0, 0)]


def test_a_date_without_any_data_breaks_the_promise_only_if_the_source_owed_some() -> None:
    before = {name: [made(found[0].at - DAY, YESTERDAY - DAY)] for name, found in THROUGH.items()}
    assert ready(before) == []
    assert ready(before, cadence=DAILY) == [("2026-11-19", 0, 1)]
    came = {name: [*before[name], made(EIGHT + HOUR, YESTERDAY)] for name in before}
    assert ready(came) == []
    assert ready(came, cadence=DAILY) == [("2026-11-19", 0, 0)]


def test_dates_before_the_first_commit_were_never_promised() -> None:
    first = {name: [made(EIGHT - HOUR, TODAY)] for name in THROUGH}
    assert ready(first, cadence=DAILY) == []
    known = facts(chain(DAILY), commits=first)
    assert [found.about for found in of(known, GOLD, until=EIGHT + DAY)] == ["2026-11-20"]


def test_to_make_a_date_again_changes_no_outcome_of_it() -> None:
    again = {name: [*found, made(EIGHT + 3 * HOUR, YESTERDAY, "9-f")] for name, found in THROUGH.items()}
    assert ready(again) == ready(THROUGH)
    rebuilt = {**THROUGH, "bronze": [*THROUGH["bronze"], arrived(EIGHT + 3 * HOUR, YESTERDAY)]}
    assert ready(rebuilt) == ready(THROUGH)


def test_of_a_scheduled_source_the_date_of_the_last_delivery_is_due_once() -> None:
    weekly = Cadence(schedule="0 3 * * MON")  # 2026-11-16 is a Monday
    monday = datetime(2026, 11, 16, 3, 10, tzinfo=UTC)
    tables = {BRONZE: table(BRONZE, BY_EIGHT, cadence=weekly)}
    earlier, delivered = arrived(monday - 7 * DAY, date(2026, 11, 9)), arrived(monday, date(2026, 11, 16))
    known = Facts(tables, {BRONZE: Past((earlier, delivered))})
    assert [(found.about, found.due_at.date(), found.kept) for found in of(known, BRONZE, since=NOON - 8 * DAY)] == [
        ("2026-11-16", date(2026, 11, 16), 1)
    ]
    missing = Facts(tables, {BRONZE: Past((earlier,))})
    assert [found.kept for found in of(missing, BRONZE, since=NOON - 8 * DAY)] == [0]


def test_a_table_without_dates_is_ready_when_all_changes_are_in_it() -> None:
    tables = chain() | {"gold.dim": table("gold.dim", BY_EIGHT, inputs=[SILVER], dated=False)}
    pasts = {BRONZE: Past(tuple(THROUGH["bronze"])), SILVER: Past(tuple(THROUGH["silver"]))}
    for at, kept in ((EVENING, 0), (EIGHT, 1)):
        known = Facts(tables, pasts | {"gold.dim": Past((made(at, None),))})
        assert [found.kept for found in of(known, "gold.dim", since=EIGHT - HOUR)] == [kept]


def test_nobody_can_know_what_a_table_was_before_the_oldest_snapshot_that_is_left() -> None:
    known = facts(chain(), commits=THROUGH)
    for name in THROUGH:
        forgotten = replace(known.pasts[f"{name}.orders"], remembered_since=EIGHT + MINUTE)
        pasts = {**known.pasts, f"{name}.orders": forgotten}
        assert of(replace(known, pasts=pasts), GOLD, since=EIGHT - HOUR) == []


# The clock


@pytest.mark.parametrize(
    ("day", "zone", "at", "due"),
    [
        (date(2026, 3, 28), "Europe/Berlin", time(8), "2026-03-28T07:00"),
        (date(2026, 3, 29), "Europe/Berlin", time(8), "2026-03-29T06:00"),  # clocks went forward in the night
        (date(2026, 3, 29), "Europe/Berlin", time(2, 30), "2026-03-29T01:30"),  # there is no 2:30 on this day
        (date(2026, 10, 25), "Europe/Berlin", time(8), "2026-10-25T07:00"),
        (date(2026, 10, 25), "Europe/Berlin", time(2, 30), "2026-10-25T00:30"),  # the first of two
        (date(2026, 11, 20), "Pacific/Auckland", time(8), "2026-11-19T19:00"),
        (date(2026, 11, 20), "America/Los_Angeles", time(8), "2026-11-20T16:00"),
    ],
)
def test_the_deadline_is_that_time_on_the_clocks_of_its_zone(day: date, zone: str, at: time, due: str) -> None:
    promise = Promise(0.999, ready_by=at, timezone=zone)
    assert promise.deadline(day) == datetime.fromisoformat(due).replace(tzinfo=UTC)


def test_there_is_one_deadline_a_day_also_when_the_clocks_change() -> None:
    promise = Promise(0.999, ready_by=time(8), timezone="Europe/Berlin")
    start = datetime(2026, 3, 27, tzinfo=UTC)
    days = [start.date() + number * DAY for number in range(4)]
    silver = [made(start + number * HOUR, day) for number, day in enumerate(days)]
    known = facts(chain(gold=promise), commits={"gold": [made(start, None)], "silver": silver})
    found = of(known, GOLD, since=start, until=start + 4 * DAY)
    assert [(one.about, f"{one.due_at:%dT%H}") for one in found] == [
        ("2026-03-27", "28T07"),
        ("2026-03-28", "29T06"),
        ("2026-03-29", "30T06"),
    ]


def test_the_date_that_is_due_is_over_everywhere_by_utc() -> None:
    for zone, day in (("Pacific/Auckland", 18), ("Europe/Berlin", 19), ("America/Los_Angeles", 19)):
        promise = Promise(0.999, ready_by=time(8), timezone=zone)
        assert due_date(chain()[GOLD], promise.deadline(TODAY)) == date(2026, 11, day)


# However often one looks

START = datetime(2026, 11, 16, tzinfo=UTC)
moments = st.integers(min_value=0, max_value=4 * 24 * 60).map(lambda minutes: START + minutes * MINUTE)
delays = st.one_of(st.none(), st.integers(min_value=0, max_value=600).map(lambda minutes: minutes * MINUTE))


@st.composite
def days_of_work(draw: st.DrawFn) -> Facts:
    """Objects that land, are seen and ingested sooner or later or never, and what becomes of them below."""
    arrivals: list[Arrival] = []
    bronze: list[Commit] = []
    silver: list[Commit] = []
    gold: list[Commit] = []
    for _ in range(draw(st.integers(min_value=0, max_value=12))):
        at = draw(moments)
        seen = at + SECOND + draw(st.sampled_from([0, 0, 0, 400, 1600])) * MINUTE
        delay = draw(delays)
        arrivals.append(landed(at, None if delay is None else seen + delay, seen=seen))
        if delay is not None:
            about = at.date() - draw(st.sampled_from([0, 0, 1, 2])) * DAY
            bronze.append(arrived(seen + delay, at.date(), about))
            for below in (silver, gold):
                more = draw(delays)
                if more is None:
                    break
                delay += more
                below.append(made(seen + delay, about))
    again = draw(st.lists(moments, max_size=3))  # somebody makes old dates again
    silver += [made(moment, moment.date() - DAY, "same") for moment in again]
    commits = {"bronze": bronze, "silver": silver, "gold": gold}
    in_order = {name: sorted(found, key=lambda commit: commit.at) for name, found in commits.items()}
    return facts(chain(draw(st.sampled_from([STREAM, DAILY]))), arrivals, in_order)


def as_seen(known: Facts, now: datetime) -> Facts:
    """What there was to know at a moment."""
    pasts = {
        name: Past(tuple(commit for commit in found.commits if commit.at <= now)) for name, found in known.pasts.items()
    }
    arrivals = [
        replace(one, ingested_at=one.ingested_at if one.ingested_at and one.ingested_at <= now else None)
        for one in known.arrivals[BRONZE]
        if one.seen_at <= now
    ]
    return Facts(known.tables, pasts, {BRONZE: arrivals})


def looked_at(known: Facts, looks: Sequence[datetime]) -> dict[Key, Outcome]:
    """What is kept after somebody looked at some moments."""
    kept: dict[Key, Outcome] = {}
    last = None
    for now in looks:
        told = decide(known.tables, last, kept, now, lambda _, now=now: as_seen(known, now))  # type: ignore[misc]
        kept.update({key_of(outcome): outcome for outcome in told})
        last = now if told else last
    return kept


@settings(max_examples=40, deadline=None)
@given(days_of_work(), st.integers(min_value=97, max_value=600))
def test_outcomes_are_the_same_however_often_one_looks(known: Facts, minutes: int) -> None:
    end = START + 8 * DAY
    often = [START + number * minutes * MINUTE for number in range(int(8 * DAY / (minutes * MINUTE)))]
    daily = [START + number * DAY + 13 * HOUR for number in range(8)]
    once = looked_at(known, [end])
    assert looked_at(known, [*daily, end]) == once
    assert looked_at(known, [*often, end]) == once


def test_what_is_decided_is_told_once_and_again_only_when_it_is_done() -> None:
    known = facts(chain(), [landed(EIGHT, NOON)], {"bronze": [arrived(NOON, TODAY)]})
    kept: dict[Key, Outcome] = {}
    told = []
    for now in (EIGHT + 62 * MINUTE, EIGHT + HOUR + SETTLED, NOON - HOUR, NOON + MINUTE, NOON + HOUR / 2):
        found = decide(known.tables, EIGHT, kept, now, lambda _, now=now: as_seen(known, now))  # type: ignore[misc]
        kept.update({key_of(outcome): outcome for outcome in found})
        told.append([(outcome.kept, outcome.unfinished) for outcome in found])
    assert told == [[], [(0, 1)], [], [(0, 0)], []]


def test_an_object_that_is_found_after_the_deadline_was_missing_at_it() -> None:
    forgotten = landed(EVENING + HOUR, None, seen=EIGHT + HOUR + MINUTE)
    known = facts(chain(), [forgotten], THROUGH)
    kept: dict[Key, Outcome] = {}
    told = []
    for now in (EIGHT + SETTLED, EIGHT + HOUR, EIGHT + 2 * HOUR):
        found = decide(known.tables, EVENING, kept, now, lambda _, now=now: as_seen(known, now))  # type: ignore[misc]
        kept.update({key_of(outcome): outcome for outcome in found})
        told.append([(outcome.kept, outcome.unfinished) for outcome in found if outcome.table == GOLD])
    assert told == [[(1, 0)], [], [(0, 1)]]


def test_what_was_known_stays_when_the_snapshots_that_told_it_expire() -> None:
    known = facts(chain(), commits={"bronze": [arrived(EIGHT, TODAY), arrived(EIGHT + MINUTE, TODAY)]})
    first = decide(known.tables, None, {}, NOON, lambda _: known)
    assert [(outcome.table, outcome.things, outcome.missed) for outcome in first] == [(SILVER, 2, 2)]
    kept = {key_of(outcome): outcome for outcome in first}
    expired = Facts(known.tables, {BRONZE: Past(known.pasts[BRONZE].commits[1:], EIGHT + MINUTE)})
    assert decide(known.tables, NOON, kept, NOON + MINUTE, lambda _: expired) == []

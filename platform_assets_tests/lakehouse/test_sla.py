"""`ops.sla_outcomes` over real tables, and the attainment that follows from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from platform_assets.contracts.sla import Promise
from platform_assets.lakehouse import attainment, publisher, sla
from platform_assets.lakehouse.append_only import append_news
from platform_assets.lakehouse.attainment import Attainment, attainments
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.declared import DeclaredTable
from platform_assets.lakehouse.outcomes import Arrival, Outcome
from platform_assets.lakehouse.past import past
from platform_assets.lakehouse.publisher import ConcurrentPublish
from platform_assets.lakehouse.query import query
from platform_assets_tests.lakehouse.test_freshness import ARRIVED, DAY, ORDERS, arrive, publish

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE, HOUR, ONE_DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
WITHIN = Promise(0.999, within=5 * MINUTE)
BY_EIGHT = Promise(0.9, ready_by=time(8), timezone="Europe/Berlin")
SILVER = DeclaredTable(ORDERS, "commerce", "team:test", None, HOUR, inputs=("bronze.orders",), sla=(WITHIN, BY_EIGHT))
BRONZE = replace(SILVER, contract=ARRIVED, inputs=(), sla=(WITHIN,))


@pytest.fixture(autouse=True)
def orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """The only tables that are declared are those of the orders."""
    for module in (sla, attainment):
        monkeypatch.setattr(module, "declared_tables", lambda _: [BRONZE, SILVER])


def nothing_landed(_: object) -> dict[str, Sequence[Arrival]]:
    return {}


def recorded(lakehouse: Lakehouse, now: datetime, arrivals: sla.Arrivals = nothing_landed) -> list[tuple[Any, ...]]:
    found = sla.record(lakehouse, now, arrivals)
    return [(outcome.table, outcome.promise, outcome.things, outcome.kept, outcome.unfinished) for outcome in found]


def rows(lakehouse: Lakehouse) -> int:
    (counted,) = query(lakehouse, "SELECT count(*) FROM ops.sla_outcomes")[1]
    return int(str(counted[0]))


def test_what_the_tables_tell_is_decided_once_and_outlives_their_snapshots(lakehouse: Lakehouse) -> None:
    at = arrive(lakehouse, DAY, DAY)
    publish(lakehouse, [DAY])
    arrive(lakehouse, DAY, DAY)  # silver never takes it in
    first = recorded(lakehouse, at + 2 * HOUR)
    assert first == [("silver.orders", "within 5 min", 2, 1, 1)]
    assert recorded(lakehouse, at + 3 * HOUR) == []
    before = attainments(lakehouse, at + 2 * HOUR)
    publish(lakehouse, [DAY])
    table = lakehouse.catalog.load_table("bronze.orders")
    table.maintenance.expire_snapshots().by_id(table.snapshots()[0].snapshot_id).commit()
    assert recorded(lakehouse, at + 4 * HOUR) == []  # half of what is known can be seen
    assert rows(lakehouse) == 1
    assert attainments(lakehouse, at + 2 * HOUR) == before


def test_what_was_not_done_is_told_again_when_it_is(lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = replace(SILVER, sla=(Promise(0.999, within=timedelta(microseconds=1)),))
    for module in (sla, attainment):
        monkeypatch.setattr(module, "declared_tables", lambda _: [BRONZE, at_once])
    at = arrive(lakehouse, DAY, DAY)
    assert [told[2:] for told in recorded(lakehouse, at + 2 * HOUR)] == [(1, 0, 1)]
    publish(lakehouse, [DAY])
    assert [told[2:] for told in recorded(lakehouse, at + 9 * ONE_DAY)] == [(1, 0, 0)]
    assert recorded(lakehouse, at + 9 * ONE_DAY + HOUR) == []
    assert rows(lakehouse) == 2
    (_, within) = attainments(lakehouse, at + 9 * ONE_DAY)
    assert (within.kept, within.missed, within.worst_unfinished) == (0, 1, False)


def test_replacing_a_partition_is_one_change(lakehouse: Lakehouse) -> None:
    publish(lakehouse, [DAY])
    found = past(lakehouse.catalog.load_table(ORDERS.table))
    assert [day for _, day in found.changes] == [DAY]
    publish(lakehouse, [DAY], hour=3)
    found = past(lakehouse.catalog.load_table(ORDERS.table))
    assert [day for _, day in found.changes] == [DAY, DAY]
    assert len(found.commits) == 2


def test_a_tick_that_is_killed_neither_loses_nor_doubles(lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    at = arrive(lakehouse, DAY, DAY)
    append = publisher.append

    def killed_before(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def killed_after(*arguments: Any, **named: Any) -> None:  # noqa: ANN401 - whatever it is called with
        append(*arguments, **named)
        raise KeyboardInterrupt

    for kill, left in ((killed_before, 0), (killed_after, 1)):
        monkeypatch.setattr(publisher, "append", kill)
        with pytest.raises(KeyboardInterrupt):
            sla.record(lakehouse, at + 2 * HOUR, nothing_landed)
        assert rows(lakehouse) == left
    monkeypatch.setattr(publisher, "append", append)
    assert recorded(lakehouse, at + 2 * HOUR) == []
    assert rows(lakehouse) == 1


def test_two_that_record_at_once_tell_it_once(lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    at = arrive(lakehouse, DAY, DAY)

    def other_was_quicker(_: object) -> dict[str, Sequence[Arrival]]:
        sla.record(lakehouse, at + 2 * HOUR, nothing_landed)
        return {}

    assert recorded(lakehouse, at + 2 * HOUR, other_was_quicker) == []
    assert rows(lakehouse) == 1

    def never(*_: object, **__: object) -> None:
        raise ConcurrentPublish("always somebody else")

    publish(lakehouse, [DAY])
    arrive(lakehouse, DAY, DAY)
    monkeypatch.setattr(publisher, "append", never)
    with pytest.raises(ConcurrentPublish):
        sla.record(lakehouse, at + 4 * HOUR, nothing_landed)


def test_arrivals_are_asked_for_as_far_back_as_they_matter(lakehouse: Lakehouse) -> None:
    asked: list[datetime] = []
    came = NOON - 3 * HOUR
    arrival = Arrival(came.date(), came, came + MINUTE, None)

    def landed(starts: Any) -> dict[str, Sequence[Arrival]]:  # noqa: ANN401 - a mapping
        asked.append(starts["bronze.orders"])
        return {"bronze.orders": [arrival]}

    assert recorded(lakehouse, NOON, landed) == [("bronze.orders", "within 5 min", 1, 0, 1)]
    assert asked == [NOON - 32 * ONE_DAY - 5 * MINUTE]
    recorded(lakehouse, NOON + 10 * ONE_DAY, landed)  # it still waits
    assert asked[1] < came
    arrival = replace(arrival, ingested_at=NOON + 11 * ONE_DAY)
    assert recorded(lakehouse, NOON + 12 * ONE_DAY, landed) == [("bronze.orders", "within 5 min", 1, 0, 0)]
    assert attainments(lakehouse, NOON + 12 * ONE_DAY)[0].worst == 11 * ONE_DAY + 3 * HOUR - 5 * MINUTE


# Attainment


def keep(lakehouse: Lakehouse, *told: Outcome, at: datetime = NOON) -> None:
    append_news(lakehouse, sla.SLA_OUTCOMES, lambda _: told, lambda one: sla.row_of(one, at), at)


def dated(day: date, *, kept: bool = True, late: timedelta | None = -HOUR) -> Outcome:
    due = BY_EIGHT.deadline(day + ONE_DAY)
    done = None if late is None else due + late
    return Outcome("silver.orders", BY_EIGHT.name, day.isoformat(), due, 1, int(kept), int(late is None), late, done)


def of_dates(lakehouse: Lakehouse, now: datetime = NOON, days: int = 30) -> Attainment:
    (found,) = [one for one in attainments(lakehouse, now, days) if one.promise == BY_EIGHT]
    return found


def test_without_outcomes_nothing_was_due(lakehouse: Lakehouse) -> None:
    found = attainments(lakehouse, NOON)
    assert [(one.table.name, one.promise.in_words, one.share, one.met) for one in found] == [
        ("bronze.orders", "99.9 % within 5 min", None, None),
        ("silver.orders", "99.9 % within 5 min", None, None),
        ("silver.orders", "90 % ready by 08:00 Europe/Berlin", None, None),
    ]


def test_attainment_is_the_share_of_what_was_due_in_the_window(lakehouse: Lakehouse) -> None:
    days = [NOON.date() - number * ONE_DAY for number in range(1, 41)]
    told = [dated(day) for day in days]
    for number in (9, 19, 29):
        told[number] = dated(days[number], kept=False, late=number * MINUTE)
    keep(lakehouse, *told)
    found = of_dates(lakehouse)
    assert (found.kept, found.missed, found.share, found.met) == (27, 3, 0.9, True)
    assert found.last_missed_at == BY_EIGHT.deadline(NOON.date() - 9 * ONE_DAY)
    assert found.worst_in_words == f"29 min late ({days[29]})"
    assert of_dates(lakehouse, days=10).met is True
    shorter = of_dates(lakehouse, days=9)
    assert (shorter.kept, shorter.missed, shorter.worst_in_words[:10]) == (9, 0, "1 h early ")
    assert of_dates(lakehouse, NOON + 90 * ONE_DAY).share is None


def test_a_promise_is_met_at_its_target_and_not_below(lakehouse: Lakehouse) -> None:
    days = [NOON.date() - number * ONE_DAY for number in range(1, 11)]
    keep(lakehouse, *(dated(day, kept=number > 0) for number, day in enumerate(days)))
    assert of_dates(lakehouse).met is True  # 9 of 10, as promised
    keep(lakehouse, dated(days[1], kept=False), at=NOON + MINUTE)
    assert of_dates(lakehouse).met is False


def test_the_newest_row_of_an_outcome_counts(lakehouse: Lakehouse) -> None:
    day = NOON.date() - ONE_DAY
    keep(lakehouse, dated(day - ONE_DAY), dated(day, kept=False, late=None))
    found = of_dates(lakehouse)
    assert (found.unready, found.unready_since) == (day.isoformat(), BY_EIGHT.deadline(NOON.date()))
    assert found.worst_in_words == f"5 h late, not done ({day})"
    keep(lakehouse, dated(day, kept=False, late=2 * HOUR), at=NOON + MINUTE)
    found = of_dates(lakehouse)
    assert (found.kept, found.missed, found.unready) == (1, 1, None)
    assert found.worst_in_words == f"2 h late ({day})"


def test_only_the_date_that_was_due_last_is_unready(lakehouse: Lakehouse) -> None:
    day = NOON.date() - ONE_DAY
    keep(lakehouse, dated(day - ONE_DAY, kept=False, late=None), dated(day))
    assert of_dates(lakehouse).unready is None


def test_another_promise_begins_anew(lakehouse: Lakehouse) -> None:
    keep(lakehouse, replace(dated(NOON.date() - ONE_DAY, kept=False), promise="ready by 06:00 UTC"))
    assert of_dates(lakehouse).share is None


def test_the_answer_is_one_flat_object_of_plain_values(lakehouse: Lakehouse) -> None:
    day = NOON.date() - ONE_DAY
    keep(lakehouse, dated(day, kept=False, late=None))
    told = of_dates(lakehouse).as_json()
    assert json.loads(json.dumps(told)) == told
    assert told == {
        "table": "silver.orders",
        "layer": "silver",
        "domain": "commerce",
        "owner": "team:test",
        "promise": "90 % ready by 08:00 Europe/Berlin",
        "kind": "ready_by",
        "target": 0.9,
        "days": 30,
        "kept": 0,
        "missed": 1,
        "share": 0.0,
        "met": False,
        "worst": "5 h late, not done (2026-11-19)",
        "worst_late_seconds": 18000.0,
        "last_missed_at": "2026-11-20T07:00:00+00:00",
        "unready": "2026-11-19",
    }

"""Missed promises are told, and told to be over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import dagster as dg

from platform_assets.automation.alerts.evaluation import evaluate
from platform_assets.automation.alerts.incidents import Kind
from platform_assets.automation.alerts.rules import read_alert_settings
from platform_assets.automation.alerts.sla_facts import sla_facts
from platform_assets.contracts.model import Column, Contract
from platform_assets.contracts.sla import Promise
from platform_assets.lakehouse.attainment import Attainment
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.declared import DeclaredTable
from platform_assets.lakehouse.outcomes import Outcome
from platform_assets.settings import CHECKOUT, Settings
from platform_assets.sources.model import AlertSeverity
from platform_assets_tests.automation.alerts.conftest import Receiver, beat
from platform_assets_tests.lakehouse.test_sla import keep

NOW = datetime(2026, 11, 20, 8, 10, tzinfo=UTC)
EIGHT = NOW - timedelta(minutes=10)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BY_EIGHT = Promise(0.999, ready_by=time(8))
WITHIN = Promise(0.999, within=timedelta(minutes=5))
ORDERS = DeclaredTable(Contract("gold.orders", (Column("day", "date"),)), "commerce", "team:test", None, DAY)


def told(one: Attainment, now: datetime = NOW) -> list[tuple[str, str, datetime]]:
    return [(seen.subject, seen.what, seen.since) for seen in sla_facts([one], now)]


def test_a_date_that_is_overdue_is_told_until_it_is_ready() -> None:
    overdue = Attainment(
        ORDERS, BY_EIGHT, 30, 29, 1, 10 * HOUR, last_missed_at=EIGHT, unready="2026-11-19", unready_since=EIGHT
    )
    what = "2026-11-19 is not ready by 08:00 UTC; promised 99.9 % ready by 08:00 UTC"
    assert told(overdue) == [("gold.orders", what, EIGHT)]
    assert told(overdue, NOW + 9 * DAY) == [("gold.orders", what, EIGHT)]


def test_a_promise_that_fell_below_its_target_is_told_for_a_day() -> None:
    below = Attainment(ORDERS, WITHIN, 30, 995, 5, HOUR, last_missed_at=EIGHT)
    what = "kept 99.5 % (995 of 1,000) in 30 days; promised 99.9 % within 5 min"
    assert told(below) == [("gold.orders", what, EIGHT)]
    assert told(below, EIGHT + DAY - HOUR) == [("gold.orders", what, EIGHT)]
    assert told(below, EIGHT + DAY) == []
    assert told(Attainment(ORDERS, WITHIN, 30, 9_995, 5, HOUR, last_missed_at=EIGHT)) == []
    assert told(Attainment(ORDERS, WITHIN, 30)) == []


def test_the_two_promises_of_a_table_are_two_incidents() -> None:
    both = [Attainment(ORDERS, promise, 30, 1, 9, HOUR, last_missed_at=EIGHT) for promise in (WITHIN, BY_EIGHT)]
    assert len({seen.fingerprint for seen in sla_facts(both, NOW)}) == 2


def test_who_is_told_how_loudly_depends_on_the_layer() -> None:
    judge = read_alert_settings(CHECKOUT / "platform_assets" / "sources" / "alert_routes.yaml").judge({})
    for name, severity in (("gold.orders", AlertSeverity.CRITICAL), ("bronze.orders", AlertSeverity.WARNING)):
        table = DeclaredTable(Contract(name, (Column("day", "date"),)), "commerce", "team:test", None, DAY)
        (seen,) = sla_facts([Attainment(table, WITHIN, 30, 0, 1, HOUR, last_missed_at=EIGHT)], NOW)
        verdict = judge(seen)
        assert verdict is not None
        assert (seen.kind, verdict.severity) == (Kind.SLA, severity)


def test_a_missed_deadline_is_told_and_that_the_date_came(
    here: Settings, receiver: Receiver, instance: dg.DagsterInstance
) -> None:
    here.alert_routes.write_text(
        f"notify: [ops]\nroutes:\n  ops: {{kind: webhook, url: '{receiver.url}'}}\n"
        "rules:\n  - {name: SLA missed, when: sla_missed, severity: critical}\n"
    )
    lakehouse = Lakehouse(here)
    missed = Outcome("gold.fact_orders", "ready by 08:00 UTC", "2026-11-19", EIGHT, 1, 0, 1, None, None)
    kept = [
        Outcome("gold.fact_orders", "ready by 08:00 UTC", f"d{number}", EIGHT - number * DAY, 1, 1, 0, -HOUR, EIGHT)
        for number in range(1, 30)
    ]
    keep(lakehouse, missed, *kept, at=NOW)
    now = NOW
    for _ in range(2):
        beat(instance, now)
        assert evaluate(here, instance, now).errors == []
        now += timedelta(minutes=3)
    (begun,) = [call.said for call in receiver.calls]
    (incident,) = begun["incidents"]
    assert (incident["subject"], incident["kind"], incident["severity"]) == (
        "gold.fact_orders",
        "sla_missed",
        "critical",
    )
    assert incident["what"].startswith("2026-11-19 is not ready by 08:00 UTC")

    done = replace(missed, unfinished=0, late=HOUR, done_at=EIGHT + HOUR)
    keep(lakehouse, done, at=NOW + HOUR)
    now = NOW + DAY  # the next deadline was kept: a day without another miss is over
    keep(lakehouse, replace(kept[0], about="2026-11-20", due_at=EIGHT + DAY), at=now)
    for _ in range(2):
        beat(instance, now)
        assert evaluate(here, instance, now).errors == []
        now += timedelta(minutes=3)
    assert len(receiver.calls) == 2
    assert receiver.calls[1].said["incidents"][0]["status"] == "recovered"

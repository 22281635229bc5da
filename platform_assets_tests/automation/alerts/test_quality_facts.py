"""What a watch finds unusual, from its judgement to what arrives at a route, and that its end is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from platform_assets.automation.alerts.evaluation import evaluate
from platform_assets.automation.alerts.incidents import Kind
from platform_assets.automation.alerts.quality_facts import QUALITY_KINDS, quality_facts
from platform_assets.automation.alerts.rules import read_alert_settings
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.quality.findings import Finding, Watch
from platform_assets.quality.store import record
from platform_assets.settings import CHECKOUT, Settings
from platform_assets_tests.automation.alerts.conftest import Receiver, beat

NOW = datetime.now(UTC)
MINUTE = timedelta(minutes=1)
FOUND = Finding(Watch.VOLUME, "gold.fact_orders", NOW.date(), 3.0, unusual=True, reason="3 rows, 400 to 500 are usual")


def test_an_unusual_judgement_is_told_once_and_its_end_when_the_next_is_usual(
    here: Settings, receiver: Receiver, instance: dg.DagsterInstance
) -> None:
    rules = "rules: [{name: Rows, when: volume_anomaly, severity: warning}]"
    route = f"routes:\n  ops: {{kind: webhook, url: '{receiver.url}'}}"
    here.alert_routes.write_text(f"notify: [ops]\n{route}\n{rules}\n")
    lakehouse = Lakehouse(here)

    def told(minutes: int) -> list[tuple[str, str, str]]:
        receiver.calls.clear()
        beat(instance, NOW + minutes * MINUTE)
        assert evaluate(here, instance, NOW + minutes * MINUTE).errors == []
        incidents = [incident for call in receiver.calls for incident in call.said["incidents"]]
        return [(incident["status"], incident["subject"], incident["what"]) for incident in incidents]

    assert told(0) == []
    record(lakehouse, [FOUND], NOW)
    what = f"{NOW.date()}: 3 rows, 400 to 500 are usual"
    assert told(3) == [("firing", "gold.fact_orders", what)]
    assert told(6) == []
    record(lakehouse, [replace(FOUND, observed=450.0, unusual=False, reason="so")], NOW + 7 * MINUTE)
    assert told(9) == []  # it may flap
    assert told(12) == [("recovered", "gold.fact_orders", what)]


@pytest.mark.parametrize("watch", list(Watch))
def test_every_watch_has_a_kind_of_incident_that_the_platform_s_own_rules_tell(here: Settings, watch: Watch) -> None:
    found = replace(FOUND, watch=watch, subject="amount")
    record(Lakehouse(here), [found], NOW)
    declared = "{table: gold.fact_orders, measure: count}"
    (here.sources / "reconciliations.yaml").write_text(
        f"reconciliations: [{{name: amount, description: It is., expected: {declared}, actual: {declared}}}]\n"
    )
    (seen,) = quality_facts(Lakehouse(here), NOW)
    assert seen.kind in QUALITY_KINDS
    judge = read_alert_settings(CHECKOUT / "platform_assets" / "sources" / "alert_routes.yaml").judge({})
    verdict = judge(seen)
    assert verdict is not None
    assert verdict.severity.value == ("info" if seen.kind is Kind.SCHEMA else "warning")

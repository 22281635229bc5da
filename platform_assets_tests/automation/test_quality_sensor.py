"""The sensor `quality`: from rows that look otherwise to what Dagit shows and what the alerts tell."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from platform_assets.automation import quality as quality_module
from platform_assets.automation.alerts.quality_facts import quality_facts
from platform_assets.automation.quality import quality_sensor, show
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.query import query
from platform_assets.quality.declarations import FILE_NAME
from platform_assets.quality.findings import Finding, Watch
from platform_assets.quality.store import record
from platform_assets.settings import load_settings
from platform_assets_tests.quality.tables import DAY, declare, orders, publish, publish_all

TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - DAY
HOUR = timedelta(hours=1)
KEY = dg.AssetKey(["silver", "orders"])


@pytest.fixture
def lakehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lakehouse:
    (tmp_path / "sources").mkdir()
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path))
    monkeypatch.setenv("PLATFORM_SOURCES", str(tmp_path / "sources"))
    declare(monkeypatch)
    return Lakehouse(load_settings())


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def tick(instance: dg.DagsterInstance, cursor: str | None = None) -> tuple[str, str]:
    """What a tick says, and its cursor."""
    with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
        found = quality_sensor().evaluate_tick(context)
    assert found.run_requests in (None, [])
    assert found.cursor is not None
    return str(found.skip_message), found.cursor


def observations(instance: dg.DagsterInstance) -> list[dg.AssetObservation]:
    """Those of the table, oldest first."""
    records = instance.fetch_observations(KEY, limit=100).records
    return [record.asset_observation for record in reversed(records) if record.asset_observation is not None]


def test_a_drift_is_shown_on_the_asset_told_by_the_alerts_and_both_end_with_it(
    lakehouse: Lakehouse, instance: dg.DagsterInstance
) -> None:
    publish_all(lakehouse, [YESTERDAY - n * DAY for n in range(1, 10)])
    _, cursor = tick(instance)
    seen = len(observations(instance))
    assert quality_facts(lakehouse, datetime.now(UTC)) == []

    publish(lakehouse, YESTERDAY, orders(YESTERDAY, amount="NULL"))
    said, cursor = tick(instance, cursor)
    assert said == "1 partitions read; 8 findings new or changed; unusual: silver.orders."
    (shown,) = observations(instance)[seen:]
    assert (shown.partition, shown.metadata["unusual"].value) == (YESTERDAY.isoformat(), 1)
    assert shown.metadata["null_rate/amount"].value == 1.0
    assert shown.description == (
        "null_rate amount: 100.0% of 400 rows are null; in the last 9 it was 0.0%, up to 2.0% is usual"
    )
    (told,) = quality_facts(lakehouse, datetime.now(UTC))
    assert (told.kind.value, told.subject, told.name) == ("column_drift", "silver.orders amount", "null_rate")
    assert told.what.startswith(f"{YESTERDAY}: 100.0% of 400 rows are null")

    assert tick(instance, cursor)[0] == "0 partitions read; 0 findings new or changed; unusual: none."
    assert len(observations(instance)) == seen + 1
    usual = Finding(Watch.NULL_RATE, "silver.orders", TODAY, 0.0, unusual=False, reason="so", subject="amount")
    record(lakehouse, [usual], datetime.now(UTC))
    assert quality_facts(lakehouse, datetime.now(UTC)) == []
    assert query(lakehouse, "SELECT count(*) FROM ops.quality_scores")[1] == [(1,)]


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs."""


def test_who_is_killed_between_the_commit_and_the_report_reports_with_the_next_tick(
    lakehouse: Lakehouse, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, cursor = tick(instance)
    publish(lakehouse, YESTERDAY)

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(quality_module, "show", die)
        with pytest.raises(Killed):
            tick(instance, cursor)
    assert query(lakehouse, "SELECT watch FROM ops.quality")[1] == [("schema",)]
    assert observations(instance) == []

    said, cursor = tick(instance, cursor)
    assert said == "0 partitions read; 0 findings new or changed; unusual: none."
    assert [shown.metadata["schema"].value for shown in observations(instance)] == [0.0]
    tick(instance, cursor)
    assert len(observations(instance)) == 1


def test_a_backlog_is_shown_bit_by_bit(
    lakehouse: Lakehouse, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality_module, "_OBSERVATIONS", 1)
    now = datetime.now(UTC)
    for hours in range(3):
        usual = Finding(Watch.VOLUME, "silver.orders", TODAY, float(hours), unusual=False, reason="so")
        record(lakehouse, [usual], now + hours * HOUR)
    after = now - HOUR
    for hours in range(3):
        after = show(instance, lakehouse, after)
        assert (after, len(observations(instance))) == (now + hours * HOUR, hours + 1)
    assert show(instance, lakehouse, after) == after
    assert [shown.metadata["volume"].value for shown in observations(instance)] == [0.0, 1.0, 2.0]


def test_a_mistake_in_the_declared_figures_stops_no_other_watch_and_is_told_by_the_alerts(
    lakehouse: Lakehouse, instance: dg.DagsterInstance
) -> None:
    (lakehouse.settings.sources / FILE_NAME).write_text("reconciliations: [{name: x}]\n")
    publish(lakehouse, YESTERDAY)
    assert tick(instance)[0].startswith("1 partitions read; 1 findings")
    assert len(observations(instance)) == 1
    with pytest.raises(ValueError, match=f"{FILE_NAME}:1: `reconciliations.0.actual` is missing"):
        quality_facts(lakehouse, datetime.now(UTC))


def test_figures_that_disagree_at_any_date_are_told_as_long_as_they_are_declared(lakehouse: Lakehouse) -> None:
    now = datetime.now(UTC)
    found = Finding(Watch.RECONCILIATION, "silver.orders", YESTERDAY, 1.0, unusual=True, reason="so", subject="counts")
    record(lakehouse, [found, Finding(Watch.RECONCILIATION, "silver.orders", TODAY, 1.0, False, "so", "counts")], now)
    assert quality_facts(lakehouse, now) == []
    figure = "{table: silver.orders, measure: count}"
    declared = f"{{name: counts, description: They agree., expected: {figure}, actual: {figure}}}"
    (lakehouse.settings.sources / FILE_NAME).write_text(f"reconciliations: [{declared}]\n")
    assert [(seen.kind.value, seen.subject) for seen in quality_facts(lakehouse, now)] == [
        ("reconciliation", "silver.orders counts")
    ]


def test_an_observation_makes_nothing_new(instance: dg.DagsterInstance) -> None:
    @dg.asset(key=KEY)
    def orders_table() -> None: ...

    @dg.asset(deps=[orders_table], automation_condition=dg.AutomationCondition.eager())
    def below() -> None: ...

    defs = dg.Definitions(assets=[orders_table, below])
    dg.materialize([orders_table, below], instance=instance)
    cursor = dg.evaluate_automation_conditions(defs, instance).cursor
    instance.report_runless_asset_event(dg.AssetObservation(KEY, metadata={"unusual": 1}))
    found = dg.evaluate_automation_conditions(defs, instance, cursor=cursor)
    assert found.total_requested == 0
    instance.report_runless_asset_event(dg.AssetMaterialization(KEY))
    assert dg.evaluate_automation_conditions(defs, instance, cursor=found.cursor).total_requested == 1

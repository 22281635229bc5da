"""Late tables and the sources' own rules, over real tables of a real source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import cast

import dagster as dg
import pytest

from platform_assets.automation.alerts.evaluation import evaluate
from platform_assets.automation.alerts.incidents import Kind
from platform_assets.automation.alerts.platform_facts import freshness_facts, metric_facts
from platform_assets.lakehouse.declared import DeclaredTable
from platform_assets.lakehouse.freshness import FreshnessState, TableFreshness
from platform_assets.lakehouse.lateness import Lateness
from platform_assets.lakehouse.statistics import TableStatistics
from platform_assets.settings import Settings
from platform_assets.sources.contracts import bronze_contract
from platform_assets.sources.model import Source
from platform_assets.sources.registry import load_sources, read_sources
from platform_assets_tests.automation.alerts.conftest import Receiver, beat

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SCHEMA = '{"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}'
SOURCE = """\
source_id: returns
owner: team:shop
ingestion: {pattern: batch_file, format: jsonl}
monitoring:
  freshness: {fail_minutes: 60}
alerts:
  - {name: old, condition: data_age > 2 hours, notification: ops, severity: critical}
  - {name: failing, condition: error_rate > 5%, notification: ops}
  - {name: few, condition: record_count < 100, notification: ops}
  - {name: dear, condition: "daily_cost > $500", notification: ops}
  - {name: slow, condition: latency_p95 > 1 second, notification: ops}
"""


@pytest.fixture
def source(here: Settings) -> Source:
    folder = here.sources / "returns"
    folder.mkdir()
    (folder / "source.yaml").write_text(SOURCE)
    (folder / "schema.v1.json").write_text(SCHEMA)
    read_sources.cache_clear()
    (found,) = load_sources(here.sources)
    return found


def row(
    source: Source, age: timedelta | None, rows: int = 50, state: FreshnessState = FreshnessState.PASS
) -> TableFreshness:
    table = DeclaredTable(bronze_contract(source), "shop", "team:shop", None, timedelta(hours=1))
    published = None if age is None else NOW - age
    found = TableStatistics(table.name, rows, 1, 1, date(2026, 11, 20), published, None)
    return TableFreshness(table, found, state, age, "materialised 3 h ago, more than 1 h")


def ran(instance: dg.DagsterInstance, *statuses: dg.DagsterRunStatus) -> None:
    for status in statuses:
        instance.create_run_for_job(
            dg.define_asset_job("nothing").resolve(asset_graph=dg.Definitions(assets=[nothing]).resolve_asset_graph()),
            asset_selection=frozenset({dg.AssetKey(["bronze", "returns"])}),
            status=status,
        )


@dg.asset(key=["bronze", "returns"])
def nothing() -> None:
    """Stands for the source's table."""


def test_only_a_table_that_breaks_its_promise_is_late_since_it_did(source: Source) -> None:
    fresh = row(source, timedelta(minutes=5))
    late = row(source, timedelta(minutes=5), state=FreshnessState.FAIL)  # an old date was made again: still late
    late = replace(late, lateness=Lateness("bronze.returns", NOW - timedelta(hours=3), "nothing arrived"))
    (seen,) = freshness_facts([fresh, late], NOW)
    assert (seen.kind, seen.subject, seen.owner) == (Kind.FRESHNESS, "bronze.returns", "team:shop")
    assert (seen.since, seen.late_ancestor) == (NOW - timedelta(hours=2), None)


def test_the_first_late_table_upstream_is_named(source: Source) -> None:
    above = Lateness("bronze.orders", NOW - timedelta(hours=3), "nothing arrived")
    (seen,) = freshness_facts([replace(row(source, None, state=FreshnessState.FAIL), lateness=above)], NOW)
    assert seen.late_ancestor == "bronze.orders"


def test_each_metric_is_judged_from_what_was_measured_and_the_rest_is_called_unmeasured(source: Source) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        ran(instance, *[dg.DagsterRunStatus.SUCCESS] * 9, dg.DagsterRunStatus.FAILURE)
        found = metric_facts(instance, [source], [row(source, timedelta(hours=3))], datetime.now(UTC))
    by_name = {seen.name: seen for seen in found.observations}
    assert {name: seen.failing for name, seen in by_name.items()} == {"old": True, "failing": True, "few": True}
    assert by_name["failing"].what == "error_rate > 5%: it is 10.0%"
    assert by_name["few"].what == "record_count < 100: it is 50"
    assert [rule.partition(": ")[2] for rule in found.unmeasured] == [
        "dear: daily_cost > $500",
        "slow: latency_p95 > 1 second",
    ]


def test_a_source_within_its_bounds_is_seen_to_be_so(source: Source) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        ran(instance, dg.DagsterRunStatus.SUCCESS)
        found = metric_facts(instance, [source], [row(source, timedelta(hours=1), rows=100)], NOW)
    assert {seen.name: seen.failing for seen in found.observations} == {"old": False, "failing": False, "few": False}


def test_what_was_never_published_or_run_is_unmeasured_and_not_fine(source: Source) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        found = metric_facts(instance, [source], cast("Sequence[TableFreshness]", []), NOW)
    assert found.observations == []
    assert len(found.unmeasured) == 5


def test_an_unmeasured_rule_is_reported_once(
    here: Settings, source: Source, receiver: Receiver, instance: dg.DagsterInstance
) -> None:
    assert source.name == "returns"
    here.alert_routes.write_text(f"routes:\n  ops: {{kind: webhook, url: '{receiver.url}'}}\n")
    first = evaluate(here, instance, NOW)
    again = evaluate(here, instance, NOW + timedelta(minutes=10))
    assert first.errors == again.errors == []
    assert "returns: dear: daily_cost > $500" in first.unmeasured
    assert again.unmeasured == []
    assert receiver.calls == []


def test_tables_that_cannot_be_read_do_not_keep_the_rest_from_being_told(
    here: Settings, source: Source, receiver: Receiver, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    assert source.name == "returns"
    here.alert_routes.write_text(
        f"notify: [ops]\nroutes:\n  ops: {{kind: webhook, url: '{receiver.url}'}}\n"
        "rules:\n  - {name: stopped, when: daemon_stopped, severity: critical}\n"
    )
    (tmp_path / "broken.db").write_text("no database " * 100)
    broken = here.model_copy(update={"catalog_uri": f"sqlite:///{tmp_path / 'broken.db'}"})
    beat(instance, NOW - timedelta(hours=1), ["SENSOR"])
    report = evaluate(broken, instance, NOW)
    assert [type(error).__name__ for error in report.errors] == ["DatabaseError"]
    assert {one["subject"] for one in receiver.calls[0].said["incidents"]} == {"SENSOR"}

"""Events that come again rebuild silver of their date and nothing below it, and nothing is asked for twice."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.freshness import table_freshness
from platform_assets.lakehouse.progress import progress
from platform_assets.settings import Settings
from platform_assets_tests.arrivals import drop, json_lines, web_event
from platform_assets_tests.graph_runner import AUTOMATION, GraphRunner

SOURCE, DAY = "web_events", "2026-03-10"
BELOW = ("gold.event_metrics", "gold.user_metrics", "mart.business_metrics")
DERIVED = ("silver.events_clean", "quarantine.events_clean", *BELOW)
EVENTS = [web_event(number, DAY) for number in (1, 2)]


@pytest.fixture
def graph(settings: Settings, tmp_path: Path) -> GraphRunner:
    """A platform that holds two events."""
    graph = GraphRunner(settings, dg.DagsterInstance.ephemeral(str(tmp_path)))
    graph.automate()
    drop(settings, SOURCE, DAY, "first.jsonl", json_lines(EVENTS))
    assert [run for run in graph.settle(SOURCE) if not run.success] == []
    return graph


def test_repeated_events_rebuild_silver_alone_and_leave_nothing_to_ask_for_or_to_wait_for(graph: GraphRunner) -> None:
    before, version = _snapshots(graph), _silver_version(graph)
    drop(graph.settings, SOURCE, DAY, "again.jsonl", json_lines(EVENTS))

    ran = graph.settle(SOURCE)

    assert [(run.partition, sorted(run.assets), run.failure) for run in ran] == [
        (DAY, [f"bronze/{SOURCE}"], None),
        (DAY, sorted(name.replace(".", "/") for name in DERIVED), None),
    ]
    assert graph.ask("select count(*) from bronze.web_events") == [(4,)]
    after = _snapshots(graph)
    assert after["silver.events_clean"] != before["silver.events_clean"]
    assert _silver_version(graph) == version
    assert {name: after[name] for name in BELOW} == {name: before[name] for name in BELOW}
    for name in BELOW:
        first, again = _materializations(graph, name)
        assert again.tags == {**again.tags, "dagster/data_version": first.tags["dagster/data_version"]}
        assert again.metadata["unchanged"].value is True
        assert again.metadata["dagster/partition_row_count"] == first.metadata["dagster/partition_row_count"]
        assert _contract_results(graph, name) == [True, True]
    assert graph.settle(SOURCE) == []
    freshness = table_freshness(Lakehouse(graph.settings), datetime.now(UTC), {}, DERIVED)
    assert [(row.table.name, p.partition) for row in freshness for p in row.partitions if p.waiting_since] == []


def test_a_changed_event_rebuilds_all_that_is_made_of_it(graph: GraphRunner) -> None:
    before = _snapshots(graph)
    drop(graph.settings, SOURCE, DAY, "more.jsonl", json_lines([*EVENTS, web_event(3, DAY, amount=4.5)]))

    graph.settle(SOURCE)

    after = _snapshots(graph)
    assert [name for name in DERIVED if after[name] == before[name]] == []
    assert graph.ask("select daily_active_users, daily_revenue::double from mart.business_metrics") == [(3, 7.5)]


def test_a_person_recomputes_what_is_unchanged(graph: GraphRunner) -> None:
    before, assets = _snapshots(graph), [name.replace(".", "/") for name in BELOW]

    assert graph.run(assets, DAY, tags=AUTOMATION).success
    assert _snapshots(graph) == before
    assert graph.run(assets, DAY).success

    after = _snapshots(graph)
    assert [name for name in BELOW if after[name] == before[name]] == []


def _snapshots(graph: GraphRunner) -> dict[str, int]:
    found = {}
    for name in DERIVED:
        snapshot = Lakehouse(graph.settings).catalog.load_table(name).current_snapshot()
        assert snapshot is not None
        found[name] = snapshot.snapshot_id
    return found


def _silver_version(graph: GraphRunner) -> object:
    return progress(Lakehouse(graph.settings).catalog.load_table("silver.events_clean")).versions


def _materializations(graph: GraphRunner, table: str) -> list[Any]:
    """Of the partition, oldest first."""
    these = dg.AssetRecordsFilter(dg.AssetKey(table.split(".")), asset_partitions=[DAY])
    records = graph.instance.fetch_materializations(these, limit=10).records
    return [record.asset_materialization for record in reversed(records)]


def _contract_results(graph: GraphRunner, table: str) -> list[bool]:
    key = dg.AssetCheckKey(dg.AssetKey(table.split(".")), "contract")
    records = graph.instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    return [record.event.dagster_event.asset_check_evaluation_data.passed for record in records]  # type: ignore[union-attr]

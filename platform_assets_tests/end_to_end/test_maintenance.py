"""Maintenance of a running platform: rows, freshness, announcements stay, and nothing is asked for because of it."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from platform_assets.ingestion.bronze import unannounced_dates
from platform_assets.ingestion.ledger import Ledger
from platform_assets.ingestion.waiting import arrivals
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.freshness import table_freshness
from platform_assets.lakehouse.maintenance import compaction, work
from platform_assets.lakehouse.maintenance.work import Job, Maintenance, Outcome
from platform_assets.lakehouse.progress import progress
from platform_assets.lakehouse.sla import record
from platform_assets.settings import Settings
from platform_assets_tests.arrivals import drop, json_lines, web_event
from platform_assets_tests.graph_runner import AUTOMATION, GraphRunner

SOURCE, DAY = "web_events", "2026-03-10"
BRONZE = f"bronze.{SOURCE}"
BELOW = ("gold.event_metrics", "gold.user_metrics", "mart.business_metrics")
DERIVED = ("silver.events_clean", "quarantine.events_clean", *BELOW)
TABLES = (BRONZE, *DERIVED)
ALL = [f"maintenance/{job}" for job in Job]


@pytest.fixture(autouse=True)
def _merges_few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small files are merged already."""
    monkeypatch.setattr(work, "compact", partial(compaction.compact, fewest_files=2))


@pytest.fixture
def graph(settings: Settings, tmp_path: Path) -> GraphRunner:
    """A platform to which nothing has come yet."""
    return GraphRunner(settings, dg.DagsterInstance.ephemeral(str(tmp_path)))


def arrive(graph: GraphRunner, number: int) -> list[str | None]:
    """One event more, and all that follows from it; what failed of what ran."""
    drop(graph.settings, SOURCE, DAY, f"{number}.jsonl", json_lines([web_event(number, DAY)]))
    return [run.failure for run in graph.settle(SOURCE) if not run.success]


def arrive_in_bronze(graph: GraphRunner) -> None:
    """Two events, one after the other, of which nothing is made yet."""
    for number in (1, 2):
        drop(graph.settings, SOURCE, DAY, f"{number}.jsonl", json_lines([web_event(number, DAY)]))
        graph.tick(SOURCE)
    assert [run.failure for run in graph.runs if not run.success] == []


def rows(graph: GraphRunner) -> dict[str, list[tuple[object, ...]]]:
    return {name: graph.ask(f"select * from {name} order by all") for name in TABLES}


def told(graph: GraphRunner, now: datetime) -> list[Any]:
    """What an analyst, an alert and a model are told."""
    lakehouse = Lakehouse(graph.settings)
    fresh = [(row.as_json(), row.partitions, row.older) for row in table_freshness(lakehouse, now, {}, TABLES)]
    return [*fresh, *(progress(lakehouse.catalog.load_table(name)) for name in TABLES)]


def maintain(graph: GraphRunner) -> dict[Job, list[Outcome]]:
    """All of it, as if all that is there were a year old."""
    lakehouse, now = Lakehouse(graph.settings), datetime.now(UTC) + timedelta(days=365)
    jobs = Maintenance(lakehouse, Ledger(graph.settings).announced, now)
    done = {job: list(jobs.run(job)) for job in Job}
    assert [outcome.note for outcomes in done.values() for outcome in outcomes if outcome.error] == []
    return done


def test_rows_and_all_that_is_told_stay_and_nothing_is_rebuilt(graph: GraphRunner) -> None:
    graph.automate()
    assert [failure for number in (1, 2) for failure in arrive(graph, number)] == []
    now = datetime.now(UTC)
    before, known = rows(graph), told(graph, now)
    promised = record(Lakehouse(graph.settings), now + timedelta(hours=2), arrivals(graph.settings))
    assert promised

    by_dagster = graph.run(ALL)  # at which nothing is old yet

    assert by_dagster.success
    _tells_in_numbers(by_dagster)
    assert (rows(graph), told(graph, now)) == (before, known)
    assert graph.settle(SOURCE) == []

    done = maintain(graph)

    assert all(outcome.did["snapshots"] == 1 for outcome in done[Job.EXPIRE])
    assert sum(outcome.did["removed"] for outcome in done[Job.ORPHANS]) > len(TABLES)
    assert (rows(graph), told(graph, now)) == (before, known)
    assert graph.settle(SOURCE) == []
    assert graph.run([name.replace(".", "/") for name in BELOW], DAY, tags=AUTOMATION).success
    assert told(graph, now) == known  # unchanged, as far as anybody can tell
    assert record(Lakehouse(graph.settings), now + timedelta(hours=2, minutes=5), arrivals(graph.settings)) == []

    assert arrive(graph, 3) == []  # and what comes next goes its way
    assert graph.ask(f"select count(*) from {BRONZE}") == [(3,)]
    assert graph.ask("select daily_active_users from mart.business_metrics") == [(3,)]


def _tells_in_numbers(result: dg.ExecuteInProcessResult) -> None:
    shown: dict[str, dict[str, Any]] = {
        m.asset_key.path[1]: {name: value.value for name, value in m.metadata.items()}
        for m in (event.materialization for event in result.get_asset_materialization_events())
    }
    assert shown["compact"]["merged"] > shown["compact"]["written"] > 0
    assert shown["expire"] == {**shown["expire"], "expired": 0, "failed": 0, "postponed": 0}
    assert shown["expire"]["snapshots"] > len(TABLES)
    assert shown["orphans"]["removed"] == 0  # nothing is old enough
    assert shown["orphans"]["bytes"] > 0
    assert BRONZE in json.dumps(shown["compact"]["by_table"])


def test_what_was_committed_and_not_announced_is_announced_after_maintenance(graph: GraphRunner) -> None:
    """A run that was killed between its commit and its announcement leaves it to the snapshots."""
    arrive_in_bronze(graph)
    ledger = Ledger(graph.settings)
    table = Lakehouse(graph.settings).catalog.load_table(BRONZE)
    first = min(table.snapshots(), key=lambda snapshot: snapshot.sequence_number or 0)
    ledger.mark_announced(BRONZE, first.snapshot_id)

    maintain(graph)

    table = Lakehouse(graph.settings).catalog.load_table(BRONZE)
    assert [day.isoformat() for day in unannounced_dates(table, ledger.announced(BRONZE))[0]] == [DAY]


def test_one_table_that_fails_keeps_no_other_from_being_maintained(graph: GraphRunner) -> None:
    arrive_in_bronze(graph)
    table = Lakehouse(graph.settings).catalog.load_table(BRONZE)
    os.truncate(next(iter(table.scan().plan_files())).file.file_path.removeprefix("file://"), 10)
    result = graph.run(ALL)
    assert not result.success
    failure = result.failure_data_for_node("maintain_tables")
    assert failure is not None
    assert f"compact {BRONZE}" in str(failure.error)
    done = {event.materialization.asset_key.path[1] for event in result.get_asset_materialization_events()}
    assert done == {job.value for job in Job}


def test_the_schedule_runs_by_itself_and_asks_for_every_job() -> None:
    from platform_assets.definitions import build_definitions

    schedule = build_definitions().get_repository_def().get_schedule_def("maintenance")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    with dg.DagsterInstance.ephemeral() as instance:
        moment = datetime.fromtimestamp(time.time(), UTC)
        data = schedule.evaluate_tick(dg.build_schedule_context(instance, scheduled_execution_time=moment))
    assert len(data.run_requests or ()) == 1
    assert (data.run_requests or ())[0].tags["dagster/priority"] == "-10"

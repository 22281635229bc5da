"""Exactly once (I4): a process is killed at the worst moments, the next runs are ordinary, and every row is there once.

Dagster's records survive as well, in the SQLite instance of a DAGSTER_HOME, with the project's own dagster.yaml.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from platform_assets.assets.requests import ARRIVAL_TAG
from platform_assets.automation import arrival_sensors
from platform_assets.ingestion.bronze import Ingested, ingest
from platform_assets.ingestion.landing import Landing
from platform_assets.ingestion.ledger import Ledger
from platform_assets.lakehouse import publisher
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.settings import CHECKOUT, Settings
from platform_assets.sources.registry import load_sources
from platform_assets_tests.arrivals import drop, json_lines, web_event
from platform_assets_tests.broker import create_subscription, publish
from platform_assets_tests.end_to_end import killed_run
from platform_assets_tests.graph_runner import GraphRunner

SOURCE, DAY, DAY_BEFORE = "web_events", "2026-03-10", "2026-03-09"
TABLES = ["silver/events_clean", "quarantine/events_clean"]
FIRST = [web_event(number, DAY) for number in range(1, 6)]
# Two more events, one of them a day late, one that has come before, and one that breaks the contract.
SECOND = [
    web_event(6, DAY),
    web_event(7, DAY_BEFORE),
    web_event(5, DAY),
    web_event(8, DAY_BEFORE, event_type="teleport"),
]
BEFORE, AFTER = 5, 9  # rows of bronze


@pytest.fixture
def graph(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GraphRunner]:
    """A platform whose Dagster home outlives its processes; runs that failed are tried again at once."""
    home = tmp_path / "dagster"
    home.mkdir()
    shutil.copy(CHECKOUT / "dagster.yaml", home)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setattr(arrival_sensors, "_FIRST_DELAY", timedelta())
    with dg.DagsterInstance.get() as instance:
        yield GraphRunner(settings, instance)


def _killed(moment: str, *arguments: str) -> list[str]:
    """Runs until it is killed at the moment; what it said."""
    script = [sys.executable, "-m", killed_run.__name__, moment, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr[-4000:]
    return done.stdout.split()


def _notice_dead_runs(graph: GraphRunner) -> list[dg.DagsterRun]:
    """What Dagster's run monitoring does about runs whose process has gone."""
    dead = list(graph.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])))
    for run in dead:
        graph.instance.report_run_failed(run)
    return dead


def _announced(graph: GraphRunner) -> list[str]:
    return sorted(graph.instance.get_materialized_partitions(dg.AssetKey(["arrival", "events_clean"])))


def _follow(graph: GraphRunner) -> None:
    """Rebuilds silver at every date of which rows were announced, as automation does."""
    for day in _announced(graph):
        assert graph.run(TABLES, day).success


def _count(graph: GraphRunner, table: str) -> int:
    (row,) = graph.ask(f"select count(*) from {table}")
    return int(str(row[0]))


def _assert_every_row_is_there_once(graph: GraphRunner) -> None:
    rows = graph.ask(f"select _landing_uri, _row_number from bronze.{SOURCE} order by all")
    assert len(rows) == len(set(rows)) == AFTER
    silver = graph.ask("select event_id, event_date::varchar from silver.events_clean order by all")
    days = [DAY] * 6 + [DAY_BEFORE]
    assert silver == [(web_event(number, DAY)["event_id"], day) for number, day in enumerate(days, start=1)]
    bad = graph.ask("select _broken_rules, _row_number, event_date::varchar from quarantine.events_clean")
    assert bad == [("event_type.one_of", 4, DAY_BEFORE)]


def _ordinary_run(graph: GraphRunner) -> None:
    drop(graph.settings, SOURCE, DAY, "first.jsonl", json_lines(FIRST))
    graph.tick(SOURCE)
    _follow(graph)


@pytest.mark.parametrize(
    ("moment", "visible"),
    [
        ("during the Parquet write", BEFORE),
        ("before the Iceberg commit", BEFORE),
        ("after the commit, before it is announced", AFTER),
        ("after the announcement, before the ledger knows", AFTER),
        ("after everything, before the run is recorded", AFTER),
    ],
)
def test_a_bronze_run_that_is_killed_loses_and_repeats_nothing(graph: GraphRunner, moment: str, visible: int) -> None:
    _ordinary_run(graph)
    drop(graph.settings, SOURCE, DAY, "second.jsonl", json_lines(SECOND))

    _killed(moment, "tick", SOURCE)

    assert _count(graph, f"bronze.{SOURCE}") == visible  # all of an object or nothing of it
    assert _count(graph, "silver.events_clean") == len(FIRST)
    (dead,) = _notice_dead_runs(graph)
    assert dead.tags[ARRIVAL_TAG] == f"{SOURCE}/{DAY}"

    graph.tick(SOURCE)
    _follow(graph)

    assert _announced(graph) == [DAY_BEFORE, DAY]
    _assert_every_row_is_there_once(graph)
    assert Ledger(graph.settings).pending(SOURCE) == {}
    assert not graph.tick(SOURCE).run_requests


def test_what_a_killed_run_committed_reaches_the_marts_once(graph: GraphRunner) -> None:
    drop(graph.settings, SOURCE, DAY, "first.jsonl", json_lines(FIRST))
    graph.settle(SOURCE)
    drop(graph.settings, SOURCE, DAY, "second.jsonl", json_lines(SECOND))
    _killed("after the commit, before it is announced", "tick", SOURCE)
    _notice_dead_runs(graph)

    ran = graph.settle(SOURCE)

    assert [run for run in ran if not run.success] == []
    assert [run.partition for run in ran if TABLES[0] in run.assets] == [DAY_BEFORE, DAY]
    _assert_every_row_is_there_once(graph)
    metrics = graph.ask("select event_date::varchar, events from gold.event_metrics order by all")
    assert metrics == [(DAY_BEFORE, 1), (DAY, 6)]
    marts = graph.ask("select daily_active_users, daily_revenue::double from mart.business_metrics order by event_date")
    assert marts == [(1, 1.5), (6, 9.0)]
    assert graph.settle(SOURCE) == []


def test_a_silver_run_killed_between_silver_and_quarantine_is_made_good_by_the_next(graph: GraphRunner) -> None:
    _ordinary_run(graph)
    drop(graph.settings, SOURCE, DAY, "second.jsonl", json_lines(SECOND))
    graph.tick(SOURCE)

    _killed("between silver and quarantine", "run", DAY_BEFORE, *TABLES)

    assert _count(graph, "silver.events_clean") == len(FIRST) + 1
    assert _count(graph, "quarantine.events_clean") == 0
    (dead,) = _notice_dead_runs(graph)
    assert {key.to_user_string() for key in dead.asset_selection or ()} == set(TABLES)
    _follow(graph)
    _assert_every_row_is_there_once(graph)


@pytest.mark.parametrize(
    ("moment", "objects"),
    [pytest.param("after pull", 0), pytest.param("after landing write, before ack", 1)],
)
def test_a_tick_killed_with_messages_in_hand_loses_and_repeats_none(
    graph: GraphRunner, moment: str, objects: int
) -> None:
    create_subscription(graph.settings, "carts-events", "carts-events-sub")
    carts = [{"event_id": str(number), "cart_id": number, "cart_date": f"{DAY}T10:00:00Z"} for number in range(3)]
    publish(graph.settings, "carts-events", [json.dumps(cart).encode() for cart in carts])

    held = _killed(moment, "tick", "fakestore_carts")

    assert len(held) == 3
    assert len(Landing(graph.settings).objects("fakestore_carts")) == objects
    _expire(graph.settings, held)
    graph.tick("fakestore_carts")
    graph.tick("fakestore_carts")
    assert graph.ask("select cart_id from bronze.fakestore_carts order by all") == [("0",), ("1",), ("2",)]
    assert [run.success for run in graph.runs] == [True]


def test_two_runs_of_one_partition_at_the_same_time_take_every_object_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        drop(settings, SOURCE, DAY, f"{number}.jsonl", json_lines([web_event(number, DAY)]))
        if number == 0:
            assert _ingest(settings).rows == 1
    both_have_staged, met = threading.Barrier(2), threading.local()
    commit = publisher._commit

    def together(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - the publisher's
        if not hasattr(met, "once"):
            met.once = True
            both_have_staged.wait(timeout=60)
        return commit(*arguments, **options)

    monkeypatch.setattr(publisher, "_commit", together)
    done: list[Ingested] = []
    runs = [threading.Thread(target=lambda: done.append(_ingest(settings))) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert sorted(ingested.rows for ingested in done) == [0, 3]
    assert _bronze_ids(settings) == [web_event(number, DAY)["event_id"] for number in range(4)]


def test_a_rebuild_takes_nothing_away_that_another_run_added_meanwhile(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(settings, SOURCE, DAY, "a.jsonl", json_lines([web_event(1, DAY)]))
    _ingest(settings)
    replace = publisher.replace

    def overtaken(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - the publisher's
        monkeypatch.setattr(publisher, "replace", replace)
        drop(settings, SOURCE, DAY, "b.jsonl", json_lines([web_event(2, DAY_BEFORE)]))
        assert _ingest(settings).rows == 1
        return replace(*arguments, **options)

    monkeypatch.setattr(publisher, "replace", overtaken)
    _ingest(settings, rebuild=True)
    assert _bronze_ids(settings) == [web_event(number, DAY)["event_id"] for number in (1, 2)]


def _ingest(settings: Settings, *, rebuild: bool = False) -> Ingested:
    source = next(source for source in load_sources() if source.name == SOURCE)
    return ingest(settings, Lakehouse(settings), source, date.fromisoformat(DAY), rebuild=rebuild, run_id="test")


def _bronze_ids(settings: Settings) -> list[object]:
    from platform_assets.lakehouse.query import query

    return [row[0] for row in query(Lakehouse(settings), f"select event_id from bronze.{SOURCE} order by all")[1]]


def _expire(settings: Settings, ack_ids: list[str]) -> None:
    """What the end of their leases does to messages, without waiting for it."""
    from google.cloud import pubsub_v1

    with pubsub_v1.SubscriberClient() as subscriber:
        path = subscriber.subscription_path(settings.project, "carts-events-sub")
        subscriber.modify_ack_deadline(subscription=path, ack_ids=ack_ids, ack_deadline_seconds=0)

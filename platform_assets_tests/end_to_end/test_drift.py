"""A source that changes without a word: what it adds is kept and told once, what it breaks stops at silver (S0-59)."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.settings import Settings
from platform_assets_tests.arrivals import drop, json_lines, web_event
from platform_assets_tests.graph_runner import GraphRunner

DAY = "2026-03-10"
SOURCE = "web_events"


@pytest.fixture
def graph(settings: Settings, tmp_path: Path) -> GraphRunner:
    return GraphRunner(settings, dg.DagsterInstance.ephemeral(str(tmp_path)))


def _drift(graph: GraphRunner, file_name: str, *events: object) -> dg.AssetCheckEvaluation:
    """The drift check of a run that takes one more object."""
    drop(graph.settings, SOURCE, DAY, file_name, json_lines(events))
    done = graph.run([f"bronze/{SOURCE}"], DAY)
    assert done.success
    return next(found for found in done.get_asset_check_evaluations() if found.check_name == "drift")


def test_a_new_member_is_kept_in_bronze_and_told_once(graph: GraphRunner) -> None:
    graph.automate()
    clean = _drift(graph, "a.jsonl", web_event(1, DAY))
    assert clean.passed
    first = _drift(graph, "b.jsonl", web_event(2, DAY, device="phone"), web_event(3, DAY, device="desk"))
    assert not first.passed
    assert first.severity is dg.AssetCheckSeverity.WARN
    assert first.description == "New: device (string)"
    assert first.metadata["device (string)"].value == 2
    again = _drift(graph, "c.jsonl", web_event(4, DAY, device="phone"), web_event(5, DAY, device=7))
    assert again.description == "New: device (integer)"
    assert (again.metadata["device (string)"].value, again.metadata["device (integer)"].value) == (3, 1)
    assert not _drift(graph, "d.jsonl", web_event(6, DAY)).passed  # what has come is still there
    kept = graph.ask(f"select _unexpected from bronze.{SOURCE} where _unexpected is not null order by event_id")
    assert [json.loads(str(members)) for (members,) in kept] == [
        {"device": "phone"},
        {"device": "desk"},
        {"device": "phone"},
        {"device": 7},
    ]
    graph.settle(SOURCE)
    assert graph.ask("select count(*) from silver.events_clean") == [(6,)]


def test_drift_that_breaks_stops_the_publish_and_the_check_says_what_changed(graph: GraphRunner) -> None:
    drop(graph.settings, SOURCE, DAY, "a.jsonl", json_lines(web_event(n, DAY) for n in range(1, 11)))
    graph.settle(SOURCE)
    lakehouse = Lakehouse(graph.settings)
    before = lakehouse.catalog.load_table("silver.events_clean").current_snapshot()
    changed = []
    for number in range(100, 1200):
        event = web_event(number, DAY, amount={"value": 1.5, "unit": "USD"})
        changed.append({("userId" if name == "user_id" else name): value for name, value in event.items()})
    drop(graph.settings, SOURCE, DAY, "b.jsonl", json_lines(changed))
    assert graph.run([f"bronze/{SOURCE}"], DAY).success
    done = graph.run(["silver/events_clean", "quarantine/events_clean"], DAY)
    assert not done.success
    check = next(c for c in done.get_asset_check_evaluations() if c.check_name == "contract" and not c.passed)
    said = str(check.description)
    assert "1100 of 1110 rows break the contract" in said
    assert "user_id is missing in 1100 of 1110 rows; `userId` arrived instead in 1100 of 1110 rows: renamed?" in said
    assert "amount: was decimal(18,2), 1100 of 1110 rows hold something else" in said
    assert "user_100" not in said  # names and counts, never values
    after = lakehouse.catalog.load_table("silver.events_clean").current_snapshot()
    assert after == before

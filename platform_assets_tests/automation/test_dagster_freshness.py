"""Dagster knows the freshness that the platform tells, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
import yaml

from platform_assets.automation.dagster_freshness import tell_dagster
from platform_assets.lakehouse.declared import declared_tables
from platform_assets.lakehouse.freshness import FreshnessState, TableFreshness
from platform_assets.lakehouse.lateness import Lateness
from platform_assets.settings import CHECKOUT, load_settings
from platform_assets.sources.registry import load_sources

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
BRONZE, LANDING, ARRIVAL = (
    dg.AssetKey(["bronze", "web_events"]),
    dg.AssetKey(["landing", "web_events"]),
    dg.AssetKey(["arrival", "events_clean"]),
)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def bronze(state: FreshnessState, lateness: Lateness | None = None) -> TableFreshness:
    """The freshness of the bronze table of the web events."""
    table = next(found for found in declared_tables(load_settings().dbt_project) if found.name == "bronze.web_events")
    return TableFreshness(table, None, state, None, "a reason", lateness=lateness)


def tell(instance: dg.DagsterInstance, row: TableFreshness) -> int:
    return tell_dagster(instance, [row], load_sources(), NOW)


def known(instance: dg.DagsterInstance) -> dict[dg.AssetKey, str]:
    """What Dagit shows."""
    found = instance.get_freshness_state_records([BRONZE, LANDING, ARRIVAL])
    return {key: record.freshness_state.value for key, record in found.items()}


def test_every_change_is_told_once(instance: dg.DagsterInstance) -> None:
    row = bronze(FreshnessState.PASS)
    assert tell(instance, row) == 3
    assert known(instance) == dict.fromkeys((BRONZE, LANDING, ARRIVAL), "PASS")
    assert tell(instance, row) == 0
    late = Lateness("bronze.web_events", NOW - timedelta(hours=1), "nothing arrived", missing=True)
    assert tell(instance, bronze(FreshnessState.WARN, late)) == 3
    assert known(instance) == dict.fromkeys((BRONZE, LANDING, ARRIVAL), "WARN")
    assert tell(instance, row) == 3
    assert known(instance) == dict.fromkeys((BRONZE, LANDING, ARRIVAL), "PASS")


def test_what_the_platform_did_not_process_is_no_fault_of_what_arrived(instance: dg.DagsterInstance) -> None:
    late = Lateness("bronze.web_events", NOW - timedelta(days=2), "what landed is not ingested")
    tell(instance, bronze(FreshnessState.FAIL, late))
    assert known(instance) == {BRONZE: "FAIL", LANDING: "PASS", ARRIVAL: "PASS"}
    tell(instance, bronze(FreshnessState.FAIL, replace(late, missing=True)))
    assert known(instance) == dict.fromkeys((BRONZE, LANDING, ARRIVAL), "FAIL")


def test_dagsters_own_daemon_does_not_overwrite_it() -> None:
    settings = yaml.safe_load((CHECKOUT / "dagster.yaml").read_text(encoding="utf-8"))
    assert settings["freshness"] == {"enabled": False}
    with dg.instance_for_test(overrides={"freshness": {"enabled": False}}) as instance:
        assert "FRESHNESS_DAEMON" not in instance.get_required_daemon_types()
        assert instance.internal_asset_freshness_enabled()  # Dagit shows the states nevertheless

"""The sensor `freshness` keeps what freshness was."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from platform_assets.automation.freshness import freshness_sensor
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.declared import declared_tables
from platform_assets.lakehouse.query import query
from platform_assets.settings import Settings, load_settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path))
    return load_settings()


def tick() -> str:
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance) as context:
        found = freshness_sensor().evaluate_tick(context)
    assert found.run_requests in (None, [])
    return str(found.skip_message)


def test_a_tick_keeps_the_state_of_every_table_and_the_next_only_what_changed(home: Settings) -> None:
    tables = {table.name for table in declared_tables(home.dbt_project)}
    assert tick() == f"{len(tables)} tables told; late: none."
    assert tick() == "0 tables told; late: none."
    _, rows = query(Lakehouse(home), "SELECT table_name, state, reason FROM ops.freshness")
    assert {name for name, _, _ in rows} == tables
    assert {(state, reason) for _, state, reason in rows} == {("UNKNOWN", "never materialised")}

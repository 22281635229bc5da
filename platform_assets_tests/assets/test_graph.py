"""The graph is whole (I8) and loading it touches nothing (I6)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import dagster as dg
import pytest

from platform_assets.definitions import build_definitions

SNAPSHOT = Path(__file__).parent / "graph_snapshot.json"
TABLE_LAYERS = {"bronze", "silver", "quarantine", "gold", "mart"}
LOAD_BUDGET_SECONDS = 5.0


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    return build_definitions()


def _table_specs(defs: dg.Definitions) -> list[dg.AssetSpec]:
    return [spec for spec in defs.resolve_all_asset_specs() if spec.key.path[0] in TABLE_LAYERS]


def test_definitions_are_loadable(defs: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(defs)


def test_every_dependency_is_declared(defs: dg.Definitions) -> None:
    specs = list(defs.resolve_all_asset_specs())
    declared = {spec.key for spec in specs}
    missing = {(spec.key, dep.asset_key) for spec in specs for dep in spec.deps if dep.asset_key not in declared}
    assert not missing


def test_every_table_says_everything_about_itself(defs: dg.Definitions) -> None:
    for spec in _table_specs(defs):
        name = spec.key.to_user_string()
        assert spec.description, name
        assert spec.owners, name
        assert spec.group_name not in {None, "default"}, name
        assert spec.kinds, name
        assert spec.freshness_policy is not None, name
        assert spec.metadata["dagster/table_name"] == ".".join(spec.key.path), name
        assert spec.metadata["dagster/uri"], name
        columns = spec.metadata["dagster/column_schema"].columns
        assert columns, name
        assert spec.partitions_def is not None or spec.metadata["unpartitioned_because"], name


def test_every_column_above_bronze_is_described_or_derived(defs: dg.Definitions) -> None:
    for spec in _table_specs(defs):
        if spec.key.path[0] in {"gold", "mart", "silver"}:
            for column in spec.metadata["dagster/column_schema"].columns:
                assert column.description, f"{spec.key.to_user_string()}.{column.name}"


def test_every_table_has_a_blocking_contract_check_with_its_partitions(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    checks = {(key.asset_key, key.name): graph.get(key) for key in graph.asset_check_keys}
    for spec in _table_specs(defs):
        check = checks.get((spec.key, "contract"))
        assert check is not None, spec.key
        assert check.blocking, spec.key
        assert check.partitions_def == spec.partitions_def, spec.key


def test_every_derived_table_keeps_itself_up_to_date(defs: dg.Definitions) -> None:
    """A quarantine with its silver table, bronze by its arrival sensor."""
    for spec in _table_specs(defs):
        assert (spec.automation_condition is None) == (spec.key.path[0] in {"bronze", "quarantine"}), spec.key


def test_every_source_has_a_sensor_of_its_own_that_runs(defs: dg.Definitions) -> None:
    from platform_assets.sources.registry import load_sources

    sensors = {sensor.name: sensor for sensor in defs.sensors or ()}
    for source in load_sources():
        sensor = sensors[f"arrivals_{source.name}"]
        assert sensor.default_status == dg.DefaultSensorStatus.RUNNING


def test_no_secret_column_leaves_landing(defs: dg.Definitions) -> None:
    for spec in _table_specs(defs):
        names = {column.name for column in spec.metadata["dagster/column_schema"].columns}
        assert not any("password" in name for name in names), spec.key


def test_graph_changes_are_reviewed_as_a_diff(defs: dg.Definitions) -> None:
    """To accept a change of the graph: `PLATFORM_UPDATE_SNAPSHOT=1 pytest <this file>`, then read the diff."""
    graph = defs.resolve_asset_graph()
    found: dict[str, dict[str, object]] = {
        spec.key.to_user_string(): {
            "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
            "group": spec.group_name,
            "owners": list(spec.owners),
            "kinds": sorted(spec.kinds),
            "partitions": None if spec.partitions_def is None else type(spec.partitions_def).__name__,
            "freshness": None if spec.freshness_policy is None else str(spec.freshness_policy),
            "automation": spec.automation_condition.get_label() if spec.automation_condition else None,
            "checks": sorted(key.name for key in graph.asset_check_keys if key.asset_key == spec.key),
            "columns": [
                f"{column.name}: {column.type}"
                for column in getattr(spec.metadata.get("dagster/column_schema"), "columns", ())
            ],
        }
        for spec in sorted(defs.resolve_all_asset_specs(), key=lambda spec: spec.key.to_user_string())
    }
    found["sensors"] = {sensor.name: {"interval": sensor.minimum_interval_seconds} for sensor in defs.sensors or ()}
    text = json.dumps(found, indent=1, sort_keys=True) + "\n"
    if os.environ.get("PLATFORM_UPDATE_SNAPSHOT"):
        SNAPSHOT.write_text(text, encoding="utf-8")
    assert text == SNAPSHOT.read_text(encoding="utf-8")


def test_definitions_load_without_network_cloud_clients_or_database_in_time(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import json, socket, sys, time
        def refuse(*arguments, **options):
            raise AssertionError("loading the graph opened a socket")
        socket.socket.connect = refuse
        socket.create_connection = refuse
        socket.getaddrinfo = refuse
        import sqlite3
        sqlite3.connect = refuse
        began = time.process_time()
        import platform_assets.definitions
        spent = time.process_time() - began
        heavy = ("google.cloud", "dbt", "dagster_dbt", "dagster_gcp", "pyiceberg", "pandera", "polars", "duckdb",
                 "pandas", "pyarrow", "sqlalchemy.engine.create")
        print(json.dumps({"seconds": spent, "heavy": [name for name in heavy if name in sys.modules]}))
    """)
    environment = {**os.environ, "PLATFORM_HOME": str(tmp_path / "nowhere")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["heavy"] == []
    assert found["seconds"] <= LOAD_BUDGET_SECONDS
    assert not (tmp_path / "nowhere").exists()

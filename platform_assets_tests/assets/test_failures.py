"""Which failures pass: real ones, of databases, disks, networks and data, in real runs of the platform's graph."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import dagster as dg
import duckdb
import httpx
import pytest
import requests
from google.api_core import exceptions as google
from sqlalchemy import create_engine, text

from platform_assets.assets.failures import PERMANENT, PermanentFailure, passes
from platform_assets.definitions import build_definitions
from platform_assets.lakehouse.audit import ContractBroken, Finding
from platform_assets.lakehouse.catalog import Lakehouse, LakehouseError
from platform_assets.lakehouse.publisher import ConcurrentPublish
from platform_assets.settings import Settings, SettingsError
from platform_assets_tests.arrivals import drop, json_lines, web_event
from platform_assets_tests.graph_runner import GraphRunner

DAY = "2026-03-10"


def _met(what: Callable[[], object]) -> BaseException:
    """The error that something real ends with."""
    with pytest.raises(Exception) as met:
        what()
    return met.value


def _locked(tmp_path: Path) -> BaseException:
    """What SQLAlchemy tells of a database that another one is writing."""
    path = tmp_path / "locked.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE t (n)")
        other.execute("BEGIN EXCLUSIVE")
        engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 0})
        return _met(lambda: engine.connect().execute(text("SELECT * FROM t")))


def _query(sql: str) -> BaseException:
    engine = create_engine("sqlite://")
    return _met(lambda: engine.connect().execute(text(sql)))


def _disk_full() -> object:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        return full.write("x")


def _from(cause: BaseException) -> LakehouseError:
    error = LakehouseError("dbt could not build dim_users")
    error.__cause__ = cause
    return error


def test_a_locked_database_passes_and_a_missing_table_does_not(tmp_path: Path) -> None:
    assert passes(_locked(tmp_path))
    assert not passes(_query("SELECT * FROM nothing"))


def test_a_server_that_is_not_there_passes_and_one_that_refuses_does_not() -> None:
    assert passes(_met(lambda: httpx.get("http://127.0.0.1:1")))
    assert passes(_met(lambda: requests.get("http://127.0.0.1:1", timeout=1)))
    assert passes(google.from_http_status(503, "try again"))  # type: ignore[no-untyped-call]
    assert not passes(google.from_http_status(403, "no"))  # type: ignore[no-untyped-call]
    assert not passes(requests.HTTPError("403 Forbidden"))


def test_a_full_disk_passes_and_a_place_that_is_no_folder_does_not(tmp_path: Path) -> None:
    assert passes(_met(_disk_full))
    with duckdb.connect() as connection:
        assert passes(_met(lambda: connection.execute("COPY (SELECT range FROM range(9000000)) TO '/dev/full'")))
        assert not passes(_met(lambda: connection.execute("SELECT * FROM '/nowhere/x.parquet'")))
    (tmp_path / "file").touch()
    assert not passes(_met(lambda: (tmp_path / "file" / "x").write_text("x", encoding="utf-8")))


def test_what_the_data_the_contract_or_the_settings_are_to_blame_for_does_not_pass() -> None:
    assert not passes(ContractBroken("silver.x", (Finding("not_null", 3),)))
    assert not passes(LakehouseError("column a is int in the table and string in the contract"))
    assert not passes(SettingsError("PLATFORM_PII_KEY is not set"))
    assert not passes(PermanentFailure("no"))
    assert not passes(KeyError("a mistake in the code"))


def test_an_error_passes_if_what_it_was_raised_from_does() -> None:
    assert passes(ConcurrentPublish("another run was quicker"))
    assert passes(_from(OSError(28, "No space left on device")))
    assert not passes(_from(ValueError("no")))


@pytest.fixture
def graph(settings: Settings, tmp_path: Path) -> GraphRunner:
    drop(settings, "web_events", DAY, "a.jsonl", json_lines([web_event(1, DAY)]))
    return GraphRunner(settings, dg.DagsterInstance.ephemeral(str(tmp_path)))


def _attempts(result: dg.ExecuteInProcessResult) -> int:
    return 1 + sum(event.event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY for event in result.all_events)


def _is_permanent(result: dg.ExecuteInProcessResult) -> bool:
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return failure.user_failure_data is not None and PERMANENT in failure.user_failure_data.metadata


def test_a_catalog_that_is_locked_for_a_while_delays_the_run_and_does_not_fail_it(
    graph: GraphRunner, settings: Settings
) -> None:
    Lakehouse(settings).tables()  # makes the database
    other = sqlite3.connect(settings.resolved_catalog_uri.removeprefix("sqlite:///"), check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(12, other.close)
    release.start()
    try:
        result = graph.run(["bronze/web_events"], DAY)
    finally:
        release.join()
    assert result.success
    assert 1 < _attempts(result) <= 4
    assert graph.ask("SELECT count(*) FROM bronze.web_events") == [(1,)]


def test_a_model_that_met_a_locked_catalog_is_built_by_a_later_attempt(graph: GraphRunner, settings: Settings) -> None:
    models = ["gold/event_metrics", "gold/user_metrics", "mart/business_metrics"]
    for assets in (["bronze/web_events"], ["silver/events_clean", "quarantine/events_clean"], models):
        assert graph.run(assets, DAY).success  # once before, so that the next time nothing has to be parsed
    other = sqlite3.connect(settings.resolved_catalog_uri.removeprefix("sqlite:///"), check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(15, other.close)
    release.start()
    try:
        result = graph.run(models, DAY)
    finally:
        release.join()
    assert result.success
    assert 1 < _attempts(result) <= 4
    assert all(check.passed for check in result.get_asset_check_evaluations())
    assert graph.ask("SELECT count(*) FROM gold.event_metrics WHERE event_date = DATE '2026-03-10'") != [(0,)]


def test_a_warehouse_that_cannot_be_written_fails_once_and_for_good(graph: GraphRunner, settings: Settings) -> None:
    folder = Path(settings.resolved_warehouse.removeprefix("file://"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file where the folder should be", encoding="utf-8")
    result = graph.run(["bronze/web_events"], DAY)
    assert (result.success, _attempts(result), _is_permanent(result)) == (False, 1, True)
    (run,) = graph.instance.get_runs()
    assert run.tags["dagster/retry_on_asset_or_op_failure"] == "false"


def test_data_that_cannot_be_published_fails_once_and_for_good(graph: GraphRunner, settings: Settings) -> None:
    bad = [web_event(number, DAY, event_type="nonsense") for number in range(2, 1_200)]
    drop(settings, "web_events", DAY, "bad.jsonl", json_lines(bad))
    assert graph.run(["bronze/web_events"], DAY).success
    result = graph.run(["silver/events_clean", "quarantine/events_clean"], DAY)
    assert (result.success, _attempts(result), _is_permanent(result)) == (False, 1, True)


def test_every_table_has_the_retries() -> None:
    policies = {
        definition.op.name: definition.op.retry_policy
        for definition in build_definitions().assets or ()
        if isinstance(definition, dg.AssetsDefinition) and definition.is_executable
    }
    for name, policy in policies.items():
        assert policy is not None, name
        assert (policy.max_retries, policy.backoff, policy.jitter) == (
            3,
            dg.Backoff.EXPONENTIAL,
            dg.Jitter.PLUS_MINUS,
        )

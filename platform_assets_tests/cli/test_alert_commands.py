"""`platform-assets alerts …` as a person types it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat
from typer.testing import CliRunner, Result

from platform_assets.cli import app
from platform_assets.settings import Settings
from platform_assets_tests.automation.alerts.conftest import Receiver, here, receiver

__all__ = ["here", "receiver"]  # fixtures


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["alerts", *arguments])


@pytest.fixture
def routes(here: Settings, receiver: Receiver) -> Settings:
    here.alert_routes.write_text(
        f"notify: [ops]\nroutes:\n  ops: {{kind: webhook, url: '{receiver.url}'}}\n"
        "rules:\n  - {name: Daemon stopped, when: daemon_stopped, severity: critical}\n"
    )
    return here


@pytest.mark.usefixtures("routes")
def test_a_route_is_tried_with_a_message_and_its_end(receiver: Receiver) -> None:
    done = run("test", "ops")
    assert done.exit_code == 0, done.output
    assert [call.said["incidents"][0]["status"] for call in receiver.calls] == ["firing", "recovered"]
    assert run("list").stdout == "No open incidents.\n"


@pytest.mark.usefixtures("routes")
def test_an_unknown_route_is_told_with_those_that_there_are() -> None:
    done = run("test", "pagerduty")
    assert done.exit_code == 1
    assert "route 'pagerduty' is not declared (known: ops)" in done.stderr


def test_a_wrong_file_is_told_with_its_line(routes: Settings) -> None:
    routes.alert_routes.write_text("rules:\n  - {name: x, when: run_failed, severity: loud}\n")
    done = run("test", "ops")
    assert done.exit_code == 1
    assert f"{routes.alert_routes}:2" in done.stderr
    assert "severity" in done.stderr


def test_a_time_without_zone_is_no_maintenance(routes: Settings) -> None:
    routes.alert_routes.write_text("maintenance:\n  - {from: 2026-12-01T22:00, to: 2026-12-02T02:00Z, reason: x}\n")
    done = run("test", "ops")
    assert "has no time zone; write it as `2026-12-01T22:00Z`" in done.stderr


def test_the_watch_tells_that_the_daemon_stopped_and_the_list_shows_it(
    routes: Settings,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    stopped = run("watch", "--once")
    assert stopped.exit_code == 1, stopped.output
    assert {one["rule"] for one in receiver.calls[0].said["incidents"]} == {"Daemon stopped"}
    assert routes.home == tmp_path
    rows = json.loads(run("list", "--json").stdout)
    assert {(row["severity"], row["told"]) for row in rows} == {("critical", "ops")}
    with dg.DagsterInstance.get() as instance:
        for name in instance.get_required_daemon_types():
            instance.add_daemon_heartbeat(DaemonHeartbeat(datetime.now(UTC).timestamp(), name, None))
    run("watch", "--once")
    assert run("watch", "--once").exit_code == 0
    assert [one["status"] for one in receiver.calls[-1].said["incidents"]] == ["recovered"] * len(rows)
    assert run("list").stdout == "No open incidents.\n"
    assert len(json.loads(run("list", "--all", "--json").stdout)) == len(rows)


@pytest.mark.usefixtures("routes")
def test_the_watch_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    done = run("watch", "--once")
    assert done.exit_code == 1
    assert "DAGSTER_HOME" in done.stderr

"""The daemon is gone and data arrives: the runbook tells it, readers go on, the daemon takes it up again (S0-60)."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from platform_assets.cli import app
from platform_assets.settings import CHECKOUT, Settings, load_settings
from platform_assets_tests.arrivals import drop, json_lines, web_event
from platform_assets_tests.automation.alerts.conftest import Receiver, beat, receiver
from platform_assets_tests.graph_runner import GraphRunner
from platform_assets_tests.live.running import PROGRAM
from platform_assets_tests.runbooks.conftest import NAMES, YESTERDAY, copy_models, write_routes
from platform_assets_tests.runbooks.running import paragraphs
from platform_assets_tests.runbooks.walk import RUNBOOKS, Walk

__all__ = ["receiver"]  # a fixture
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
PATIENCE_SECONDS, STOP_SECONDS = 120, 30


@pytest.fixture
def instance(
    settings: Settings, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """An instance as `dagster.yaml` has it, on a platform of one source."""
    assert settings.home == tmp_path
    home = tmp_path / "dagster"
    home.mkdir()
    shutil.copy(CHECKOUT / "dagster.yaml", home)
    shutil.copytree(CHECKOUT / "platform_assets" / "sources" / "web_events", tmp_path / "sources" / "web_events")
    copy_models(tmp_path / "dbt_project", "event_metrics")
    write_routes(tmp_path / "alert_routes.yaml")
    environment = {
        "DAGSTER_HOME": str(home),
        "PLATFORM_SOURCES": str(tmp_path / "sources"),
        "PLATFORM_DBT_PROJECT": str(tmp_path / "dbt_project"),
        "PLATFORM_ALERT_ROUTES": str(tmp_path / "alert_routes.yaml"),
        "PLATFORM_SECRET_ON_CALL": receiver.url,
        "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.get() as instance:
        yield instance


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that a runbook leaves running, ended after the test."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_a_daemon_that_stopped_is_told_started_and_takes_up_what_arrived_meanwhile(
    settings: Settings,
    instance: dg.DagsterInstance,
    receiver: Receiver,
    started: list[subprocess.Popen[bytes]],
    tmp_path: Path,
) -> None:
    def command(line: str) -> str:
        words = shlex.split(line)
        if words[0] == "platform-assets":
            return CliRunner().invoke(app, words[1:]).output
        background = line.removesuffix("&").replace("daemon.log", str(tmp_path / "daemon.log"))
        shell = ["/bin/bash", "-c", f"exec {background}"]
        started.append(subprocess.Popen(shell, cwd=CHECKOUT, start_new_session=True))
        return ""

    for name, first in (("a.jsonl", 1), ("b.jsonl", 11)):
        events = json_lines(web_event(number, YESTERDAY) for number in range(first, first + 10))
        drop(settings, "web_events", YESTERDAY, name, events)
        if name == "a.jsonl":
            GraphRunner(load_settings(), instance).settle("web_events")
    beat(instance, datetime.now(UTC) - timedelta(minutes=10))
    command("platform-assets alerts watch --once")  # as its supervisor lets it
    walk = Walk(
        RUNBOOKS / "hot-path-outage.md", command, {}, lambda: paragraphs(receiver), NAMES, patience=PATIENCE_SECONDS
    )
    rebuild = f"platform-assets partitions rebuild bronze/web_events {YESTERDAY} --by ada --why 'it waits, too' --json"
    asked = json.loads(command(rebuild))
    assert walk.follow() == 8
    these = dg.RunsFilter(tags={"dagster/backfill": asked["backfill_id"]}, statuses=[dg.DagsterRunStatus.SUCCESS])
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not instance.get_runs(these):
        assert time.monotonic() < deadline, "the daemon did not take up the backfill that waited for it"
        time.sleep(0.5)

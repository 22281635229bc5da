"""`platform-assets freshness` as a person types it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from platform_assets.cli import app
from platform_assets.ingestion.landing import LandingObject
from platform_assets.ingestion.ledger import Ledger
from platform_assets.ingestion.waiting import landed_since
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.settings import Settings
from platform_assets_tests.lakehouse.test_freshness import DAY, arrive, declare, publish


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["freshness", *arguments])


def answer(*arguments: str) -> list[dict[str, Any]]:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.usefixtures("home")
def test_tables_are_chosen_by_name_by_domain_and_by_state() -> None:
    everything = {row["table"]: row for row in answer()}
    assert (
        {row["table"] for row in answer("--domain", "commerce")}
        == {name for name, row in everything.items() if row["domain"] == "commerce"}
        != everything.keys()
    )
    assert [row["table"] for row in answer("--table", "gold.fact_orders", "--table", "bronze.web_events")] == [
        "bronze.web_events",
        "gold.fact_orders",
    ]
    assert answer("--failing") == []  # what was never made is unknown
    for wrong, said in (("--table", "is no table; expected one of bronze."), ("--domain", "is no domain; expected")):
        refused = run(wrong, "nonsense")
        assert (refused.exit_code, said in refused.output) == (1, True)


def test_failing_tables_are_told_with_whom_to_blame(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, warn=timedelta(milliseconds=1))
    lakehouse = Lakehouse(Settings(home=home))
    arrive(lakehouse, DAY, DAY)
    publish(lakehouse, [DAY])
    assert answer("--failing") == []
    arrived = arrive(lakehouse, DAY, DAY)
    (row,) = answer("--failing")
    assert (row["table"], row["state"], row["partition"]) == ("silver.orders", "WARN", "2026-11-21")
    assert row["blame"] == {
        "table": "silver.orders",
        "since": arrived.isoformat(),
        "reason": "bronze.orders 2026-11-21 changed and is not processed",
    }
    assert row["completeness"]["ratio"] == 0.5
    told = run("--failing").stdout
    assert ("silver.orders" in told, "50%" in told, "bronze.orders 2026-11-21 changed" in told) == (True, True, True)


def test_what_landed_and_was_never_ingested_is_seen(home: Path) -> None:
    source = "web_events"
    settings = Settings(home=home)
    landed = LandingObject(
        source=source,
        arrival_date=DAY,
        name=f"source={source}/date={DAY}/a.jsonl",
        generation=1,
        size=1,
        landed_at=datetime(2026, 11, 21, 9, tzinfo=UTC),
        bucket=settings.landing_bucket,
    )
    with Ledger(settings) as ledger:
        ledger.record_seen([landed])
        assert landed_since(settings) == {f"bronze.{source}": landed.landed_at}
        ledger.mark_ingested(source, [(landed.name, 1)])
        assert landed_since(settings) == {}


@pytest.mark.usefixtures("home")
def test_watch_tells_each_table_once_and_ends_with_ctrl_c() -> None:
    # Whoever runs the tests in the background may have them ignore interrupts, and all that they start.
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    start = f"{heeds}; from platform_assets.cli import app; app()"
    command = [sys.executable, "-c", start, "freshness", "--watch", "--json", "--domain", "commerce"]
    expected = len(answer("--domain", "commerce"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        told = [json.loads(watching.stdout.readline())["table"] for _ in range(expected)]
        watching.send_signal(signal.SIGINT)
        rest = watching.stdout.read()
    assert (len(set(told)), rest, watching.returncode) == (expected, "", 0)

"""`platform-assets quality` as a person types it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from platform_assets.cli import app
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.quality.findings import Finding, Watch
from platform_assets.quality.store import record
from platform_assets.settings import load_settings

NOW = datetime.now(UTC)
TODAY = NOW.date()


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["quality", *arguments])


def finding(table: str, *, unusual: bool, days_ago: int = 0) -> Finding:
    day = TODAY - timedelta(days=days_ago)
    return Finding(Watch.NULL_RATE, table, day, 0.25, unusual=unusual, reason="a quarter is null", subject="amount")


def test_before_the_first_look_it_says_so() -> None:
    assert run().stdout == "Nothing was judged yet: the sensor `quality` looks by itself.\n"
    assert run("--unusual").stdout == "Nothing unusual.\n"
    assert run("--json").stdout == "[]\n"


def test_findings_are_chosen_by_table_and_judgement() -> None:
    lakehouse = Lakehouse(load_settings())
    orders = [finding("gold.fact_orders", unusual=True), finding("gold.fact_orders", unusual=False, days_ago=1)]
    record(lakehouse, [*orders, finding("mart.revenue_by_day", unusual=False)], NOW)

    def told(*arguments: str) -> list[tuple[str, str, bool]]:
        done = run(*arguments, "--json")
        assert done.exit_code == 0, done.output
        return [(row["table"], row["partition"], row["unusual"]) for row in json.loads(done.stdout)]

    today = TODAY.isoformat()
    assert told() == [("gold.fact_orders", today, True), ("mart.revenue_by_day", today, False)]
    assert told("--unusual") == told("--table", "gold.fact_orders") == [("gold.fact_orders", today, True)]
    assert len(told("--history")) == 3
    row = json.loads(run("--unusual", "--json").stdout)[0]
    assert row == {
        "table": "gold.fact_orders",
        "partition": today,
        "watch": "null_rate",
        "subject": "amount",
        "observed": 0.25,
        "low": None,
        "high": None,
        "unusual": True,
        "reason": "a quarter is null",
        "judged_at": NOW.isoformat(),
    }
    shown = run().stdout
    assert "unusual" in shown
    assert "a quarter is null" in shown


def test_a_table_that_there_is_not_is_refused() -> None:
    for arguments in (["--table", "gold.nothing"], ["score", "--table", "gold.nothing"]):
        done = run(*arguments)
        assert done.exit_code == 1
        assert "gold.nothing is no table; expected one of bronze." in done.stderr


def test_scores_are_listed_with_what_cost_points() -> None:
    record(Lakehouse(load_settings()), [finding("gold.fact_orders", unusual=True)], NOW)
    cards = {card["table"]: card for card in json.loads(run("score", "--json").stdout)}
    assert cards["gold.fact_orders"]["score"] == 90.0
    assert cards["mart.revenue_by_day"]["score"] is None
    assert not any(name.startswith(("bronze.", "quarantine.")) for name in cards)
    shown = run("score", "--table", "gold.fact_orders").stdout
    assert "18.0/20" in shown
    assert "1 of 1 findings unusual, on 1 days" in shown

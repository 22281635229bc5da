"""`platform-assets sla` as a person types it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from platform_assets.cli import app
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.outcomes import Outcome
from platform_assets.settings import Settings
from platform_assets_tests.lakehouse.test_sla import keep

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lakehouse:
    """Three days of orders, of which the second was not ready in time; bronze in time but for one object."""
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path))
    lakehouse = Lakehouse(Settings(home=tmp_path))
    told = []
    for number, late in ((1, -1), (2, 2), (3, -1)):
        due = NOW - number * DAY
        about = (due.date() - DAY).isoformat()
        kept, hours = int(late < 0), timedelta(hours=late)
        told.append(Outcome("gold.fact_orders", "ready by 08:00 UTC", about, due, 1, kept, 0, hours, due + hours))
    hour = NOW - 40 * DAY
    told += [
        Outcome("bronze.web_events", "within 5 min", "h", NOW - DAY, 2_000, 1_999, 0, timedelta(minutes=2), NOW),
        Outcome("bronze.fakestore_carts", "within 5 min", "h", hour, 2, 0, 0, timedelta(minutes=9), hour),
    ]
    keep(lakehouse, *told, at=NOW)
    return lakehouse


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["sla", *arguments])


def answer(*arguments: str) -> dict[str, dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(*arguments, "--json").stdout)
    return {row["table"]: row for row in found}


@pytest.mark.usefixtures("home")
def test_promises_are_told_with_how_well_they_were_kept() -> None:
    found = answer()
    orders, events = found["gold.fact_orders"], found["bronze.web_events"]
    assert (orders["kept"], orders["missed"], orders["share"], orders["met"]) == (2, 1, 2 / 3, False)
    assert (events["kept"], events["missed"], events["met"]) == (1_999, 1, True)
    assert found["bronze.fakestore_carts"]["share"] is None  # it was 40 days ago
    told = run().stdout
    for words in ("66.67 % (2 of 3)", "2 h late", "99.95 % (1,999 of 2,000)", "7 min (h)", "nothing was due"):
        assert words in told


@pytest.mark.usefixtures("home")
def test_tables_are_chosen_by_name_domain_days_and_by_what_is_missed() -> None:
    assert list(answer("--missed")) == ["gold.fact_orders"]
    assert list(answer("--table", "bronze.web_events")) == ["bronze.web_events"]
    assert {row["domain"] for row in answer("--domain", "commerce").values()} == {"commerce"}
    assert answer("--days", "60", "--missed").keys() == {"gold.fact_orders", "bronze.fakestore_carts"}
    for wrong, said in (("--table", "is no table with an SLA; expected one of bronze."), ("--domain", "is no domain")):
        refused = run(wrong, "nonsense")
        assert (refused.exit_code, said in refused.output) == (1, True)


@pytest.mark.usefixtures("home")
def test_it_ends_with_1_if_a_promise_that_was_asked_for_is_kept_too_seldom() -> None:
    assert run().exit_code == 1
    assert run("--table", "bronze.web_events").exit_code == 0
    assert run("--table", "bronze.fakestore_carts").exit_code == 0
    assert run("--table", "gold.fact_orders", "--json").exit_code == 1

"""A platform that runs, with the project's own alert rules and a channel that hears of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from platform_assets import settings as platform_settings
from platform_assets.operations.onboarding import deploy
from platform_assets.settings import CHECKOUT, Settings, load_settings
from platform_assets_tests.automation.alerts.conftest import Receiver, receiver
from platform_assets_tests.graph_runner import GraphRunner
from platform_assets_tests.runbooks.running import Running

__all__ = ["receiver"]  # a fixture
YESTERDAY = (datetime.now(UTC).date() - timedelta(days=1)).isoformat()
NAMES = {"2026-11-20": YESTERDAY}  # the runbooks' example
_ROUTES = CHECKOUT / "platform_assets" / "sources" / "alert_routes.yaml"


def write_routes(path: Path, *, lateness: bool = False) -> None:
    """The project's own rules with somebody to tell; of lateness, which depends on the time of day, only if asked."""
    text = _ROUTES.read_text(encoding="utf-8")
    told = text.replace("notify: []\n", "notify: [on-call]\nroutes: {on-call: {kind: slack, url_secret: on-call}}\n")
    assert told != text
    lines = [line for line in told.splitlines() if lateness or "when: freshness_failed" not in line]
    path.write_text("\n".join(lines), encoding="utf-8")


def copy_models(folder: Path, *names: str) -> None:
    """The dbt project with no more than these models of gold."""
    shutil.copytree(CHECKOUT / "dbt_project", folder, ignore=shutil.ignore_patterns("target", "logs", "gold", "mart"))
    (folder / "models" / "gold").mkdir()
    for name in names:
        for file in (CHECKOUT / "dbt_project" / "models" / "gold").glob(f"{name}.*"):
            shutil.copy(file, folder / "models" / "gold")


@pytest.fixture
def models() -> Sequence[str]:
    """Models of gold below silver; a test that looks at none of them has none, and is quicker."""
    return ("event_metrics",)


@pytest.fixture
def platform(
    settings: Settings, receiver: Receiver, models: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Running]:
    """The project's sources, of which only web events arrive; whoever is on call hears of everything."""
    routes, sources = tmp_path / "alert_routes.yaml", tmp_path / "checkout" / "platform_assets" / "sources"
    write_routes(routes)
    for source in (CHECKOUT / "platform_assets" / "sources").glob("*/source.yaml"):
        shutil.copytree(source.parent, sources / source.parent.name)
    copy_models(tmp_path / "dbt_project", *models)
    monkeypatch.setenv("PLATFORM_DBT_PROJECT", str(tmp_path / "dbt_project"))
    monkeypatch.setenv("PLATFORM_SECRET_ON_CALL", receiver.url)
    monkeypatch.setenv("PLATFORM_ALERT_ROUTES", str(routes))
    monkeypatch.setenv("PLATFORM_SOURCES", str(sources))
    monkeypatch.setenv("PLATFORM_DAGIT_URL", "https://dagit.example.com")
    monkeypatch.setattr(platform_settings, "CHECKOUT", tmp_path / "checkout")  # in which a runbook changes sources
    assert settings.landing_bucket == load_settings().landing_bucket
    with dg.instance_for_test() as instance:
        running = Running(GraphRunner(load_settings(), instance), receiver, monkeypatch, ("web_events",))
        running.reload()
        monkeypatch.setattr(deploy, "Dagit", lambda _url: running)
        yield running

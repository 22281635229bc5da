"""A platform that runs, with the project's own alert rules and a channel that hears of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from platform_assets.settings import CHECKOUT, Settings, load_settings
from platform_assets_tests.automation.alerts.conftest import Receiver, receiver
from platform_assets_tests.graph_runner import GraphRunner
from platform_assets_tests.runbooks.running import Running

__all__ = ["receiver"]  # a fixture
_ROUTES = CHECKOUT / "platform_assets" / "sources" / "alert_routes.yaml"


@pytest.fixture
def platform(
    settings: Settings, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Running]:
    """The project's sources, of which only web events arrive; whoever is on call hears of everything."""
    routes, sources = tmp_path / "alert_routes.yaml", tmp_path / "sources"
    told = "notify: [on-call]\nroutes:\n  on-call: {kind: slack, url_secret: on-call}\n"
    routes.write_text(_ROUTES.read_text(encoding="utf-8").replace("notify: []\n", told, 1), encoding="utf-8")
    assert "notify: [on-call]" in routes.read_text(encoding="utf-8")
    for source in (CHECKOUT / "platform_assets" / "sources").glob("*/source.yaml"):
        shutil.copytree(source.parent, sources / source.parent.name)
    monkeypatch.setenv("PLATFORM_SECRET_ON_CALL", receiver.url)
    monkeypatch.setenv("PLATFORM_ALERT_ROUTES", str(routes))
    monkeypatch.setenv("PLATFORM_SOURCES", str(sources))
    monkeypatch.setenv("PLATFORM_DAGIT_URL", "https://dagit.example.com")
    assert settings.landing_bucket == load_settings().landing_bucket
    with dg.instance_for_test() as instance:
        running = Running(GraphRunner(load_settings(), instance), receiver, monkeypatch, ("web_events",))
        running.reloaded()
        yield running

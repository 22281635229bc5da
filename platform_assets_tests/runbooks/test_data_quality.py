"""Rows that break their contract: the runbook releases one and discards the other (S1-112)."""

from __future__ import annotations

from platform_assets_tests.arrivals import drop, json_lines, web_event
from platform_assets_tests.runbooks.conftest import NAMES, YESTERDAY
from platform_assets_tests.runbooks.running import Running
from platform_assets_tests.runbooks.walk import RUNBOOKS, Walk


def test_bad_rows_are_decided_about_until_none_is_open(platform: Running) -> None:
    good = [web_event(number, YESTERDAY) for number in range(1, 11)]
    bad = [web_event(number, YESTERDAY, event_type=word) for number, word in ((11, "purchse"), (12, "teleport"))]
    drop(platform.graph.settings, "web_events", YESTERDAY, "a.jsonl", json_lines([*good, *bad]))
    platform.goes_on()
    assert Walk(RUNBOOKS / "data-quality.md", platform.command, {}, platform.told, NAMES).follow() == 10

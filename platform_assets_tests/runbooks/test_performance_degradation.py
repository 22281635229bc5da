"""A table that is late because the work before it is not done: found, told apart, verified when it is (S1-113)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from platform_assets_tests.arrivals import drop, json_lines, web_event
from platform_assets_tests.runbooks.conftest import NAMES, YESTERDAY, write_routes
from platform_assets_tests.runbooks.running import Running
from platform_assets_tests.runbooks.walk import RUNBOOKS, Walk


@pytest.fixture
def models() -> tuple[str, ...]:
    """None."""
    return ()


def test_a_late_table_is_found_and_on_time_again(platform: Running, tmp_path: Path) -> None:
    file = tmp_path / "checkout" / "platform_assets" / "sources" / "web_events" / "source.yaml"
    promise = file.read_text(encoding="utf-8").replace("fail_minutes: 1440", "fail_minutes: 60")
    file.write_text(promise, encoding="utf-8")
    write_routes(tmp_path / "alert_routes.yaml", lateness=True)
    platform.reload()

    def arrive(name: str, first: int, last: int) -> None:
        events = json_lines(web_event(number, YESTERDAY) for number in range(first, last + 1))
        drop(platform.graph.settings, "web_events", YESTERDAY, name, events)

    def get_through() -> None:
        platform.busy = False
        platform.goes_on()

    arrive("a.jsonl", 1, 10)
    platform.goes_on()
    arrive("b.jsonl", 11, 20)
    platform.graph.tick("web_events")  # bronze, and then there is no place for silver
    platform.busy = True
    platform.pace = timedelta(minutes=3)
    platform.later(timedelta(hours=2))
    platform.goes_on()
    others = {"the runs get through": get_through}
    walk = Walk(RUNBOOKS / "performance-degradation.md", platform.command, others, platform.told, NAMES)
    assert walk.follow() == 6

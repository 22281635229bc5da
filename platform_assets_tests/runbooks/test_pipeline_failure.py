"""A step that cannot succeed and an object that cannot be read: the runbook brings both to an end (S0-58, S1-110)."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_assets_tests.arrivals import drop, json_lines, web_event
from platform_assets_tests.runbooks.conftest import NAMES, YESTERDAY
from platform_assets_tests.runbooks.running import Running
from platform_assets_tests.runbooks.walk import RUNBOOKS, Walk

KEY = "0123456789abcdef" * 4


def test_a_failed_pipeline_goes_on_and_what_could_not_be_read_is_replayed(
    platform: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def arrive(name: str, first: int, last: int, more: bytes = b"") -> None:
        events = json_lines(web_event(number, YESTERDAY) for number in range(first, last + 1))
        drop(platform.graph.settings, "web_events", YESTERDAY, name, events + more)
        platform.goes_on()

    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "pii.key").write_text(KEY, encoding="utf-8")
    arrive("a.jsonl", 1, 10)
    monkeypatch.delenv("PLATFORM_PII_KEY")
    arrive("b.jsonl", 11, 15, b'{"event_id": "000\n')
    walk = Walk(
        RUNBOOKS / "pipeline-failure.md",
        platform.command,
        {"the sender drops the mended object over the old one": lambda: arrive("b.jsonl", 11, 16)},
        platform.told,
        NAMES,
    )
    assert walk.follow() == 12

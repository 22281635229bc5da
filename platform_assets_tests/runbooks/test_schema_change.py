"""A source breaks its contract, takes it back, and adds a field that becomes a column (S0-59, S1-111)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from platform_assets_tests.arrivals import drop, json_lines, web_event
from platform_assets_tests.operations.repositories import Repository
from platform_assets_tests.runbooks.conftest import NAMES, YESTERDAY
from platform_assets_tests.runbooks.running import Running
from platform_assets_tests.runbooks.walk import RUNBOOKS, Walk

RUNBOOK = RUNBOOKS / "schema-change.md"
EVENTS = [web_event(number, YESTERDAY) for number in range(1, 1101)]
DRIFTED = [
    {"userId" if name == "user_id" else name: value for name, value in event.items()} | {"amount": {"value": 1.5}}
    for event in EVENTS[10:]
]


@pytest.fixture
def models() -> tuple[str, ...]:
    """None."""
    return ()


def test_a_changed_schema_is_blocked_negotiated_deployed_and_backfilled(platform: Running, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "checkout")
    repository.git("init", "--quiet", "--initial-branch", "main")
    repository.commit()
    source = repository.sources / "web_events"
    schema = json.loads((source / "schema.v1.json").read_text(encoding="utf-8"))

    def arrive(name: str, events: list[dict[str, Any]]) -> None:
        drop(platform.graph.settings, "web_events", YESTERDAY, name, json_lines(events))
        platform.goes_on()

    def second_version(**fields: object) -> None:
        version = {**schema, "properties": {**schema["properties"], **fields}}
        (source / "schema.v2.json").write_text(json.dumps(version), encoding="utf-8")
        file = source / "source.yaml"
        file.write_text(file.read_text(encoding="utf-8").replace("schema.v1", "schema.v2"), encoding="utf-8")

    (added,) = re.findall(r"^```json\n(.*?)^```", RUNBOOK.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    field = json.loads(added)
    arrive("a.jsonl", EVENTS[:10])
    arrive("b.jsonl", DRIFTED)
    others = {
        "the sender drops the objects as they were before": lambda: arrive("b.jsonl", EVENTS[10:]),
        "the sender adds a field": lambda: arrive(
            "c.jsonl", [web_event(number, YESTERDAY, device="phone") for number in range(2000, 2010)]
        ),
        "the second version of the schema has the field": lambda: second_version(**field),
        "the field becomes another type": lambda: second_version(**field, amount={"type": ["boolean", "null"]}),
        "the field is what it was": lambda: second_version(**field),
    }
    walk = Walk(RUNBOOK, platform.command, others, platform.told, NAMES)
    assert walk.follow() == 13

"""The sensor `freshness` keeps what freshness was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import dagster as dg
import pytest

from platform_assets.automation import freshness
from platform_assets.automation.freshness import freshness_sensor
from platform_assets.ingestion.landing import LandingObject
from platform_assets.ingestion.ledger import Ledger
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.declared import declared_tables
from platform_assets.lakehouse.query import query
from platform_assets.settings import Settings, load_settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path))
    return load_settings()


def tick(cursor: str | None = None) -> tuple[str, str | None]:
    """What it says, and the cursor that it leaves."""
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance, cursor=cursor) as context:
        found = freshness_sensor().evaluate_tick(context)
    assert found.run_requests in (None, [])
    return str(found.skip_message), found.cursor


def test_a_tick_keeps_the_state_of_every_table_and_the_next_only_what_changed(home: Settings) -> None:
    tables = {table.name for table in declared_tables(home.dbt_project)}
    assert tick()[0] == f"{len(tables)} tables told; late: none."
    assert tick()[0] == "0 tables told; late: none."
    _, rows = query(Lakehouse(home), "SELECT table_name, state, reason FROM ops.freshness")
    assert {name for name, _, _ in rows} == tables
    assert {(state, reason) for _, state, reason in rows} == {("UNKNOWN", "never materialised")}


NOON = datetime(2026, 11, 20, 12, 17, tzinfo=UTC)


class AtNoon(datetime):
    """A clock that goes on by a second whenever it is looked at."""

    moment: ClassVar[datetime] = NOON

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        """Soon after noon, in UTC."""
        assert tz is UTC
        AtNoon.moment += timedelta(seconds=1)
        return cls.moment


def test_what_became_of_promises_is_decided_once_a_quarter_of_an_hour(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freshness, "datetime", AtNoon)
    landed_at = NOON - timedelta(hours=3)
    day = landed_at.date()
    landed = LandingObject("web_events", day, f"source=web_events/date={day}/a", 1, 1, landed_at, home.landing_bucket)
    with Ledger(home) as ledger:
        ledger.record_seen([landed], landed_at)
    said, cursor = tick()
    assert said.endswith(" 1 outcomes of SLAs; missed: bronze.web_events within 5 min.")
    assert cursor == "2026-11-20T12:00:00+00:00"  # what was due then has settled

    def rows() -> int:
        return len(query(Lakehouse(home), "SELECT * FROM ops.sla_outcomes")[1])

    with Ledger(home) as ledger:
        ledger.mark_ingested("web_events", [(landed.name, 1)], NOON)
    assert (tick(cursor)[0], rows()) == ("0 tables told; late: none.", 1)
    before = "2026-11-20T11:45:00+00:00"
    assert (tick(before)[1], rows()) == (cursor, 2)
    assert (tick(before)[1], rows()) == (cursor, 2)  # as after a tick that was killed before it could save its cursor

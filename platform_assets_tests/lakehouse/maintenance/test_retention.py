"""Retention takes out what is over its time, only what is declared, and nobody takes it for a change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from platform_assets.contracts.dbt_yaml import load_models
from platform_assets.contracts.model import ContractError
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.maintenance import retention
from platform_assets.lakehouse.maintenance.retention import Keep, declared_retention, delete_expired
from platform_assets.lakehouse.past import past
from platform_assets.lakehouse.progress import progress
from platform_assets.lakehouse.statistics import statistics
from platform_assets.lakehouse.unchanged import Held
from platform_assets.settings import Settings
from platform_assets_tests.lakehouse.bronze_rows import object_schema, write_source
from platform_assets_tests.lakehouse.maintenance.events import (
    DAY,
    EVENTS,
    NEXT,
    append,
    later,
    planned,
    read,
    replace,
    rows,
)

KEEP = Keep(EVENTS.table, "day", 1)
TODAY = NEXT + timedelta(days=1)  # so that DAY is over its time and NEXT is not


def test_partitions_beyond_the_declared_end_go_in_one_commit(lakehouse: Lakehouse) -> None:
    for number in range(2):
        append(lakehouse, DAY, first=number)
        append(lakehouse, DAY - timedelta(days=1), first=number)
        append(lakehouse, NEXT, first=number)
    before, reader = rows(lakehouse), planned(lakehouse)
    snapshots = len(lakehouse.catalog.load_table(EVENTS.table).snapshots())

    done = delete_expired(lakehouse, KEEP, TODAY)

    assert (done.partitions, done.files, done.first, done.last) == (2, 4, DAY - timedelta(days=1), DAY)
    assert rows(lakehouse) == [row for row in before if row[-1] == NEXT]
    assert done.rows == len(before) - len(rows(lakehouse))
    assert len(lakehouse.catalog.load_table(EVENTS.table).snapshots()) == snapshots + 1
    assert read(lakehouse, reader) == before
    assert delete_expired(lakehouse, KEEP, TODAY).partitions == 0


def test_the_last_day_that_is_kept_stays_whole(lakehouse: Lakehouse) -> None:
    append(lakehouse, DAY)
    assert delete_expired(lakehouse, KEEP, DAY + timedelta(days=1)).partitions == 0
    assert delete_expired(lakehouse, KEEP, DAY + timedelta(days=2)).partitions == 1


def test_nobody_takes_it_for_a_change(lakehouse: Lakehouse) -> None:
    replace(lakehouse, DAY)
    replace(lakehouse, NEXT, first=5)
    table = lakehouse.catalog.load_table(EVENTS.table)
    before = (progress(table), past(table), statistics(table, EVENTS).last_published_at, Held.by(table).version(None))
    delete_expired(lakehouse, KEEP, TODAY)
    table = lakehouse.catalog.load_table(EVENTS.table)
    assert set(statistics(table, EVENTS).rows_by_partition) == {NEXT}
    after = (progress(table), past(table), statistics(table, EVENTS).last_published_at, Held.by(table).version(None))
    assert after == before


def test_a_table_that_becomes_empty_stays_a_table(lakehouse: Lakehouse) -> None:
    append(lakehouse, DAY)
    assert delete_expired(lakehouse, KEEP, later().date()).partitions == 1
    assert rows(lakehouse) == []
    append(lakehouse, NEXT)
    assert {row[-1] for row in rows(lakehouse)} == {NEXT}


def test_a_publish_that_wins_the_commit_is_kept(lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    append(lakehouse, DAY)
    older = retention._older
    raced: list[int] = []

    def race(*arguments: object) -> object:
        found = older(*arguments)  # type: ignore[arg-type]
        if not raced:
            raced.append(1)
            append(lakehouse, NEXT)
            append(lakehouse, DAY, first=20)
        return found

    monkeypatch.setattr(retention, "_older", race)
    done = delete_expired(lakehouse, KEEP, TODAY)
    assert done.files == 2  # it looked again
    assert {row[-1] for row in rows(lakehouse)} == {NEXT}


def test_a_dry_run_takes_nothing_out(lakehouse: Lakehouse) -> None:
    append(lakehouse, DAY)
    before = rows(lakehouse)
    assert delete_expired(lakehouse, KEEP, TODAY, dry_run=True).rows == len(before)
    assert rows(lakehouse) == before


def test_silver_and_its_quarantine_go_as_declared_and_bronze_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_source(
        tmp_path / "things",
        object_schema("id", "at", id={"type": "integer"}, at={"type": "string", "format": "date-time"}),
        event_time="at",
        silver=[
            {
                "table": "things",
                "kind": "events",
                "description": "Things.",
                "key": ["id"],
                "partition_column": "event_date",
            },
            {"table": "things_now", "kind": "current_state", "description": "Things.", "key": ["id"]},
        ],
        retention={"bronze_days": 90, "silver_days": 180},
    )
    monkeypatch.setattr(retention, "load_sources", lambda: [source])
    found = {keep.table: keep for keep in declared_retention(Settings())}
    assert found["silver.things"].days == found["quarantine.things"].days == 180
    assert found["silver.things"].column is not None
    assert found["silver.things"].never is None
    assert "S1-49" in str(found["bronze.things"].never)
    assert "no partitions" in str(found["silver.things_now"].never)


def test_what_is_declared_for_bronze_takes_nothing_out(lakehouse: Lakehouse) -> None:
    append(lakehouse, DAY)
    before = rows(lakehouse)
    assert delete_expired(lakehouse, Keep(EVENTS.table, "day", 1, never="S1-49"), TODAY).partitions == 0
    assert rows(lakehouse) == before


def test_a_model_declares_it_in_its_meta(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "gold"
    folder.mkdir(parents=True)
    (folder / "m.sql").write_text("select 1 as id, current_date as day")
    text = """
models:
  - name: m
    description: M.
    config:
      partition_by: {field: day, data_type: date}
      meta: {owner: "team:x", domain: commerce, freshness: {fail_minutes: 60}, retention_days: DAYS}
    constraints: [{type: primary_key, columns: [id]}]
    columns:
      - {name: id, data_type: bigint, description: I., constraints: [{type: not_null}]}
      - {name: day, data_type: date, description: D., constraints: [{type: not_null}]}
"""
    (folder / "m.yml").write_text(text.replace("DAYS", "730"))
    (model,) = load_models(tmp_path)
    assert model.retention_days == 730
    load_models.cache_clear()
    (folder / "m.yml").write_text(text.replace("DAYS", "two years"))
    with pytest.raises(ContractError, match="'two years', expected a number of days"):
        load_models(tmp_path)
    load_models.cache_clear()


def test_days_are_counted_in_utc() -> None:
    assert KEEP.first_day(date(2026, 3, 2)) == date(2026, 3, 1)
    assert datetime(2026, 3, 2, 0, 1, tzinfo=UTC).date() == date(2026, 3, 2)

"""`platform-assets partitions rebuild` as a person types it: what the daemon then finds, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus
from typer.testing import CliRunner, Result

from platform_assets.cli import app


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path))
    with dg.instance_for_test() as instance:  # DAGSTER_HOME is its folder
        yield instance


def rebuild(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["partitions", "rebuild", *arguments, "--by", "ada"])


def test_dates_become_a_backfill_of_all_that_is_made_together(instance: dg.DagsterInstance) -> None:
    done = rebuild("silver.events_clean", "2026-03-09..2026-03-11", "--why", "the rule was wrong", "--json")
    assert done.exit_code == 0, done.output
    (backfill,) = instance.get_backfills()
    assert backfill.status is BulkActionStatus.REQUESTED
    assert json.loads(done.stdout) == {
        "backfill_id": backfill.backfill_id,
        "assets": ["quarantine/events_clean", "silver/events_clean"],
        "partitions": ["2026-03-09", "2026-03-10", "2026-03-11"],
    }
    assert backfill.asset_backfill_data is not None
    targets = {
        (one.asset_key.to_user_string(), one.partition_key)
        for one in backfill.asset_backfill_data.target_subset.iterate_asset_partitions()
    }
    assert targets == {
        (f"{layer}/events_clean", f"2026-03-{day:02}") for layer in ("silver", "quarantine") for day in (9, 10, 11)
    }
    assert backfill.description == "ada: the rule was wrong"
    assert int(backfill.tags["dagster/priority"]) < 10


def test_a_table_without_partitions_is_made_as_a_whole(instance: dg.DagsterInstance) -> None:
    done = rebuild("silver/fakestore_users", "-", "--why", "x")
    assert (done.exit_code, done.stdout.split(": ")[0]) == (
        0,
        "Asked for quarantine/fakestore_users, silver/fakestore_users",
    )
    (backfill,) = instance.get_backfills()
    assert backfill.asset_backfill_data is not None
    assert {one.partition_key for one in backfill.asset_backfill_data.target_subset.iterate_asset_partitions()} == {
        None
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("silver/evnts_clean", "2026-03-10", "--why", "x"), "did you mean `silver/events_clean`?"),
        (("landing/web_events", "2026-03-10", "--why", "x"), "landing/web_events is no table that is made here"),
        (("silver/events_clean", "-", "--why", "x"), "expected a date, 2026-11-21, or two"),
        (("silver/events_clean", "2014-12-31..2026-03-10", "--why", "x"), "has no partition 2014-12-31"),
        (("silver/events_clean", "2026-03-10..2026-03-09", "--why", "x"), "2026-03-09 comes before 2026-03-10"),
        (("silver/fakestore_users", "2026-03-10", "--why", "x"), "it is made as a whole, say `-` instead"),
        (("silver/events_clean", "2026-03-10", "--why", " "), "say with --why what it is made again for"),
    ],
)
def test_what_cannot_be_made_again_is_told_in_words(
    instance: dg.DagsterInstance, arguments: tuple[str, ...], told: str
) -> None:
    done = rebuild(*arguments)
    assert done.exit_code == 1
    assert told in done.stderr
    assert instance.get_backfills() == []


def test_without_an_instance_it_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    done = rebuild("silver/events_clean", "2026-03-10", "--why", "x")
    assert done.exit_code == 1
    assert "DAGSTER_HOME is not set" in done.stderr

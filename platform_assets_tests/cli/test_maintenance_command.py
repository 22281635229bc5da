"""`platform-assets maintenance` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from platform_assets.cli import app
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.maintenance import work
from platform_assets.settings import load_settings
from platform_assets_tests.lakehouse.maintenance.events import (
    EVENTS,
    LOG,
    age,
    append,
    files,
    live_files,
    replace,
    rows,
    write_log,
)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path))


@pytest.fixture
def lakehouse() -> Lakehouse:
    """Two tables, of which one has small files."""
    lakehouse = Lakehouse(load_settings())
    for number in range(6):
        append(lakehouse, first=number)
    write_log(lakehouse, 1)
    return lakehouse


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["maintenance", *arguments])


def test_without_tables_there_is_nothing_to_do() -> None:
    done = run()
    assert done.exit_code == 0, done.output
    assert "compact: nothing to do in 0 tables." in done.stdout


def test_all_jobs_run_in_order_and_tell_what_they_did(lakehouse: Lakehouse) -> None:
    before = rows(lakehouse)
    done = run("--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert list(told) == ["retention", "compact", "expire", "orphans"]
    merged = {row["table"]: row["merged"] for row in told["compact"]}
    assert merged == {EVENTS.table: 6, LOG.table: 0}
    assert rows(lakehouse) == before
    assert len(live_files(lakehouse)) == 1


def test_a_dry_run_tells_it_and_does_nothing(lakehouse: Lakehouse) -> None:
    held = files(lakehouse)
    done = run("compact", "--dry-run", "--table", EVENTS.table)
    assert done.exit_code == 0, done.output
    assert "compact (not done)" in done.stdout
    assert files(lakehouse) == held


def test_one_table_alone(lakehouse: Lakehouse) -> None:
    told = json.loads(run("compact", "--table", LOG.table, "--json").stdout)
    assert [row["table"] for row in told["compact"]] == [LOG.table]
    assert len(live_files(lakehouse)) == 6


def test_a_table_that_is_none_is_refused_with_those_that_are(lakehouse: Lakehouse) -> None:
    done = run("orphans", "--table", "silver.nothing")
    assert done.exit_code == 1
    assert f"silver.nothing is no published table; expected one of {LOG.table}, {EVENTS.table}" in done.output
    assert len(live_files(lakehouse)) == 6


def test_orphans_are_named(lakehouse: Lakehouse) -> None:
    left = Path(live_files(lakehouse)[0]).with_name("killed.parquet")
    left.write_bytes(b"half")
    age(lakehouse)
    replace(lakehouse)
    told = json.loads(run("orphans", "--dry-run", "--json").stdout)
    assert [name for row in told["orphans"] for name in row["names"]] == [str(left)]
    assert run("orphans").exit_code == 0
    assert not left.exists()


def test_a_table_that_cannot_be_maintained_is_told_and_the_others_are_done(lakehouse: Lakehouse) -> None:
    Path(live_files(lakehouse)[0]).write_bytes(b"no parquet")
    for number in range(5):
        write_log(lakehouse, number)
    done = run("compact")
    assert done.exit_code == 1
    assert EVENTS.table in done.stdout
    assert "All others are done" in done.output
    assert len(live_files(lakehouse, LOG.table)) == 1


def test_ctrl_c_stops_between_two_states_of_a_table(lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    before = rows(lakehouse)
    monkeypatch.setattr(work, "expire", stopped)
    done = run()
    assert done.exit_code == 130
    assert "Stopped. What was told is done" in done.output
    assert rows(lakehouse) == before
    assert len(live_files(lakehouse)) == 1  # what was done before is


def test_storage_classes_are_told_as_rules() -> None:
    told = json.loads(run("lifecycle", "--json").stdout)
    assert [(rule["action"]["storageClass"], rule["condition"]["age"]) for rule in told] == [
        ("NEARLINE", 91),
        ("COLDLINE", 366),
    ]
    assert "on a disk, which has no storage classes" in run("lifecycle").output

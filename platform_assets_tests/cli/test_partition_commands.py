"""`platform-assets partitions …` as a person types it, and what the doctor says of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from platform_assets.cli import app
from platform_assets.ingestion.parked import Parked, ParkedPartitions
from platform_assets.operations.doctor import Finding, diagnose
from platform_assets.settings import load_settings

SINCE = datetime(2026, 3, 10, 7, 30, tzinfo=UTC)
DATED = Parked("silver/orders", "2026-03-10", "3 rows break [not_null]", SINCE, 1, "run-of-a-day", "d")
WHOLE = Parked("gold/dim_users", "", "columns differ", SINCE, 6, "run-of-all", "d")


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ParkedPartitions:
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path))
    parked = ParkedPartitions(load_settings())
    parked.park(DATED)
    parked.park(WHOLE)
    return parked


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["partitions", *arguments])


def test_parked_lists_what_waits_and_why() -> None:
    said = run("parked").stdout
    assert "3 rows break [not_null]" in said
    assert "2 parked" in said
    listed = json.loads(run("parked", "--json").stdout)
    assert [(one["asset"], one["partition"], one["attempts"]) for one in listed] == [
        ("gold/dim_users", None, 6),
        ("silver/orders", "2026-03-10", 1),
    ]
    assert listed[1]["since"] == "2026-03-10T07:30:00+00:00"


def test_a_released_partition_says_who_let_it_go_and_why(memory: ParkedPartitions) -> None:
    done = run("release", "silver.orders", "2026-03-10", "--by", "ada", "--why", "the source was mended")
    assert (done.exit_code, done.stdout) == (0, "silver/orders 2026-03-10: released by ada\n")
    found = memory.find("silver/orders", "2026-03-10")
    assert found is not None
    assert (found.released_by, found.released_why, found.waits) == ("ada", "the source was mended", False)
    assert "1 parked, 1 released and not made yet" in run("parked").stdout
    assert run("release", "gold/dim_users", "-", "--by", "ada", "--why", "mended").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("silver/orders", "2026-03-11", "--why", "x"), "not parked; of silver/orders there are 2026-03-10"),
        (("silver/nothing", "2026-03-10", "--why", "x"), "nothing of silver/nothing is"),
        (("silver/orders", "yesterday", "--why", "x"), "'yesterday' is no partition: expected a date"),
        (("silver/orders", "2026-03-10", "--why", " "), "say with --why what has changed"),
    ],
)
def test_what_cannot_be_released_is_told_in_words(arguments: tuple[str, ...], told: str) -> None:
    done = run("release", *arguments, "--by", "ada")
    assert done.exit_code == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_release_names_the_first() -> None:
    release = ("release", "silver/orders", "2026-03-10", "--by", "ada", "--why", "mended")
    assert run(*release).exit_code == 0
    again = run(*release)
    assert again.exit_code == 1
    assert "was released by ada" in again.stderr


def test_the_doctor_warns_of_what_is_parked_until_it_is_released(memory: ParkedPartitions) -> None:
    def told() -> Finding:
        (finding,) = [finding for finding in diagnose(load_settings()) if finding.what == "parked partitions"]
        return finding

    assert told().state == "warning"
    assert told().seen == "2: gold/dim_users, silver/orders 2026-03-10"
    memory.release("gold/dim_users", "", by="ada", why="mended")
    memory.release("silver/orders", "2026-03-10", by="ada", why="mended")
    assert (told().state, told().seen) == ("ok", "none")

"""The comparisons: the arithmetic of their goals, that sides agree, and that it is told when they do not."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner

from benchmarks import compare as command
from benchmarks import measure
from benchmarks.comparisons import COMPARISONS, AnswersDiffer, Comparison, Goal, Measured, Side, Spent, agree, compare
from benchmarks.measure import Ratio
from benchmarks.peers.environments import PeerUnavailable, variables
from benchmarks.work.events import Input, events

ROWS = 5_000


def app() -> Typer:
    made = Typer()
    made.command()(command.main)
    return made


def test_a_goal_of_a_share_is_the_platforms_time_by_the_others() -> None:
    goal = Goal(1.3, faster=False)
    ratio = goal.ratio([1.25, 3.0], [1.0, 2.0])
    assert ratio == Ratio(1.375, 1.25, 1.5)
    assert not goal.reached(ratio)
    assert goal.reached(Ratio(1.3, 1.0, 9.0))


def test_a_goal_of_times_faster_is_the_others_time_by_the_platforms() -> None:
    goal = Goal(2, faster=True)
    assert goal.ratio([1.0, 2.0], [3.0, 3.0]) == Ratio(2.25, 1.5, 3.0)
    assert goal.reached(Ratio(2.0, 1.0, 3.0))
    assert not goal.reached(Ratio(1.9, 1.0, 3.0))


def test_what_was_measured_is_told_as_the_goal_is_worded() -> None:
    comparison = COMPARISONS["dbt-duckdb"]
    platform, other = Spent((1.0, 2.0), (1.0, 1.0), (100.0, 120.0)), Spent((3.0, 5.0), (1.0, 1.0), (50.0, 60.0))
    found = Measured(comparison, 10, platform, other, {"rows": "10"}).as_json()
    assert found["ratio"] == {"median": 2.75, "least": 2.5, "most": 3.0, "of": "the other's seconds by the platform's"}
    assert found["goal"] == "at least 2x faster"
    assert found["reached"] is True


def test_a_differing_number_is_named_and_so_is_one_that_only_one_side_has() -> None:
    comparison = COMPARISONS["dbt-duckdb"]
    with pytest.raises(
        AnswersDiffer, match="silver rows: 10 and 11; quarantined rows: 1 and nothing; more: nothing and 2"
    ):
        agree(
            comparison,
            {"silver rows": "10", "same": "5", "quarantined rows": "1"},
            {"silver rows": "11", "same": "5", "more": "2"},
        )
    agree(comparison, {"same": "5"}, {"same": "5"})


def own(side: str, *arguments: str | Path) -> Mapping[str, Any]:
    """What a side of the platform's own environment says last."""
    command = [sys.executable, "-m", f"benchmarks.work.{side}", *map(str, arguments)]
    return measure.run(command, environment=variables()).said


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Input, Path]:
    """The input, and the folder with the output of each own side."""
    folder = tmp_path_factory.mktemp("work")
    given = events(folder, ROWS, objects=4)
    for side in ("platform_side", "raw_duckdb", "hand_polars"):
        seconds = own(side, "work", given.folder, folder / side)["seconds"]
        assert [list(layers) for layers in seconds] == [["bronze", "silver", "gold"]]
    return given, folder


@pytest.mark.slow
def test_the_three_own_sides_find_the_same_and_what_is_known_of_the_input(done: tuple[Input, Path]) -> None:
    given, folder = done
    answers = {side: own(side, "answer", folder / side) for side in ("platform_side", "raw_duckdb", "hand_polars")}
    assert answers["raw_duckdb"] == answers["platform_side"]
    assert answers["hand_polars"] == answers["platform_side"]
    assert answers["platform_side"]["silver rows"] == str(given.valid)
    assert answers["platform_side"]["quarantined rows"] == str(given.quarantined)
    assert given.rows == given.valid + given.quarantined + given.duplicates


@pytest.mark.slow
def test_the_answer_about_bronze_is_of_bronze(done: tuple[Input, Path]) -> None:
    given, folder = done
    found = own("platform_side", "answer", folder / "platform_side", "--layers", "bronze")
    assert found["bronze rows"] == str(given.rows)
    # Rows without an event id would not be counted here, but none of the kinds of bad rows lacks it.
    assert found["bronze event ids"] == str(given.valid + given.quarantined)


@pytest.mark.slow
def test_the_audit_finds_every_promise_that_was_broken_and_nothing_in_whole_silver(
    done: tuple[Input, Path], tmp_path: Path
) -> None:
    given, folder = done
    assert own("contract_audit", "inputs", folder / "platform_side", tmp_path) == {"files": 2}
    own("contract_audit", "work", tmp_path / "whole", tmp_path / "found")
    assert own("contract_audit", "answer", tmp_path / "found") == {"rows": str(given.valid)}
    own("contract_audit", "work", tmp_path / "spoiled", tmp_path / "found")
    found = {name: int(rows) for name, rows in own("contract_audit", "answer", tmp_path / "found").items()}
    assert found.pop("rows") == given.valid
    assert found.keys() == {
        "amount.minimum",
        "currency.one_of",
        "email.pattern",
        "event_id.unique",
        "event_id.uuid",
        "event_type.one_of",
        "product_id.minimum",
        "session_id.length",
        "user_id.length",
        "user_id.not_null",
    }
    assert all(rows == pytest.approx(given.valid / 100, abs=2) for name, rows in found.items() if "unique" not in name)


@pytest.mark.slow
def test_a_comparison_that_starts_from_bronze_prepares_it_outside_the_time(tmp_path: Path) -> None:
    raw = Side("raw DuckDB", "benchmarks.work.raw_duckdb")
    comparison = Comparison(
        "raw-with-itself", "silver and gold", raw, Goal(10, faster=True), "silver,gold", platform=raw
    )
    told: list[str] = []
    found = compare(comparison, tmp_path, rows=ROWS, pairs=2, tell=told.append)
    assert found.rows == ROWS
    assert len(found.platform.seconds) == len(found.other.seconds) == 2
    assert found.answer["silver rows"] == str(events(tmp_path / "benchmarks" / "work" / "input", ROWS).valid)
    assert "raw DuckDB: preparing bronze" in told
    assert not list((tmp_path / "benchmarks" / "work" / "raw-with-itself").iterdir())


def test_a_peer_that_is_unavailable_is_reported_and_the_command_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*_: object, **__: object) -> Measured:
        raise PeerUnavailable("sqlmesh cannot be installed: no such version")

    monkeypatch.setattr(command, "compare", unavailable)
    done = CliRunner().invoke(app(), ["sqlmesh", "--json"])
    assert done.exit_code == 1
    reason = "sqlmesh cannot be installed: no such version"
    assert json.loads(done.stdout) == [{"name": "sqlmesh", "outcome": "unavailable", "reason": reason}]


def test_the_list_has_every_comparison_with_its_goal() -> None:
    done = CliRunner().invoke(app(), ["--list"])
    assert done.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in done.output.splitlines())
    assert lines.keys() == COMPARISONS.keys()
    assert lines["dlt-json"].endswith("at least 10x faster")


def test_an_unknown_comparison_is_refused_with_those_that_there_are() -> None:
    done = CliRunner().invoke(app(), ["spark"])
    assert done.exit_code == 2
    assert "there is no spark" in done.output

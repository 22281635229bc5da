"""The command that collects all benchmarks: what they tell, and the page that is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS, CHECKOUT, Benchmark, Outcome, _run, page
from benchmarks.verdicts import Verdict, collected_in, tell, told


def test_what_a_benchmark_tells_is_collected_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = [Verdict("a", "1.2", "at most 1", reached=False), Verdict("b", "no pip", "at most 2", reached=None)]
    for name, value in collected_in(tmp_path / "told").items():
        monkeypatch.setenv(name, value)
    for verdict in verdicts:
        tell(verdict)
    assert told(tmp_path / "told") == verdicts
    assert [verdict.word for verdict in verdicts] == ["NOT reached", "not measured"]


def test_a_benchmark_that_tells_nobody_leaves_nothing(tmp_path: Path) -> None:
    tell(Verdict("a", "1", "2", reached=True))
    assert told(tmp_path / "told") == []


def test_a_benchmark_runs_as_its_command_and_the_page_has_what_it_printed(tmp_path: Path) -> None:
    outcome = _run(Benchmark("What there is", ("compare", "--list")), tmp_path / "told")
    written = page([outcome], [Verdict("time", "1.67", "at most 1.3", reached=False)])
    assert outcome.code == 0
    assert "| time | 1.67 | at most 1.3 | NOT reached |" in written
    assert "raw-duckdb-cold" in written


def test_one_that_fails_says_so_on_the_page(tmp_path: Path) -> None:
    outcome = _run(Benchmark("Wrong", ("compare", "no-such-thing")), tmp_path / "told")
    assert isinstance(outcome, Outcome)
    assert outcome.code != 0
    assert f"It ended with {outcome.code}." in page([outcome], [])


def test_every_benchmark_is_a_module() -> None:
    missing = {b.command[0] for b in BENCHMARKS if not (CHECKOUT / "benchmarks" / f"{b.command[0]}.py").exists()}
    assert missing == set()

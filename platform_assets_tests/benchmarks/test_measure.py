"""How sides are run: what is taken of them, and what becomes of those that fail."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.measure import Ratio, Run, SideFailed, in_turns, run


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_ratio_is_of_neighbours_and_not_of_the_slowest_and_the_fastest() -> None:
    ratio = Ratio.of([(2.0, 1.0), (12.0, 4.0), (5.0, 10.0)])
    assert (ratio.median, ratio.least, ratio.most) == (2.0, 0.5, 3.0)
    assert str(ratio) == "2.00 [0.50-3.00]"


def test_sides_are_run_in_turns() -> None:
    order: list[str] = []

    def side(name: str) -> Run:
        order.append(name)
        return Run(1.0, 1.0, {"name": name}, 1.0)

    pairs = in_turns(lambda: side("a"), lambda: side("b"), 2)
    assert order == ["a", "b", "a", "b"]
    assert [[run.said["name"] for run in pair] for pair in pairs] == [["a", "b"], ["a", "b"]]


def test_the_memory_of_a_child_counts_as_that_of_its_side() -> None:
    child = "import time; held = bytearray(b'x') * 300_000_000; time.sleep(0.5)"
    found = run(python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}]); print('{{}}')"))
    alone = run(python("import subprocess, sys; subprocess.run([sys.executable, '-c', '']); print('{}')"))
    assert found.peak_megabytes - alone.peak_megabytes == pytest.approx(300, abs=30)


def test_the_work_of_a_child_counts_as_that_of_its_side_and_waiting_does_not() -> None:
    child = "import time; end = time.process_time() + 1\nwhile time.process_time() < end: pass\ntime.sleep(1)"
    found = run(
        python(f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {child!r}]); print('{{}}')")
    )
    assert found.processor_seconds >= 1
    waiting = run(python("import time; time.sleep(2); print('{}')"))
    assert waiting.processor_seconds < waiting.seconds - 1


def test_the_last_line_is_what_a_side_said() -> None:
    assert run(python("print('working'); print('{\"seconds\": [1.5]}')")).said == {"seconds": [1.5]}


def test_what_a_failing_side_said_is_in_the_error() -> None:
    with pytest.raises(SideFailed, match=r"(?s)ended with 1:.*reading.*ValueError: no such day"):
        run(python("print('reading'); raise ValueError('no such day')"))


def test_a_side_without_json_at_its_end_has_failed() -> None:
    with pytest.raises(SideFailed, match=r"its last line should be JSON, it is \['done'\]"):
        run(python("print('done')"))


def test_a_side_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    child = f"import os, pathlib, time; pathlib.Path({str(told)!r}).write_text(str(os.getpid())); time.sleep(300)"
    with pytest.raises(SideFailed, match="was ended after 3 s"):
        run(python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"), limit=3)
    pid = int(told.read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_side_that_holds_too_much_is_ended() -> None:
    with pytest.raises(SideFailed, match="held more than 200 MB"):
        run(python("import time; held = bytearray(b'x') * 300_000_000; time.sleep(60)"), most_megabytes=200)


def test_variables_are_added_to_those_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_CALLER", "here")
    code = "import json, os; print(json.dumps({name: os.environ[name] for name in ('OF_THE_CALLER', 'OF_THE_SIDE')}))"
    said = run(python(code), environment={"OF_THE_SIDE": "there"}).said
    assert said == {"OF_THE_CALLER": "here", "OF_THE_SIDE": "there"}

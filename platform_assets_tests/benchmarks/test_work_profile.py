"""The stopwatch of the profile: each step without those within it, thread by thread."""

from __future__ import annotations

import time
from threading import Thread

import pytest

from benchmarks.work_profile import Stopwatch


class _Clock:
    """The time that the stopwatch sees."""

    def __init__(self) -> None:
        self.now = 0.0

    def pass_by(self, seconds: float) -> None:
        """Later by that much."""
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now)
    return clock


def test_a_step_does_not_count_what_is_within_it(clock: _Clock) -> None:
    watch = Stopwatch()
    watch.layer = "silver"
    with watch.timing("audit"):
        clock.pass_by(1)
        for _ in range(2):
            with watch.timing("statement"):
                clock.pass_by(20)
        clock.pass_by(2)
    assert watch.spent == {"silver": {"audit": 3, "statement": 40}}


def test_threads_do_not_take_each_other_for_within(clock: _Clock) -> None:
    watch = Stopwatch()
    other = Thread(target=watch.timed(lambda: clock.pass_by(5), "other"))
    with watch.timing("outer"):
        other.start()
        other.join()
    assert watch.spent == {"start": {"outer": 5, "other": 5}}

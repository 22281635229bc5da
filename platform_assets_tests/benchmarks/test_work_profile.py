"""The stopwatch of the profile: each step without those within it, thread by thread."""

from __future__ import annotations

import time
from threading import Thread

import pytest

from benchmarks.work_profile import Stopwatch


def test_a_step_does_not_count_what_is_within_it() -> None:
    watch = Stopwatch()
    watch.layer = "silver"
    with watch.timing("audit"):
        time.sleep(0.1)
        for _ in range(2):
            with watch.timing("statement"):
                time.sleep(0.2)
    assert watch.spent["silver"]["audit"] == pytest.approx(0.1, abs=0.05)
    assert watch.spent["silver"]["statement"] == pytest.approx(0.4, abs=0.05)


def test_threads_do_not_take_each_other_for_within() -> None:
    watch = Stopwatch()
    waiting = Thread(target=watch.timed(lambda: time.sleep(0.2), "other"))
    with watch.timing("outer"):
        waiting.start()
        waiting.join()
    assert watch.spent["start"]["outer"] == pytest.approx(0.2, abs=0.05)

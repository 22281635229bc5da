"""When freshness is evaluated: beside the requests, not too often, never twice at once, and told when it cannot be."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.serving.pages import evaluation
from platform_assets.serving.pages.app import app
from platform_assets.serving.pages.evaluation import Evaluation, Evaluations, Evaluator, NotEvaluatedError
from platform_assets.settings import CHECKOUT, Settings
from platform_assets.sources.yaml_file import SourceError
from platform_assets_tests.serving.pages.conftest import browsing

LONG = 30.0


@dataclass
class Slow:
    """Evaluations that are numbered by their day, and end when they are let go."""

    go: threading.Event = field(default_factory=threading.Event)
    begun: int = 0
    at_once: int = 0
    most_at_once: int = 0
    fails: bool = False

    def __call__(self) -> Evaluation:
        """One more."""
        self.begun += 1
        number = self.begun
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.go.wait(LONG)
        self.at_once -= 1
        if self.fails:
            raise SourceError("/secret/place/source.yaml: no such thing")
        return Evaluation(datetime(2026, 11, number, tzinfo=UTC), [])


@dataclass
class Clock:
    """Goes on by a step whenever somebody looks."""

    now: float = 100.0
    step: float = 0.0

    def __call__(self) -> float:
        """Seconds."""
        self.now += self.step
        return self.now


async def until(condition: Callable[[], bool]) -> None:
    """Lets others go on until it is so."""
    async with asyncio.timeout(LONG):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in a thread of the pool
            await asyncio.sleep(0.005)


def test_whoever_asks_while_a_newer_one_is_made_gets_the_last_at_once() -> None:
    async def scenario() -> None:
        slow = Slow()
        evaluations = Evaluations(slow, fresh_seconds=0.0, stale_seconds=LONG, clock=Clock(step=0.1))
        slow.go.set()
        assert (await evaluations.newest()).at.day == 1
        slow.go.clear()
        found = [(await evaluations.newest()).at.day for _ in range(50)]
        await until(lambda: slow.begun == 2)
        found += [(await evaluations.newest()).at.day for _ in range(50)]
        assert (found, evaluations.renewing, slow.begun) == ([1] * 100, True, 2)
        slow.go.set()
        await until(lambda: not evaluations.renewing)
        assert (await evaluations.newest()).at.day == 2
        assert slow.most_at_once == 1

    asyncio.run(scenario())


def test_many_who_ask_at_first_wait_for_the_same_evaluation() -> None:
    async def scenario() -> None:
        slow = Slow()
        evaluations = Evaluations(slow, fresh_seconds=LONG)
        waiting = [asyncio.create_task(evaluations.newest()) for _ in range(20)]
        await until(lambda: slow.begun == 1)
        slow.go.set()
        assert {found.at.day for found in await asyncio.gather(*waiting)} == {1}
        assert slow.begun == 1

    asyncio.run(scenario())


def test_what_is_too_old_is_waited_for_and_so_is_what_must_not_be_stale() -> None:
    async def scenario() -> None:
        slow = Slow()
        slow.go.set()
        old = Evaluations(slow, fresh_seconds=0.0, stale_seconds=0.0, clock=Clock(step=1))
        assert [(await old.newest()).at.day for _ in range(2)] == [1, 2]
        shown = Evaluations(slow, fresh_seconds=0.0, stale_seconds=LONG, clock=Clock(step=1))
        first = (await shown.newest()).at.day
        assert (await shown.newest(no_stale=True)).at.day == first + 1

    asyncio.run(scenario())


def test_where_evaluations_take_long_nobody_waits_for_them_all_the_time() -> None:
    async def scenario() -> None:
        slow, clock = Slow(), Clock()
        evaluations = Evaluations(slow, fresh_seconds=2.0, stale_seconds=30.0, patience_seconds=10.0, clock=clock)
        waiting = asyncio.create_task(evaluations.newest())
        await until(lambda: slow.begun == 1)
        clock.now += 60.0  # it takes a minute
        slow.go.set()
        assert (await waiting).at.day == 1
        slow.go.clear()
        clock.now += 70.0  # it has rested, and the next one is hardly over
        assert ((await evaluations.newest()).at.day, evaluations.overdue) == (1, False)
        await until(lambda: slow.begun == 2)
        clock.now += 3600.0
        assert evaluations.overdue
        slow.go.set()
        assert (await evaluations.newest()).at.day == 2

    asyncio.run(scenario())


def test_nobody_waits_longer_than_is_patient() -> None:
    async def scenario() -> None:
        slow = Slow()
        evaluations = Evaluations(slow, patience_seconds=0.02)
        with pytest.raises(NotEvaluatedError):
            await evaluations.newest()
        assert (evaluations.problem, evaluations.renewing) == (None, True)
        slow.go.set()
        await evaluations.close()

    asyncio.run(scenario())


def test_a_failed_evaluation_is_told_beside_the_last_good_one(caplog: pytest.LogCaptureFixture) -> None:
    slow = Slow()
    slow.go.set()
    evaluations = Evaluations(slow, fresh_seconds=0.0, stale_seconds=0.0)
    with browsing(app(Settings(), evaluations)) as client:
        slow.fails = True
        while "could not be evaluated" not in (said := client.get("/freshness").text):
            assert slow.begun < 50
        assert "(SourceError): what you see is older" in said
        assert "2026-11-0" in said
        assert "/secret/place" not in said
        assert "/secret/place/source.yaml: no such thing" in caplog.text
        slow.fails = False
        while "could not be evaluated" in client.get("/freshness").text:
            assert slow.begun < 100


def test_a_first_evaluation_that_fails_or_lasts_is_said_with_what_to_do() -> None:
    slow = Slow(fails=True)
    with browsing(app(Settings(), Evaluations(slow, fresh_seconds=0.0, patience_seconds=0.05))) as client:
        answer = client.get("/freshness")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "The first look at all tables is under way" in answer.text
        assert "under way" in client.get("/freshness.json").json()["error"]
        slow.go.set()
        while "under way" in answer.text:
            answer = client.get("/freshness")
        assert (answer.status_code, "platform-assets doctor" in answer.text) == (503, True)
        assert client.get("/healthz").status_code == 200


def test_evaluations_take_turns_with_a_pause() -> None:
    async def scenario() -> None:
        slow = Slow()
        slow.go.set()
        clock = Clock()
        evaluations = Evaluations(slow, fresh_seconds=2.0, stale_seconds=0.0, clock=clock)
        for seconds, begun in ((0.0, 1), (1.9, 1), (2.1, 2), (0.1, 2), (2.1, 3)):
            clock.now += seconds
            await evaluations.newest()
            assert slow.begun == begun, seconds

    asyncio.run(scenario())


def test_a_source_that_is_added_appears_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "sources"
    sources = CHECKOUT / "platform_assets" / "sources"
    shutil.copytree(sources / "web_events", folder / "web_events")
    monkeypatch.setenv("PLATFORM_SOURCES", str(folder))
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path / "home"))
    evaluate = Evaluator(Lakehouse(Settings()))
    before = set(evaluate().by_name)
    assert "bronze.fakestore_users" not in before
    shutil.copytree(sources / "fakestore_users", folder / "fakestore_users")
    assert set(evaluate().by_name) - before >= {"bronze.fakestore_users"}


def test_the_evaluation_is_of_the_moment_that_the_clock_tells(tmp_path: Path) -> None:
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC) + timedelta(microseconds=1)
    assert Evaluator(Lakehouse(Settings(home=tmp_path)), clock=lambda: noon)().at == noon


def test_promises_and_scores_are_read_once_a_minute_and_when_a_source_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sources"
    sources = CHECKOUT / "platform_assets" / "sources"
    shutil.copytree(sources / "web_events", folder / "web_events")
    monkeypatch.setenv("PLATFORM_SOURCES", str(folder))
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path / "home"))
    seconds = Clock()
    monkeypatch.setattr(evaluation, "time", SimpleNamespace(monotonic=seconds))
    evaluate = Evaluator(Lakehouse(Settings()))
    first = evaluate().standing
    assert (len(first.promises("bronze.web_events")), first.promises("bronze.fakestore_users")) == (1, ())
    seconds.now += 59
    assert evaluate().standing is first
    seconds.now += 2
    second = evaluate().standing
    assert second.at > first.at
    shutil.copytree(sources / "fakestore_users", folder / "fakestore_users")
    assert len(evaluate().standing.promises("bronze.fakestore_users")) == 1

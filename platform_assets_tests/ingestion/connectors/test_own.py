"""A source's own connector: fetched, transformed, landed once, and told by name when it fails (S1-75)."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from platform_assets.ingestion.connectors import ConnectorError, own
from platform_assets.ingestion.landing import Landing
from platform_assets.ingestion.ledger import Ledger
from platform_assets.settings import Settings
from platform_assets_tests.ingestion.connectors.ticks import Ticks, write_source

COUNTING = """
from datetime import UTC, date, datetime

CALLS = []

class Counter:
    def __init__(self, start, secret=None):
        self.start, self.secret = start, secret

    def fetch(self, since):
        CALLS.append(since)
        yield {"n": self.start, "since": since, "on": date(2026, 1, 2), "with": self.secret}
        yield {"n": self.start + 1, "since": since}

    def transform(self, record):
        return {**record, "n": record["n"] * 10} if record["n"] != 4 else None
"""


def made(settings: Settings, tmp_path: Path, code: str = COUNTING, **said: Any) -> Ticks:  # noqa: ANN401
    given: dict[str, Any] = {"connector": "mine.py:Counter", "params": {"start": 3}, **said}
    return Ticks(settings, write_source(tmp_path, "mine", code=code, pattern="batch_file", **given))


def test_what_it_fetches_lands_transformed_and_it_is_told_since_when(settings: Settings, tmp_path: Path) -> None:
    tick = made(settings, tmp_path)
    began = tick.now
    assert len(tick().objects) == 1
    assert tick.records() == [{"n": 30, "since": None, "on": "2026-01-02", "with": None}]
    assert tick(after=59).objects == ()  # its poll_interval is a minute
    tick(after=2)
    assert [record["since"] for record in tick.records()].count(began.isoformat()) == 1


def test_it_is_given_its_secret(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM_SECRET_MINE_KEY", "hunter2")
    tick = made(settings, tmp_path, secret_name="mine-key")
    tick()
    assert tick.records()[0]["with"] == "hunter2"


def test_a_schedule_says_when_it_is_asked(settings: Settings, tmp_path: Path) -> None:
    tick = made(settings, tmp_path, schedule="0 3 * * *")
    tick.now = tick.now.replace(hour=12, minute=0)
    assert len(tick().objects) == 1  # nobody waits until tonight for the first look
    assert tick(after=14 * 3600).objects == ()
    assert len(tick(after=3600).objects) == 1


def test_a_changed_file_is_used_by_the_next_tick(settings: Settings, tmp_path: Path) -> None:
    tick = made(settings, tmp_path)
    tick()
    (tmp_path / "mine" / "mine.py").write_text(COUNTING.replace("* 10", "* 100"), encoding="utf-8")
    tick(after=61)
    assert {record["n"] for record in tick.records()} == {30, 300}


@pytest.mark.parametrize("lost", ["landed and killed before it was remembered", "killed before it landed"])
def test_a_killed_tick_loses_nothing_and_lands_nothing_twice(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    tick = made(settings, tmp_path)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Landing, "remembered" if lost.startswith("landed") else "put", killed)
        with pytest.raises(KeyboardInterrupt):
            tick()
    began = tick.now
    # On another day too: the object has the name that was settled before it was written.
    tick(after=86_400)
    assert len(tick.landed()) == 1
    tick(after=61)
    assert len(tick.landed()) == 2
    sinces = {record["since"] for record in tick.records()}
    assert len(sinces) == 2
    assert None in sinces
    assert (began.isoformat() in sinces) == lost.startswith("landed")


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        ("def broken(", {}, "'mine.py:Counter': loading .*mine.py raised SyntaxError"),
        ("import nothing_at_all", {}, "raised ModuleNotFoundError: No module named 'nothing_at_all'"),
        ("class Other: pass", {}, "mine.py defines no 'Counter'; it defines Other"),
        ("class Counter: pass", {"params": {}}, r"mine.py:Counter has neither `fetch\(since\)` nor `transform"),
        ("class Counter: pass", {}, "mine.py:Counter raised TypeError"),
        (COUNTING, {"connector": "yours.py:Counter"}, "there is no file .*yours.py; it lies beside the source's YAML"),
        (COUNTING, {"connector": "no.such.package:Counter"}, "importing no.such.package raised ModuleNotFoundError"),
        (
            "class Counter:\n    def __init__(self, start): pass\n    def fetch(self, since): return 1 / 0",
            {},
            "mine.py:Counter.fetch raised ZeroDivisionError: division by zero",
        ),
        (
            "class Counter:\n    def __init__(self, start): pass\n    def fetch(self, since): return [1]",
            {},
            "mine.py:Counter.fetch gave a int; expected a mapping",
        ),
        (
            "class Counter:\n    def __init__(self, start): pass\n    def fetch(self, since): return [{'a': {1}}]",
            {},
            "mine.py:Counter gave a record that is no JSON: a value of type set",
        ),
        (COUNTING.replace("* 10", "/ 0"), {}, "mine.py:Counter.transform raised ZeroDivisionError"),
    ],
)
def test_what_is_wrong_with_it_is_told_with_source_and_class(
    settings: Settings, tmp_path: Path, code: str, said: dict[str, object], expected: str
) -> None:
    tick = made(settings, tmp_path, code, **said)
    with pytest.raises(ConnectorError, match=f"^mine: .*{expected}"):
        tick()
    assert tick.landed() == []


def test_its_secret_is_in_no_error(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM_SECRET_MINE_KEY", "hunter2")
    code = COUNTING.replace("CALLS.append(since)", "raise ValueError(f'no access with {self.secret}')")
    with pytest.raises(ConnectorError, match=r"no access with \*\*\*") as error:
        made(settings, tmp_path, code, secret_name="mine-key")()
    seen: BaseException | None = error.value
    while seen is not None:
        assert "hunter2" not in str(seen)
        seen = seen.__cause__


def test_too_much_at_once_is_refused(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "MAX_BYTES", 10)
    with pytest.raises(ConnectorError, match=r"gave more than 10 bytes.*fetch less at a time"):
        made(settings, tmp_path)()


def test_failures_are_told_ever_less_often_and_a_success_ends_that(settings: Settings, tmp_path: Path) -> None:
    tick = made(settings, tmp_path, "raise OSError", poll_interval="10m")
    for pause in (10, 20, 40, 80):
        with pytest.raises(ConnectorError, match=f"asked again in {pause} s"):
            tick()
        assert tick(after=pause - 1).objects == ()
        tick.now += timedelta(seconds=2)
    (tmp_path / "mine" / "mine.py").write_text(COUNTING, encoding="utf-8")
    assert len(tick().objects) == 1
    assert Ledger(settings).progress("mine").failures == 0


def test_a_record_that_is_read_back_is_the_one_that_was_fetched(settings: Settings, tmp_path: Path) -> None:
    record = {"text": 'ü\u2028\n"', "number": 10**30, "nested": {"a": [1, None, True]}}
    code = f"class Counter:\n    def __init__(self, start): pass\n    def fetch(self, since): return [{record!r}]"
    tick = made(settings, tmp_path, code)
    tick()
    assert json.loads(tick.contents()[0]) == record

"""All jobs over all tables: when snapshots expire, what is left for the next time, how a person stops it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from platform_assets.lakehouse.append_only import append_news
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.maintenance import compaction, work
from platform_assets.lakehouse.maintenance.work import _INTERRUPTED, Job, Maintenance
from platform_assets.lakehouse.outcomes import Outcome
from platform_assets.lakehouse.publisher import ConcurrentPublish
from platform_assets.lakehouse.sla import SLA_OUTCOMES as OUTCOMES
from platform_assets.lakehouse.sla import asked_since, row_of
from platform_assets_tests.lakehouse.maintenance.events import BRONZE, EVENTS, LOG, append, arrive, rows, write_log


def maintenance(lakehouse: Lakehouse, days_ahead: float = 0) -> Maintenance:
    return Maintenance(lakehouse, lambda _: None, datetime.now(UTC) + timedelta(days=days_ahead))


def expired(lakehouse: Lakehouse, days_ahead: float) -> int:
    return sum(outcome.did["expired"] for outcome in maintenance(lakehouse, days_ahead).run(Job.EXPIRE, [EVENTS.table]))


def decide(lakehouse: Lakehouse, now: datetime) -> None:
    told = Outcome(EVENTS.table, "within 5 min", "2026-11-20T07Z", now, 1, 1, 0, timedelta(), now)
    append_news(lakehouse, OUTCOMES, lambda _: [told], lambda one: row_of(one, now), now)


def test_as_long_as_no_promise_was_judged_commits_are_kept_for_as_long_as_they_are_asked_for(
    lakehouse: Lakehouse,
) -> None:
    for number in range(2):
        append(lakehouse, first=number)
    assert expired(lakehouse, 29) == 0
    assert expired(lakehouse, 31) == 1


def test_commits_expire_a_week_after_they_were_superseded_once_promises_are_judged(lakehouse: Lakehouse) -> None:
    for number in range(2):
        append(lakehouse, first=number)
    decide(lakehouse, datetime.now(UTC) + timedelta(days=5))
    assert expired(lakehouse, 6.9) == 0
    assert expired(lakehouse, 7.1) == 1


def test_commits_are_kept_while_nobody_judges_promises_any_more(lakehouse: Lakehouse) -> None:
    decided = datetime.now(UTC) - timedelta(days=2)
    decide(lakehouse, decided)
    for number in range(2):
        append(lakehouse, first=number)
    assert asked_since(lakehouse, datetime.now(UTC) + timedelta(days=10)) < decided - timedelta(days=2)
    assert expired(lakehouse, 10) == 0


def test_bronze_is_not_expired_before_its_changes_are_told(lakehouse: Lakehouse) -> None:
    for number in range(2):
        arrive(lakehouse, first=number)
    (outcome,) = maintenance(lakehouse, 100).run(Job.EXPIRE, [BRONZE.table])
    assert outcome.did == {"expired": 0, "snapshots": 2}


def test_a_busy_table_is_postponed_and_the_next_one_done(lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(lakehouse: Lakehouse, name: str, **options: object) -> object:
        if name == EVENTS.table:
            raise ConcurrentPublish(f"{name} is busy")
        return compaction.compact(lakehouse, name, **options)  # type: ignore[arg-type]

    append(lakehouse)
    for number in range(5):
        write_log(lakehouse, number)
    monkeypatch.setattr(work, "compact", busy)
    log, events = maintenance(lakehouse).run(Job.COMPACT)
    assert (log.table, log.did["merged"], log.postponed) == (LOG.table, 5, None)
    assert (events.table, dict(events.did), events.error) == (EVENTS.table, {}, None)
    assert events.as_json() == {"table": EVENTS.table, "postponed": f"{EVENTS.table} is busy"}
    assert rows(lakehouse, LOG.table)


_CTRL_C = """
import os, signal, threading, duckdb
signal.signal(signal.SIGINT, signal.default_int_handler)  # which whoever starts a process in the background has ignored
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    duckdb.sql("SELECT sum(hash(a.i * b.i)) FROM range(40000) a(i), range(40000) b(i)").fetchall()
except RuntimeError as error:
    print(error)
"""


def test_duckdb_says_in_these_words_that_a_person_pressed_ctrl_c() -> None:
    said = subprocess.run([sys.executable, "-c", _CTRL_C], capture_output=True, text=True, check=False, timeout=120)
    assert said.stdout.strip() == _INTERRUPTED, said.stderr


def test_ctrl_c_while_duckdb_computes_stops_everything(lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise RuntimeError(_INTERRUPTED)

    append(lakehouse)
    monkeypatch.setattr(work, "compact", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(maintenance(lakehouse).run(Job.COMPACT))

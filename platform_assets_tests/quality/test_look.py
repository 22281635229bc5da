"""A look at real tables: what is usual is not told, what was planted is, nothing is read or told twice."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from platform_assets.lakehouse.catalog import Lakehouse, local_path
from platform_assets.lakehouse.declared import DeclaredTable
from platform_assets.lakehouse.progress import Progress
from platform_assets.lakehouse.query import query
from platform_assets.lakehouse.statistics import TableStatistics
from platform_assets.quality import look as looking
from platform_assets.quality.findings import Finding, Watch
from platform_assets.quality.look import Budget, Watched, due_partitions, look
from platform_assets.quality.store import current, latest
from platform_assets.settings import Settings
from platform_assets_tests.quality.tables import (
    DAY,
    FIRST,
    ORDERS,
    days,
    declare,
    noon,
    orders,
    publish,
    publish_all,
    unusual,
)

LAST = FIRST + 9 * DAY
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def nine_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of nine usual days that were looked at, and a copy of it beside."""
    home = tmp_path_factory.mktemp("nine") / "home"
    lakehouse = Lakehouse(Settings(home=home, sources=home))
    with pytest.MonkeyPatch.context() as patched:
        declare(patched)
        publish_all(lakehouse, days(9))
        assert unusual(look(lakehouse, noon(LAST)).told) == []
    shutil.copytree(home, home.with_name("copy"))
    return home


@pytest.fixture
def usual(nine_days: Path, monkeypatch: pytest.MonkeyPatch) -> Lakehouse:
    """Nine usual days that were looked at. Tables know where they lie: each test has them at the same place, anew."""
    shutil.rmtree(nine_days)
    shutil.copytree(nine_days.with_name("copy"), nine_days)
    declare(monkeypatch)
    return Lakehouse(Settings(home=nine_days, sources=nine_days))


def test_what_is_planted_in_a_day_is_found_and_nothing_else_and_the_reason_says_what(usual: Lakehouse) -> None:
    dollars_for_cents = "1000 * exp(0.8 * sqrt(-2 * ln(u)) * cos(6.2832 * v))"
    turned = "CASE WHEN i % 5 > 0 THEN 'open' ELSE 'paid' END"
    half = "CASE WHEN i % 2 > 0 THEN sha256(i::VARCHAR) END"
    publish(usual, LAST, orders(LAST, email=half, amount=dollars_for_cents, state=turned))
    publish(usual, LAST + DAY)
    told = look(usual, noon(LAST + 2 * DAY)).told
    assert set(unusual(told)) == {
        ("null_rate", "email", LAST),
        ("distribution", "amount", LAST),
        ("distribution", "state", LAST),
    }
    reasons = {finding.subject: finding.reason for finding in told if finding.unusual}
    assert reasons["email"] == "50.0% of 400 rows are null; in the last 9 it was 2.0%, up to 5.5% is usual"
    assert reasons["state"].endswith("`paid`: 20.0% of the rows, 66.5% before")
    assert reasons["state"].startswith("values lie 0.41 from those in the last 9; up to 0.10 is usual; ")


def test_a_mended_partition_is_usual_again(usual: Lakehouse) -> None:
    publish(usual, LAST, orders(LAST, amount="NULL"))
    assert unusual(look(usual, noon(LAST + DAY)).told) == [("null_rate", "amount", LAST)]
    publish(usual, LAST)
    assert look(usual, noon(LAST + DAY) + HOUR).profiled == 1
    assert not any(judgement.finding.unusual for judgement in current(usual, noon(LAST + DAY) + HOUR))
    _, rows = query(usual, "SELECT unusual FROM ops.quality WHERE subject = 'amount' AND watch = 'null_rate' "
                    f"AND partition_date = DATE '{LAST}' ORDER BY judged_at")  # fmt: skip
    assert rows == [(True,), (False,)]


def test_nothing_is_read_or_told_twice_and_the_same_rows_again_are_no_change(usual: Lakehouse) -> None:
    def kept() -> list[tuple[object, ...]]:
        _, rows = query(usual, "SELECT (SELECT count(*) FROM ops.quality), (SELECT count(*) FROM ops.column_profiles)")
        return rows

    publish(usual, LAST)
    assert look(usual, noon(LAST + DAY)).profiled == 1
    before = kept()
    publish(usual, LAST)
    done = look(usual, noon(LAST + DAY) + HOUR)
    assert (done.profiled, done.told, done.complete) == (0, [], True)
    assert kept() == before


def test_a_day_is_read_again_when_it_is_over_and_only_then_its_distribution_is_judged(usual: Lakehouse) -> None:
    publish(usual, LAST, orders(LAST, amount="CASE WHEN i % 4 > 0 THEN 1000 * exp(u) END"))
    assert unusual(look(usual, noon(LAST)).told) == [("null_rate", "amount", LAST)]
    assert look(usual, noon(LAST) + HOUR).profiled == 0
    assert unusual(look(usual, noon(LAST) + 13 * HOUR).told) == [("distribution", "amount", LAST)]
    assert look(usual, noon(LAST) + 14 * HOUR).profiled == 0


def test_a_look_reads_no_more_than_it_may_and_the_next_goes_on_behind_it(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = [replace(ORDERS, table=f"silver.{name}") for name in ("one", "three", "two")]
    declare(monkeypatch, *tables)
    for contract in tables:
        publish_all(lakehouse, days(3), contract)
    now, after, seen = noon(LAST), None, []
    for _ in range(5):
        done = look(lakehouse, now, after=after, budget=Budget(partitions=2))
        after = done.last
        seen.append((done.profiled, done.last, done.complete))
    assert seen == [
        (2, "silver.one", False),
        (2, "silver.three", False),
        (2, "silver.two", False),
        (2, "silver.three", False),
        (1, "silver.three", True),
    ]
    assert look(lakehouse, now, after=after).profiled == 0


def test_a_look_without_time_does_nothing_and_says_so(usual: Lakehouse) -> None:
    publish(usual, LAST)
    done = look(usual, noon(LAST + DAY), budget=Budget(seconds=-1))
    assert (done.profiled, done.complete) == (0, False)
    assert look(usual, noon(LAST + DAY)).profiled == 1


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs."""


def test_whoever_is_killed_before_the_profiles_are_kept_finds_the_same_again_and_tells_it_once(
    usual: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(usual, LAST, orders(LAST, amount="NULL"))

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(looking, "keep", die)
        with pytest.raises(Killed):
            look(usual, noon(LAST + DAY))
    told = [found for found in latest(usual, noon(LAST + DAY)) if found.finding.unusual]
    assert len(told) == 1
    again = look(usual, noon(LAST + DAY) + HOUR)
    assert (again.profiled, again.told) == (1, [])
    assert look(usual, noon(LAST + DAY) + 2 * HOUR).profiled == 0


@pytest.mark.parametrize(
    ("versions", "looks", "at", "due"),
    [
        ({1: "a", 2: "b"}, {}, noon(LAST), [2, 1]),
        ({1: "a", 2: "b"}, {1: ("a", 10)}, noon(LAST), [2]),
        ({1: "b"}, {1: ("a", 8)}, noon(LAST), [1]),
        ({1: "b"}, {1: ("a", 10)}, noon(FIRST + 10 * DAY) + timedelta(minutes=14), []),
        ({1: "b"}, {1: ("a", 10)}, noon(FIRST + 10 * DAY) + timedelta(minutes=15), [1]),
        ({5: "a"}, {5: ("a", 5)}, noon(FIRST + 5 * DAY) + 11 * HOUR, []),
        ({5: "a"}, {5: ("a", 5)}, noon(FIRST + 5 * DAY) + 12 * HOUR, [5]),
        ({}, {3: ("a", 10)}, noon(LAST), []),
        ({12: "a"}, {}, noon(FIRST + 11 * DAY), []),
        (dict.fromkeys(range(120), "a"), {}, noon(FIRST + 200 * DAY), list(range(119, 29, -1))),
    ],
    ids=[
        "new",
        "seen",
        "changed",
        "too soon",
        "soon enough",
        "day runs",
        "day is over",
        "forgotten",
        "tomorrow",
        "newest",
    ],
)
def test_what_is_due(versions: dict[int, str], looks: dict[int, tuple[str, int]], at: datetime, due: list[int]) -> None:
    def day(number: int) -> date:
        return FIRST + number * DAY

    (declared,) = [DeclaredTable(ORDERS, "commerce", "team:test", None, DAY)]
    known = TableStatistics("silver.orders", 1, 1, 1, None, None, None, {day(n): 1 for n in versions or looks})
    so_far = Progress(versions={day(n): version for n, version in versions.items()})
    seen: dict[date | None, tuple[str, datetime]] = {
        day(n): (version, noon(day(at_day))) for n, (version, at_day) in looks.items()
    }
    assert due_partitions(declared, known, so_far, seen, at) == [day(n) for n in due]


def test_another_watch_is_one_line_more(usual: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(watched: Watched) -> list[Finding]:
        assert watched.now == noon(LAST)
        found = watched.statistics.rows_by_partition
        return [Finding(Watch.VOLUME, watched.table.name, day, found[day], day == FIRST, "few") for day in days(9)]

    monkeypatch.setattr(looking, "WATCHES", (*looking.WATCHES, rows))
    done = look(usual, noon(LAST))
    assert (len(done.told), unusual(done.told)) == (9, [("volume", "", FIRST)])
    assert look(usual, noon(LAST)).told == []


def test_a_table_that_cannot_be_read_is_told_and_stops_no_other(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, good = (replace(ORDERS, table=f"silver.{name}") for name in ("broken", "good"))
    declare(monkeypatch, broken, good)
    for contract in (broken, good):
        publish(lakehouse, FIRST, contract=contract)
    table = lakehouse.find("silver.broken")
    assert table is not None
    (file,) = [Path(local_path(task.file.file_path)) for task in table.scan().plan_files()]
    content = file.read_bytes()
    file.write_bytes(b"no Parquet")
    done = look(lakehouse, noon(LAST))
    assert (done.profiled, list(done.errors), done.last) == (1, ["silver.broken"], "silver.good")
    told = {finding.table: (finding.unusual, finding.reason) for finding in done.told}
    assert told == {
        "silver.broken": (True, "it cannot be read: InvalidInputException"),
        "silver.good": (False, "as it was"),
    }
    file.write_bytes(content)
    again = look(lakehouse, noon(LAST) + HOUR)
    assert ([(f.table, f.unusual) for f in again.told], again.errors) == ([("silver.broken", False)], {})

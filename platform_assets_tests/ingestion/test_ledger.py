"""The operations database remembers across processes, and any number of them may use it at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from platform_assets.ingestion.landing import LandingObject
from platform_assets.ingestion.ledger import Ledger, Published, Waiting
from platform_assets.ingestion.waiting import arrivals
from platform_assets.settings import Settings

DAY = date(2026, 1, 2)
NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", landing_bucket="b")


@pytest.fixture
def ledger(here: Settings) -> Iterator[Ledger]:
    with Ledger(here) as opened:
        yield opened


def arrival(name: str, generation: int = 1, day: date = DAY) -> LandingObject:
    return LandingObject("shop", day, f"source=shop/date={day}/{name}", generation, 5, NOW, "b")


def test_object_is_new_once(ledger: Ledger, here: Settings) -> None:
    a, b, a2 = arrival("a"), arrival("b"), arrival("a", 2)
    assert ledger.record_seen([a]) == [a]
    with Ledger(here) as another:
        assert another.record_seen([b, a, a2]) == [b, a2]
        assert another.record_seen([b, a, a2]) == []
        assert another.record_seen([]) == []


def test_arrivals_are_those_seen_or_ingested_since_and_all_that_wait(ledger: Ledger, here: Settings) -> None:
    hour = timedelta(hours=1)
    seen = {"waits": NOW, "done": NOW, "done late": NOW, "new": NOW + 3 * hour}
    for name, at in seen.items():
        ledger.record_seen([arrival(name)], at)
    ledger.mark_ingested("shop", [(arrival("done").name, 1)], NOW + hour)
    ledger.mark_ingested("shop", [(arrival("done late").name, 1)], NOW + 3 * hour)
    found = sorted((one.seen_at, one.ingested_at or NOW) for one in ledger.arrivals("shop", NOW + 2 * hour))
    assert found == [(NOW, NOW), (NOW, NOW + 3 * hour), (NOW + 3 * hour, NOW)]
    assert len(ledger.arrivals("shop", NOW)) == 4
    assert {(one.arrival_date, one.landed_at) for one in ledger.arrivals("shop", NOW)} == {(DAY, NOW)}
    assert arrivals(here)({"bronze.shop": NOW, "bronze.other": NOW}) == {
        "bronze.shop": ledger.arrivals("shop", NOW),
        "bronze.other": [],
    }


def test_thousands_of_objects_are_remembered_at_once(ledger: Ledger) -> None:
    many = [arrival(f"{number:05}") for number in range(3000)]
    assert ledger.record_seen(many) == many
    ledger.mark_ingested("shop", [(a.name, a.generation) for a in many[:-1]])
    assert ledger.pending("shop") == {DAY: many[-1:]}


def test_pending_is_what_was_seen_and_not_ingested(ledger: Ledger) -> None:
    late = arrival("c", day=DAY - timedelta(days=9))
    ledger.record_seen([arrival("b"), arrival("a"), late])
    assert list(ledger.pending("shop").items()) == [(late.arrival_date, [late]), (DAY, [arrival("a"), arrival("b")])]
    ledger.mark_ingested("shop", [(arrival("a").name, 1), (late.name, 1)])
    assert ledger.pending("shop") == {DAY: [arrival("b")]}
    assert ledger.pending("other") == {}
    assert ledger.pending("shop", DAY) == {DAY: [arrival("b")]}
    assert ledger.pending("shop", late.arrival_date) == {}


def test_what_waits_is_what_is_pending_in_numbers(ledger: Ledger) -> None:
    early, late, old = (replace(arrival(name), landed_at=NOW + timedelta(minutes=n)) for n, name in enumerate("abc"))
    older = replace(arrival("d", 1), landed_at=NOW - timedelta(hours=1))  # a newer generation has taken its place
    other_day = arrival("e", day=DAY - timedelta(days=9))
    ledger.record_seen([early, late, old, older, replace(arrival("d", 2), landed_at=NOW), other_day])
    ledger.mark_ingested("shop", [(old.name, 1)])
    assert ledger.waiting("shop") == {
        other_day.arrival_date: Waiting(1, NOW, NOW),
        DAY: Waiting(3, NOW, NOW + timedelta(minutes=1)),
    }
    assert {day: len(found) for day, found in ledger.pending("shop").items()} == {other_day.arrival_date: 1, DAY: 3}
    assert ledger.waiting("other") == {}


def test_overwritten_object_is_pending_in_its_newest_generation_only(ledger: Ledger) -> None:
    ledger.record_seen([arrival("a", 1), arrival("a", 2)])
    assert ledger.pending("shop") == {DAY: [arrival("a", 2)]}
    ledger.mark_ingested("shop", [(arrival("a").name, 2)])
    assert ledger.pending("shop") == {}
    assert ledger.record_seen([arrival("a", 3)]) == [arrival("a", 3)]
    assert ledger.pending("shop") == {DAY: [arrival("a", 3)]}


def test_forgotten_object_is_new_when_it_comes_back(ledger: Ledger) -> None:
    ledger.record_seen([arrival("a"), arrival("b")])
    ledger.forget_arrivals("shop", [(arrival("a").name, 1)])
    assert ledger.pending("shop") == {DAY: [arrival("b")]}
    assert ledger.record_seen([arrival("a")]) == [arrival("a")]


def test_a_table_is_announced_up_to_the_snapshot_last_marked(ledger: Ledger) -> None:
    assert ledger.announced("bronze.shop") is None
    ledger.mark_announced("bronze.shop", 1)
    ledger.mark_announced("bronze.shop", 2)
    ledger.mark_announced("bronze.other", 7)
    assert ledger.announced("bronze.shop") == 2


def test_a_date_has_an_arrival_once_one_was_seen(ledger: Ledger) -> None:
    assert not ledger.has_arrival("shop", DAY)
    ledger.record_seen([arrival("a.jsonl", 1)])
    assert ledger.has_arrival("shop", DAY)
    assert not ledger.has_arrival("shop", DAY + timedelta(days=1))


def test_published_records_are_remembered_by_source(ledger: Ledger, here: Settings) -> None:
    ledger.record_published("carts", [Published("1", "e1", NOW), Published("2", "e2", NOW)])
    ledger.record_published("carts", [Published("2", "e2", NOW)])
    with Ledger(here) as another:
        assert another.unpublished("carts", ["1", "2", "3"]) == {"3"}
        assert another.unpublished("users", ["1"]) == {"1"}
        assert another.unpublished("users", []) == set()


def test_only_what_has_not_landed_is_forgotten(ledger: Ledger) -> None:
    ledger.record_published("carts", [Published(key, f"e{key}", NOW) for key in "123"])
    ledger.record_published("users", [Published("9", "e9", NOW)])
    ledger.mark_landed(["e2", "unknown"])
    ledger.mark_landed(["e2"])
    assert ledger.forget_unlanded("carts") == 2
    assert ledger.forget_unlanded("carts") == 0
    assert ledger.unpublished("carts", "123") == {"1", "3"}
    assert ledger.unpublished("users", ["9"]) == set()


SEE = """
import sys
from datetime import UTC, date, datetime
from platform_assets.ingestion.landing import LandingObject
from platform_assets.ingestion.ledger import Ledger
from platform_assets.settings import load_settings

moment = datetime(2026, 1, 2, tzinfo=UTC)
objects = [LandingObject("shop", date(2026, 1, 2), str(n), 1, 5, moment, "b") for n in range(60)]
sys.stdin.readline()
ledger = Ledger(load_settings())
print(sum(len(ledger.record_seen([one])) for one in objects))
"""


def test_processes_that_start_at_once_share_one_ledger(here: Settings) -> None:
    environment = {**os.environ, "PLATFORM_HOME": str(here.home), "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SEE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sum(map(int, outputs)) == 60


def test_statements_are_valid_on_postgresql() -> None:
    from sqlalchemy.dialects import postgresql
    from sqlalchemy.schema import CreateTable

    from platform_assets.ingestion.ledger_tables import insert_of, tables

    made = tables()
    insert = insert_of("postgresql")(made.arrivals).values(source="s", name="n", generation=1).on_conflict_do_nothing()
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    assert "ON CONFLICT DO NOTHING" in str(insert.compile(dialect=dialect))
    created = str(CreateTable(made.arrivals).compile(dialect=dialect))
    assert "TIMESTAMP WITH TIME ZONE" in created
    assert "generation BIGINT" in created


def test_a_change_of_the_source_is_new_once(settings: Settings) -> None:
    with Ledger(settings) as ledger:
        assert ledger.record_drift("shop", [("colour", "string"), ("size", "integer")]) == [
            ("colour", "string"),
            ("size", "integer"),
        ]
        assert ledger.record_drift("shop", [("colour", "string"), ("colour", "object")]) == [("colour", "object")]
        assert ledger.record_drift("other", [("colour", "string")]) == [("colour", "string")]
        assert ledger.record_drift("shop", []) == []

"""Querying a real database: every row lands once, in the order of its cursor, whatever is tied or killed (S1-72)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from platform_assets.ingestion.connectors import ConnectorError, database_query
from platform_assets.ingestion.landing import Landing
from platform_assets.settings import Settings
from platform_assets_tests.ingestion.connectors.ticks import Ticks, write_source

QUERY = "SELECT id, name, at FROM orders WHERE name <> ':x 100%'"


class Database:
    """An SQLite file that somebody else writes to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run("CREATE TABLE orders (id INTEGER, name TEXT, at STAMP)")

    def run(self, sql: str, rows: list[tuple[Any, ...]] | None = None) -> None:
        """One statement, committed, for each row if there are rows."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.executemany(sql, rows) if rows is not None else connection.execute(sql)

    def add(self, *rows: tuple[int, str, object]) -> None:
        """New orders."""
        self.run("INSERT INTO orders VALUES (?, ?, ?)", list(rows))


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    path = tmp_path / "theirs.db"
    monkeypatch.setenv("PLATFORM_SECRET_SHOP_DB", f"sqlite:///{path}")
    return Database(path)


def ticks(settings: Settings, tmp_path: Path, **params: object) -> Ticks:
    source = write_source(
        tmp_path,
        "orders",
        pattern="batch_file",
        connector_type="database_query",
        secret_name="shop-db",
        params={"query": QUERY, "cursor_column": "at", **params},
    )
    return Ticks(settings, source)


@pytest.fixture
def tick(settings: Settings, database: Database, tmp_path: Path) -> Ticks:
    assert database.path.is_file()
    return ticks(settings, tmp_path)


def ids(tick: Ticks) -> list[int]:
    return sorted(record["id"] for record in tick.records())


def test_new_rows_land_in_the_order_of_the_cursor_and_no_row_twice(tick: Ticks, database: Database) -> None:
    database.add((2, "ü", "2026-01-02"), (1, 'a"\n', "2026-01-01"))
    tick()
    assert tick.records() == [
        {"id": 1, "name": 'a"\n', "at": "2026-01-01"},
        {"id": 2, "name": "ü", "at": "2026-01-02"},
    ]
    assert tick(after=61).objects == []
    database.add((3, "c", "2026-01-03"))
    assert len(tick(after=61).objects) == 1
    assert ids(tick) == [1, 2, 3]


def test_rows_that_come_later_with_the_last_cursor_value_are_neither_lost_nor_is_any_doubled(
    tick: Ticks, database: Database
) -> None:
    database.add((1, "a", "2026-01-01"), (2, "b", "2026-01-02"))
    tick()
    database.add((3, "c", "2026-01-02"), (2, "b", "2026-01-02"))  # one of them is like one that has landed
    tick(after=61)
    database.add((4, "d", "2026-01-02"))
    tick(after=61)
    tick(after=61)
    assert ids(tick) == [1, 2, 2, 3, 4]


def test_a_row_that_changed_and_has_a_new_cursor_lands_again(tick: Ticks, database: Database) -> None:
    database.add((1, "a", "2026-01-01"))
    tick()
    database.run("UPDATE orders SET name = 'b', at = '2026-01-02'")
    tick(after=61)
    assert sorted(record["name"] for record in tick.records()) == ["a", "b"]


def test_a_large_table_lands_in_objects_of_bounded_size_even_if_all_is_tied(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    tick = ticks(settings, tmp_path, rows_per_object=10)
    database.add(*((number, "x", "2026-01-01") for number in range(35)))
    assert len(tick().objects) == 4
    assert ids(tick) == list(range(35))


def test_a_backlog_that_takes_longer_than_a_tick_goes_on_at_once(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    tick = ticks(settings, tmp_path, rows_per_object=10)
    database.add(*((number, "x", f"2026-01-{1 + number // 5:02}") for number in range(30)))
    assert [len(tick(budget=-1).objects) for _ in range(5)] == [1, 1, 1, 0, 0]
    assert ids(tick) == list(range(30))


@pytest.mark.parametrize("method", ["put", "remembered", "find"])
def test_a_tick_killed_at_any_point_is_taken_up_by_the_next_one(
    tick: Ticks, database: Database, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    database.add((1, "a", "2026-01-01"), (2, "b", "2026-01-01"))

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(Landing, "put", killed) if method == "find" else None
            patch.setattr(Landing, method, killed)
            with pytest.raises(KeyboardInterrupt):
                tick()
        database.add((3, "c", "2026-01-01"))
    tick(after=86_400)
    tick(after=61)
    assert ids(tick) == [1, 2, 3, 3]


rows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=8)


@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrivals=st.lists(rows, max_size=4), at_once=st.integers(1, 4))
def test_whatever_comes_when_each_row_lands_exactly_once(
    settings: Settings,
    tmp_path_factory: pytest.TempPathFactory,
    arrivals: list[list[tuple[int, int]]],
    at_once: int,
) -> None:
    """Rows come with cursor values that never fall below those that were there; many are the same in every column."""
    import os
    from uuid import uuid4

    folder = tmp_path_factory.mktemp("theirs")
    database = Database(folder / "theirs.db")
    os.environ["PLATFORM_SECRET_SHOP_DB"] = f"sqlite:///{database.path}"
    own = settings.model_copy(update={"operations_uri": f"sqlite:///{folder / 'operations.db'}"})
    source = write_source(
        folder,
        f"orders_{uuid4().hex[:8]}",
        pattern="batch_file",
        connector_type="database_query",
        secret_name="shop-db",
        params={"query": QUERY, "cursor_column": "at", "rows_per_object": at_once},
    )
    tick = Ticks(own, source)
    expected: list[tuple[int, int]] = []
    highest = 0
    for batch in arrivals:
        added = [(number, highest + later) for number, later in batch]
        expected += added
        highest = max([highest, *(at for _, at in added)])
        database.add(*((number, "x", at) for number, at in added))
        tick(after=61)
    assert sorted((r["id"], r["at"]) for r in tick.records()) == sorted(expected)
    del os.environ["PLATFORM_SECRET_SHOP_DB"]


@pytest.fixture
def stamps() -> Iterator[None]:
    """SQLite that gives moments and days for columns of type STAMP, as other databases do for theirs."""
    sqlite3.register_converter("STAMP", lambda text: datetime.fromisoformat(text.decode()))
    yield
    sqlite3.converters.pop("STAMP")


@pytest.mark.usefixtures("stamps")
def test_a_cursor_of_moments_stays_one(
    settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_SECRET_SHOP_DB", f"sqlite:///{database.path}?detect_types=1")
    tick = ticks(settings, tmp_path)
    noon, later = "2026-01-01 12:00:00.000000", "2026-01-01 12:00:00.000001"
    database.add((1, "a", noon), (2, "b", noon))
    tick()
    database.add((3, "c", noon), (4, "d", later))
    tick(after=61)
    tick(after=61)
    assert ids(tick) == [1, 2, 3, 4]
    assert tick.records()[0]["at"] == "2026-01-01T12:00:00"


@pytest.mark.parametrize(
    "value", [datetime(2026, 1, 1, 1, 2, 3, 4, tzinfo=UTC), date(2026, 1, 1), 10**20, 1.5, Decimal("1.10"), "ü"]
)
def test_a_cursor_value_keeps_its_type(value: object) -> None:
    kept = database_query._untagged(json.loads(json.dumps(database_query._tagged(value))))
    assert (kept, type(kept)) == (value, type(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("12345678901234567890.10"), "12345678901234567890.10"),
        (Decimal("1E+3"), "1000"),
        (Decimal("NaN"), '"NaN"'),
        (float("inf"), '"inf"'),
        (0.1, "0.1"),
        (True, "true"),
        (b"\xff", '"/w=="'),
        (datetime(2026, 1, 1, tzinfo=UTC), '"2026-01-01T00:00:00+00:00"'),
        ({"a": [1]}, '{"a":[1]}'),
        (None, "null"),
    ],
)
def test_values_are_exact_json(value: object, text: str) -> None:
    assert database_query._json(value) == text


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"cursor_column": "updated"}, "no such column: updated|the query has no column 'updated'"),
        ({"query": "SELECT * FROM parcels"}, "no such table: parcels"),
        ({"query": "SELEC 1"}, "syntax error"),
    ],
)
def test_a_wrong_query_is_told(
    settings: Settings, database: Database, tmp_path: Path, params: dict[str, object], expected: str
) -> None:
    database.add((1, "a", "2026-01-01"))
    with pytest.raises(ConnectorError, match=f"^orders: .*({expected})"):
        ticks(settings, tmp_path, **params)()


def test_rows_without_a_cursor_value_are_not_lost_unseen(tick: Ticks, database: Database) -> None:
    database.add((1, "a", "2026-01-01"))
    tick()
    database.add((2, "b", None))
    with pytest.raises(ConnectorError, match=r"rows of the query have no 'at' .* COALESCE"):
        tick(after=61)


@pytest.mark.parametrize("url", ["hunter2", "nothing://me:hunter2@host/db", "postgresql+hunter2://me:hunter2@h/d"])
def test_a_wrong_url_is_told_without_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("PLATFORM_SECRET_SHOP_DB", url)
    with pytest.raises(ConnectorError, match="the secret 'shop-db' is no URL of a database") as error:
        ticks(settings, tmp_path)()
    seen: BaseException | None = error.value
    while seen is not None:
        assert "hunter2" not in str(seen)
        seen = seen.__cause__

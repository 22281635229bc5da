"""The DuckDB that a process keeps for small questions."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.settings import Settings

_MANY = "SELECT count(*) FROM range(5_000_000) t(i) WHERE i % 5 = 0"  # for all its threads


def test_an_answer_is_in_utc_and_nothing_is_left_of_the_question(lakehouse: Lakehouse) -> None:
    ((moment,),) = lakehouse.ask("SELECT TIMESTAMPTZ '2026-01-01 12:00+02'")
    assert moment == datetime(2026, 1, 1, 10, tzinfo=UTC)
    lakehouse.ask("CREATE TEMP TABLE left_behind AS SELECT 1")
    assert lakehouse.ask("SELECT 1 FROM duckdb_tables() WHERE table_name = 'left_behind'") == []


def test_a_fork_asks_a_duckdb_of_its_own(lakehouse: Lakehouse) -> None:
    """It has none of the threads that it was forked from: to wait for one of them, or to end it, takes for ever."""
    assert lakehouse.ask(_MANY) == [(1_000_000,)]
    child = os.fork()
    if not child:
        os._exit(0 if lakehouse.ask(_MANY) == [(1_000_000,)] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert lakehouse.ask(_MANY) == [(1_000_000,)]


def test_other_settings_are_another_duckdb(lakehouse: Lakehouse, tmp_path: Path) -> None:
    lakehouse.ask("SELECT 1")
    elsewhere = Lakehouse(Settings(home=tmp_path / "elsewhere", memory_limit="200MB"))
    ((limit,),) = elsewhere.ask("SELECT value FROM duckdb_settings() WHERE name = 'memory_limit'")
    assert limit == "190.7 MiB"

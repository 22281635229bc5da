"""A lakehouse that belongs to one test alone, and a DuckDB without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.settings import Settings
from platform_assets_tests.lakehouse.bronze_rows import PII_KEY


@pytest.fixture
def lakehouse(tmp_path: Path) -> Lakehouse:
    """An empty lakehouse."""
    return Lakehouse(Settings(home=tmp_path / "home", pii_key=PII_KEY))


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB in memory, in UTC."""
    opened = duckdb.connect()
    opened.execute("SET TimeZone = 'UTC'")
    yield opened
    opened.close()

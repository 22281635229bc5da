"""A lakehouse that belongs to one test alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.settings import Settings


@pytest.fixture
def lakehouse(tmp_path: Path) -> Lakehouse:
    """An empty lakehouse, beside a folder of sources that is empty too."""
    (tmp_path / "sources").mkdir()
    return Lakehouse(Settings(home=tmp_path / "home", sources=tmp_path / "sources"))

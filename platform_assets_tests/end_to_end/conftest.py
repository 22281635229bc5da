"""What tests of the whole way share: dbt compiles the models once for all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_assets.settings import Settings


@pytest.fixture(scope="session")
def compiled_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where they are kept, by a digest of the project (`lakehouse.dbt_compile`)."""
    return tmp_path_factory.mktemp("compiled_models")


@pytest.fixture(autouse=True)
def _compiled_once(settings: Settings, compiled_models: Path) -> None:
    (settings.home / "dbt").mkdir()
    (settings.home / "dbt" / "compiled").symlink_to(compiled_models)

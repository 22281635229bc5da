"""What every test may use: real stand-in servers, and settings that belong to one test alone."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from platform_assets.local.servers import Server, start_gcs, start_pubsub
from platform_assets.settings import Settings, load_settings

_STACKS = ("platform_assets_tests/live/", "platform_assets_tests/local/")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Any:  # noqa: ANN401 - xdist has no types
    """With `--dist loadscope`, all tests that start stacks or their servers go to one worker, one after the other.

    Those of `live` share one running platform, and two that start at once reach for the same ports.

    Marks cannot say so: `--dist loadgroup` does not group with pytest 9.2 (pytest-dev/pytest-xdist#1386).
    """
    if config.getvalue("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    scheduler: Any = LoadScopeScheduling(config, log)
    by_module = scheduler._split_scope
    scheduler._split_scope = lambda nodeid: "stacks" if nodeid.startswith(_STACKS) else by_module(nodeid)
    return scheduler


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Cloud Storage emulator of this test process."""
    folder = tmp_path_factory.mktemp("gcs")
    with start_gcs(folder / "buckets", folder / "gcs.log") as server:
        yield server


@pytest.fixture(scope="session")
def pubsub_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Pub/Sub emulator of this test process; `flavour` says which, `google` or the weaker `drongo`."""
    with start_pubsub(tmp_path_factory.mktemp("pubsub") / "pubsub.log") as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gcs_server: Server, pubsub_server: Server) -> Settings:
    """Settings with a home, a landing bucket, a project and a key of their own, which the environment has as well."""
    from google.cloud import storage

    unique = uuid.uuid4().hex[:12]
    environment = {
        "PLATFORM_HOME": str(tmp_path),
        "PLATFORM_LANDING_BUCKET": f"landing-{unique}",
        "PLATFORM_PII_KEY": "0123456789abcdef" * 4,
        "GOOGLE_CLOUD_PROJECT": f"project-{unique}",
        "STORAGE_EMULATOR_HOST": gcs_server.url,
        "PUBSUB_EMULATOR_HOST": pubsub_server.address,
    }
    for name in [name for name in os.environ if name.startswith(("PLATFORM_", "FAKESTORE_", "DAGSTER_"))]:
        if name != "PLATFORM_REALDATA_DIR":
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    loaded = load_settings()
    storage.Client(project=loaded.project).create_bucket(loaded.landing_bucket)
    return loaded


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real responses and files, which is not part of the repository."""
    folder = os.environ.get("PLATFORM_REALDATA_DIR")
    if not folder:
        pytest.skip("PLATFORM_REALDATA_DIR is not set: without the folder of real data this test has nothing to run on")
    return Path(folder)

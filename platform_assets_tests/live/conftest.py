"""One running platform for all tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance

from platform_assets.local.fakestore import write_sample
from platform_assets.local.home import running_environment
from platform_assets_tests.live.running import UP_TO_DATE, Platform, Stopped

SAMPLE_EVENTS = 500
STOPS = "stops_the_platform"


def pytest_configure(config: pytest.Config) -> None:
    """Declares the mark of the tests that run last."""
    config.addinivalue_line("markers", f"{STOPS}: runs after everything that needs the platform of this folder")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs what stops the platform after everything that needs it to run."""
    items.sort(key=lambda item: item.get_closest_marker(STOPS) is not None)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the shop's API serves: the project's own sample."""
    folder = tmp_path_factory.mktemp("shop")
    write_sample(folder)
    return folder


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory, shop: Path) -> Iterator[Platform]:
    """`platform-assets up --sample-events 500` on an empty home, until it says that gold is up to date."""
    platform = Platform.start(tmp_path_factory.mktemp("live") / "home", shop, "--sample-events", str(SAMPLE_EVENTS))
    try:
        platform.says(UP_TO_DATE)
        yield platform
    finally:
        stopped = platform.stop()
    assert stopped == Stopped(code=0, survivors=[]), platform.output


@pytest.fixture
def platform(started: Platform, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The running platform, which official clients and the project's own functions reach from this process."""
    for name, value in running_environment(started.home).items():
        monkeypatch.setenv(name, value)
    return started


@pytest.fixture
def instance(platform: Platform) -> Iterator[DagsterInstance]:
    """The platform's Dagster instance, when nothing runs."""
    with platform.instance() as instance:
        platform.rest(instance)
        yield instance


@pytest.fixture(scope="session")
def chromium() -> str:
    """Debian's chromium."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no chromium on PATH: `make browser` (or `apt-get install chromium`) installs it")
    return found

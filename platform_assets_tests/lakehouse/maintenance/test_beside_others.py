"""Maintenance beside readers and publishers in other processes, and when it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.maintenance.expiry import expire
from platform_assets.lakehouse.maintenance.orphans import remove_orphans
from platform_assets.lakehouse.maintenance.retention import Keep, delete_expired
from platform_assets.lakehouse.progress import progress
from platform_assets.lakehouse.publisher import ConcurrentPublish
from platform_assets_tests.lakehouse.maintenance import beside, killed_job
from platform_assets_tests.lakehouse.maintenance.events import (
    DAY,
    EVENTS,
    NEXT,
    age,
    append,
    days_ago,
    later,
    live_files,
    merge,
    planned,
    read,
    replace,
    rows,
)

KEEP = Keep(EVENTS.table, "day", 1)


class Beside:
    """A process of `beside`, from `ready` until it is told to stop."""

    def __init__(self, lakehouse: Lakehouse, what: str, folder: Path) -> None:
        """Starts it."""
        folder.mkdir()
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", beside.__name__, what, str(folder)],
            env={**os.environ, "PLATFORM_HOME": str(lakehouse.settings.home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def stopped(self) -> dict[str, Any]:
        """What it saw."""
        (self._folder / "stop").touch()
        out, error = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, error
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found

    def kill(self) -> None:
        """Ends it in any case."""
        self._process.kill()
        self._process.wait()


@pytest.fixture
def others(lakehouse: Lakehouse, tmp_path: Path) -> Iterator[Any]:
    """Starts processes, and ends them."""
    started: list[Beside] = []

    def start(what: str) -> Beside:
        started.append(Beside(lakehouse, what, tmp_path / f"{what}{len(started)}"))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def test_a_reader_sees_the_same_before_during_and_after_every_job(lakehouse: Lakehouse, others: Any) -> None:  # noqa: ANN401 - a function
    for number in range(6):
        append(lakehouse, DAY, first=number)
        append(lakehouse, NEXT, first=number)
    reader = others("read")
    for _ in range(3):
        merge(lakehouse)
        expire(lakehouse, EVENTS.table, later())
        left = Path(live_files(lakehouse)[0]).with_name("killed.parquet")
        left.touch()
        os.utime(left, (0, 0))
        # What the first plan names was superseded a moment ago, and its files are younger than that.
        assert remove_orphans(lakehouse, EVENTS.table, days_ago(3)).names == (str(left),)
        delete_expired(lakehouse, Keep(EVENTS.table, "day", 10), NEXT)
    assert reader.stopped()["looks"] > 1
    assert len(live_files(lakehouse)) == 2


def test_nothing_that_is_published_beside_maintenance_is_lost_and_nobody_fails(
    lakehouse: Lakehouse,
    others: Any,  # noqa: ANN401 - a function
) -> None:
    for number in range(4):
        append(lakehouse, DAY, first=number)
    replace(lakehouse, NEXT, count=1, first=0)
    before = rows(lakehouse)
    publisher, merged, rounds, until = others("publish"), 0, 0, time.monotonic() + 60
    while (merged < 12 or rounds < 4) and time.monotonic() < until:
        rounds += 1
        with suppress(ConcurrentPublish):  # then it is for the next time
            merged += merge(lakehouse, fewest_files=2).merged
            expire(lakehouse, EVENTS.table, later())
        remove_orphans(lakehouse, EVENTS.table, days_ago(3))
    done = publisher.stopped()
    assert merged >= 12  # also of what came meanwhile
    found = rows(lakehouse)
    ids = [int(str(row[0])) for row in found if row[-1] == DAY]
    assert {number for number in ids if number > 1_000} == {1_000 + n for n in range(1, done["arrivals"] + 1)}
    assert [row for row in found if row[-1] == DAY and int(str(row[0])) < 1_000] == [r for r in before if r[-1] == DAY]
    assert {row[0] for row in found if row[-1] == NEXT} == {done["arrivals"]}


@pytest.mark.parametrize("moment", killed_job.JOBS)
def test_killed_at_any_moment_it_leaves_the_table_right(lakehouse: Lakehouse, moment: str) -> None:
    for number in range(3):
        append(lakehouse, DAY, first=number)
        append(lakehouse, NEXT, first=number)
    if moment.startswith("orphans"):
        merge(lakehouse)
        expire(lakehouse, EVENTS.table, later())
        age(lakehouse)
    before, reader = rows(lakehouse), planned(lakehouse)
    known = progress(lakehouse.catalog.load_table(EVENTS.table))

    killed = subprocess.run(
        [sys.executable, "-m", killed_job.__name__, moment],
        env={**os.environ, "PLATFORM_HOME": str(lakehouse.settings.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    gone = moment == "retain, after the catalog"
    expected = [row for row in before if row[-1] == NEXT] if gone else before
    assert rows(lakehouse) == expected
    assert read(lakehouse, reader) == before
    assert progress(lakehouse.catalog.load_table(EVENTS.table)) == known

    append(lakehouse, NEXT, first=50)  # and everything goes on
    expected = rows(lakehouse)
    merge(lakehouse)
    expire(lakehouse, EVENTS.table, later())
    age(lakehouse)
    remove_orphans(lakehouse, EVENTS.table, days_ago(3))
    assert rows(lakehouse) == expected
    data = Path(live_files(lakehouse)[0]).parent
    assert sorted(map(str, data.iterdir())) == live_files(lakehouse)
    delete_expired(lakehouse, KEEP, NEXT + timedelta(days=1))
    assert rows(lakehouse) == [row for row in expected if row[-1] == NEXT]

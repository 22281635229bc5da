"""Expiry takes out snapshots that nobody reads any more, and everybody who reads commits is told the same."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from platform_assets.ingestion.bronze import unannounced_dates
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.maintenance import expiry
from platform_assets.lakehouse.maintenance.expiry import Outbox, expirable, expire
from platform_assets.lakehouse.past import past
from platform_assets.lakehouse.progress import progress
from platform_assets.lakehouse.publisher import ConcurrentPublish
from platform_assets.lakehouse.remembered import last_published_at
from platform_assets.lakehouse.unchanged import Held
from platform_assets_tests.lakehouse.maintenance.events import (
    BRONZE,
    DAY,
    EVENTS,
    NEXT,
    append,
    arrive,
    later,
    merge,
    planned,
    read,
    replace,
    rows,
)

HOUR = timedelta(hours=1)


def moments(lakehouse: Lakehouse, name: str = EVENTS.table) -> list[datetime]:
    table = lakehouse.catalog.load_table(name)
    return [datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC) for snapshot in table.snapshots()]


def head(lakehouse: Lakehouse, name: str = BRONZE.table) -> int:
    snapshot = lakehouse.catalog.load_table(name).current_snapshot()
    assert snapshot is not None
    return snapshot.snapshot_id


def test_what_was_superseded_long_ago_expires_and_the_newest_stays(lakehouse: Lakehouse) -> None:
    for number in range(4):
        append(lakehouse, first=number)
    before = rows(lakehouse)
    done = expire(lakehouse, EVENTS.table, later())
    assert (done.expired, done.snapshots) == (3, 1)
    assert rows(lakehouse) == before
    assert expire(lakehouse, EVENTS.table, later()).expired == 0


def test_an_old_snapshot_that_was_superseded_just_now_stays(lakehouse: Lakehouse) -> None:
    """Its own age says nothing: until a moment ago it was what everybody read."""
    append(lakehouse)
    time.sleep(0.05)
    long_ago = datetime.now(UTC)  # by its own time the snapshot is older than that
    time.sleep(0.05)
    append(lakehouse, first=10)
    assert expire(lakehouse, EVENTS.table, long_ago).expired == 0
    superseded = moments(lakehouse)[-1]
    assert expire(lakehouse, EVENTS.table, superseded).expired == 0
    assert expire(lakehouse, EVENTS.table, superseded + timedelta(milliseconds=1)).expired == 1


def test_a_snapshot_with_a_tag_stays(lakehouse: Lakehouse) -> None:
    for number in range(3):
        append(lakehouse, first=number)
    table = lakehouse.catalog.load_table(EVENTS.table)
    kept = table.snapshots()[0].snapshot_id
    table.manage_snapshots().create_tag(kept, "audit").commit()
    before = progress(lakehouse.catalog.load_table(EVENTS.table))
    assert expire(lakehouse, EVENTS.table, later()).expired == 1
    table = lakehouse.catalog.load_table(EVENTS.table)
    assert {snapshot.snapshot_id for snapshot in table.snapshots()} == {kept, head(lakehouse, EVENTS.table)}
    assert progress(table) == before


def test_the_last_publish_is_told_also_where_only_an_older_one_is_left(lakehouse: Lakehouse) -> None:
    for number in range(3):
        append(lakehouse, first=number)
    table = lakehouse.catalog.load_table(EVENTS.table)
    table.manage_snapshots().create_tag(table.snapshots()[0].snapshot_id, "audit").commit()
    published = last_published_at(lakehouse.catalog.load_table(EVENTS.table))
    assert published == moments(lakehouse)[-1]
    merge(lakehouse)
    assert expire(lakehouse, EVENTS.table, later()).expired == 2
    assert last_published_at(lakehouse.catalog.load_table(EVENTS.table)) == published


def test_who_planned_on_an_expired_snapshot_goes_on_reading(lakehouse: Lakehouse) -> None:
    append(lakehouse)
    reader, before = planned(lakehouse), rows(lakehouse)
    replace(lakehouse, first=50)
    expire(lakehouse, EVENTS.table, later())
    assert read(lakehouse, reader) == before


def test_progress_and_what_models_are_made_of_are_told_as_before(lakehouse: Lakehouse) -> None:
    replace(lakehouse, DAY, first=1)
    replace(lakehouse, NEXT, first=2)
    replace(lakehouse, DAY, first=1)  # made again, not changed
    append(lakehouse, NEXT, first=7)
    merge(lakehouse)
    table = lakehouse.catalog.load_table(EVENTS.table)
    before, held = progress(table), Held.by(table)
    assert held.version(None) is not None
    assert expire(lakehouse, EVENTS.table, later()).snapshots == 1
    table = lakehouse.catalog.load_table(EVENTS.table)
    assert progress(table) == before
    assert before.remembered_since is None
    assert [Held.by(table).version(day) for day in (DAY, NEXT, None)] == [
        held.version(day) for day in (DAY, NEXT, None)
    ]


def test_changes_of_expired_snapshots_are_not_counted_by_halves(lakehouse: Lakehouse) -> None:
    replace(lakehouse, DAY, first=1)
    replace(lakehouse, DAY, first=2)
    since = datetime.now(UTC)
    replace(lakehouse, NEXT, first=3)
    before = past(lakehouse.catalog.load_table(EVENTS.table))
    expire(lakehouse, EVENTS.table, later())
    after = past(lakehouse.catalog.load_table(EVENTS.table))
    assert after.remembered_since is not None
    assert after.remembered_since >= since
    assert after.complete
    assert after.changes == before.changes[1:]  # of each partition the last change is still known


def test_arrivals_are_told_by_the_hour_once_their_snapshots_have_expired(lakehouse: Lakehouse) -> None:
    today = datetime.now(UTC).date()
    for number in range(5):
        arrive(lakehouse, today, number)
    before = progress(lakehouse.catalog.load_table(BRONZE.table)).arrivals
    expire(lakehouse, BRONZE.table, later(), outbox=Outbox(head(lakehouse)))
    after = progress(lakehouse.catalog.load_table(BRONZE.table)).arrivals
    assert len(before) == 5
    assert {before[0], before[-1]} <= set(after) <= set(before)


def test_what_is_not_announced_yet_does_not_expire(lakehouse: Lakehouse) -> None:
    arrive(lakehouse, DAY, 1)
    announced = head(lakehouse)
    arrive(lakehouse, NEXT, 2)
    arrive(lakehouse, NEXT, 3)
    assert expire(lakehouse, BRONZE.table, later(), outbox=Outbox(None)).expired == 0
    assert expire(lakehouse, BRONZE.table, later(), outbox=Outbox(announced)).expired == 0
    table = lakehouse.catalog.load_table(BRONZE.table)
    assert unannounced_dates(table, announced) == ([NEXT], head(lakehouse))
    assert expire(lakehouse, BRONZE.table, later(), outbox=Outbox(head(lakehouse))).expired == 2


def test_what_was_announced_is_not_announced_again(lakehouse: Lakehouse) -> None:
    """Also when maintenance came last, so that the snapshot up to which was announced has expired itself."""
    for number in range(3):
        arrive(lakehouse, DAY, number)
    announced = head(lakehouse)
    merge(lakehouse, BRONZE.table)
    merged = head(lakehouse)
    assert merged != announced
    assert expire(lakehouse, BRONZE.table, later(), outbox=Outbox(announced)).snapshots == 1
    table = lakehouse.catalog.load_table(BRONZE.table)
    assert unannounced_dates(table, announced) == ([], merged)
    arrive(lakehouse, NEXT, 9)
    table = lakehouse.catalog.load_table(BRONZE.table)
    assert unannounced_dates(table, announced) == ([NEXT], head(lakehouse))
    assert expire(lakehouse, BRONZE.table, later(), outbox=Outbox(announced)).expired == 0
    assert unannounced_dates(lakehouse.catalog.load_table(BRONZE.table), announced)[0] == [NEXT]


def test_two_expiries_at_once_remember_everything_once(lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        replace(lakehouse, DAY if number % 2 else NEXT, first=number)
    before = progress(lakehouse.catalog.load_table(EVENTS.table))
    take_out = expiry._take_out
    others: list[int] = []

    def meanwhile(*arguments: object) -> None:
        if not others:
            others.append(1)
            expire(lakehouse, EVENTS.table, moments(lakehouse)[-1])
        take_out(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(expiry, "_take_out", meanwhile)
    assert expire(lakehouse, EVENTS.table, later()).snapshots == 1
    assert progress(lakehouse.catalog.load_table(EVENTS.table)) == before


def test_a_table_that_is_too_busy_is_left_for_the_next_time(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyiceberg.exceptions import CommitFailedException

    def refused(*_: object) -> None:
        raise CommitFailedException("another commit")

    for number in range(2):
        append(lakehouse, first=number)
    monkeypatch.setattr(expiry, "_take_out", refused)
    with pytest.raises(ConcurrentPublish, match="next run tries again"):
        expire(lakehouse, EVENTS.table, later())
    assert len(expirable(lakehouse.catalog.load_table(EVENTS.table), later())) == 1


def test_a_dry_run_expires_nothing(lakehouse: Lakehouse) -> None:
    for number in range(3):
        append(lakehouse, first=number)
    done = expire(lakehouse, EVENTS.table, later(), dry_run=True)
    assert (done.expired, done.snapshots) == (2, 1)
    assert len(moments(lakehouse)) == 3

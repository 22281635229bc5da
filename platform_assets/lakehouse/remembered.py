"""What a table remembers of its expired snapshots, in one of its properties: as much as somebody may still ask.

Of each partition that is who made its rows what they are, and who made it last; of each event date who touched it last;
and when new rows came, by the hour. It is written in the commit that takes the snapshots out, so that at no moment
something is known twice or not at all.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from platform_assets.lakehouse.commits import Commit, commit_of, moment_of, publications

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pyiceberg.table import Table

REMEMBERED = "platform.remembered"
_LATE_ARRIVAL = timedelta(days=2)
_ARRIVALS_FOR = timedelta(days=70)  # eight weeks are compared (`lakehouse.lateness`), from the last arrival on
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Remembered:
    """What is left of commits whose snapshots have expired.

    Attributes:
        until: the sequence number up to which snapshots are told here.
        commits: those that something is still asked of, oldest first.
        arrivals: when new rows came, oldest first: the first and the last time in each hour.
    """

    until: int = 0
    commits: tuple[Commit, ...] = ()
    arrivals: tuple[datetime, ...] = ()


def remembered(table: Table) -> Remembered:
    """What a table remembers; nothing if nothing has expired."""
    text = table.properties.get(REMEMBERED)
    return Remembered() if text is None else _read(text)


def commits_of(table: Table) -> list[Commit]:
    """What was published to a table, oldest first; of what expired only what is remembered."""
    told = remembered(table)
    return [*told.commits, *map(commit_of, publications(table, after=told.until))]


def last_published_at(table: Table) -> datetime | None:
    """When something was published to the table last; maintenance is no publish."""
    told = remembered(table)
    if snapshots := list(publications(table, after=told.until)):
        return moment_of(snapshots[-1])
    return told.commits[-1].at if told.commits else None


def expired_before(table: Table) -> datetime | None:
    """The moment from which on every commit is known one by one; None if no snapshot has expired."""
    told = remembered(table)
    left = [snapshot for snapshot in table.snapshots() if (snapshot.sequence_number or 1) > told.until]
    first = min(left, key=lambda snapshot: snapshot.sequence_number or 1, default=None)
    return None if first is None or (first.sequence_number or 1) == 1 else moment_of(first)


def is_complete(table: Table) -> bool:
    """Whether nothing is forgotten: every snapshot is there, or what it said is remembered."""
    told = remembered(table)
    numbers = [number for s in table.snapshots() if (number := s.sequence_number or 1) > told.until]
    return min(numbers, default=told.until + 1) == told.until + 1


def with_expired(told: Remembered, until: int, commits: Sequence[Commit]) -> Remembered:
    """What is to be remembered once more snapshots have expired.

    Args:
        told: what was remembered before.
        until: the sequence number of the last that expires.
        commits: what they published, oldest first.
    """
    arrivals = _by_the_hour([*told.arrivals, *arrivals_of(commits)])
    return Remembered(until, essential([*told.commits, *commits]), arrivals)


def arrivals_of(commits: Iterable[Commit]) -> list[datetime]:
    """When new rows came, oldest first; a rebuild of an old partition brings none."""
    return [
        commit.at
        for commit in commits
        if commit.touched and commit.partition and commit.at.date() - commit.partition < _LATE_ARRIVAL
    ]


def essential(commits: Sequence[Commit]) -> tuple[Commit, ...]:
    """Those commits, oldest first, without which `lakehouse.progress` would tell something else of all."""
    last: dict[date | None, int] = {}
    since: dict[date | None, int] = {}
    versions: dict[date | None, tuple[str, int]] = {}
    other: dict[date | None, int] = {}
    counted: dict[tuple[str, date | None], int] = {}
    touchers: dict[date, int] = {}
    for number, commit in enumerate(commits):
        last[commit.partition] = number
        if commit.rows_in is not None:
            counted["in", commit.partition] = number
        if commit.rows_duplicate is not None:
            counted["duplicate", commit.partition] = number
        if commit.touched is not None:
            touchers.update(dict.fromkeys(commit.touched, number))
        else:
            before, place = versions.get(commit.partition, (None, number))
            if before != commit.version:
                since[commit.partition], other[commit.partition] = number, place
            versions[commit.partition] = commit.version, number
    kept = {*last.values(), *since.values(), *counted.values(), *touchers.values()}
    # Of rows that came back after others had been in their place, the others tell since when they are there again.
    kept |= {other[commits[n].partition] for n in kept if n < since.get(commits[n].partition, 0)}
    return tuple(
        commit
        if commit.touched is None
        else replace(commit, touched=tuple(day for day in commit.touched if touchers[day] == number))
        for number, commit in enumerate(commits)
        if number in kept
    )


def as_property(told: Remembered) -> dict[str, str]:
    """The table property that says it."""
    plain = {
        "until": told.until,
        "commits": [_plain(commit) for commit in told.commits],
        "arrivals": [_milliseconds(moment) for moment in told.arrivals],
    }
    packed = zlib.compress(json.dumps(plain, separators=(",", ":")).encode(), level=9)
    return {REMEMBERED: base64.b85encode(packed).decode()}


def _by_the_hour(moments: Iterable[datetime]) -> tuple[datetime, ...]:
    ordered = sorted(set(moments))
    hours: dict[datetime, list[datetime]] = {}
    for moment in ordered:
        if moment >= ordered[-1] - _ARRIVALS_FOR:
            hours.setdefault(moment.replace(minute=0, second=0, microsecond=0), []).append(moment)
    return tuple(moment for hour in hours.values() for moment in sorted({hour[0], hour[-1]}))


def _read(text: str) -> Remembered:
    plain = json.loads(zlib.decompress(base64.b85decode(text)))
    commits = tuple(map(_commit, plain["commits"]))
    return Remembered(plain["until"], commits, tuple(map(_moment, plain["arrivals"])))


def _plain(commit: Commit) -> list[Any]:
    return [
        _milliseconds(commit.at),
        _iso(commit.partition),
        commit.version,
        commit.rows,
        None if commit.touched is None else [_iso(day) for day in commit.touched],
        commit.rows_in,
        commit.rows_duplicate,
        commit.made_of,
    ]


def _commit(plain: Sequence[Any]) -> Commit:
    at, partition, version, rows, touched, rows_in, rows_duplicate, made_of = plain
    return Commit(
        _moment(at),
        None if partition is None else date.fromisoformat(partition),
        version,
        rows=rows,
        touched=None if touched is None else tuple(map(date.fromisoformat, touched)),
        rows_in=rows_in,
        rows_duplicate=rows_duplicate,
        made_of=made_of,
    )


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)

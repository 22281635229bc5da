"""What a table was at a moment that is over: its commits, and what each changed. For `lakehouse.outcomes`."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from platform_assets.lakehouse.remembered import commits_of, expired_before, is_complete

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from pyiceberg.table import Table

    from platform_assets.lakehouse.commits import Commit


@dataclass(frozen=True)
class Past:
    """The commits of a table, oldest first: all since a moment, and of those before what is remembered of them.

    Attributes:
        remembered_since: that moment; None if no snapshot has expired. What was before is not known one by one.
        complete: whether of what was before all is known that still counts (`lakehouse.remembered`).
    """

    commits: tuple[Commit, ...] = ()
    remembered_since: datetime | None = None
    complete: bool = False

    @cached_property
    def changes(self) -> tuple[tuple[datetime, date | None], ...]:
        """When rows of which partition changed (None: of all), oldest first. To make the same rows again changes none.

        Of what was before `remembered_since` only the last change of each partition is sure to be told. Unless that is
        `complete`, the oldest commit that is known of a partition is no change: what it made anew is unknown.
        """
        found: list[tuple[datetime, date | None]] = []
        versions: dict[date | None, str] = {}
        for commit in self.commits:
            before = versions.get(commit.partition)
            versions[commit.partition] = commit.version
            if commit.touched is not None:
                found += [(commit.at, day) for day in commit.touched]
            elif before != commit.version and (before is not None or self.complete or self.remembered_since is None):
                found.append((commit.at, commit.partition))
        return tuple(found)

    @cached_property
    def _made(self) -> Mapping[date | None, list[datetime]]:
        made: dict[date | None, list[datetime]] = {}
        for commit in self.commits:
            made.setdefault(commit.partition, []).append(commit.at)
        return made

    def made(self, moment: datetime, day: date | None) -> datetime | None:
        """When a partition was first made from a moment on, alone or with all others."""
        found = []
        for key in {day, None}:
            moments = self._made.get(key, [])
            place = bisect_left(moments, moment)
            found += moments[place : place + 1]
        return min(found, default=None)

    def remade(self, moment: datetime) -> tuple[bool, datetime | None]:
        """Whether there were dates before a moment, and when each of them had been made once more since."""
        days = [day for day, moments in self._made.items() if day is not None and moments[0] < moment]
        again = [self.made(moment, day) for day in days]
        return bool(days), None if None in again else max((at for at in again if at), default=None)

    def held(self, day: date) -> datetime | None:
        """When the first rows of a date were there. What made all dates made this one too, if it was over by then."""
        for commit in self.commits:
            if commit.rows and (commit.partition == day or (commit.partition is None and commit.at.date() > day)):
                return commit.at
        return None


def past(table: Table) -> Past:
    """The past of a table."""
    return Past(tuple(commits_of(table)), expired_before(table), is_complete(table))

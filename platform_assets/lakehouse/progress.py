"""When a table's partitions last changed and were last made, from the properties of its snapshots. No row is read."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

MADE_OF = "platform.made-of"  # stamped on what dbt publishes (`lakehouse.unchanged`)
_TOUCHED = "platform.touched-dates"  # stamped on bronze: event dates of the rows that came or went
_LATE_ARRIVAL = timedelta(days=2)


@dataclass(frozen=True)
class Commit:
    """One snapshot as its properties describe it.

    Attributes:
        at: when it was committed (UTC).
        partition: the partition that it replaced or appended to; None for all of them.
        version: of the rows that it published; the same rows have the same.
        rows: how many it published.
        touched: event dates that its rows belong to, where the table says so (bronze).
        rows_in: rows of the partition that the table below held when this one was made of it; None if not counted.
        rows_duplicate: how many of them were dropped because a later row has the same key.
        made_of: what they were made of, in short, where that is stamped (`lakehouse.unchanged`).
    """

    at: datetime
    partition: date | None
    version: str
    rows: int = field(default=0, kw_only=True)
    touched: tuple[date, ...] | None = None
    rows_in: int | None = None
    rows_duplicate: int | None = None
    made_of: str | None = None


@dataclass(frozen=True)
class Progress:
    """What has become of a table, by partition; the key None stands for a table without, or for all of them.

    Attributes:
        changed: when the rows last changed, which making the same rows again does not do.
        made: when the partition was last made, changed or not.
        rows_in: rows that the newest making accounts for, where they are counted.
        rows_duplicate: rows that the newest making dropped as duplicates, where they are counted.
        versions: of the rows of each partition as they are now.
        made_of: what each partition was made of when it was made last, where that is stamped.
        arrivals: when new rows came, oldest first; a rebuild of an old partition brings none.
        remembered_since: the oldest snapshot that is left, if older ones have expired: what was made before is unknown.
    """

    changed: Mapping[date | None, datetime] = field(default_factory=dict)
    made: Mapping[date | None, datetime] = field(default_factory=dict)
    rows_in: Mapping[date | None, int] = field(default_factory=dict)
    rows_duplicate: Mapping[date | None, int] = field(default_factory=dict)
    versions: Mapping[date | None, str] = field(default_factory=dict)
    made_of: Mapping[date | None, str | None] = field(default_factory=dict)
    arrivals: tuple[datetime, ...] = ()
    remembered_since: datetime | None = None

    def made_at(self, partition: date | None) -> datetime | None:
        """When the partition was last made, alone or with all others."""
        found = [moment for key in {partition, None} if (moment := self.made.get(key)) is not None]
        return max(found, default=None)

    def version(self, partition: date | None) -> str | None:
        """The version of the rows of a partition; None if what made it is forgotten."""
        return self.versions.get(partition, self.versions.get(None))

    def made_of_what(self, partition: date | None) -> str | None:
        """What a partition was made of, alone or with all others; None if that is unknown."""
        return self.made_of.get(partition, self.made_of.get(None))

    def changed_at(self, partition: date | None) -> datetime | None:
        """When the partition last changed; with None, when anything in the table did."""
        if partition is None:
            return max(self.changed.values(), default=None)
        found = [moment for key in (partition, None) if (moment := self.changed.get(key)) is not None]
        return max(found, default=None)


def progress(table: Table) -> Progress:
    """The progress of a table, as far back as its snapshots are kept."""
    commits = commits_of(table)
    expired = min((snapshot.sequence_number or 1 for snapshot in table.snapshots()), default=1) > 1
    return replace(progress_of(commits), remembered_since=commits[0].at if expired else None)


def progress_of(commits: Iterable[Commit]) -> Progress:
    """The progress that commits, oldest first, amount to."""
    changed: dict[date | None, datetime] = {}
    made: dict[date | None, datetime] = {}
    rows_in: dict[date | None, int] = {}
    rows_duplicate: dict[date | None, int] = {}
    versions: dict[date | None, str] = {}
    present: dict[date | None, str] = {}
    made_of: dict[date | None, str | None] = {}
    arrivals = []
    for commit in commits:
        made[commit.partition] = commit.at
        if commit.partition is None:
            present.clear()
            made_of.clear()
        present[commit.partition] = commit.version
        made_of[commit.partition] = commit.made_of
        if commit.touched is not None:
            changed.update(dict.fromkeys(commit.touched, commit.at))
            if commit.touched and commit.partition and commit.at.date() - commit.partition < _LATE_ARRIVAL:
                arrivals.append(commit.at)
        elif versions.get(commit.partition) != commit.version:
            versions[commit.partition] = commit.version
            changed[commit.partition] = commit.at
        if commit.rows_in is not None:
            rows_in[commit.partition] = commit.rows_in
        if commit.rows_duplicate is not None:
            rows_duplicate[commit.partition] = commit.rows_duplicate
    return Progress(changed, made, rows_in, rows_duplicate, present, made_of, tuple(arrivals))


def commits_of(table: Table) -> list[Commit]:
    """What was published to a table, oldest first."""
    found = []
    for snapshot in sorted(_publications(table), key=lambda snapshot: snapshot.sequence_number or 0):
        said = snapshot.summary.additional_properties if snapshot.summary else {}
        touched = said.get(_TOUCHED)
        found.append(
            Commit(
                at=datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC),
                partition=_date(said.get("platform.partition", "")),
                version=said.get("platform.data-version", str(snapshot.snapshot_id)),
                rows=int(said.get("platform.rows", 0)),
                touched=None if touched is None else tuple(map(date.fromisoformat, json.loads(touched))),
                rows_in=_count(said.get("platform.rows-in")),
                rows_duplicate=_count(said.get("platform.rows-duplicate")),
                made_of=said.get(MADE_OF),
            )
        )
    return found


def _publications(table: Table) -> Iterator[Snapshot]:
    """The snapshots, but of a replacement only the second: the first takes the old rows out, in the same commit."""
    from pyiceberg.table.snapshots import Operation

    for snapshot in table.snapshots():
        if snapshot.summary is None or snapshot.summary.operation is not Operation.DELETE:
            yield snapshot


def _count(text: str | None) -> int | None:
    return None if text is None else int(text)


def _date(text: str) -> date | None:
    """The partition that a snapshot names, which is no date if it is all of them."""
    return date.fromisoformat(text) if text[:1].isdigit() else None

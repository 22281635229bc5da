"""When a table's partitions last changed and were last made, from what its commits say. No row is read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from platform_assets.lakehouse.remembered import arrivals_of, commits_of, expired_before, is_complete, remembered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from pyiceberg.table import Table

    from platform_assets.lakehouse.commits import Commit


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
        remembered_since: the oldest snapshot that is left, if older ones are forgotten: what was before is unknown.
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
    """The progress of a table, also of what its expired snapshots said, as long as the table remembers that."""
    commits, told = commits_of(table), remembered(table)
    return replace(
        progress_of(commits),
        arrivals=(*told.arrivals, *arrivals_of(commits[len(told.commits) :])),
        remembered_since=None if is_complete(table) else expired_before(table),
    )


def progress_of(commits: Sequence[Commit]) -> Progress:
    """The progress that commits, oldest first, amount to."""
    changed: dict[date | None, datetime] = {}
    made: dict[date | None, datetime] = {}
    rows_in: dict[date | None, int] = {}
    rows_duplicate: dict[date | None, int] = {}
    versions: dict[date | None, str] = {}
    present: dict[date | None, str] = {}
    made_of: dict[date | None, str | None] = {}
    for commit in commits:
        made[commit.partition] = commit.at
        if commit.partition is None:
            present.clear()
            made_of.clear()
        present[commit.partition] = commit.version
        made_of[commit.partition] = commit.made_of
        if commit.touched is not None:
            changed.update(dict.fromkeys(commit.touched, commit.at))
        elif versions.get(commit.partition) != commit.version:
            versions[commit.partition] = commit.version
            changed[commit.partition] = commit.at
        if commit.rows_in is not None:
            rows_in[commit.partition] = commit.rows_in
        if commit.rows_duplicate is not None:
            rows_duplicate[commit.partition] = commit.rows_duplicate
    return Progress(changed, made, rows_in, rows_duplicate, present, made_of, tuple(arrivals_of(commits)))

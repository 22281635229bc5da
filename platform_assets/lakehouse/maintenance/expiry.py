"""Takes old snapshots out of a table, in one commit with what is to be remembered of them (`lakehouse.remembered`).

No file is removed here: those that no snapshot names any more are for `orphans`. A snapshot expires so long after it
was *superseded*: one that is weeks old may have been the newest until a minute ago, and be read at this moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from platform_assets.lakehouse.commits import commit_of, is_maintenance, publications
from platform_assets.lakehouse.publisher import ConcurrentPublish
from platform_assets.lakehouse.remembered import as_property, remembered, with_expired

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

    from platform_assets.lakehouse.catalog import Lakehouse

_ATTEMPTS = 5


@dataclass(frozen=True)
class Outbox:
    """That a table's snapshots tell others of changes: none expires that has not been told (`ingestion.bronze`).

    Attributes:
        announced: the snapshot up to which all have been told; None if none was.
    """

    announced: int | None


@dataclass(frozen=True)
class Expiry:
    """How many snapshots expired, or would, and how many are left."""

    table: str
    expired: int = 0
    snapshots: int = 0


def expire(
    lakehouse: Lakehouse, name: str, before: datetime, *, outbox: Outbox | None = None, dry_run: bool = False
) -> Expiry:
    """Expires what was superseded before a moment.

    Args:
        lakehouse: where the table lives.
        name: `layer.table`.
        before: readers have been at work since then at the longest, and nobody asks for older commits one by one.
        outbox: up to where its snapshots have been told, if they are to be.
        dry_run: only tell how many would expire.

    Raises:
        ConcurrentPublish: others kept committing to the table; nothing was done.
    """
    from pyiceberg.exceptions import CommitFailedException

    for _ in range(_ATTEMPTS):
        table = lakehouse.catalog.load_table(name)
        old = expirable(table, before, outbox)
        if dry_run or not old:
            return Expiry(name, len(old), len(table.snapshots()) - len(old) * dry_run)
        try:
            _take_out(table, old)
        except CommitFailedException:
            continue
        except ValueError:  # PyIceberg's word for a snapshot that another expiry has taken out
            left = {snapshot.snapshot_id for snapshot in lakehouse.catalog.load_table(name).snapshots()}
            if all(snapshot.snapshot_id in left for snapshot in old):
                raise
        else:
            return Expiry(name, len(old), len(lakehouse.catalog.load_table(name).snapshots()))
    raise ConcurrentPublish(f"{name}: others kept committing while snapshots were to expire; the next run tries again")


def expirable(table: Table, before: datetime, outbox: Outbox | None = None) -> list[Snapshot]:
    """The snapshots that may expire, oldest first; never the newest, nor one that has a tag."""
    ordered = sorted(table.snapshots(), key=lambda snapshot: snapshot.sequence_number or 0)
    if outbox is not None:
        ordered = ordered[: _told(ordered, outbox)]
    superseded, kept = _superseded(table), {ref.snapshot_id for ref in table.metadata.refs.values()}
    found = []
    for snapshot in ordered:
        if snapshot.snapshot_id in kept and snapshot.snapshot_id != table.metadata.current_snapshot_id:
            continue  # a tag or another branch
        since = superseded.get(snapshot.snapshot_id)
        if since is None or since >= before:
            break  # from here on nothing expires: what is remembered ends at one place
        found.append(snapshot)
    return found


def _told(ordered: Sequence[Snapshot], outbox: Outbox) -> int:
    """The place of the snapshot from which on who has been told up to `announced` goes on: all before are told."""
    place = next((n for n, snapshot in enumerate(ordered) if snapshot.snapshot_id == outbox.announced), None)
    if place is None:
        # It has expired, because only maintenance came after it: what is left begins with that; or nothing was told.
        if outbox.announced is None or not ordered or not is_maintenance(ordered[0]):
            return 0
        place = 0
    while place + 1 < len(ordered) and is_maintenance(ordered[place + 1]):
        place += 1
    return place


def _superseded(table: Table) -> dict[int, datetime]:
    """When each snapshot ceased to be the newest, but for the one that still is."""
    entries = table.metadata.snapshot_log
    ended = {snapshot.snapshot_id: snapshot.timestamp_ms for snapshot in table.snapshots()}
    for entry, following in pairwise(entries):
        ended[entry.snapshot_id] = following.timestamp_ms
    return {
        number: datetime.fromtimestamp(milliseconds / 1000, UTC)
        for number, milliseconds in ended.items()
        if number != table.metadata.current_snapshot_id
    }


def _take_out(table: Table, old: Sequence[Snapshot]) -> None:
    """One commit. Not by PyIceberg's `expire_snapshots()`, which copies all metadata twice for each snapshot."""
    from pyiceberg.table.update import AssertTableUUID, RemoveSnapshotsUpdate, SetPropertiesUpdate

    told, until = remembered(table), max(snapshot.sequence_number or 0 for snapshot in old)
    commits = [commit_of(s) for s in publications(table, after=told.until) if (s.sequence_number or 0) <= until]
    table.catalog.commit_table(
        table,
        requirements=(AssertTableUUID(uuid=table.metadata.table_uuid),),
        updates=(
            SetPropertiesUpdate(updates=as_property(with_expired(told, until, commits))),
            RemoveSnapshotsUpdate(snapshot_ids=[snapshot.snapshot_id for snapshot in old]),
        ),
    )

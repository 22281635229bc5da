"""What was published to a table, commit by commit: read from the properties of its snapshots. No row is read.

Maintenance makes snapshots too, in which the rows are the same (or which take out what is over its time): they are
stamped, and nobody who asks what was published sees them. What expired snapshots said is in `lakehouse.remembered`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

MADE_OF = "platform.made-of"  # stamped on what dbt publishes (`lakehouse.unchanged`)
MAINTENANCE = "platform.maintenance"  # stamped on what no publish made: which job did
_TOUCHED = "platform.touched-dates"  # stamped on bronze: event dates of the rows that came or went


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


def publications(table: Table, after: int = 0) -> Iterator[Snapshot]:
    """The snapshots that published something, oldest first; of a replacement only the second.

    The first takes the old rows out, in the same commit.

    Args:
        table: whose snapshots.
        after: the sequence number after which they are asked for.
    """
    from pyiceberg.table.snapshots import Operation

    for snapshot in sorted(table.snapshots(), key=lambda snapshot: snapshot.sequence_number or 0):
        summary = snapshot.summary
        took_out = summary is not None and summary.operation is Operation.DELETE
        if (snapshot.sequence_number or 1) > after and not took_out and not is_maintenance(snapshot):
            yield snapshot


def is_maintenance(snapshot: Snapshot) -> bool:
    """Whether no publish made it."""
    return snapshot.summary is not None and MAINTENANCE in snapshot.summary.additional_properties


def moment_of(snapshot: Snapshot) -> datetime:
    """When it was committed (UTC)."""
    return datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)


def commit_of(snapshot: Snapshot) -> Commit:
    """What a snapshot says of itself."""
    said = snapshot.summary.additional_properties if snapshot.summary else {}
    touched = said.get(_TOUCHED)
    return Commit(
        at=moment_of(snapshot),
        partition=_date(said.get("platform.partition", "")),
        version=said.get("platform.data-version", str(snapshot.snapshot_id)),
        rows=int(said.get("platform.rows", 0)),
        touched=None if touched is None else tuple(map(date.fromisoformat, json.loads(touched))),
        rows_in=_count(said.get("platform.rows-in")),
        rows_duplicate=_count(said.get("platform.rows-duplicate")),
        made_of=said.get(MADE_OF),
    )


def _count(text: str | None) -> int | None:
    return None if text is None else int(text)


def _date(text: str) -> date | None:
    """The partition that a snapshot names, which is no date if it is all of them."""
    return date.fromisoformat(text) if text[:1].isdigit() else None

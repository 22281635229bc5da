"""Durable memory of parked partitions: those that failed in a way that does not pass, and wait for a change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from platform_assets.ingestion.ledger import Ledger


@dataclass(frozen=True)
class Parked:
    """A partition that is not made again by itself.

    Attributes:
        asset: `layer/table`, the first of those that its operation did not make.
        partition: its date; empty of a table that is made as a whole.
        reason: why it failed, in words.
        since: when the run that failed was asked for.
        attempts: how often it has been tried since it was last asked for.
        run_id: the run that failed last.
        definition: what the table was defined as then, and what rows the tables had that it refers to; another is
            another attempt.
        released_at: when it was let go, by whom and why; it stays listed until it has been made.
    """

    asset: str
    partition: str
    reason: str
    since: datetime
    attempts: int
    run_id: str
    definition: str
    released_at: datetime | None = None
    released_by: str | None = None
    released_why: str | None = None

    @property
    def waits(self) -> bool:
        """Whether nobody has let it go yet."""
        return self.released_at is None

    def as_json(self) -> dict[str, object]:
        """One flat object."""
        return {
            "asset": self.asset,
            "partition": self.partition or None,
            "reason": self.reason,
            "since": self.since.isoformat(),
            "attempts": self.attempts,
            "run_id": self.run_id,
            "released_at": self.released_at.isoformat() if self.released_at else None,
            "released_by": self.released_by,
            "released_why": self.released_why,
        }


class ParkedPartitions(Ledger):
    """The part of the operations database that remembers them."""

    def all(self) -> list[Parked]:
        """Every one, by asset and partition."""
        from sqlalchemy import select

        parked = self._tables.parked
        with self._transaction() as connection:
            rows = connection.execute(select(parked).order_by(parked.c.asset, parked.c.partition)).mappings().all()
        return [
            Parked(
                **{
                    **row,
                    "since": utc(row["since"]),
                    "released_at": utc(row["released_at"]) if row["released_at"] else None,
                }
            )
            for row in rows
        ]

    def find(self, asset: str, partition: str) -> Parked | None:
        """The partition, if it is parked."""
        return next((one for one in self.all() if (one.asset, one.partition) == (asset, partition)), None)

    def park(self, one: Parked) -> None:
        """Remember it, instead of what was remembered of the same partition."""
        values = {name: getattr(one, name) for name in self._tables.parked.c.keys()}  # noqa: SIM118 - a collection
        values["since"] = utc(one.since)
        row = self._insert(self._tables.parked).values(**values)
        with self._transaction() as connection:
            connection.execute(row.on_conflict_do_update(index_elements=["asset", "partition"], set_=values))

    def release(self, asset: str, partition: str, *, by: str, why: str, now: datetime | None = None) -> bool:
        """Let it go; whether it was waiting."""
        from sqlalchemy import update

        parked = self._tables.parked
        waiting = (parked.c.asset == asset) & (parked.c.partition == partition) & parked.c.released_at.is_(None)
        let_go = (
            update(parked)
            .where(waiting)
            .values(released_at=utc(now or datetime.now(UTC)), released_by=by, released_why=why)
        )
        with self._transaction() as connection:
            return bool(connection.execute(let_go).rowcount)

    def forget(self, asset: str, partition: str) -> None:
        """It has been made, or there is no such table any more."""
        from sqlalchemy import delete

        parked = self._tables.parked
        these = (parked.c.asset == asset) & (parked.c.partition == partition)
        with self._transaction() as connection:
            connection.execute(delete(parked).where(these))


def utc(stored: datetime) -> datetime:
    """The moment in UTC; SQLite keeps no zone, and what it holds is UTC because only UTC is written."""
    return stored.astimezone(UTC) if stored.tzinfo else stored.replace(tzinfo=UTC)

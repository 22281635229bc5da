"""How well every table keeps its promises about time: what the CLI, the page and the alerts show (S1-52 to S1-54)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from platform_assets.contracts.sla import percent
from platform_assets.lakehouse.declared import declared_tables
from platform_assets.lakehouse.durations import in_words
from platform_assets.lakehouse.reader import table_relation
from platform_assets.lakehouse.sla import SLA_OUTCOMES, newest_outcomes

if TYPE_CHECKING:
    from platform_assets.contracts.sla import Promise
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.declared import DeclaredTable


@dataclass(frozen=True)
class Attainment:
    """How well one promise of one table was kept over a stretch of time.

    Attributes:
        days: how long that is.
        kept: things (objects, changes, dates) that were in time.
        missed: those that were not.
        worst: how long after its due time the worst was done, or is not done yet; negative if before it.
        worst_about: the date, or the hour in which it was due.
        last_missed_at: when the newest that was missed was due.
        unready: the date that was due last, as long as it is not complete (`ready_by`).
        unready_since: its deadline.
    """

    table: DeclaredTable
    promise: Promise
    days: int
    kept: int = 0
    missed: int = 0
    worst: timedelta | None = None
    worst_about: str | None = None
    worst_unfinished: bool = False
    last_missed_at: datetime | None = None
    unready: str | None = None
    unready_since: datetime | None = None

    @property
    def share(self) -> float | None:
        """Of what was due, the share in time; None if nothing was."""
        due = self.kept + self.missed
        return self.kept / due if due else None

    @property
    def met(self) -> bool | None:
        """Whether that is the promised share or more; None if nothing was due."""
        return None if self.share is None else self.share >= self.promise.target

    @property
    def worst_in_words(self) -> str:
        """`7 min 3 s (2026-11-21T07Z)`; nothing if nothing was due."""
        if self.worst is None:
            return ""
        if self.promise.within is not None:
            length = in_words(self.promise.within + self.worst)
        else:
            early = self.worst <= timedelta()
            length = f"{in_words(abs(self.worst))} {'early' if early else 'late'}"
        return f"{length}{', not done' if self.worst_unfinished else ''} ({self.worst_about})"

    def as_json(self) -> dict[str, Any]:
        """One flat object; times in ISO 8601 (UTC), durations in seconds, shares of 1."""
        return {
            "table": self.table.name,
            "layer": self.table.contract.layer,
            "domain": self.table.domain,
            "owner": self.table.owner,
            "promise": self.promise.in_words,
            "kind": "within" if self.promise.within is not None else "ready_by",
            "target": self.promise.target,
            "days": self.days,
            "kept": self.kept,
            "missed": self.missed,
            "share": self.share,
            "met": self.met,
            "worst": self.worst_in_words or None,
            "worst_late_seconds": None if self.worst is None else round(self.worst.total_seconds(), 3),
            "last_missed_at": None if self.last_missed_at is None else self.last_missed_at.isoformat(),
            "unready": self.unready,
        }

    @property
    def in_words(self) -> str:
        """`96.67 % (29 of 30)`, or that nothing was due."""
        if self.share is None:
            return "nothing was due"
        return f"{percent(self.share)} ({self.kept:,} of {self.kept + self.missed:,})"


def attainments(lakehouse: Lakehouse, now: datetime, days: int = 30) -> list[Attainment]:
    """Every promise of every declared table, layer by layer, with what became of it over the last days.

    One query for all. What was promised in other words before (another time, another length) is another promise.
    """
    found = _summed_up(lakehouse, now, days)
    return [
        _attained(table, promise, days, found.get((table.name, promise.name)))
        for table in declared_tables(lakehouse.settings.dbt_project)
        for promise in table.sla
    ]


def _summed_up(lakehouse: Lakehouse, now: datetime, days: int) -> dict[tuple[str, str], tuple[Any, ...]]:
    table = lakehouse.find(SLA_OUTCOMES.table)
    if table is None:
        return {}
    since = now - timedelta(days=days)
    source = table_relation(table, since={"decided_on": since.date()})  # nothing is decided before it is due
    until = f"TIMESTAMPTZ '{now.isoformat()}'"
    # What is not done yet is late by at least the time since it was due.
    late = f"CASE WHEN unfinished > 0 THEN greatest(epoch({until} - due_at), late_seconds) ELSE late_seconds END"
    rows = lakehouse.ask(
        "SELECT table_name, promise, sum(kept)::BIGINT, sum(things - kept)::BIGINT, max(late), "
        "arg_max(about, late), arg_max(unfinished > 0, late), max(due_at) FILTER (things > kept), "
        "arg_max(about, due_at), arg_max(unfinished > 0, due_at), max(due_at) "
        f"FROM (SELECT *, {late} AS late FROM {newest_outcomes(source, since)}) "
        f"WHERE due_at <= {until} GROUP BY ALL"
    )
    return {(row[0], row[1]): row[2:] for row in rows}


def _attained(table: DeclaredTable, promise: Promise, days: int, row: tuple[Any, ...] | None) -> Attainment:
    if row is None:
        return Attainment(table, promise, days)
    kept, missed, late, about, unfinished, missed_at, last, last_unfinished, due_at = row
    unready = promise.ready_by is not None and last_unfinished
    return Attainment(
        table,
        promise,
        days,
        kept,
        missed,
        None if late is None else timedelta(seconds=late),
        about,
        bool(unfinished),
        None if missed_at is None else missed_at.astimezone(UTC),
        last if unready else None,
        due_at.astimezone(UTC) if unready else None,
    )

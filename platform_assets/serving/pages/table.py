"""What is kept of one table for 30 days: when its state changed, its score day by day, what was unusual about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from platform_assets.lakehouse.freshness_history import FreshShare, Told, fresh_share, history
from platform_assets.quality.score import score_history
from platform_assets.quality.store import latest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.freshness import TableFreshness
    from platform_assets.quality.store import Judgement

DAYS = 30
_MOST_CHANGES = 20
_MOST_FINDINGS = 50


@dataclass(frozen=True)
class Change:
    """A state that a table came into.

    Attributes:
        told: the evaluation that saw it first.
        before: the state before; None if none was told in the last 30 days.
        lasted: until the next change; None of the present state.
    """

    told: Told
    before: str | None
    lasted: timedelta | None


@dataclass(frozen=True)
class Past:
    """The last 30 days of a table.

    Attributes:
        told: every evaluation that was kept, oldest first.
        changes: the newest changes of state, the newest first.
        scores: that of each day on which it was kept, oldest first.
        unusual: what is unusual about its partitions as they were judged last, the newest partition first.
        more: how many such findings there are beyond those.
    """

    start: datetime
    told: Sequence[Told]
    fresh: FreshShare
    changes: Sequence[Change]
    scores: Sequence[tuple[date, float | None]] = ()
    unusual: Sequence[Judgement] = ()
    more: int = 0


def past(lakehouse: Lakehouse, table: str, now: datetime) -> Past:
    """What `ops.freshness`, `ops.quality` and `ops.quality_scores` keep of a table."""
    start = now - timedelta(days=DAYS)
    told = history(lakehouse, table, now, DAYS)
    unusual = [one for one in latest(lakehouse, now, of=table) if one.finding.unusual and one.at >= start]
    return Past(
        start,
        told,
        fresh_share(lakehouse, table, now, DAYS),
        _changes(told),
        score_history(lakehouse, now, DAYS, of=table).get(table, ()),
        unusual[:_MOST_FINDINGS],
        max(len(unusual) - _MOST_FINDINGS, 0),
    )


def _changes(told: Sequence[Told]) -> list[Change]:
    found: list[Change] = []
    end: datetime | None = None
    firsts = [one for place, one in enumerate(told) if place == 0 or told[place - 1].state != one.state]
    for place in range(len(firsts) - 1, -1, -1):
        one = firsts[place]
        found.append(Change(one, firsts[place - 1].state if place else None, None if end is None else end - one.at))
        end = one.at
    return found[:_MOST_CHANGES]


def neighbours(
    row: TableFreshness, rows: Sequence[TableFreshness]
) -> tuple[list[TableFreshness], list[TableFreshness]]:
    """The tables that a table is made of, and those that are made of it."""
    above = [other for other in rows if other.table.name in row.table.inputs]
    return above, [other for other in rows if row.table.name in other.table.inputs]

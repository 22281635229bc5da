"""What was told of one table in the last 30 days: how well it kept its promise, when its state changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from platform_assets.lakehouse.freshness_history import Attainment, Told, attainment, history

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.freshness import TableFreshness

DAYS = 30
_MOST_CHANGES = 20


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
    """

    start: datetime
    told: Sequence[Told]
    attainment: Attainment
    changes: Sequence[Change]


def past(lakehouse: Lakehouse, table: str, now: datetime) -> Past:
    """What `ops.freshness` keeps of a table."""
    told = history(lakehouse, table, now, DAYS)
    return Past(now - timedelta(days=DAYS), told, attainment(lakehouse, table, now, DAYS), _changes(told))


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

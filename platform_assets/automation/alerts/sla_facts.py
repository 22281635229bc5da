"""Promises about time that are being missed, from `ops.sla_outcomes` (S1-52 to S1-54)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from platform_assets.automation.alerts.incidents import Kind, Observation
from platform_assets.contracts.sla import percent
from platform_assets.lakehouse.attainment import Attainment

_A_DAY = timedelta(days=1)


def sla_facts(found: Sequence[Attainment], now: datetime) -> list[Observation]:
    """One for each promise of which a date is overdue, or which fell below its target in the last 24 hours.

    It is over when the date is ready, and after a day in which nothing more was missed: that the attainment of 30 days
    stays low until they are over is nothing to be told every few hours.
    """
    return list(_missed(found, now))


def _missed(found: Sequence[Attainment], now: datetime) -> Iterator[Observation]:
    for one in found:
        if one.unready is not None and one.unready_since is not None:
            yield _observation(one, f"{one.unready} is not {one.promise.name}", one.unready_since)
        elif one.met is False and one.last_missed_at is not None and now - one.last_missed_at < _A_DAY:
            yield _observation(one, f"kept {one.in_words} in {one.days} days", one.last_missed_at)


def _observation(one: Attainment, what: str, since: datetime) -> Observation:
    return Observation(
        Kind.SLA,
        one.table.name,
        f"{what}; promised {percent(one.promise.target)} {one.promise.name}",
        since,
        name=one.promise.name,
        owner=one.table.owner,
        look=f"/assets/{one.table.name.replace('.', '/')}",
    )

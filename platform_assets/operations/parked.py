"""Parked partitions as people ask for them: which, why, and letting one go."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from platform_assets.ingestion.parked import Parked, ParkedPartitions

if TYPE_CHECKING:
    from platform_assets.settings import Settings


class ParkedError(RuntimeError):
    """A partition cannot be released; the message says why and what to do."""


def parked_partitions(settings: Settings) -> list[Parked]:
    """Every parked partition, and those that were released and have not been made since, by asset and partition."""
    with ParkedPartitions(settings) as parked:
        return parked.all()


def release(settings: Settings, asset: str, partition: str, *, by: str, why: str) -> Parked:
    """Lets a parked partition go: it is asked for at the next tick of its sensor.

    Args:
        settings: where the operations database is.
        asset: `layer/table` or `layer.table`.
        partition: its date; empty, or `-`, of a table that is made as a whole.
        by: who lets it go.
        why: what has changed, so that it will not fail again.

    Returns:
        The partition as it is remembered now.

    Raises:
        ParkedError: it is not parked, it was released before, or no reason is given.
    """
    name, day = asset.replace(".", "/"), "" if partition == "-" else partition
    told = f"{name} {day}".rstrip()
    if not why.strip():
        raise ParkedError(f"{told}: say with --why what has changed, for whoever finds it parked again.")
    if day:
        _refuse_other_than_a_date(day)
    with ParkedPartitions(settings) as parked:
        done = parked.release(name, day, by=by, why=why)
        found = parked.find(name, day)
        others = sorted({one.partition or "-" for one in parked.all() if one.asset == name})
    if found is None:
        listed = f"of {name} there are {', '.join(others)}" if others else f"nothing of {name} is"
        raise ParkedError(f"{told} is not parked; {listed}. `platform-assets partitions parked` lists all.")
    if not done:
        when = f"{found.released_at:%Y-%m-%d %H:%M} UTC" if found.released_at else "before"
        raise ParkedError(f"{told} was released by {found.released_by} ({when}): {found.released_why}")
    return found


def _refuse_other_than_a_date(day: str) -> None:
    try:
        date.fromisoformat(day)
    except ValueError:
        raise ParkedError(
            f"{day!r} is no partition: expected a date such as 2026-11-21, or - for a table that is made as a whole."
        ) from None

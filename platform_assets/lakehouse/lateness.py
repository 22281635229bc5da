"""Since when a table lacks something that it should have, and why: pure rules over what is known of each table.

A table can be late in four ways, each with the moment since when:

- *Landed but not ingested*: an object is in landing and not in bronze.
- *Nothing arrived* although something should have: by the source's `schedule` (the first tick after the last arrival),
  by its daily promise (the first day without an arrival), or, for a stream, by its own habit: at this time of the same
  weekday (or, of a young source, of the days before) something arrived in at least 3 of the weeks looked at, and in
  most of them. A source that is quiet when it always is, or of which nobody knows yet, is not late: all that arrived is
  processed.
- *Arrived but not processed*: an input's partition changed after the table's partition was last made. Making the same
  rows again is no change, and making another partition helps nothing.
- *Missing partition*: a dated table of a daily or scheduled source has no rows of the date that it should have by now,
  however new its newest materialisation is.

What makes an input late makes the table late as well. Time is UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from platform_assets.lakehouse.durations import in_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from platform_assets.lakehouse.declared import DeclaredTable
    from platform_assets.lakehouse.progress import Progress
    from platform_assets.lakehouse.statistics import TableStatistics

_ONE_DAY = timedelta(days=1)
_COMPARED = 8
_ENOUGH = 3
_MOST = 0.75


@dataclass(frozen=True)
class Known:
    """What is known of a table.

    Attributes:
        statistics: what it holds.
        progress: when its partitions changed and were made.
        landed_since: when the oldest object landed that is not in it yet (bronze).
    """

    statistics: TableStatistics
    progress: Progress
    landed_since: datetime | None = None


@dataclass(frozen=True)
class Lateness:
    """What a table lacks.

    Attributes:
        table: the table whose own lateness it is: the first late ancestor of every other that has it.
        since: the moment from which on it should have been there.
        reason: in words, without the age.
        missing: whether it is about data that never came to the table, rather than about work undone.
    """

    table: str
    since: datetime
    reason: str
    missing: bool = False


def latenesses(
    tables: Mapping[str, DeclaredTable], known: Mapping[str, Known], now: datetime
) -> dict[str, Lateness | None]:
    """For every table what made it late first, at itself or at an ancestor; None where it lacks nothing.

    Args:
        tables: the declared tables by name.
        known: of those that were published, what is known.
        now: the moment that is asked about.
    """
    found: dict[str, Lateness | None] = {}

    def first(name: str) -> Lateness | None:
        if name not in found:
            found[name] = None  # dbt refuses circles; nothing here goes round in one either
            above = [late for parent in tables[name].inputs if parent in tables and (late := first(parent))]
            own = list(_own(tables[name], known, now))
            # Data that the source owes for too long is missing everywhere below it, for that reason.
            owed = any(late.missing and now - late.since > tables[name].fail_window for late in above)
            causes = above + [late for late in own if not (late.missing and owed)]
            found[name] = min(causes, key=lambda late: late.since, default=None)
        return found[name]

    for name in tables:
        first(name)
    return found


def expected_partition(table: DeclaredTable, now: datetime) -> date | None:
    """The newest date that a table should hold at this moment; None without partitions, and for a stream.

    With a schedule: that of the last delivery whose time to fail is over; in silver and below the date of the delivery
    before it, because what is delivered happened before. Otherwise the date of now minus the time to fail.
    """
    deadline = now - table.fail_window
    if table.contract.partition_column is None:
        return None
    if table.cadence.schedule is None:
        return deadline.date() if table.cadence.daily else None
    return delivered_date(table.contract.layer, table.cadence.schedule, deadline)


def delivered_date(layer: str, schedule: str, moment: datetime) -> date:
    """The date of the last delivery before a moment; in silver and below that of the one before, which it is about."""
    due = _tick(schedule, moment, back=True)
    return (due if layer == "bronze" else _tick(schedule, due, back=True)).date()


def waiting_partitions(table: DeclaredTable, known: Mapping[str, Known]) -> dict[date | None, tuple[datetime, str]]:
    """Partitions of which an input changed after they were made: since when, and which input."""
    here = known.get(table.name)
    waiting: dict[date | None, tuple[datetime, str]] = {}
    for name in table.inputs:
        if here is None or (there := known.get(name)) is None:
            continue
        for day, changed in _changes(table, there.progress, here.progress):
            made = here.progress.made_at(day) or here.progress.remembered_since
            if (made is None or made < changed) and (day not in waiting or changed < waiting[day][0]):
                waiting[day] = (changed, name)
    return waiting


def _changes(table: DeclaredTable, above: Progress, here: Progress) -> Iterator[tuple[date | None, datetime]]:
    """The changes of an input by the partition of the table that they are about."""
    whole = above.changed.get(None)
    if table.contract.partition_column is None:
        changed = above.changed_at(None)
        if changed is not None:
            yield None, changed
        return
    for day, changed in above.changed.items():
        if day is not None:
            yield day, changed
    if whole is not None:  # an undated input, such as a dimension: for the dates that there are
        for day in here.made:
            if day is not None:
                yield day, whole


def _own(table: DeclaredTable, known: Mapping[str, Known], now: datetime) -> Iterator[Lateness]:
    here = known.get(table.name)
    if here is None:
        return
    if here.landed_since is not None:
        yield Lateness(table.name, here.landed_since, "what landed is not ingested")
    if table.contract.layer == "bronze":
        since = _nothing_arrived(table, here, now)
        if since is not None:
            arrived = here.statistics.watermark
            last = f"; the last arrival was {in_words(now - arrived)} ago" if arrived else ""
            yield Lateness(table.name, since, f"nothing arrived that was due{last}", missing=True)
    waiting = waiting_partitions(table, known)
    if waiting:
        day, (since, name) = min(waiting.items(), key=lambda item: item[1][0])
        which = "" if day is None else f" {day}"
        more = f" (and {len(waiting) - 1} more)" if len(waiting) > 1 else ""
        yield Lateness(table.name, since, f"{name}{which} changed and is not processed{more}")
    since = _missing_since(table, here)
    if since is not None and since <= now:
        yield Lateness(table.name, since, f"nothing newer than {here.statistics.newest_partition}", missing=True)


def _nothing_arrived(table: DeclaredTable, here: Known, now: datetime) -> datetime | None:
    """Since when something should have arrived in bronze."""
    last = here.statistics.watermark
    if last is None:
        return None
    if table.cadence.schedule is not None:
        due = _tick(table.cadence.schedule, last)
    elif table.cadence.daily:
        due = _midnight_after(last.date())
    else:
        due = last if _usually_arrives(here.progress.arrivals, last, now) else now + _ONE_DAY
    return due if due <= now else None


def _usually_arrives(arrivals: tuple[datetime, ...], last: datetime, now: datetime) -> bool:
    """Whether in most of the comparable stretches, which end at this time of day, something arrived."""
    if not arrivals:
        return False
    for step in (7 * _ONE_DAY, _ONE_DAY):
        stretches = [(last - n * step, now - n * step) for n in range(1, _COMPARED + 1)]
        observed = [(start, end) for start, end in stretches if start >= arrivals[0]]
        if len(observed) >= _ENOUGH:
            busy = sum(any(start < arrival <= end for arrival in arrivals) for start, end in observed)
            return busy >= _ENOUGH and busy / len(observed) >= _MOST
    return False


def _missing_since(table: DeclaredTable, here: Known) -> datetime | None:
    """Since when a dated table lacks the date after its newest."""
    newest = here.statistics.newest_partition
    if newest is None or table.contract.layer in {"bronze", "quarantine"}:  # of bad rows none is a good number
        return None
    if table.cadence.schedule is not None:
        return _tick(table.cadence.schedule, _tick(table.cadence.schedule, _midnight_after(newest)))
    return _midnight_after(newest) if table.cadence.daily else None


def _midnight_after(day: date) -> datetime:
    return datetime.combine(day + _ONE_DAY, time(), UTC)


def _tick(schedule: str, moment: datetime, *, back: bool = False) -> datetime:
    """The first tick after a moment, or the last one before it."""
    from croniter import croniter

    ticks = croniter(schedule, moment)
    found: datetime = ticks.get_prev(datetime) if back else ticks.get_next(datetime)
    return found

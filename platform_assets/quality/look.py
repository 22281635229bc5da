"""One look at the content of the tables: bounded in time, round robin, safe to kill and to repeat.

What was looked at is known from `ops.column_profiles`, which is committed last: whoever is killed before that looks at
the same partitions again, finds the same, and tells nothing twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from platform_assets.lakehouse.declared import DeclaredTable, declared_tables
from platform_assets.lakehouse.progress import Progress, progress
from platform_assets.lakehouse.statistics import TableStatistics, statistics
from platform_assets.quality.declarations import read_reconciliations
from platform_assets.quality.drift import column_findings, schema_finding
from platform_assets.quality.findings import Finding, Watch
from platform_assets.quality.profiles import Profile, keep, last_looks, looks_at, profiled_columns, take_profile
from platform_assets.quality.reconciliation import is_due, reconcile
from platform_assets.quality.store import latest, record
from platform_assets.quality.volume import volume_findings

if TYPE_CHECKING:
    from pyiceberg.table import Table

    from platform_assets.lakehouse.catalog import Lakehouse

WATCHED_LAYERS = ("silver", "gold", "mart")
_NEWEST = 90  # partitions of a table that are looked at, however old they are
_NOT_SOONER = timedelta(minutes=15)  # a partition that changes all the time is not looked at all the time


@dataclass(frozen=True)
class Budget:
    """How much one look may do; what it does not reach, the next one does.

    Attributes:
        seconds: after so many no further partition is begun.
        partitions: that are read.
    """

    seconds: float = 20.0
    partitions: int = 50


@dataclass(frozen=True)
class Watched:
    """A table, as a watch is given it.

    Attributes:
        columns: logical type by column, as the table has them now.
        profiles: of the partitions that changed since the last look.
        history: every look at the table, oldest first, these included.
    """

    table: DeclaredTable
    statistics: TableStatistics
    progress: Progress
    columns: Mapping[str, str]
    profiles: Sequence[Profile]
    history: Sequence[Profile]
    now: datetime


def _columns(watched: Watched) -> Iterable[Finding]:
    for profile in watched.profiles:
        yield from column_findings(profile, watched.history)


def _schema(watched: Watched) -> Iterable[Finding]:
    if watched.profiles:
        version = watched.table.contract.version
        found = schema_finding(watched.table.name, watched.columns, version, watched.history, watched.now)
        yield from () if found is None else (found,)


def _volume(watched: Watched) -> Iterable[Finding]:
    found = volume_findings(watched.table, watched.statistics.rows_by_partition, watched.now)
    return (finding for finding in found if finding.low is not None)  # of a young table nothing is judged yet


WATCHES: tuple[Callable[[Watched], Iterable[Finding]], ...] = (_columns, _schema, _volume)


@dataclass
class Look:
    """What one look did.

    Attributes:
        told: findings that are new or changed.
        profiled: partitions that were read.
        last: the table that it came to last; the next look begins behind it.
        complete: whether it came to every table and partition.
        errors: why tables could not be read.
    """

    told: list[Finding] = field(default_factory=list)
    profiled: int = 0
    last: str | None = None
    complete: bool = True
    errors: dict[str, Exception] = field(default_factory=dict)


@dataclass(frozen=True)
class _Opened:
    """A published table and its partitions that are due."""

    declared: DeclaredTable
    table: Table
    statistics: TableStatistics
    progress: Progress
    due: Sequence[date | None]


def look(lakehouse: Lakehouse, now: datetime, *, after: str | None = None, budget: Budget | None = None) -> Look:
    """Looks at tables in turn, beginning behind `after`, and keeps what it found.

    A table that cannot be read is told of as a finding about its schema, and stops no other.

    Raises:
        ConcurrentPublish: others kept recording at the same time; nothing is lost, the next look does it again.
    """
    allowed, done, began = budget or Budget(), Look(last=after), time.monotonic()
    findings: list[Finding] = []
    opened = list(_opened(lakehouse, now, allowed, began + allowed.seconds / 2, done, findings))
    history = looks_at(lakehouse, [found.declared.name for found in opened if found.due])
    profiles: list[Profile] = []
    for number, found in enumerate(opened):
        if number and time.monotonic() > began + allowed.seconds:  # whatever the time, a look gets on
            done.complete = False
            break
        done.last = found.declared.name
        try:
            taken = _taken(lakehouse, found, now, began + allowed.seconds)
            watched = _watched(found, taken, history.get(found.declared.name, []), now)
            findings += [finding for watch in WATCHES for finding in watch(watched)]
        except Exception as error:  # noqa: BLE001 - kept as a finding, logged by the sensor
            findings.append(_unreadable(done, found.declared.name, error))
        else:
            done.complete = done.complete and len(taken) == len(found.due)
            profiles += taken
    done.told = record(lakehouse, findings, now)
    keep(lakehouse, profiles, now)
    done.profiled = len(profiles)
    return done


def look_across(lakehouse: Lakehouse, now: datetime, *, seconds: float = 20.0) -> list[Finding]:
    """Judges the reconciliations that are due and keeps what is new; returns that.

    Raises:
        SourceError: the file that declares them cannot be used.
        ConcurrentPublish: as `look`.
    """
    deadline = time.monotonic() + seconds
    contracts = {table.name: table.contract for table in declared_tables(lakehouse.settings.dbt_project)}
    last = [found for found in latest(lakehouse, now) if found.finding.watch is Watch.RECONCILIATION]
    findings: list[Finding] = []
    for declared in read_reconciliations(lakehouse.settings):
        if time.monotonic() > deadline:
            break
        if is_due(declared, last, lakehouse, now):
            findings += reconcile(lakehouse, declared, contracts, now)
    return record(lakehouse, findings, now)


def _opened(
    lakehouse: Lakehouse, now: datetime, allowed: Budget, deadline: float, done: Look, findings: list[Finding]
) -> Iterator[_Opened]:
    """Published tables in turn, until their partitions that are due are as many as may be read."""
    looks, left = last_looks(lakehouse), allowed.partitions
    for declared in _in_turn(declared_tables(lakehouse.settings.dbt_project), done.last):
        if not left or time.monotonic() > deadline:
            done.complete = False
            return
        try:
            table = lakehouse.find(declared.name)
            if table is None or table.current_snapshot() is None:
                continue
            known, so_far = statistics(table, declared.contract), progress(table)
        except Exception as error:  # noqa: BLE001 - as in `look`
            findings.append(_unreadable(done, declared.name, error))
            continue
        due = due_partitions(declared, known, so_far, looks.get(declared.name, {}), now)
        done.complete = done.complete and len(due) <= left
        yield _Opened(declared, table, known, so_far, due[:left])
        left -= len(due[:left])


def _unreadable(done: Look, table: str, error: Exception) -> Finding:
    """That a table cannot be looked at. Not the error's text, which may hold what stood in a row (I7)."""
    done.errors[table] = error
    return Finding(Watch.SCHEMA, table, None, 0.0, unusual=True, reason=f"it cannot be read: {type(error).__name__}")


def _in_turn(tables: Sequence[DeclaredTable], after: str | None) -> list[DeclaredTable]:
    watched = [table for table in tables if table.contract.layer in WATCHED_LAYERS]
    behind = next((place for place, table in enumerate(watched, 1) if table.name == after), 0)
    return [*watched[behind:], *watched[:behind]]


def due_partitions(
    declared: DeclaredTable,
    known: TableStatistics,
    so_far: Progress,
    looks: Mapping[date | None, tuple[str, datetime]],
    now: datetime,
) -> list[date | None]:
    """Partitions of which the rows changed since the last look, or of which the day has ended since; newest first."""
    partitions: Sequence[date | None] = [None]
    if declared.contract.partition_column is not None:
        partitions = [day for day in sorted(known.rows_by_partition, reverse=True) if day <= now.date()][:_NEWEST]
    return [day for day in partitions if _is_due(day, so_far.version(day), looks.get(day), now)]


def _is_due(day: date | None, version: str | None, last: tuple[str, datetime] | None, now: datetime) -> bool:
    if last is None:
        return True
    seen, at = last
    if day is not None and at.date() <= day < now.date():
        return True
    return version is not None and version != seen and now - at >= _NOT_SOONER


def _taken(lakehouse: Lakehouse, found: _Opened, now: datetime, deadline: float) -> list[Profile]:
    taken: list[Profile] = []
    for day in found.due:
        if taken and time.monotonic() > deadline:
            break
        version = found.progress.version(day) or ""
        taken.append(take_profile(lakehouse, found.table, found.declared.contract, day, version, now))
    return taken


def _watched(found: _Opened, taken: Sequence[Profile], history: Sequence[Profile], now: datetime) -> Watched:
    columns = {column.name: column.type for column in profiled_columns(found.declared.contract, found.table)}
    looks = [*history, *taken]
    return Watched(found.declared, found.statistics, found.progress, columns, taken, looks, now)

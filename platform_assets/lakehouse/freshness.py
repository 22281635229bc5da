"""How fresh every table is, from the tables' own metadata: the one answer that the CLI and every page show.

What it means to be late is in `lakehouse.lateness`. A table passes as long as nothing that it should have is overdue by
more than its promise, whenever it was last materialised: making an old partition again turns no table green, and a
table whose source is quiet as usual does not turn red.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from platform_assets.lakehouse.answers import answer
from platform_assets.lakehouse.completeness import Completeness, against_source, against_usual
from platform_assets.lakehouse.declared import DeclaredTable, declared_tables
from platform_assets.lakehouse.durations import in_words
from platform_assets.lakehouse.lateness import Known, Lateness, expected_partition, latenesses, waiting_partitions
from platform_assets.lakehouse.progress import Progress, progress
from platform_assets.lakehouse.statistics import TableStatistics, rows_dated, statistics
from platform_assets.sources.contracts import EVENT_DATE

if TYPE_CHECKING:
    from platform_assets.lakehouse.catalog import Lakehouse

_STRIP = 30


class FreshnessState(StrEnum):
    """Dagster's words for the same."""

    PASS = "PASS"  # noqa: S105 - a state
    WARN = "WARN"
    FAIL = "FAIL"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class PartitionFreshness:
    """How fresh one partition is.

    Attributes:
        rows: rows that it holds.
        made_at: when it was last made; None if never.
        waiting_since: when an input changed that it does not know of yet.
    """

    partition: date
    rows: int
    state: FreshnessState
    made_at: datetime | None
    waiting_since: datetime | None


@dataclass(frozen=True)
class TableFreshness:
    """How fresh one table is.

    Attributes:
        statistics: what the table holds; None if it was never published.
        lag: time since the newest event in the table; None where there is none.
        reason: the state in words.
        expected_partition: the newest date that it should hold; None where no date is promised.
        completeness: of its expected partition (of a stream: its newest), where there is something to compare with.
        lateness: what made it late first, at itself or an ancestor, if it warns or fails.
        partitions: the last 30 dates up to its newest or expected one, oldest first.
        older: dates before those that an input's change waits for, oldest first.
        owed_since: since when it or an ancestor lacks something, also while that is within the promise.
    """

    table: DeclaredTable
    statistics: TableStatistics | None
    state: FreshnessState
    lag: timedelta | None
    reason: str
    expected_partition: date | None = None
    completeness: Completeness | None = None
    lateness: Lateness | None = None
    partitions: tuple[PartitionFreshness, ...] = ()
    older: tuple[PartitionFreshness, ...] = ()
    owed_since: datetime | None = None

    def partition(self, day: date) -> PartitionFreshness | None:
        """How fresh the date is; None if it is none that the table holds or should hold."""
        for known in (*self.partitions, *self.older):
            if known.partition == day:
                return known
        rows = self.statistics.rows_by_partition.get(day) if self.statistics else None
        return None if rows is None else PartitionFreshness(day, rows, FreshnessState.PASS, None, None)

    def as_json(self) -> dict[str, Any]:
        """One object; times in ISO 8601 (UTC), durations in seconds."""
        found, late = self.statistics, self.lateness
        blame = late and {"table": late.table, "since": late.since.isoformat(), "reason": late.reason}
        return {
            "table": self.table.name,
            "layer": self.table.contract.layer,
            "domain": self.table.domain,
            "owner": self.table.owner,
            "partition": _iso(found.newest_partition if found else None),
            "expected_partition": _iso(self.expected_partition),
            "rows": found.rows if found else 0,
            "last_materialized_at": _iso(found.last_published_at if found else None),
            "watermark": _iso(found.watermark if found else None),
            "lag_seconds": None if self.lag is None else round(self.lag.total_seconds(), 3),
            "state": self.state.value,
            "reason": self.reason,
            "completeness": self.completeness.as_json() if self.completeness else None,
            "blame": blame,
            "policy": {
                "warn_seconds": self.table.warn_window.total_seconds() if self.table.warn_window else None,
                "fail_seconds": self.table.fail_window.total_seconds(),
            },
        }


def table_freshness(
    lakehouse: Lakehouse,
    now: datetime,
    landed_since: Mapping[str, datetime] | None = None,
    names: Collection[str] | None = None,
) -> list[TableFreshness]:
    """The freshness of every declared table.

    Args:
        lakehouse: where the tables are.
        now: the moment that is asked about (UTC).
        landed_since: for bronze tables that do not hold all that landed, when the oldest such object did
            (`ingestion.waiting`); without it, what landed and was not ingested is not seen.
        names: only these tables, if given; only they and what they are made of are looked at.
    """
    tables = {table.name: table for table in declared_tables(lakehouse.settings.dbt_project)}
    if names is not None:
        needed = _with_ancestors(tables, names)
        tables = {name: table for name, table in tables.items() if name in needed}
    versions = lakehouse.versions()
    known = {
        name: Known(*read, (landed_since or {}).get(name))
        for name, table in tables.items()
        if name in versions and (read := _read(lakehouse, table, versions[name])) is not None
    }
    late = latenesses(tables, known, now)
    return [
        _judge(table, known, late[name], _completeness(lakehouse, table, known, versions, now), now)
        for name, table in tables.items()
        if names is None or name in names
    ]


def _read(lakehouse: Lakehouse, table: DeclaredTable, version: str) -> tuple[TableStatistics, Progress] | None:
    """What the table holds and how it came about; None if nothing was published to it yet."""

    def read() -> tuple[TableStatistics, Progress] | None:
        found = lakehouse.find(table.name)
        if found is None or found.current_snapshot() is None:
            return None
        return statistics(found, table.contract), progress(found)

    return answer(version, "freshness", table.contract.event_time, read)


def judge(table: DeclaredTable, late: Lateness | None, now: datetime) -> tuple[FreshnessState, str]:
    """The state of a published table and the reason in words, by what it lacks."""
    if late is None:
        return FreshnessState.PASS, "all that arrived is processed"
    age = now - late.since
    whose = "" if late.table == table.name else f"{late.table}: "
    told = f"{whose}{late.reason}, since {in_words(age)}"
    if age > table.fail_window:
        return FreshnessState.FAIL, f"{told}, more than {in_words(table.fail_window)}"
    if table.warn_window is not None and age > table.warn_window:
        return FreshnessState.WARN, f"{told}, more than {in_words(table.warn_window)}"
    return FreshnessState.PASS, told


def _with_ancestors(tables: Mapping[str, DeclaredTable], names: Collection[str]) -> set[str]:
    found: set[str] = set()
    follow = [name for name in names if name in tables]
    while follow:
        name = follow.pop()
        if name not in found:
            found.add(name)
            follow += [above for above in tables[name].inputs if above in tables]
    return found


def _judge(
    table: DeclaredTable,
    known: Mapping[str, Known],
    late: Lateness | None,
    completeness: Completeness | None,
    now: datetime,
) -> TableFreshness:
    expected = expected_partition(table, now)
    here = known.get(table.name)
    if here is None or here.statistics.last_published_at is None:
        nothing = here.statistics if here else None
        return TableFreshness(table, nothing, FreshnessState.UNKNOWN, None, "never materialised", expected)
    state, reason = judge(table, late, now)
    watermark = here.statistics.watermark
    return TableFreshness(
        table,
        here.statistics,
        state,
        None if watermark is None else now - watermark,
        reason,
        expected,
        completeness,
        None if state is FreshnessState.PASS else late,
        *_partitions(table, known, expected, now),
        owed_since=None if late is None else late.since,
    )


def _completeness(
    lakehouse: Lakehouse,
    table: DeclaredTable,
    known: Mapping[str, Known],
    versions: Mapping[str, str],
    now: datetime,
) -> Completeness | None:
    """Of the expected partition, or where none is, of the newest."""
    here = known.get(table.name)
    if here is None or table.contract.layer == "quarantine":
        return None
    day = expected_partition(table, now) or here.statistics.newest_partition
    if day is None:
        return None
    bronze, rows_in, counted = table.counted_in, here.progress.rows_in.get(day), None
    if bronze is not None and bronze in versions and rows_in is not None:
        counted = rows_dated(lakehouse, bronze, versions[bronze], EVENT_DATE, day)
    return against_source(day, rows_in, counted) or against_usual(day, here.statistics.rows_by_partition)


def _partitions(
    table: DeclaredTable, known: Mapping[str, Known], expected: date | None, now: datetime
) -> tuple[tuple[PartitionFreshness, ...], tuple[PartitionFreshness, ...]]:
    """The last dates, without a gap, and the older ones that wait for an input."""
    here = known[table.name]
    newest = here.statistics.newest_partition
    if newest is None:
        return (), ()
    promised = expected if table.cadence.daily and table.contract.layer != "quarantine" else None
    last = max(newest, promised) if promised else newest
    first = max(last - timedelta(days=_STRIP - 1), min(here.statistics.rows_by_partition))
    waiting = waiting_partitions(table, known)

    def judged(day: date) -> PartitionFreshness:
        since, rows = waiting.get(day, (None, ""))[0], here.statistics.rows_by_partition.get(day, 0)
        if not rows and promised is not None and day <= promised:
            state = FreshnessState.FAIL  # whatever it waits for
        elif since is not None:
            state, _ = judge(table, Lateness(table.name, since, ""), now)
        else:
            state = FreshnessState.PASS if rows or promised is None else FreshnessState.UNKNOWN
        return PartitionFreshness(day, rows, state, here.progress.made_at(day), since)

    strip = tuple(judged(first + timedelta(days=number)) for number in range((last - first).days + 1))
    return strip, tuple(judged(day) for day in sorted(day for day in waiting if day is not None and day < first))


def _iso(moment: date | None) -> str | None:
    return None if moment is None else moment.isoformat()

"""`ops.freshness`: what freshness was, so that in how much of the time a table was fresh can be told.

Append-only, partitioned by day. An evaluation adds a row for a table whose state or partition has changed since its
last row, and one an hour in any case, which tells that somebody looked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from platform_assets.contracts.model import Column, Contract, Rule
from platform_assets.contracts.rules import literal
from platform_assets.lakehouse.append_only import Row, append_news
from platform_assets.lakehouse.reader import table_relation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyiceberg.table import Table

    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.freshness import TableFreshness

_AT_LEAST_EVERY = timedelta(hours=1)
# Longer than that without a row, nobody looked: the state in between is not known.
_KNOWN_FOR = 2 * _AT_LEAST_EVERY
_STATES = ("PASS", "WARN", "FAIL", "UNKNOWN")

FRESHNESS_HISTORY = Contract(
    table="ops.freshness",
    description="How fresh every table was: a row whenever its state or partition changed, and one an hour.",
    columns=(
        Column("evaluated_at", "timestamp", nullable=False, description="When freshness was looked at."),
        Column("evaluated_on", "date", nullable=False, description="The date (UTC) of that."),
        Column("table_name", "string", nullable=False, description="`layer.table`."),
        Column("state", "string", nullable=False, description="PASS, WARN, FAIL or UNKNOWN."),
        Column("newest_partition", "date", description="The newest date that held rows."),
        Column("expected_partition", "date", description="The newest date that should have."),
        Column("watermark", "timestamp", description="The newest event time in the table."),
        Column("lag_seconds", "double", description="Time since that."),
        Column("completeness", "double", description="Rows of the partition by those expected; 1 is all of them."),
        Column("late_table", "string", description="The first late ancestor, or the table itself."),
        Column("late_since", "timestamp", description="Since when that one is late."),
        Column("reason", "string", description="The state in words."),
    ),
    key=("evaluated_at", "table_name"),
    event_time="evaluated_at",
    partition_column="evaluated_on",
    rules=(Rule("one_of", "state", _STATES),),
)


@dataclass(frozen=True)
class FreshShare:
    """In how much of a stretch of time a table was fresh.

    Attributes:
        share: of the time in which its state is known, that in which it did not fail; None if it never was.
        passing: the same of the time in which it passed, which is less where it warned.
        known: the time in which its state is known. Before the first evaluation, while nobody looked for two hours, and
            as long as it was never materialised, it is not.
    """

    share: float | None = None
    passing: float | None = None
    known: timedelta = timedelta()


@dataclass(frozen=True)
class Told:
    """What one evaluation told of one table; of a stretch of time the largest lag and the worst state.

    Attributes:
        at: when freshness was looked at, or the beginning of the stretch.
        lag: time since the newest event in the table; None where there is none.
        late_table: the first late ancestor, or the table itself; None of a stretch.
        reason: the state in words; empty of a stretch.
    """

    at: datetime
    state: str
    lag: timedelta | None
    late_table: str | None = None
    late_since: datetime | None = None
    reason: str = ""


def record(lakehouse: Lakehouse, rows: Sequence[TableFreshness], now: datetime) -> list[TableFreshness]:
    """Appends what has changed since the last evaluation, in one commit; returns the rows that were told.

    Raises:
        ConcurrentPublish: others kept recording at the same time.
    """
    return append_news(
        lakehouse,
        FRESHNESS_HISTORY,
        lambda base: _news(lakehouse, base, rows, now),
        lambda row: row_of(row, now),
        now,
    )


def fresh_shares(lakehouse: Lakehouse, now: datetime, days: int = 30) -> dict[str, FreshShare]:
    """Of every table that was looked at, in how much of the last days it was fresh; one query."""
    return _fresh_shares(lakehouse, now, days)


def fresh_share(lakehouse: Lakehouse, table: str, now: datetime, days: int = 30) -> FreshShare:
    """The same of one table."""
    found = _fresh_shares(lakehouse, now, days, f"table_name = {literal(table)}")
    return found.get(table, FreshShare())


def lag_history(lakehouse: Lakehouse, now: datetime, days: int, step: timedelta) -> dict[str, list[Told]]:
    """Of every table one row for each stretch of the last days in which somebody looked, oldest first; one query."""
    base = lakehouse.find(FRESHNESS_HISTORY.table)
    if base is None:
        return {}
    start = now - timedelta(days=days)
    # WARN and FAIL are worse than not to know; the order in which _STATES has them is another.
    found = lakehouse.ask(
        f"SELECT table_name, time_bucket(to_seconds({step.total_seconds()}), evaluated_at) AS stretch, "
        "arg_max(state, list_position(['PASS', 'UNKNOWN', 'WARN', 'FAIL'], state)), max(lag_seconds) "
        f"FROM {table_relation(base, since={'evaluated_on': start.date()})} "
        f"WHERE evaluated_at BETWEEN {_moment(start)} AND {_moment(now)} GROUP BY ALL ORDER BY ALL"
    )
    told: dict[str, list[Told]] = {}
    for table, at, state, lag in found:
        told.setdefault(table, []).append(Told(max(at.astimezone(UTC), start), state, _duration(lag)))
    return told


def history(lakehouse: Lakehouse, table: str, now: datetime, days: int) -> list[Told]:
    """Every row that was told of one table in the last days, oldest first."""
    base = lakehouse.find(FRESHNESS_HISTORY.table)
    if base is None:
        return []
    start = now - timedelta(days=days)
    found = lakehouse.ask(
        "SELECT evaluated_at, state, lag_seconds, late_table, late_since, reason "
        f"FROM {table_relation(base, since={'evaluated_on': start.date()})} WHERE table_name = {literal(table)} "
        f"AND evaluated_at BETWEEN {_moment(start)} AND {_moment(now)} ORDER BY evaluated_at"
    )
    return [
        Told(at.astimezone(UTC), state, _duration(lag), late, since and since.astimezone(UTC), reason or "")
        for at, state, lag, late, since, reason in found
    ]


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _fresh_shares(lakehouse: Lakehouse, now: datetime, days: int, which: str = "TRUE") -> dict[str, FreshShare]:
    """Each row holds until the next, or until nobody has looked for long."""
    base = lakehouse.find(FRESHNESS_HISTORY.table)
    if base is None:
        return {}
    start = now - timedelta(days=days)
    before = start - _KNOWN_FOR  # what was told then may hold at the start
    found = lakehouse.ask(
        "SELECT table_name, state, sum(greatest(0, epoch_us(until) - epoch_us(greatest(evaluated_at, "
        f"{_moment(start)})))) FROM (SELECT table_name, state, evaluated_at, least(lead(evaluated_at, 1, "
        f"{_moment(now)}) OVER (PARTITION BY table_name ORDER BY evaluated_at), "
        f"evaluated_at + to_seconds({_KNOWN_FOR.total_seconds()})) AS until "
        f"FROM {table_relation(base, since={'evaluated_on': before.date()})} "
        f"WHERE {which} AND evaluated_at BETWEEN {_moment(before)} AND {_moment(now)}) GROUP BY ALL"
    )
    spent: dict[str, dict[str, timedelta]] = {}
    for table, state, length in found:
        spent.setdefault(table, dict.fromkeys(_STATES, timedelta()))[state] = timedelta(microseconds=int(length))
    return {table: _fresh_share(states) for table, states in spent.items()}


def _fresh_share(spent: Mapping[str, timedelta]) -> FreshShare:
    known = spent["PASS"] + spent["WARN"] + spent["FAIL"]
    return FreshShare(1 - spent["FAIL"] / known, spent["PASS"] / known, known) if known else FreshShare()


def _news(lakehouse: Lakehouse, base: Table, rows: Sequence[TableFreshness], now: datetime) -> list[TableFreshness]:
    """The rows that differ from the last ones, or whose last is an hour old."""
    last = lakehouse.ask(
        "SELECT table_name, max(evaluated_at), arg_max(state, evaluated_at), "
        f"arg_max_null(newest_partition, evaluated_at) FROM {_recent(base, now)} GROUP BY 1"
    )
    known = {name: (at.astimezone(UTC), state, partition) for name, at, state, partition in last}
    return [row for row in rows if _is_news(row, known.get(row.table.name), now)]


def _recent(base: Table, now: datetime) -> str:
    days = [table_relation(base, where={"evaluated_on": now.date() - timedelta(days=back)}) for back in (1, 0)]
    return f"({' UNION ALL BY NAME '.join(f'SELECT * FROM {day}' for day in days)})"


def _is_news(row: TableFreshness, last: tuple[datetime, str, date | None] | None, now: datetime) -> bool:
    partition = row.statistics.newest_partition if row.statistics else None
    if last is None or now - last[0] >= _AT_LEAST_EVERY:
        return True
    return now > last[0] and last[1:] != (row.state.value, partition)


def row_of(row: TableFreshness, now: datetime) -> Row:
    """The row of `ops.freshness` that tells of it."""
    found, late = row.statistics, row.lateness
    return (
        *(now, now.date(), row.table.name, row.state.value),
        *(found.newest_partition if found else None, row.expected_partition, found.watermark if found else None),
        *(None if row.lag is None else row.lag.total_seconds(), row.completeness and row.completeness.ratio),
        *(late.table if late else None, late.since if late else None, row.reason),
    )


def _moment(moment: datetime) -> str:
    return f"TIMESTAMPTZ '{moment.isoformat()}'"

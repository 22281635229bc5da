"""`ops.sla_outcomes`: what became of every promise about time, kept for longer than the snapshots that tell it.

Append-only, partitioned by the day of the decision. An outcome is added once it is due. It is added again, and the
newer row counts, if more becomes known of it later: that a thing was done after all, or that an object had landed in
time which nobody had seen. What was missed stays missed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from platform_assets.contracts.model import Column, Contract
from platform_assets.lakehouse.answers import answer
from platform_assets.lakehouse.append_only import Row, append_news
from platform_assets.lakehouse.declared import declared_tables
from platform_assets.lakehouse.outcomes import Arrival, Facts, Outcome, outcomes
from platform_assets.lakehouse.past import Past, past
from platform_assets.lakehouse.reader import table_relation
from platform_assets.lakehouse.statistics import statistics

if TYPE_CHECKING:
    from pyiceberg.table import Table

    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.declared import DeclaredTable

WINDOW = timedelta(days=30)
# So long after a commit's own time it is in the catalog, and its run has told the ledger of what it took.
SETTLED = timedelta(minutes=5)
_LOOKED_AT_AGAIN = timedelta(days=1)
_READ_BEFORE = timedelta(days=2)  # a date that is due today has been arriving since yesterday
_HOUR = timedelta(hours=1)

SLA_OUTCOMES = Contract(
    table="ops.sla_outcomes",
    description="What became of every promise about time; of rows of one table, promise and about, the newest counts.",
    columns=(
        Column("decided_at", "timestamp", nullable=False, description="When it was decided."),
        Column("decided_on", "date", nullable=False, description="The date (UTC) of that."),
        Column("table_name", "string", nullable=False, description="`layer.table`."),
        Column("promise", "string", nullable=False, description="What was promised, such as `within 5 min`."),
        Column("about", "string", nullable=False, description="The date, or the hour in which things were due."),
        Column("due_at", "timestamp", nullable=False, description="The deadline, or the end of the hour."),
        Column("things", "integer", nullable=False, description="Objects or changes that were due; 1 for a date."),
        Column("kept", "integer", nullable=False, description="How many of them were in time."),
        Column("unfinished", "integer", nullable=False, description="How many were not done when it was decided."),
        Column("late_seconds", "double", description="How long after its due time the last was done that was done."),
        Column("done_at", "timestamp", description="When all were done; null if some were not."),
    ),
    key=("decided_at", "table_name", "promise", "about"),
    event_time="decided_at",
    partition_column="decided_on",
)

# What arrived at bronze tables from a moment of each on.
Arrivals = Callable[[Mapping[str, datetime]], Mapping[str, Sequence[Arrival]]]
Key = tuple[str, str, str]


def record(lakehouse: Lakehouse, now: datetime, arrivals: Arrivals) -> list[Outcome]:
    """Adds what has been decided since the last time, in one commit; returns it.

    Args:
        lakehouse: where the tables are.
        now: outcomes that were due until 5 minutes before are decided.
        arrivals: of the bronze tables that it is given, what was found or ingested from the moment of each on, or is
            not ingested (`ingestion.waiting`).

    Raises:
        ConcurrentPublish: others kept recording at the same time.
    """
    tables = {table.name: table for table in declared_tables(lakehouse.settings.dbt_project)}
    return append_news(
        lakehouse,
        SLA_OUTCOMES,
        lambda base: _news(lakehouse, base, tables, now, arrivals),
        lambda outcome: row_of(outcome, now),
        now,
    )


def newest_outcomes(source: str, since: datetime) -> str:
    """SQL after FROM over the outcomes that were due from a moment on, each as it is known by now."""
    return (
        f"(SELECT * FROM {source} WHERE due_at >= TIMESTAMPTZ '{since.isoformat()}' "
        "QUALIFY row_number() OVER (PARTITION BY table_name, promise, about ORDER BY decided_at DESC) = 1)"
    )


def _news(
    lakehouse: Lakehouse, base: Table, tables: Mapping[str, DeclaredTable], now: datetime, arrivals: Arrivals
) -> list[Outcome]:
    def read(starts: Mapping[str, datetime]) -> Facts:
        versions = lakehouse.versions()
        landed = {
            name: start - _READ_BEFORE - _longest(tables[name])
            for name, start in starts.items()
            if tables[name].contract.layer == "bronze"
        }
        return Facts(
            tables,
            {name: _past(lakehouse, name, versions[name]) for name in starts if name in versions},
            arrivals(landed),
        )

    return decide(tables, *_recorded(lakehouse, base, now), now, read)


def _past(lakehouse: Lakehouse, name: str, version: str) -> Past:
    return answer(version, "past", None, lambda: past(lakehouse.catalog.load_table(name)))


def decide(
    tables: Mapping[str, DeclaredTable],
    last: datetime | None,
    known: Mapping[Key, Outcome],
    now: datetime,
    read: Callable[[Mapping[str, datetime]], Facts],
) -> list[Outcome]:
    """What is known of promises by now and was not before.

    Args:
        tables: the declared tables by name.
        last: when outcomes were decided last; None if never.
        known: the outcomes of the day before that and since; of tables with one that is not finished, of 30 days.
        now: outcomes that were due until 5 minutes before are decided.
        read: gives what there is to know of tables from the moment of each on.
    """
    since = earliest = _full_hour(now - WINDOW)
    if last is not None:
        since = max(earliest, looked_at_again(last, now))
    starts = {name: since for name, table in tables.items() if table.sla}
    promised = {(name, promise.name) for name, table in tables.items() for promise in table.sla}
    for outcome in known.values():
        if outcome.unfinished and (outcome.table, outcome.promise) in promised:
            start = max(earliest, _full_hour(outcome.due_at - _HOUR))
            starts[outcome.table] = min(starts[outcome.table], start)
    facts = read(_with_ancestors(tables, starts))
    decided = (one for name, start in starts.items() for one in outcomes(facts, tables[name], start, now - SETTLED))
    return [outcome for outcome in decided if _is_news(outcome, known.get(key_of(outcome)))]


def looked_at_again(last: datetime, now: datetime) -> datetime:
    """From when on outcomes that are known are looked at again."""
    return _full_hour(min(last, now) - _LOOKED_AT_AGAIN)


def asked_since(lakehouse: Lakehouse, now: datetime) -> datetime:
    """From when on it may still be asked, of every commit one by one, whether it kept a promise.

    What was decided is looked at again for a day; what nobody decided yet is, for 30 days.
    """
    base = lakehouse.find(SLA_OUTCOMES.table)
    last = None if base is None else statistics(base, SLA_OUTCOMES).watermark
    earliest = _full_hour(now - WINDOW)
    return earliest if last is None else max(earliest, looked_at_again(last, now) - _READ_BEFORE)


def _with_ancestors(tables: Mapping[str, DeclaredTable], starts: Mapping[str, datetime]) -> dict[str, datetime]:
    """The tables and all that they are made of, each with the earliest moment that is asked about."""
    found: dict[str, datetime] = {}
    waiting = list(starts.items())
    while waiting:
        name, start = waiting.pop()
        if name in tables and (name not in found or start < found[name]):
            found[name] = start
            waiting += [(parent, start) for parent in tables[name].inputs]
    return found


def _longest(table: DeclaredTable) -> timedelta:
    return max((promise.within for promise in table.sla if promise.within), default=timedelta())


def key_of(outcome: Outcome) -> Key:
    """What tells outcomes apart."""
    return outcome.table, outcome.promise, outcome.about


def _is_news(outcome: Outcome, known: Outcome | None) -> bool:
    """Whether more is known than before. Less is, once snapshots have expired: what was known stays."""
    if known is None:
        return True
    if outcome.things < known.things or outcome.missed < known.missed:
        return False
    shrunk = outcome.late is not None and known.late is not None and outcome.late < known.late
    return outcome != known and not shrunk


def _recorded(lakehouse: Lakehouse, base: Table, now: datetime) -> tuple[datetime | None, dict[Key, Outcome]]:
    """When outcomes were decided last, and those that may have to be decided again, as `decide` wants them."""
    history = table_relation(base)
    ((found,),) = lakehouse.ask(f"SELECT max(decided_at) FROM {history}")
    last = None if found is None else found.astimezone(UTC)
    since = looked_at_again(last or now, now)
    rows = lakehouse.ask(
        f"WITH newest AS (FROM {newest_outcomes(history, _full_hour(now - WINDOW))}) "
        "SELECT table_name, promise, about, due_at, things, kept, unfinished, late_seconds, done_at FROM newest "
        f"WHERE due_at >= TIMESTAMPTZ '{since.isoformat()}' "
        "OR table_name IN (SELECT table_name FROM newest WHERE unfinished > 0)"
    )
    known = [_outcome(row) for row in rows]
    return last, {key_of(outcome): outcome for outcome in known}


def _outcome(row: tuple[Any, ...]) -> Outcome:
    table, promise, about, due_at, things, kept, unfinished, late, done_at = row
    return Outcome(
        table,
        promise,
        about,
        due_at.astimezone(UTC),
        things,
        kept,
        unfinished,
        None if late is None else timedelta(seconds=late),
        None if done_at is None else done_at.astimezone(UTC),
    )


def row_of(outcome: Outcome, now: datetime) -> Row:
    """The row of `ops.sla_outcomes` that tells of it."""
    return (
        *(now, now.date(), outcome.table, outcome.promise, outcome.about, outcome.due_at),
        *(outcome.things, outcome.kept, outcome.unfinished),
        *(None if outcome.late is None else outcome.late.total_seconds(), outcome.done_at),
    )


def _full_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)

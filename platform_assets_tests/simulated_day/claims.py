"""What must be true when the day is over, worked out from its plan and from a second platform, not from the first."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_assets.ingestion.landing import Landing
from platform_assets.ingestion.ledger import Ledger
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.declared import declared_tables
from platform_assets.lakehouse.query import query
from platform_assets.settings import load_settings
from platform_assets_tests.simulated_day.daemon import Daemon
from platform_assets_tests.simulated_day.plan import EVENTS, HOURLY

if TYPE_CHECKING:
    from pathlib import Path

    from platform_assets.lakehouse.declared import DeclaredTable
    from platform_assets.settings import Settings
    from platform_assets_tests.simulated_day.day import Day

_AN_HOUR = timedelta(hours=1)
_WARN, _FAIL = timedelta(minutes=30), timedelta(minutes=60)
_MOST_RUNS = 1.5
_ROUNDS = 10
_OTHERWISE = {"_ingested_at"}  # when it was taken from landing, which a rebuild does again


@dataclass(frozen=True)
class Claim:
    """A claim, whether it holds, and what speaks for or against it."""

    says: str
    holds: bool
    details: list[str] = field(default_factory=list)


def claims(day: Day, home: Path) -> Iterator[Claim]:
    """Every claim about the day."""
    yield _nothing_waits(day)
    yield _few_runs(day)
    yield _history_tells_who_was_late(day)
    yield _all_agree(day)
    yield _equals_a_rebuild(day, home)


def _nothing_waits(day: Day) -> Claim:
    """Every object is in bronze, and every partition of every table was made after what it is made of had changed."""
    landing, ledger, lakehouse = Landing(day.settings), Ledger(day.settings), Lakehouse(day.settings)
    missed = []
    landed = 0
    for name in day.daemon.names:
        _, rows = query(lakehouse, f"SELECT DISTINCT _landing_uri, _landing_generation FROM bronze.{name}")
        held = set(rows)
        objects = landing.objects(name)
        landed += len(objects)
        missed += [f"{o.uri} is not in bronze" for o in objects if (o.uri, o.generation) not in held]
        missed += [f"{name} {date}: {len(found)} objects are pending" for date, found in ledger.pending(name).items()]
    from platform_assets.lakehouse.freshness import table_freshness

    for row in table_freshness(lakehouse, datetime.now(UTC)):
        missed += [f"{row.table.name} {p.partition} waits" for p in row.partitions if p.waiting_since]
    return Claim(f"all of {landed:,} objects are in bronze, and no partition waits", not missed, missed)


def _few_runs(day: Day) -> Claim:
    runs = len(day.daemon.runs)
    counts = Counter(next(iter(sorted(run.assets))).split("/")[0] for run in day.daemon.runs)
    failed = sum(not run.success for run in day.daemon.runs)
    details = [f"{count} runs of {layer}" for layer, count in counts.most_common()]
    details.append(f"{failed} runs failed, of which {len(day.daemon.killed)} were killed")
    said = f"{runs} runs are {runs / day.least:.2f} times the least that could do it ({day.least})"
    return Claim(said, runs <= _MOST_RUNS * day.least, details)


def _history_tells_who_was_late(day: Day) -> Claim:
    """`ops.freshness` says of every table at every moment what the plan of the day says."""
    tables = {table.name: table for table in declared_tables(day.settings.dbt_project)}
    _, rows = query(
        Lakehouse(day.settings),
        "SELECT table_name, evaluated_at, state, late_table FROM ops.freshness ORDER BY table_name, evaluated_at",
    )
    told: defaultdict[object, list[tuple[Any, ...]]] = defaultdict(list)
    for name, *row in rows:
        told[name].append(tuple(row))
    wrong, right, seen = [], 0, {}
    for name, table in tables.items():
        sources = _sources_of(table, tables)
        for moment in day.looked_at:
            expected = _expected(day, sources, moment)
            last = [row for row in told[name] if row[0] <= moment][-1:]
            found = (last[0][1], last[0][2]) if last else None
            if found == expected:
                right += 1
            else:
                wrong.append(f"{name} at {moment:%d %H:%M}: the history says {found}, the plan {expected}")
            seen[name, moment] = found
    if not wrong:
        wrong = list(_late_stretches(day, tables, seen))
        return Claim(f"the freshness history is right at {right:,} moments of {len(tables)} tables", True, wrong)
    return Claim(f"the freshness history is wrong at {len(wrong):,} of {right + len(wrong):,} moments", False, wrong)


def _late_stretches(
    day: Day, tables: Mapping[str, DeclaredTable], seen: Mapping[tuple[str, datetime], tuple[str, str | None] | None]
) -> Iterator[str]:
    """The answer to: which source was late, and when?"""
    for name in tables:
        if name.startswith("bronze."):
            states = [(seen[name, moment], moment) for moment in day.looked_at]
            for found, moments in groupby(states, key=itemgetter(0)):
                stretch = [moment for _, moment in moments]
                if found and found[0] in {"WARN", "FAIL"}:
                    yield f"{name}: {found[0]} from {stretch[0]:%H:%M} to {stretch[-1]:%H:%M}"


def _all_agree(day: Day) -> Claim:
    said = f"the page, Dagit and the command line agree at {len(day.looked_at)} moments"
    return Claim(said, not day.disagreements, day.disagreements)


def _sources_of(table: DeclaredTable, tables: Mapping[str, DeclaredTable]) -> set[str]:
    if table.contract.layer == "bronze":
        return {table.name.removeprefix("bronze.")}
    return {source for name in table.inputs if name in tables for source in _sources_of(tables[name], tables)}


def _expected(day: Day, sources: set[str], moment: datetime) -> tuple[str, str | None]:
    """What the state is by the plan: a source that delivers by the hour is late from the first hour on without it."""
    latest: tuple[datetime, str] | None = None
    for source in sources & {*HOURLY, EVENTS}:
        delivered = max(step.at for step in day.steps if step.at <= moment and _delivers(source, step.objects))
        due = delivered.replace(minute=0) + _AN_HOUR
        if due <= moment and (latest is None or due < latest[0]):
            latest = (due, f"bronze.{source}")
    if latest is None or moment - latest[0] <= _WARN:
        return ("PASS", None)
    return ("FAIL" if moment - latest[0] > _FAIL else "WARN", latest[1])


def _delivers(source: str, objects: list[tuple[str, bytes]]) -> bool:
    return any(name.startswith(f"source={source}/") for name, _ in objects)


def _equals_a_rebuild(day: Day, home: Path) -> Claim:
    """A second platform that starts empty and takes everything from landing at once ends with the same rows."""
    os.environ |= {"PLATFORM_HOME": str(home / "rebuilt"), "DAGSTER_HOME": str(home / "dagster_of_rebuilt")}
    (home / "dagster_of_rebuilt").mkdir()
    settings = load_settings()
    with dg.DagsterInstance.get() as instance:
        daemon = Daemon(settings, instance)
        for source in daemon.names:
            for date in Landing(settings).dates(source):
                daemon.run([f"bronze/{source}"], date.isoformat())
        for _ in range(_ROUNDS):
            if not daemon.automate():
                break
        failed = [f"the rebuild failed: {run.failure}" for run in daemon.runs if not run.success]
    differing, rows = list(failed), 0
    for table in declared_tables(settings.dbt_project):
        ours, theirs = _rows(day.settings, table), _rows(settings, table)
        rows += sum(ours.values())
        for which, found in (("the day's alone", ours - theirs), ("the rebuild's alone", theirs - ours)):
            if found:
                differing.append(f"{table.name}: {sum(found.values()):,} rows are {which}, such as {next(iter(found))}")
    said = f"{rows:,} rows in {len(declared_tables(settings.dbt_project))} tables equal a rebuild from landing"
    return Claim(f"{said} in {len(daemon.runs)} runs", not differing, differing)


def _rows(settings: Settings, table: DeclaredTable) -> Counter[tuple[str, ...]]:
    columns, rows = query(Lakehouse(settings), f"SELECT * FROM {table.name}")
    kept = [number for number, column in enumerate(columns) if column not in _OTHERWISE]
    return Counter(tuple(f"{columns[number]}={row[number]}" for number in kept) for row in rows)

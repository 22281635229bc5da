"""What can be seen of the platform at any moment: sensors, daemons, broken sources, late tables, metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, TickStatus

from platform_assets.automation.alerts.incidents import Kind, Observation
from platform_assets.automation.alerts.run_facts import error_rates
from platform_assets.lakehouse.durations import in_words
from platform_assets.lakehouse.freshness import FreshnessState, TableFreshness
from platform_assets.sources.alert_condition import Metric
from platform_assets.sources.alerts import alert_rules
from platform_assets.sources.contracts import contracts_of

if TYPE_CHECKING:
    from pathlib import Path

    from platform_assets.sources.model import Alert, Source
    from platform_assets.sources.yaml_file import SourceError

_STOPPED_AFTER = timedelta(minutes=5)  # daemons report every 30 s
_FORGOTTEN_AFTER = timedelta(minutes=15)  # a sensor that has not ticked for so long was removed
_TICKS = 3  # of which one may be under way
_TOLD_BY_FOLDER = "broken_sources"


def sensor_facts(instance: dg.DagsterInstance, now: datetime) -> list[Observation]:
    """Sensors of which the last tick failed (dagster-io/dagster#29625: Dagster tells nobody)."""
    states = {
        state.selector_id: state
        for state in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
        if state.is_running and state.name != _TOLD_BY_FOLDER
    }
    since = (now - _FORGOTTEN_AFTER).timestamp()
    failing = []
    for key, state in states.items():  # each by the index: all at once would rank every tick that is kept
        ticks = instance.get_ticks(state.instigator_origin_id, key, after=since, limit=_TICKS)
        last = next((tick for tick in ticks if tick.status is not TickStatus.STARTED), None)
        if last is not None and last.status is TickStatus.FAILURE:
            failing.append(_failed_tick(state, last))
    return failing


def _failed_tick(state: InstigatorState, tick: InstigatorTick) -> Observation:
    error = tick.error
    while error is not None and error.cause is not None:  # Dagster wraps what was raised
        error = error.cause
    name = error.cls_name if error else None  # not its text, which may hold what stood in a row
    return Observation(
        Kind.SENSOR_FAILED,
        state.name,
        f"its last evaluation failed: {name or 'it ended without an error'}",
        datetime.fromtimestamp(tick.timestamp, UTC),
        look=f"/locations/{state.repository_selector.location_name}/sensors/{state.name}",
    )


def daemon_facts(instance: dg.DagsterInstance, now: datetime) -> list[Observation]:
    """Dagster's daemons that have not reported for five minutes; all, if none ever has."""
    heartbeats = instance.get_daemon_heartbeats()
    stopped = []
    for name in instance.get_required_daemon_types():
        beat = heartbeats.get(name)
        if beat is None and not heartbeats:
            stopped.append(_stopped(name, now, "it has never reported"))
        elif beat is not None:
            last = datetime.fromtimestamp(beat.timestamp, UTC)
            if now - last > _STOPPED_AFTER:
                stopped.append(_stopped(name, last, f"it last reported at {last:%Y-%m-%d %H:%M:%S} UTC"))
    return stopped


def _stopped(name: str, since: datetime, what: str) -> Observation:
    return Observation(Kind.DAEMON_STOPPED, name, what, since, look="/deployment/daemons")


def broken_source_facts(broken: Mapping[Path, SourceError], now: datetime) -> list[Observation]:
    """Source folders that cannot be used."""
    return [
        Observation(Kind.SOURCE_BROKEN, folder.name, str(error).partition("\n")[0][:500], now)
        for folder, error in broken.items()
    ]


def freshness_facts(rows: Sequence[TableFreshness], now: datetime) -> list[Observation]:
    """Tables that break their promise, since they do, and what upstream of them is to blame."""
    return [
        Observation(
            Kind.FRESHNESS,
            row.table.name,
            row.reason,
            min(row.lateness.since + row.table.fail_window, now),
            owner=row.table.owner,
            look=f"/assets/{row.table.name.replace('.', '/')}",
            late_ancestor=None if row.lateness.table == row.table.name else row.lateness.table,
        )
        for row in rows
        if row.state is FreshnessState.FAIL and row.lateness is not None
    ]


@dataclass(frozen=True)
class MetricFacts:
    """What the sources' own rules come to.

    Attributes:
        unmeasured: rules of which the metric is measured by nothing, or has no value yet.
    """

    observations: list[Observation] = field(default_factory=list)
    unmeasured: list[str] = field(default_factory=list)


def metric_facts(
    instance: dg.DagsterInstance, sources: Sequence[Source], rows: Sequence[TableFreshness], now: datetime
) -> MetricFacts:
    """The sources' own rules, judged: of what was not measured nothing is observed, neither good nor bad."""
    found = MetricFacts()
    watched = [(source, rule) for source in sources for rule in alert_rules(source)]
    tables = {source.name: _tables(source) for source, _ in watched}
    rated = any(rule.parsed.metric is Metric.ERROR_RATE for _, rule in watched)
    measured = {
        Metric.ERROR_RATE: error_rates(instance, tables, now) if rated else {},
        Metric.DATA_AGE: {name: age for name in tables if (age := _age(tables[name], rows, now)) is not None},
        Metric.RECORD_COUNT: {name: n for name in tables if (n := _records(tables[name], rows)) is not None},
    }
    for source, rule in watched:
        value = measured.get(rule.parsed.metric, {}).get(source.name)
        if value is None:
            found.unmeasured.append(f"{source.name}: {rule.name}: {rule.condition}")
        else:
            found.observations.append(_judged(source, rule, value, now))
    return found


def _tables(source: Source) -> list[str]:
    names = [contract.table for contract in contracts_of(source)]
    return [name for name in names if not name.startswith("quarantine.")]


def _age(tables: Sequence[str], rows: Sequence[TableFreshness], now: datetime) -> float | None:
    """Seconds since the oldest of the tables was published."""
    ages = [
        (now - row.statistics.last_published_at).total_seconds()
        for row in rows
        if row.table.name in tables and row.statistics and row.statistics.last_published_at
    ]
    return max(ages, default=None)


def _records(tables: Sequence[str], rows: Sequence[TableFreshness]) -> float | None:
    """Rows of bronze."""
    return next(
        (float(r.statistics.rows) for r in rows if r.table.name == tables[0] and r.statistics is not None), None
    )


def _judged(source: Source, rule: Alert, value: float, now: datetime) -> Observation:
    shown = {
        Metric.DATA_AGE: lambda: in_words(timedelta(seconds=value)),
        Metric.ERROR_RATE: lambda: f"{value:.1%}",
    }.get(rule.parsed.metric, lambda: f"{value:,.0f}")()
    return Observation(
        Kind.METRIC,
        source.name,
        f"{rule.condition}: it is {shown}",
        now,
        failing=rule.parsed.holds(value),
        name=rule.name,
        owner=source.file.owner,
        look=f"/assets/bronze/{source.name}",
    )

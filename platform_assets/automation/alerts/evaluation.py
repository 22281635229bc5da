"""One evaluation: read the facts, move the incidents on, tell who is to be told. Bounded in time, safe to kill."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from platform_assets.automation.alerts.channels import DeliveryFailed, at_once, deliver
from platform_assets.automation.alerts.incidents import Incident, Kind, Observation, advance, owed, told
from platform_assets.automation.alerts.messages import Message
from platform_assets.automation.alerts.platform_facts import (
    broken_source_facts,
    daemon_facts,
    freshness_facts,
    metric_facts,
    sensor_facts,
)
from platform_assets.automation.alerts.quality_facts import QUALITY_KINDS, quality_facts
from platform_assets.automation.alerts.rules import AlertSettings, own_rules, read_alert_settings
from platform_assets.automation.alerts.run_facts import run_facts
from platform_assets.automation.alerts.sla_facts import sla_facts
from platform_assets.automation.alerts.store import IncidentStore
from platform_assets.sources.registry import load_sources, read_sources

if TYPE_CHECKING:
    import dagster as dg

    from platform_assets.settings import Settings

_RUNS, _TABLES = "runs", "tables"
_TABLES_EVERY = timedelta(minutes=2)  # reading the metadata of a thousand tables is not for every tick
_LEASE = timedelta(minutes=2)
_DELIVERY_SECONDS = 20.0
_CHANNELS_AT_ONCE = 16


class Scope(StrEnum):
    """Who evaluates: the sensor looks at everything, the watch outside of the daemon at what runs the sensor."""

    EVERYTHING = "everything"
    DAEMON = "daemon"


@dataclass
class Facts:
    """What was seen, and of which kinds of trouble everything was."""

    observations: list[Observation] = field(default_factory=list)
    surveyed: set[Kind] = field(default_factory=set)
    positions: dict[str, str] = field(default_factory=dict)
    unmeasured: list[str] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """What an evaluation did.

    Attributes:
        told: routes that took a message.
        failed: routes that did not, with the reason; they are tried again by the next evaluation.
        unmeasured: rules that were found to watch what nothing measures, each told once.
        errors: what kept facts from being read.
    """

    open: int = 0
    told: Sequence[str] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    unmeasured: Sequence[str] = ()
    errors: Sequence[Exception] = ()
    busy: bool = False

    @property
    def in_words(self) -> str:
        """One line."""
        if self.busy:
            return "Another evaluation is under way."
        said = f"{self.open} open incidents"
        if self.told:
            said += f"; told {', '.join(self.told)}"
        if self.failed:
            said += f"; not reached: {', '.join(self.failed)}"
        return said


def evaluate(
    settings: Settings, instance: dg.DagsterInstance, now: datetime, scope: Scope = Scope.EVERYTHING
) -> Report:
    """Looks, decides and tells. Any number of processes may call it: one at a time does it.

    Raises:
        SourceError: the file of the routes cannot be used.
    """
    alerts = read_alert_settings(settings.alert_routes)
    with IncidentStore(settings) as store, store.lease(now, _LEASE) as mine:
        if not mine:
            return Report(busy=True)
        before, positions = store.incidents(), store.positions()
        facts = _look(settings, instance, positions, now, scope)
        judge = alerts.judge(own_rules(load_sources(settings.sources)))
        unwatched = [replace(i.seen, failing=False) for i in before.values() if judge(i.seen) is None]
        seen = [*_owned(settings, facts.observations), *unwatched]
        moved = advance(before, seen, facts.surveyed, judge, now)
        incidents, due = owed(moved, lambda incident: alerts.silence(incident, now) is not None, now, alerts.quiet)
        unmeasured = [rule for rule in facts.unmeasured if _unmeasured(rule) not in positions]
        store.save(incidents, facts.positions | {_unmeasured(rule): now.isoformat() for rule in unmeasured})
        failed = _tell(settings, alerts, store, incidents, due, now)
    return Report(
        open=sum(incident.open for incident in incidents.values()),
        told=sorted(due.keys() - failed.keys()),
        failed=failed,
        unmeasured=unmeasured,
        errors=facts.errors,
    )


def _unmeasured(rule: str) -> str:
    return f"not measured/{rule}"


def _look(
    settings: Settings, instance: dg.DagsterInstance, positions: Mapping[str, str], now: datetime, scope: Scope
) -> Facts:
    facts = Facts(observations=[*daemon_facts(instance, now), *sensor_facts(instance, now)])
    facts.surveyed |= {Kind.DAEMON_STOPPED, Kind.SENSOR_FAILED}
    if scope is Scope.DAEMON:
        return facts
    facts.observations += broken_source_facts(read_sources(settings.sources).broken, now)
    facts.surveyed.add(Kind.SOURCE_BROKEN)
    observed, facts.positions[_RUNS] = run_facts(instance, positions.get(_RUNS), now)
    facts.observations += observed
    if _TABLES not in positions or now - datetime.fromisoformat(positions[_TABLES]) >= _TABLES_EVERY:
        try:
            _look_at_tables(settings, instance, facts, now)
        except Exception as error:  # noqa: BLE001 - told by the caller, after what could be read was delivered
            facts.errors.append(error)
    return facts


def _look_at_tables(settings: Settings, instance: dg.DagsterInstance, facts: Facts, now: datetime) -> None:
    from platform_assets.ingestion.waiting import landed_since
    from platform_assets.lakehouse.attainment import attainments
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.freshness import table_freshness

    lakehouse = Lakehouse(settings)
    rows = table_freshness(lakehouse, now, landed_since(settings))
    metrics = metric_facts(instance, load_sources(settings.sources), rows, now)
    facts.observations += [*freshness_facts(rows, now), *metrics.observations]
    facts.observations += sla_facts(attainments(lakehouse, now), now)
    facts.surveyed |= {Kind.FRESHNESS, Kind.SLA}
    facts.unmeasured += metrics.unmeasured
    facts.observations += quality_facts(lakehouse, now)
    facts.surveyed |= QUALITY_KINDS
    facts.positions[_TABLES] = now.isoformat()


def _owned(settings: Settings, observations: Sequence[Observation]) -> list[Observation]:
    """The observations with the owner of the table that each is about."""
    if not any(seen.failing and seen.owner is None for seen in observations):
        return [*observations]
    from platform_assets.lakehouse.declared import declared_tables

    owners = {table.name: table.owner for table in declared_tables(settings.dbt_project)}
    return [replace(seen, owner=seen.owner or owners.get(seen.subject.partition(" ")[0])) for seen in observations]


def _tell(
    settings: Settings,
    alerts: AlertSettings,
    store: IncidentStore,
    incidents: dict[str, Incident],
    due: Mapping[str, Sequence[str]],
    now: datetime,
) -> dict[str, str]:
    """Tells every route at the same time; what one took is kept at once. Returns why others did not take theirs."""
    deadline = time.monotonic() + _DELIVERY_SECONDS
    failed: dict[str, str] = {}
    pool = ThreadPoolExecutor(_CHANNELS_AT_ONCE, thread_name_prefix="alerts")
    sending: dict[Future[None], tuple[str, Sequence[str]]] = {}
    for route, fingerprints in due.items():
        batch = fingerprints[: at_once(alerts, route)]
        message = Message([incidents[fingerprint] for fingerprint in batch], now, settings.dagit_url)
        sending[pool.submit(deliver, settings, alerts, route, message)] = (route, batch)
    waiting = set(sending)
    while waiting and (left := deadline - time.monotonic()) > 0:
        done, waiting = wait(waiting, timeout=left, return_when="FIRST_COMPLETED")
        for future in done:
            route, batch = sending[future]
            try:
                future.result()
            except DeliveryFailed as error:
                failed[route] = str(error)
            except Exception as error:  # noqa: BLE001 - whatever ails one route, the others are told
                failed[route] = f"route {route!r}: {type(error).__name__}"
            else:
                for fingerprint in batch:
                    incidents[fingerprint] = told(incidents[fingerprint], route, now)
                store.save({fingerprint: incidents[fingerprint] for fingerprint in batch})
    pool.shutdown(wait=False, cancel_futures=True)
    return failed | {sending[late][0]: "it takes too long" for late in waiting}

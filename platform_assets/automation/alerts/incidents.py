"""What becomes of an observation: an incident that is told once, repeated seldom, and told again when it is over.

Pure: no clock, no database, no network. An incident belongs to one kind of trouble and one subject. Whoever was told
that it began is told that it ended; whoever should have been told and could not be reached is told later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from platform_assets.sources.model import AlertSeverity

CLEAR_AFTER = 2  # evaluations in a row that must find nothing, so that what flaps is one incident
QUIET = timedelta(hours=4)


class Kind(StrEnum):
    """What can be wrong."""

    RUN_FAILED = "run_failed"
    CONTRACT_FAILED = "contract_failed"
    CHECK_FAILED = "check_failed"
    CHECK_WARNED = "check_warned"
    QUARANTINE = "quarantine"
    DRIFT = "drift"
    FRESHNESS = "freshness_failed"
    SLA = "sla_missed"
    VOLUME = "volume_anomaly"
    COLUMN = "column_drift"
    SCHEMA = "schema_changed"
    RECONCILIATION = "reconciliation"
    SENSOR_FAILED = "sensor_failed"
    SOURCE_BROKEN = "source_broken"
    DAEMON_STOPPED = "daemon_stopped"
    METRIC = "metric"


@dataclass(frozen=True)
class Observation:
    """What one evaluation saw of one subject.

    Attributes:
        subject: what it is about: `silver.orders`, `silver.orders 2026-11-20`.
        name: which of several rules of one subject, for a source's own.
        what: in words, without any value of a row (I7).
        lasting: it stays true until the contrary is observed, as the outcome of a run does.
        look: path in Dagit.
        late_ancestor: the first late table upstream, where that is known.
    """

    kind: Kind
    subject: str
    what: str
    since: datetime
    failing: bool = True
    name: str = ""
    lasting: bool = False
    owner: str | None = None
    look: str = ""
    late_ancestor: str | None = None

    @property
    def fingerprint(self) -> str:
        """The same for each observation of the same trouble."""
        return f"{self.kind}/{self.name}/{self.subject}"


@dataclass(frozen=True)
class Notice:
    """What a route has been told.

    Attributes:
        told_at: when it was last told that the incident is open; None while that is owed.
    """

    told_at: datetime | None = None


@dataclass(frozen=True)
class Incident:
    """Trouble with one subject, from its beginning until everybody knows that it is over.

    Attributes:
        seen: the last observation that it was failing.
        rule: the name of the rule that made it an incident.
        routes: who is to be told.
        clears: evaluations in a row that found nothing.
        notices: by route, what those know who must hear the end of it.
        recovered_at: when it ended.
    """

    seen: Observation
    rule: str
    severity: AlertSeverity
    routes: tuple[str, ...]
    since: datetime
    clears: int = 0
    notices: Mapping[str, Notice] = field(default_factory=dict)
    recovered_at: datetime | None = None

    @property
    def open(self) -> bool:
        """Whether it is still so."""
        return self.recovered_at is None


@dataclass(frozen=True)
class Verdict:
    """What the rules make of an observation that fails."""

    rule: str
    severity: AlertSeverity
    routes: tuple[str, ...]


def advance(
    incidents: Mapping[str, Incident],
    observations: Iterable[Observation],
    surveyed: Collection[Kind],
    judge: Callable[[Observation], Verdict | None],
    now: datetime,
) -> dict[str, Incident]:
    """The incidents after an evaluation, by fingerprint.

    Args:
        incidents: those before it.
        observations: in the order of their happening; the last of a fingerprint counts.
        surveyed: kinds of which everything that fails now is among the observations, so that the rest is clear.
        judge: the rule that an observation falls under; None if nobody wants to know.
        now: of the evaluation.
    """
    last = {observation.fingerprint: observation for observation in observations}
    after = dict(incidents)
    for fingerprint, seen in last.items():
        if seen.failing and (verdict := judge(seen)) is not None:
            after[fingerprint] = _failing(incidents.get(fingerprint), seen, verdict)
    for fingerprint, incident in incidents.items():
        if incident.open and _clear(incident, last.get(fingerprint), surveyed):
            clears = incident.clears + 1
            after[fingerprint] = replace(incident, clears=clears, recovered_at=now if clears >= CLEAR_AFTER else None)
    return after


def _failing(before: Incident | None, seen: Observation, verdict: Verdict) -> Incident:
    if before is None or not before.open:
        notices = before.notices if before else {}  # who has not heard of the end of the last one
        return Incident(seen, verdict.rule, verdict.severity, verdict.routes, seen.since, notices=notices)
    return replace(before, seen=seen, rule=verdict.rule, severity=verdict.severity, routes=verdict.routes, clears=0)


def _clear(incident: Incident, seen: Observation | None, surveyed: Collection[Kind]) -> bool:
    if seen is not None:
        return not seen.failing
    if incident.seen.lasting:
        return incident.clears > 0
    return incident.seen.kind in surveyed


def owed(
    incidents: Mapping[str, Incident], silenced: Callable[[Incident], bool], now: datetime, quiet: timedelta = QUIET
) -> tuple[dict[str, Incident], dict[str, list[str]]]:
    """What is to be told to whom: the incidents with their new debts, and fingerprints by route."""
    after = dict(incidents)
    due: dict[str, list[str]] = {}
    for fingerprint, incident in incidents.items():
        if not incident.open:
            routes: Sequence[str] = [*incident.notices]
        elif incident.clears or silenced(incident):  # it may be about to end
            routes = []
        else:
            routes = [route for route in incident.routes if _is_due(incident.notices.get(route), now, quiet)]
            debts = {route: Notice() for route in routes if route not in incident.notices}
            after[fingerprint] = replace(incident, notices={**incident.notices, **debts})
        for route in routes:
            due.setdefault(route, []).append(fingerprint)
    return after, due


def _is_due(notice: Notice | None, now: datetime, quiet: timedelta) -> bool:
    return notice is None or notice.told_at is None or now - notice.told_at >= quiet


def told(incident: Incident, route: str, now: datetime) -> Incident:
    """The incident once a route has heard of its state."""
    notices = {name: notice for name, notice in incident.notices.items() if name != route}
    return replace(incident, notices={**notices, route: Notice(now)} if incident.open else notices)


def is_over(incident: Incident) -> bool:
    """Whether nobody waits for anything any more."""
    return not incident.open and not incident.notices

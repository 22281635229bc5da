"""What a person reads of incidents. Names, counts and times; never a value of a row (I7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from platform_assets.automation.alerts.incidents import Incident, Kind, Observation
from platform_assets.automation.alerts.runbooks import runbook
from platform_assets.lakehouse.durations import in_words
from platform_assets.sources.model import AlertSeverity

_MOST_LINES = 20
_LOUDNESS = [AlertSeverity.CRITICAL, AlertSeverity.WARNING, AlertSeverity.INFO]


@dataclass(frozen=True)
class Message:
    """All that one route is told at once.

    Attributes:
        incidents: those that began or last, and those that are over.
        dagit_url: where Dagster's webserver answers.
    """

    incidents: Sequence[Incident]
    now: datetime
    dagit_url: str | None = None

    @property
    def firing(self) -> list[Incident]:
        """Those that are open, the loudest first."""
        found = [incident for incident in self.incidents if incident.open]
        return sorted(found, key=lambda incident: (_LOUDNESS.index(incident.severity), incident.since))

    @property
    def recovered(self) -> list[Incident]:
        """Those that are over."""
        return sorted((i for i in self.incidents if not i.open), key=lambda incident: incident.since)

    @property
    def title(self) -> str:
        """One line: `[critical] Late for its readers: gold.fact_orders (and 2 more)`."""
        first = (self.firing or self.recovered)[0]
        word = first.severity.value if first.open else "recovered"
        more = len(self.incidents) - 1
        return f"[{word}] {first.rule}: {first.seen.subject}" + (f" (and {more} more)" if more else "")

    @property
    def text(self) -> str:
        """The whole, one paragraph an incident."""
        told = [*self.firing, *self.recovered]
        paragraphs = [self.paragraph(incident) for incident in told[:_MOST_LINES]]
        if len(told) > _MOST_LINES:
            paragraphs.append(f"… and {len(told) - _MOST_LINES} more: `platform-assets alerts list`")
        return "\n\n".join(paragraphs)

    def paragraph(self, incident: Incident) -> str:
        """One incident: severity, what, since when, where to look, whose it is, what is to blame, what to do."""
        seen = incident.seen
        word = incident.severity.value if incident.open else "recovered"
        lines = [f"[{word}] {incident.rule}: {seen.subject}", seen.what, f"since {_when(incident.since)}"]
        if incident.recovered_at is not None:
            lines[1:] = [f"was: {seen.what}", self._lasted(incident, incident.recovered_at)]
        if seen.late_ancestor:
            lines.append(f"first late table upstream: {seen.late_ancestor}")
        if seen.owner:
            lines.append(f"owner: {seen.owner}")
        if link := self.link(incident):
            lines.append(link)
        if incident.open:
            lines.append(f"runbook: {runbook(seen.kind)}")
        return "\n".join(lines)

    def link(self, incident: Incident) -> str | None:
        """Where to look in Dagit."""
        return f"{self.dagit_url.rstrip('/')}{incident.seen.look}" if self.dagit_url else None

    def as_json(self) -> dict[str, Any]:
        """For programs: title, and one object an incident; times in ISO 8601 (UTC)."""
        told = [*self.firing, *self.recovered]
        return {"title": self.title, "sent_at": self.now.isoformat(), "incidents": [self.one(i) for i in told]}

    def one(self, incident: Incident) -> dict[str, Any]:
        """One incident for a program."""
        seen, over = incident.seen, incident.recovered_at
        return {
            "fingerprint": seen.fingerprint,
            "status": "firing" if incident.open else "recovered",
            "severity": incident.severity.value,
            "rule": incident.rule,
            "kind": seen.kind.value,
            "subject": seen.subject,
            "what": seen.what,
            "since": incident.since.isoformat(),
            "recovered_at": over.isoformat() if over else None,
            "owner": seen.owner,
            "late_ancestor": seen.late_ancestor,
            "link": self.link(incident),
            "runbook": runbook(seen.kind),
        }

    @staticmethod
    def _lasted(incident: Incident, over: datetime) -> str:
        return f"from {_when(incident.since)} to {_when(over)} ({in_words(over - incident.since)})"


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def sample_messages(now: datetime, dagit_url: str | None) -> list[Message]:
    """What `platform-assets alerts test` sends: an incident that is none, and its end."""
    seen = Observation(Kind.CHECK_WARNED, "test", "This is a test; nothing is wrong.", now, name="test", look="/")
    begun = Incident(seen, "Test", AlertSeverity.INFO, (), now)
    return [Message([begun], now, dagit_url), Message([replace(begun, recovered_at=now)], now, dagit_url)]

"""Which runbook an alert leads to: one for each kind of trouble (S0-58 to S0-60, S1-110 to S1-113)."""

from __future__ import annotations

from platform_assets.automation.alerts.incidents import Kind

FOLDER = "docs/runbooks"
_INDEX = "README.md"  # which tells by what is measured, or by the alert's own words
_FILES = {
    Kind.RUN_FAILED: "pipeline-failure.md",
    Kind.SOURCE_BROKEN: "pipeline-failure.md",
    Kind.CONTRACT_FAILED: "schema-change.md",
    Kind.DRIFT: "schema-change.md",
    Kind.QUARANTINE: "data-quality.md",
    Kind.CHECK_FAILED: "data-quality.md",
    Kind.CHECK_WARNED: "data-quality.md",
    Kind.VOLUME: "data-quality.md",
    Kind.COLUMN: "data-quality.md",
    Kind.RECONCILIATION: "data-quality.md",
    Kind.SCHEMA: "schema-change.md",
    Kind.FRESHNESS: "performance-degradation.md",
    Kind.SLA: "performance-degradation.md",
    Kind.SENSOR_FAILED: "hot-path-outage.md",
    Kind.DAEMON_STOPPED: "hot-path-outage.md",
}


def runbook(kind: Kind) -> str:
    """The runbook's path in the repository."""
    return f"{FOLDER}/{_FILES.get(kind, _INDEX)}"

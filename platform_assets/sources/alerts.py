"""Who is told when: a source's own alert rules, and those that follow from its promises (S1-87, S1-104, S1-105)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_assets.sources.alert_condition import Metric
from platform_assets.sources.model import Alert, AlertSeverity

if TYPE_CHECKING:
    from platform_assets.sources.model import Source


def alert_rules(source: Source) -> tuple[Alert, ...]:
    """The rules of the file; where it only names an address, stale data and failed runs are told there."""
    file = source.file
    address = file.monitoring.alert_email
    if address is None:
        return file.alerts
    stale = f"data_age > {file.freshness.fail_minutes} minutes"
    follow = [Alert(name=f"{source.name} is stale", condition=stale, notification=address)]
    if Metric.ERROR_RATE in file.monitoring.metrics:
        follow.append(
            Alert(
                name=f"{source.name} fails",
                condition="error_rate > 5%",
                notification=address,
                severity=AlertSeverity.CRITICAL,
            )
        )
    return (*file.alerts, *follow)

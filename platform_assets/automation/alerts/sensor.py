"""The sensor `alerts`, and the same from outside of the daemon, which is the only place to hear that it stopped."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from platform_assets.automation.alerts.evaluation import evaluate
from platform_assets.settings import load_settings


def alerts_sensor() -> dg.SensorDefinition:
    """Evaluates every rule and tells who is to be told."""

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells failed runs, broken contracts, late tables, failing sensors (docs/guides/alerts.md).",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        report = evaluate(load_settings(), context.instance, datetime.now(UTC))
        for why in report.failed.values():
            context.log.error("Not delivered, and tried again with the next tick: %s", why)
        for rule in report.unmeasured:
            context.log.warning("Not measured, so that this alert can never fire: %s", rule)
        if report.errors:
            raise report.errors[0]
        return dg.SkipReason(report.in_words)

    return alerts

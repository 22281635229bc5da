"""Looks at the freshness of every table once a minute; what changed is kept in `ops.freshness` and shown in Dagit."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from platform_assets.settings import load_settings


def freshness_sensor() -> dg.SensorDefinition:
    """The sensor `freshness`: one evaluation for all tables, from metadata alone; it starts no run."""

    @dg.sensor(
        name="freshness",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Judges how fresh every table is; what changed goes to `ops.freshness` and the checks `fresh`.",
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        from platform_assets.automation.freshness_checks import tell
        from platform_assets.ingestion.waiting import landed_since
        from platform_assets.lakehouse.catalog import Lakehouse
        from platform_assets.lakehouse.freshness import table_freshness
        from platform_assets.lakehouse.freshness_history import record

        settings, now = load_settings(), datetime.now(UTC)
        lakehouse = Lakehouse(settings)
        rows = table_freshness(lakehouse, now, landed_since(settings))
        told = record(lakehouse, rows, now)
        late = [row.table.name for row in rows if row.lateness]
        skipped = dg.SkipReason(f"{len(told)} tables told; late: {', '.join(late) or 'none'}.")
        return dg.SensorResult(skip_reason=skipped, asset_events=tell(context.instance, rows, now))

    return look

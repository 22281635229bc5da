"""Looks at the freshness of every table once a minute; what changed is kept in `ops.freshness` and shown in Dagit.

Four times an hour it decides as well what became of the promises that were due, and keeps that in `ops.sla_outcomes`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.settings import load_settings

if TYPE_CHECKING:
    from platform_assets.lakehouse.catalog import Lakehouse

_QUARTER = 15


def freshness_sensor() -> dg.SensorDefinition:
    """The sensor `freshness`: one evaluation for all tables, from metadata alone; it starts no run."""

    @dg.sensor(
        name="freshness",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Judges how fresh every table is; what changed goes to `ops.freshness` and the checks `fresh`.",
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        from platform_assets.automation.dagster_freshness import tell_dagster
        from platform_assets.automation.freshness_checks import tell
        from platform_assets.ingestion.waiting import landed_since
        from platform_assets.lakehouse.catalog import Lakehouse
        from platform_assets.lakehouse.freshness import table_freshness
        from platform_assets.lakehouse.freshness_history import record
        from platform_assets.sources.registry import load_sources

        settings, now = load_settings(), datetime.now(UTC)
        lakehouse = Lakehouse(settings)
        rows = table_freshness(lakehouse, now, landed_since(settings))
        told = record(lakehouse, rows, now)
        tell_dagster(context.instance, rows, load_sources(), now)
        late = [row.table.name for row in rows if row.lateness]
        kept, cursor = _keep_outcomes(context.cursor, lakehouse, now)
        skipped = dg.SkipReason(f"{len(told)} tables told; late: {', '.join(late) or 'none'}.{kept}")
        return dg.SensorResult(skip_reason=skipped, asset_events=tell(context.instance, rows, now), cursor=cursor)

    return look


def _keep_outcomes(cursor: str | None, lakehouse: Lakehouse, now: datetime) -> tuple[str, str]:
    """Once for each quarter of an hour, which is all that the cursor is for; says what was missed."""
    from platform_assets.ingestion.waiting import arrivals
    from platform_assets.lakehouse import sla

    until = now - sla.SETTLED
    quarter = until.replace(minute=until.minute // _QUARTER * _QUARTER, second=0, microsecond=0).isoformat()
    if cursor == quarter:
        return "", quarter
    decided = sla.record(lakehouse, now, arrivals(lakehouse.settings))
    missed = sorted({f"{one.table} {one.promise}" for one in decided if one.missed})
    return (f" {len(decided)} outcomes of SLAs; missed: {', '.join(missed)}." if missed else ""), quarter

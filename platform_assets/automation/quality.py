"""The sensor `quality`: looks at the content of tables, keeps what it finds, and shows it in Dagit as observations.

An observation is recorded on the asset, with its partition and one number for each finding, which Dagit draws over
time. It starts nothing: what is unusual warns, a contract blocks.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import BaseModel

from platform_assets.assets.tables import asset_key
from platform_assets.settings import load_settings
from platform_assets.sources.yaml_file import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.quality.store import Judgement

_FIRST_REPORT = timedelta(days=1)
_OBSERVATIONS = 200  # that one tick records


class _Position(BaseModel):
    """How far the sensor has come: the table that it looked at last, and the judgement that it showed last."""

    table: str | None = None
    shown: datetime | None = None


def quality_sensor() -> dg.SensorDefinition:
    """The sensor; a tick is bounded in time, and the next goes on where it stopped."""

    @dg.sensor(
        name="quality",
        minimum_interval_seconds=300,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks at columns and figures of every table and tells what is unusual (docs/guides/quality.md).",
    )
    def quality(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        from platform_assets.lakehouse.catalog import Lakehouse
        from platform_assets.quality.look import look, look_across
        from platform_assets.quality.score import record_scores

        position = _Position.model_validate_json(context.cursor) if context.cursor else _Position()
        lakehouse, now = Lakehouse(load_settings()), datetime.now(UTC)
        done = look(lakehouse, now, after=position.table)
        told = done.told
        for table, why in done.errors.items():
            context.log.error("%s cannot be looked at", table, exc_info=why)
        try:
            told = told + look_across(lakehouse, now)
        except SourceError:  # the sensor `alerts` fails for it, which is told
            context.log.exception("Figures are not compared")
        record_scores(lakehouse, now)
        shown = show(context.instance, lakehouse, position.shown or now - _FIRST_REPORT)
        unusual = sorted({finding.table for finding in told if finding.unusual})
        rest = "" if done.complete else "; the rest follows"
        return dg.SensorResult(
            skip_reason=f"{done.profiled} partitions read{rest}; {len(told)} findings new or changed; "
            f"unusual: {', '.join(unusual) or 'none'}.",
            cursor=_Position(table=done.last, shown=shown).model_dump_json(),
        )

    return quality


def show(instance: dg.DagsterInstance, lakehouse: Lakehouse, after: datetime) -> datetime:
    """Records what was judged after a moment on the assets; returns up to when.

    Whoever is killed before the moment is kept shows the same again.
    """
    from platform_assets.quality.store import judged_after

    looks: dict[datetime, dict[tuple[str, date | None], list[Judgement]]] = defaultdict(lambda: defaultdict(list))
    for judgement in judged_after(lakehouse, after):
        looks[judgement.at][judgement.finding.table, judgement.finding.partition].append(judgement)
    shown = 0
    for at, tables in looks.items():
        if shown >= _OBSERVATIONS:
            break
        for (table, day), judgements in tables.items():
            instance.report_runless_asset_event(_observation(table, day, judgements))
        shown, after = shown + len(tables), at
    return after


def _observation(table: str, day: date | None, judgements: Sequence[Judgement]) -> dg.AssetObservation:
    findings = [judgement.finding for judgement in judgements]
    unusual = [finding for finding in findings if finding.unusual]
    told = "; ".join(f"{f.watch.value} {f.subject}".strip() + f": {f.reason}" for f in unusual)
    return dg.AssetObservation(
        asset_key(table),
        partition=day.isoformat() if day else None,
        description=told or "as usual",
        metadata={
            "unusual": len(unusual),
            **{f"{f.watch.value}/{f.subject}".rstrip("/"): float(f.observed) for f in findings},
        },
    )

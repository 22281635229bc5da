"""`maintenance/*`: what keeps tables quick and small, once a day. Each job is an asset, all of them are one step.

A run meets publishes of the tables that it maintains: whoever commits second looks again, so that nobody has to wait
for anybody (docs/adr/0017). A pool keeps two of these runs apart.

No `from __future__ import annotations` here: Dagster does not resolve the annotation of a run's context then.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_assets.assets.failures import RETRIES
from platform_assets.settings import load_settings

if TYPE_CHECKING:
    from platform_assets.lakehouse.maintenance.work import Job, Outcome

JOB = "maintenance"
_SHOWN_TABLES = 100
_DESCRIPTIONS = {
    "retention": "Takes out partitions that are older than their table keeps them (S1-49 to S1-51). Never of bronze.",
    "compact": "Merges the small files of a partition into one, in the order of its contract (S4-20, S4-21).",
    "expire": "Takes out snapshots that were superseded a week ago; what their commits said is remembered.",
    "orphans": "Removes files that no snapshot names and that have lain there for days.",
}


def maintenance_asset() -> dg.AssetsDefinition:
    """The jobs as assets, in the order in which one makes the next worth while."""
    specs = [
        dg.AssetSpec(
            ["maintenance", job],
            description=description,
            group_name="platform",
            owners=["team:data-platform"],
            kinds={"iceberg"},
            skippable=True,
        )
        for job, description in _DESCRIPTIONS.items()
    ]

    @dg.multi_asset(name="maintain_tables", specs=specs, pool="maintenance", retry_policy=RETRIES, can_subset=True)
    def maintenance(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        from platform_assets.ingestion.ledger import Ledger
        from platform_assets.lakehouse.catalog import Lakehouse
        from platform_assets.lakehouse.maintenance.work import Job, maintenance_of

        settings = load_settings()
        jobs = maintenance_of(Lakehouse(settings), Ledger(settings).announced)
        failed: list[str] = []
        for job in Job:
            if dg.AssetKey(["maintenance", job.value]) not in context.selected_asset_keys:
                continue
            outcomes = list(_told(context, job, jobs.run(job)))
            failed += [f"{job.value} {outcome.table}" for outcome in outcomes if outcome.error is not None]
            yield dg.MaterializeResult(asset_key=["maintenance", job.value], metadata=_metadata(outcomes))
        if failed:
            raise dg.Failure(f"Not maintained: {', '.join(failed)}. The run's log says why; all other tables are done.")

    return maintenance


def maintenance_schedule(asset: dg.AssetsDefinition) -> dg.ScheduleDefinition:
    """Once a day at a quiet hour, after whatever else waits for its run."""
    return dg.ScheduleDefinition(
        name=JOB,
        job=dg.define_asset_job(JOB, selection=dg.AssetSelection.assets(*asset.keys)),
        cron_schedule=load_settings().maintenance_schedule,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        tags={"dagster/priority": "-10"},
        description="Compaction, retention, snapshot expiry and orphan files (docs/guides/maintenance.md).",
    )


def _told(context: dg.AssetExecutionContext, job: "Job", outcomes: Iterator["Outcome"]) -> Iterator["Outcome"]:
    for outcome in outcomes:
        if outcome.error is not None:
            context.log.error("%s: %s failed", outcome.table, job.value, exc_info=outcome.error)
        elif outcome.postponed is not None:
            context.log.info("%s: %s", outcome.table, outcome.postponed)
        yield outcome


def _metadata(outcomes: Sequence["Outcome"]) -> dict[str, Any]:
    """Sums over the tables, which Dagit draws over time, and the tables of which there is something to tell."""
    sums: Counter[str] = Counter()
    for outcome in outcomes:
        sums.update(outcome.figures)
    told = [outcome.as_json() for outcome in outcomes if outcome.worth_telling]
    return {
        "tables": len(outcomes),
        "postponed": sum(outcome.postponed is not None for outcome in outcomes),
        "failed": sum(outcome.error is not None for outcome in outcomes),
        **sums,
        "by_table": dg.MetadataValue.json(told[:_SHOWN_TABLES]),
    }

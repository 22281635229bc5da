"""`bronze/<source>`: what has landed, as rows, one partition per arrival date.

No `from __future__ import annotations` here: Dagster does not resolve the annotation of a run's config then.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_assets.assets.failures import RETRIES, told_apart
from platform_assets.assets.landing import arrival_key, landing_key
from platform_assets.assets.tables import (
    check_spec,
    contract_check,
    kept_contract,
    source_facts,
    table_spec,
)
from platform_assets.settings import load_settings
from platform_assets.sources.contracts import ARRIVAL_DATE, bronze_contract
from platform_assets.sources.model import Kind

_SHOWN_MEMBERS = 50

if TYPE_CHECKING:
    from platform_assets.ingestion.bronze import Ingested
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.drift import Unexpected
    from platform_assets.sources.model import Source

DEAD_LETTERS_CHECK = "dead_letters"
DRIFT_CHECK = "drift"


class BronzeConfig(dg.Config):
    """Whether a run adds what has newly landed, or (as by a click in Dagit) rebuilds its partition from landing."""

    new_arrivals_only: bool = False


_CONFIG_FIELDS = BronzeConfig.to_fields_dict()  # as a parameter of the function it would be made anew for every source


def bronze_asset(source: "Source") -> dg.AssetsDefinition:
    """The bronze asset of a source."""
    contract = bronze_contract(source)
    spec = table_spec(contract, source_facts(source), [landing_key(source)])
    dead_letters = check_spec(
        spec,
        DEAD_LETTERS_CHECK,
        "Every record could be read; the others are in the dead-letter folder.",
        blocking=False,
    )

    drift = check_spec(
        spec,
        DRIFT_CHECK,
        "No record has a member that the schema does not have. Such members are kept in `_unexpected`.",
        blocking=False,
    )

    @dg.multi_asset(
        name=f"bronze_{source.name}",
        specs=[spec],
        check_specs=[contract_check(spec), dead_letters, drift],
        pool=f"bronze_{source.name}",
        config_schema=_CONFIG_FIELDS,
        retry_policy=RETRIES,
    )
    @told_apart
    def bronze(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        from platform_assets.ingestion.bronze import ingest
        from platform_assets.ingestion.ledger import Ledger
        from platform_assets.lakehouse.catalog import Lakehouse
        from platform_assets.lakehouse.drift import drifted

        settings = load_settings()
        config = BronzeConfig(**context.op_execution_context.op_config)
        lakehouse = Lakehouse(settings)
        arrival_date = date.fromisoformat(context.partition_key)
        ledger = Ledger(settings)
        awaited = ledger.pending(source.name, arrival_date).get(arrival_date, [])
        ingested = ingest(
            settings, lakehouse, source, arrival_date, rebuild=not config.new_arrivals_only, run_id=context.run.run_id
        )
        announce(context.instance, lakehouse, source)
        held = [(o.name, o.generation) for o in ingested.objects]
        ledger.mark_ingested(source.name, held, ingested.committed_at)
        # What was deleted before it was read will never be ingested: waiting for it would ask for runs for ever.
        gone = set(awaited) - set(ingested.objects)
        ledger.forget_arrivals(source.name, [(o.name, o.generation) for o in gone])
        context.log.info("%s %s: %d new rows", source.name, arrival_date, ingested.rows)
        yield _materialization(spec, lakehouse, ingested, arrival_date)
        yield kept_contract(contract, ingested.rows)
        found = drifted(lakehouse, contract.table, where={ARRIVAL_DATE: arrival_date})
        new = ledger.record_drift(source.name, [(member.name, member.json_type) for member in found])
        for member in new:  # once: from here on the check alone says it
            context.log.warning("%s: %r (%s) arrives, which the schema does not have", source.name, *member)
        yield _drift(spec, found, new)
        yield dg.AssetCheckResult(
            passed=ingested.dead_letters == 0,
            asset_key=spec.key,
            check_name=DEAD_LETTERS_CHECK,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"dead_letters": ingested.dead_letters},
        )

    return bronze


def _drift(spec: dg.AssetSpec, found: "Sequence[Unexpected]", new: Sequence[tuple[str, str]]) -> dg.AssetCheckResult:
    """What the partition holds that the schema does not have: names, types and counts, never values."""
    told = ", ".join(f"{name} ({json_type})" for name, json_type in new[:_SHOWN_MEMBERS])
    return dg.AssetCheckResult(
        passed=not found,
        asset_key=spec.key,
        check_name=DRIFT_CHECK,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"New: {told}" if told else None,
        metadata={f"{member.name} ({member.json_type})": member.records for member in found[:_SHOWN_MEMBERS]},
    )


def announce(instance: dg.DagsterInstance, lakehouse: "Lakehouse", source: "Source") -> None:
    """Tells every events table of the source at which dates rows arrived.

    At least once: what a killed run committed without telling is told by the next one.
    """
    from platform_assets.ingestion.bronze import unannounced_dates
    from platform_assets.ingestion.ledger import Ledger

    ledger = Ledger(lakehouse.settings)
    name = f"bronze.{source.name}"
    table = lakehouse.find(name)
    if table is None:
        return
    days, snapshot_id = unannounced_dates(table, ledger.announced(name))
    for silver in source.file.silver:
        if silver.kind is Kind.EVENTS:
            for day in days:
                instance.report_runless_asset_event(
                    dg.AssetMaterialization(arrival_key(silver), partition=day.isoformat())
                )
    if snapshot_id is not None:
        ledger.mark_announced(name, snapshot_id)


def _materialization(
    spec: dg.AssetSpec, lakehouse: "Lakehouse", ingested: "Ingested", arrival_date: date
) -> dg.MaterializeResult[Any]:
    from platform_assets.lakehouse.statistics import partition_rows, statistics

    table = lakehouse.catalog.load_table(spec.metadata["dagster/table_name"])
    snapshot = table.current_snapshot()
    return dg.MaterializeResult(
        asset_key=spec.key,
        metadata={
            "dagster/row_count": statistics(table, None).rows,
            "dagster/partition_row_count": partition_rows(table, arrival_date),
            "rows_new": ingested.rows,
            "objects": len(ingested.objects),
            "dead_letters": ingested.dead_letters,
            "dagster/uri": table.location(),
            "snapshot_id": str(snapshot.snapshot_id) if snapshot else None,
        },
    )

"""`gold/<table>` and `mart/<table>`: dbt models, published through the same audit as every other table.

Models that read one another are one operation, which always builds all of them: dbt skips what is downstream of a model
that failed, and no check is left out (of an operation that can be subset, an automated run selects the assets without
their checks). In a run that nobody started, what is unchanged (`lakehouse.unchanged`) is reported as it is: its
materialisation answers the update that asked for it, and its check holds of the rows that it still has.

No `from __future__ import annotations` here: Dagster does not resolve the annotation of a run's context then.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_assets.assets.failures import RETRIES, PermanentFailure, passing_message, told_apart
from platform_assets.assets.requests import started_by_nobody
from platform_assets.assets.tables import (
    CONTRACT_CHECK,
    WHOLE_TABLE,
    TableFacts,
    asset_key,
    contract_check,
    kept_contract,
    run_partition,
    table_spec,
)
from platform_assets.contracts.dbt_yaml import DbtModel, load_models
from platform_assets.settings import load_settings

if TYPE_CHECKING:
    from datetime import date

    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.dbt_run import NodeResult

_UNDATED_REASON = f"{WHOLE_TABLE}: a dimension as it is now"


def warehouse_assets(dbt_project: Path) -> list[dg.AssetsDefinition]:
    """The assets of every model of the dbt project."""
    return [_models_asset(models) for models in connected(load_models(dbt_project))]


def connected(models: Sequence[DbtModel]) -> list[list[DbtModel]]:
    """Models grouped with those of the same partitions that they read, directly or not; in the order given."""
    groups: list[list[DbtModel]] = []
    for model in models:
        joined = [group for group in groups if any(_related(model, other) for other in group)]
        groups = [group for group in groups if group not in joined]
        groups.append([*(other for group in joined for other in group), model])
    return groups


def _related(one: DbtModel, other: DbtModel) -> bool:
    dated = {one.partition_column is None, other.partition_column is None}
    return len(dated) == 1 and (one.table in other.depends_on or other.table in one.depends_on)


def _models_asset(models: Sequence[DbtModel]) -> dg.AssetsDefinition:
    name = f"dbt_{models[0].name}"
    specs = [_spec(model) for model in models]

    @dg.multi_asset(
        name=name,
        specs=specs,
        check_specs=[contract_check(spec) for spec in specs],
        pool=name,
        retry_policy=RETRIES,
    )
    @told_apart
    def build_models(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        from platform_assets.lakehouse.catalog import Lakehouse
        from platform_assets.lakehouse.dbt_run import build
        from platform_assets.lakehouse.unchanged import unchanged_tables

        settings = load_settings()
        partition = run_partition(context)
        lakehouse = Lakehouse(settings)
        kept: frozenset[str] = frozenset()
        if started_by_nobody(context.run):
            kept = unchanged_tables(lakehouse, settings.dbt_project, models, partition)
        wanted = [model.name for model in models if model.table not in kept]
        results = build(settings, wanted, partition, context.run.run_id) if wanted else []
        by_name = {result.name: result for result in results if result.kind == "model"}
        failed: list[str] = []
        passing = []
        for model in models:
            if model.table in kept:
                yield from _published(model, lakehouse, partition, {"unchanged": True})
                continue
            result = by_name.get(model.name)
            if result is None or result.status != "success":
                failed.append(f"{model.table}: {_why(result)}")
                if result is None or result.status == "skipped":
                    continue
                passing.append(passing_message(_why(result)))
                if not passing[-1]:  # what passes says nothing about the rows
                    yield _failed_check(model, _why(result))
            else:
                yield from _published(model, lakehouse, partition, {"seconds": round(result.seconds, 3)})
        if failed:
            reason = "; ".join(failed)
            raise dg.Failure(reason) if passing and all(passing) else PermanentFailure(reason)

    return build_models


def _spec(model: DbtModel) -> dg.AssetSpec:
    warn = model.freshness_warn_minutes
    facts = TableFacts(
        model.domain,
        model.owner,
        frozenset({"dbt", "iceberg"}),
        timedelta(minutes=model.freshness_fail_minutes),
        None if warn is None else timedelta(minutes=warn),
        unpartitioned_because=None if model.partition_column else _UNDATED_REASON,
    )
    return table_spec(model.contract, facts, [asset_key(table) for table in model.depends_on])


def _why(result: "NodeResult | None") -> str:
    return "dbt did not build it" if result is None else result.message or result.status


def _failed_check(model: DbtModel, why: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=False, asset_key=asset_key(model.table), check_name=CONTRACT_CHECK, description=why
    )


def _published(
    model: DbtModel, lakehouse: "Lakehouse", partition: "date | None", told: Mapping[str, Any]
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    from platform_assets.lakehouse.progress import progress
    from platform_assets.lakehouse.statistics import partition_rows, statistics

    table = lakehouse.catalog.load_table(model.table)
    snapshot = table.current_snapshot()
    rows = statistics(table, None).rows
    metadata: dict[str, Any] = {
        "dagster/uri": table.location(),
        "snapshot_id": str(snapshot.snapshot_id) if snapshot else None,
        "dagster/row_count": rows,
        **told,
    }
    if partition is not None:
        rows = partition_rows(table, partition)
        metadata["dagster/partition_row_count"] = rows
    version = progress(table).version(partition)
    yield dg.MaterializeResult(
        asset_key=asset_key(model.table),
        data_version=None if version is None else dg.DataVersion(version),
        metadata=metadata,
    )
    yield kept_contract(model.contract, rows)

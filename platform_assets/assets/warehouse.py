"""`gold/<table>` and `mart/<table>`: dbt models, published through the same audit as every other table.

Models of one domain that share their partitions are one operation, because dbt takes seconds to start; dbt itself skips
what is downstream of a model that failed.

No `from __future__ import annotations` here: Dagster does not resolve the annotation of a run's context then.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_assets.assets.tables import (
    CONTRACT_CHECK,
    WHOLE_TABLE,
    TableFacts,
    asset_key,
    contract_check,
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

    def together(model: DbtModel) -> tuple[str, bool]:
        return model.domain, model.partition_column is not None

    models = sorted(load_models(dbt_project), key=lambda model: (together(model), model.table))
    return [
        _models_asset(f"dbt_{domain}_{'daily' if dated else 'undated'}", list(group))
        for (domain, dated), group in groupby(models, key=together)
    ]


def _models_asset(name: str, models: Sequence[DbtModel]) -> dg.AssetsDefinition:
    specs = {asset_key(model.table): _spec(model) for model in models}
    by_key = {asset_key(model.table): model for model in models}

    @dg.multi_asset(
        name=name,
        specs=list(specs.values()),
        check_specs=[contract_check(spec) for spec in specs.values()],
        can_subset=True,
        pool=name,
    )
    def build_models(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        from platform_assets.lakehouse.catalog import Lakehouse
        from platform_assets.lakehouse.dbt_run import build

        settings = load_settings()
        partition = run_partition(context)
        selected = [by_key[key] for key in specs if key in context.selected_asset_keys]
        results = build(settings, [model.name for model in selected], partition, context.run.run_id)
        by_name = {result.name: result for result in results if result.kind == "model"}
        lakehouse = Lakehouse(settings)
        failed = []
        for model in selected:
            result = by_name.get(model.name)
            if result is None or result.status != "success":
                failed.append(f"{model.table}: {_why(result)}")
                if result is not None and result.status != "skipped":
                    yield _failed_check(model, _why(result))
            else:
                yield _materialization(model, lakehouse, partition, result)
                yield dg.AssetCheckResult(passed=True, asset_key=asset_key(model.table), check_name=CONTRACT_CHECK)
        if failed:
            raise dg.Failure("; ".join(failed), allow_retries=False)

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


def _materialization(
    model: DbtModel, lakehouse: "Lakehouse", partition: "date | None", result: "NodeResult"
) -> dg.MaterializeResult[Any]:
    from platform_assets.lakehouse.statistics import partition_rows, statistics

    table = lakehouse.catalog.load_table(model.table)
    snapshot = table.current_snapshot()
    metadata: dict[str, Any] = {
        "dagster/uri": table.location(),
        "snapshot_id": str(snapshot.snapshot_id) if snapshot else None,
        "seconds": result.seconds,
    }
    if partition is None:
        metadata["dagster/row_count"] = statistics(table, None).rows
    else:
        metadata["dagster/partition_row_count"] = partition_rows(table, partition)
    summary = snapshot.summary if snapshot else None
    version = summary.additional_properties.get("platform.data-version") if summary else None
    return dg.MaterializeResult(
        asset_key=asset_key(model.table),
        data_version=None if version is None else dg.DataVersion(version),
        metadata=metadata,
    )

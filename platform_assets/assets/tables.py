"""What every table asset has in common (I8): key, partitions, columns, owner, freshness, location, checks, metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_assets.contracts.dagster_schema import table_schema
from platform_assets.settings import load_settings

if TYPE_CHECKING:
    from platform_assets.contracts.model import Contract
    from platform_assets.lakehouse.publisher import Publication
    from platform_assets.sources.model import Source

CONTRACT_CHECK = "contract"
WHOLE_TABLE = "whole table"


@cache
def daily_partitions() -> dg.DailyPartitionsDefinition:
    """One definition for every dated table, so that a date is one run through all of them.

    It holds tomorrow too, because a clock that runs ahead dates events there (`ingestion.bronze`).
    """
    return dg.DailyPartitionsDefinition(start_date=load_settings().partitions_start.isoformat(), end_offset=2)


@dataclass(frozen=True)
class TableFacts:
    """What a table asset needs to know beside its contract.

    Attributes:
        unpartitioned_because: the reason, where a table has no partitions.
    """

    domain: str
    owner: str
    kinds: frozenset[str]
    fail_window: timedelta
    warn_window: timedelta | None = None
    unpartitioned_because: str | None = None


def source_facts(source: Source, unpartitioned_because: str | None = None) -> TableFacts:
    """The facts of a table that the platform makes of a source."""
    freshness = source.file.freshness
    return TableFacts(
        domain=source.file.domain,
        owner=source.file.owner,
        kinds=frozenset({"iceberg", "duckdb"}),
        fail_window=freshness.fail_window,
        warn_window=freshness.warn_window,
        unpartitioned_because=unpartitioned_because,
    )


def asset_key(table: str) -> dg.AssetKey:
    """`layer.table` as an asset key."""
    return dg.AssetKey(table.split("."))


def table_spec(contract: Contract, facts: TableFacts, deps: Iterable[dg.AssetDep | dg.AssetKey]) -> dg.AssetSpec:
    """The asset of a table, as Dagit shows it before the first materialisation."""
    layer, name = contract.table.split(".")
    metadata: dict[str, Any] = {
        "dagster/column_schema": table_schema(contract),
        "dagster/table_name": contract.table,
        "dagster/uri": f"{load_settings().resolved_warehouse}/{layer}/{name}",
        "contract_version": contract.version,
    }
    if facts.unpartitioned_because:
        metadata["unpartitioned_because"] = facts.unpartitioned_because
    return dg.AssetSpec(
        asset_key(contract.table),
        deps=list(deps),
        description=contract.description,
        group_name=facts.domain,
        owners=[facts.owner],
        kinds={layer, *facts.kinds},
        tags={"layer": layer},
        metadata=metadata,
        partitions_def=None if facts.unpartitioned_because else daily_partitions(),
        freshness_policy=dg.FreshnessPolicy.time_window(facts.fail_window, facts.warn_window),
    )


def check_spec(spec: dg.AssetSpec, name: str, description: str, *, blocking: bool) -> dg.AssetCheckSpec:
    """A check with the partitions of its asset, so that every partition has its own result."""
    return dg.AssetCheckSpec(
        name, asset=spec.key, description=description, blocking=blocking, partitions_def=spec.partitions_def
    )


def contract_check(spec: dg.AssetSpec) -> dg.AssetCheckSpec:
    """The blocking check that every table has: what is published keeps its contract."""
    return check_spec(
        spec, CONTRACT_CHECK, "The staged rows kept the contract before they were published.", blocking=True
    )


def kept_contract(contract: Contract, rows: int) -> dg.AssetCheckResult:
    """That what was published kept its contract: how many rows were looked at, and for how many promises."""
    return dg.AssetCheckResult(
        passed=True,
        asset_key=asset_key(contract.table),
        check_name=CONTRACT_CHECK,
        metadata={"rows_checked": rows, "rules_checked": contract.promises},
    )


def run_partition(context: dg.AssetExecutionContext) -> date | None:
    """The date that this run is about, or None in a run without partition."""
    return date.fromisoformat(context.partition_key) if context.has_partition_key else None


def materialized(
    key: dg.AssetKey,
    publication: Publication,
    metadata: Mapping[str, Any] | None = None,
) -> dg.MaterializeResult[Any]:
    """What Dagit records of a publish: rows, where they lie, in which snapshot."""
    rows = "dagster/partition_row_count" if publication.properties.get("platform.partition") else "dagster/row_count"
    return dg.MaterializeResult(
        asset_key=key,
        data_version=dg.DataVersion(publication.data_version),
        metadata={
            rows: publication.rows,
            "dagster/uri": publication.location,
            "snapshot_id": str(publication.snapshot_id),
            **(metadata or {}),
        },
    )

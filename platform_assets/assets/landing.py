"""Landing, and what its arrivals mean for silver: assets that are recorded, not computed.

`landing/<source>` is materialised by the arrival sensors, one partition per arrival date. `arrival/<table>` is
materialised by bronze, one partition per event date at which new rows arrived: it is how a row that comes days late
rebuilds its own date, and no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.assets.tables import daily_partitions
from platform_assets.sources.model import Kind

if TYPE_CHECKING:
    from platform_assets.sources.model import SilverTable, Source


def landing_key(source: Source) -> dg.AssetKey:
    """`landing/<source>`."""
    return dg.AssetKey(["landing", source.name])


def arrival_key(table: SilverTable) -> dg.AssetKey:
    """`arrival/<table>`."""
    return dg.AssetKey(["arrival", table.table])


def landing_specs(source: Source) -> list[dg.AssetSpec]:
    """The recorded assets of a source."""
    freshness = source.file.freshness
    policy = dg.FreshnessPolicy.time_window(freshness.fail_window, freshness.warn_window)
    landing = dg.AssetSpec(
        landing_key(source),
        description=f"{source.file.description} Immutable objects exactly as they arrived, by arrival date.",
        group_name=source.file.domain,
        owners=[source.file.owner],
        kinds={"landing", "gcs"},
        tags={"layer": "landing"},
        metadata={"prefix": f"source={source.name}/date=<YYYY-MM-DD>/"},
        partitions_def=daily_partitions(),
        freshness_policy=policy,
    )
    arrivals = [
        dg.AssetSpec(
            arrival_key(table),
            deps=[dg.AssetKey(["bronze", source.name])],
            description=f"Event dates at which new rows for silver.{table.table} arrived; recorded by bronze.",
            group_name=source.file.domain,
            owners=[source.file.owner],
            kinds={"arrival"},
            tags={"layer": "arrival"},
            partitions_def=daily_partitions(),
            freshness_policy=policy,
        )
        for table in source.file.silver
        if table.kind is Kind.EVENTS
    ]
    return [landing, *arrivals]

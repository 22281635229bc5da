"""Partitions made again because a person asks for it, as a backfill that live arrivals overtake (I3, S0-58, S1-111)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import dagster as dg
    from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph

WHOLE_TABLE = "-"
PRIORITY = {"dagster/priority": "0"}  # what arrives has 10: a year in the queue does not hold it back


class RebuildError(RuntimeError):
    """What was asked for cannot be made again; the message says why and what to do."""


@dataclass(frozen=True)
class Rebuild:
    """A backfill that was asked for.

    Attributes:
        backfill_id: as Dagit lists it.
        assets: `layer/table`, with those that one operation makes together.
        partitions: dates; empty for a table that is made as a whole.
    """

    backfill_id: str
    assets: tuple[str, ...]
    partitions: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """One object."""
        return {"backfill_id": self.backfill_id, "assets": list(self.assets), "partitions": list(self.partitions)}


def rebuild(
    instance: dg.DagsterInstance, graph: BaseAssetGraph[Any], asset: str, partitions: str, *, by: str, why: str
) -> Rebuild:
    """Asks Dagster's daemon to make partitions again, one run for each; what is made of them follows by itself.

    Bronze is read again from landing. The daemon need not run yet: what was asked for waits.

    Args:
        instance: where the daemon finds it.
        graph: the assets.
        asset: `layer/table` or `layer.table`.
        partitions: a date, two dates `FROM..TO` with both in it, or `-` for a table that is made as a whole.
        by: who asks.
        why: stays on record with the backfill.

    Raises:
        RebuildError: there is no such table, it has no such partition, or no reason is given.
    """
    import dagster as dg
    from dagster._core.definitions.selector import PartitionRangeSelector, PartitionsByAssetSelector, PartitionsSelector
    from dagster._core.execution.backfill import PartitionBackfill
    from dagster._core.utils import make_new_backfill_id

    if not why.strip():
        raise RebuildError(f"{asset}: say with --why what it is made again for.")
    key = _key(graph, asset)
    days = _days(graph, key, partitions)
    together = sorted(dg.AssetSelection.assets(key).required_multi_asset_neighbors().resolve(graph) | {key})
    dates = PartitionsSelector([PartitionRangeSelector(days[0], days[-1])]) if days else None
    backfill = PartitionBackfill.from_partitions_by_assets(
        backfill_id=make_new_backfill_id(),
        asset_graph=graph,
        backfill_timestamp=time.time(),
        tags=PRIORITY,
        dynamic_partitions_store=instance,
        partitions_by_assets=[PartitionsByAssetSelector(asset_key=one, partitions=dates) for one in together],
        title=None,
        description=f"{by}: {why}",
        run_config=None,
    )
    instance.add_backfill(backfill)
    return Rebuild(backfill.backfill_id, tuple(one.to_user_string() for one in together), tuple(days))


def _key(graph: BaseAssetGraph[Any], asset: str) -> dg.AssetKey:
    import dagster as dg

    from platform_assets.contracts.words import nearest

    key = dg.AssetKey.from_user_string(asset.replace(".", "/"))
    made = sorted(one.to_user_string() for one in graph.executable_asset_keys)
    if key.to_user_string() not in made:
        raise RebuildError(f"{key.to_user_string()} is no table that is made here{nearest(key.to_user_string(), made)}")
    return key


def _days(graph: BaseAssetGraph[Any], key: dg.AssetKey, partitions: str) -> list[str]:
    """The dates from the first to the last one; none of a table that is made as a whole."""
    name, definition = key.to_user_string(), graph.get(key).partitions_def
    if definition is None:
        if partitions != WHOLE_TABLE:
            raise RebuildError(f"{name} has no partitions: it is made as a whole, say `{WHOLE_TABLE}` instead.")
        return []
    first, _, last = partitions.partition("..")
    try:
        begin, end = date.fromisoformat(first), date.fromisoformat(last or first)
    except ValueError:
        raise RebuildError(
            f"{partitions!r} are no partitions of {name}: expected a date, 2026-11-21, or two, 2026-11-01..2026-11-21."
        ) from None
    days = [(begin + timedelta(days=n)).isoformat() for n in range((end - begin).days + 1)]
    if not days:
        raise RebuildError(f"{name}: {end} comes before {begin}; write the earlier date first.")
    outside = [day for day in (days[0], days[-1]) if not definition.has_partition_key(day)]
    if outside:
        known = f"from {definition.get_first_partition_key()} to {definition.get_last_partition_key()}"
        raise RebuildError(f"{name} has no partition {outside[0]}: its partitions are {known}.")
    return days

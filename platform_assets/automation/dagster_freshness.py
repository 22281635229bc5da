"""Dagster's own freshness of every asset, told by the platform, so that Dagit says what the page and the CLI say.

Dagster's daemon judges a policy by the last materialisation alone: making an old partition again turns a table green,
and a quiet source turns it red. `dagster.yaml` leaves that daemon out; what it would have recorded is recorded here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.definitions.freshness import FreshnessState as DagsterState
from dagster._core.definitions.freshness import FreshnessStateChange

from platform_assets.assets.landing import landing_specs
from platform_assets.assets.tables import asset_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from platform_assets.lakehouse.freshness import TableFreshness
    from platform_assets.sources.model import Source


def tell_dagster(
    instance: dg.DagsterInstance, rows: Sequence[TableFreshness], sources: Iterable[Source], now: datetime
) -> int:
    """Records the states that differ from those that Dagster knows; how many.

    Args:
        instance: which is told.
        rows: the freshness of all tables.
        sources: whose landing and arrivals are as fresh as their bronze was delivered.
        now: when that was (UTC).
    """
    states = {asset_key(row.table.name): DagsterState(row.state.value) for row in rows}
    by_name = {row.table.name: row for row in rows}
    for source in sources:
        row = by_name.get(f"bronze.{source.name}")
        if row is not None:
            states.update((spec.key, _delivered(row)) for spec in landing_specs(source))
    known = instance.get_freshness_state_records(list(states))
    told = 0
    for key, state in states.items():
        before = known[key].freshness_state if key in known else None
        if before is not state:
            # What Dagster's daemon calls as well (`dagster._daemon.freshness`); `test_dagster_facts.py` holds on to it.
            change = FreshnessStateChange(
                key=key,
                new_state=state,
                previous_state=before or DagsterState.UNKNOWN,
                state_change_timestamp=now.timestamp(),
            )
            instance._report_runless_asset_event(change)  # noqa: SLF001
            told += 1
    return told


def _delivered(row: TableFreshness) -> DagsterState:
    """The state of what arrives: late is only what the source did not deliver, not what we did not process."""
    processing = row.lateness is not None and not row.lateness.missing
    return DagsterState.PASS if processing else DagsterState(row.state.value)

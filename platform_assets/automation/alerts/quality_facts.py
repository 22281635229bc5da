"""What the watches over the content of tables found, as the last judgement has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_assets.automation.alerts.incidents import Kind, Observation
from platform_assets.quality.findings import Watch

if TYPE_CHECKING:
    from datetime import datetime

    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.quality.store import Judgement

_KINDS = {
    Watch.VOLUME: Kind.VOLUME,
    Watch.NULL_RATE: Kind.COLUMN,
    Watch.DISTRIBUTION: Kind.COLUMN,
    Watch.SCHEMA: Kind.SCHEMA,
    Watch.RECONCILIATION: Kind.RECONCILIATION,
}
QUALITY_KINDS = frozenset(_KINDS.values())


def quality_facts(lakehouse: Lakehouse, now: datetime) -> list[Observation]:
    """What is unusual: in the newest partition of a table, or, of figures that must agree, at any date.

    Raises:
        SourceError: the file that declares the reconciliations cannot be used.
    """
    from platform_assets.quality.declarations import read_reconciliations
    from platform_assets.quality.store import latest

    declared = {reconciliation.name for reconciliation in read_reconciliations(lakehouse.settings)}
    newest: dict[tuple[str, Watch, str], Judgement] = {}
    for judgement in latest(lakehouse, now):  # the newest partition first
        found = judgement.finding
        if found.watch is Watch.RECONCILIATION and not (found.unusual and found.subject in declared):
            continue
        newest.setdefault((found.table, found.watch, found.subject), judgement)
    return [_observation(judgement) for judgement in newest.values() if judgement.finding.unusual]


def _observation(judgement: Judgement) -> Observation:
    found = judgement.finding
    return Observation(
        _KINDS[found.watch],
        f"{found.table} {found.subject}".strip(),
        f"{found.partition}: {found.reason}" if found.partition else found.reason,
        judgement.at,
        name=found.watch.value,
        look=f"/assets/{found.table.replace('.', '/')}?view=events",
    )

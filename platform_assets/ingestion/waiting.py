"""What has landed, and when bronze had it, as freshness and SLAs want to know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_assets.ingestion.ledger import Ledger
from platform_assets.sources.registry import load_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from platform_assets.lakehouse.outcomes import Arrival
    from platform_assets.settings import Settings


def landed_since(settings: Settings) -> dict[str, datetime]:
    """For every bronze table that does not hold all that landed, when the oldest object that it lacks did."""
    found = {}
    with Ledger(settings) as ledger:
        for source in load_sources():
            waiting = [day.first_landed_at for day in ledger.waiting(source.name).values()]
            if waiting:
                found[f"bronze.{source.name}"] = min(waiting)
    return found


def arrivals(settings: Settings) -> Callable[[Mapping[str, datetime]], dict[str, Sequence[Arrival]]]:
    """What reads, of bronze tables, all that was seen or ingested from the moment of each on, or is not ingested."""

    def read(starts: Mapping[str, datetime]) -> dict[str, Sequence[Arrival]]:
        with Ledger(settings) as ledger:
            return {name: ledger.arrivals(name.removeprefix("bronze."), since) for name, since in starts.items()}

    return read

"""What has landed and is not in bronze yet, as freshness wants to know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_assets.ingestion.ledger import Ledger
from platform_assets.sources.registry import load_sources

if TYPE_CHECKING:
    from datetime import datetime

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

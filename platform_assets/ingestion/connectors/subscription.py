"""Messages: what waits in a source's subscription is landed, then acknowledged (S1-40, S1-43, S1-74)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_assets.ingestion.connectors.base import Collected
from platform_assets.ingestion.pubsub import drain

if TYPE_CHECKING:
    from platform_assets.ingestion.connectors.base import Context
    from platform_assets.sources.model import Source


def collect(source: Source, context: Context, /) -> Collected:
    """Lands the messages of the subscription in batches."""
    subscription = str(source.file.ingestion.subscription)
    drained = drain(context.settings, context.landing, source.name, subscription, ledger=context.ledger)
    context.log.info("%d messages landed from %s", drained.messages, subscription)
    return Collected(drained.objects)

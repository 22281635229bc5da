"""Connectors: how what is new for a source gets into landing. The one place that says which source has which (S1-69).

A connector is a function `collect(source, context)`, see `base.Collect`. When it is asked, and how long it is left
alone after a failure, is decided here, the same for all.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from platform_assets.ingestion.connectors import cloud_storage, database_query, own, sftp, snapshot, subscription
from platform_assets.ingestion.connectors.base import Collect, Collected, ConnectorError, Context
from platform_assets.sources.pattern import Pattern

if TYPE_CHECKING:
    from collections.abc import Mapping

    from platform_assets.sources.ingestion_settings import Ingestion
    from platform_assets.sources.model import Source

__all__ = ["CONNECTORS", "Collect", "Collected", "ConnectorError", "Context", "collect", "connector_name"]

_FIRST_PAUSE = timedelta(seconds=10)
_LONGEST_PAUSE = timedelta(minutes=15)
_EVERY_TICK = {"dropped", "subscription", "cloud_storage"}


def _dropped(_source: Source, _context: Context, /) -> Collected:
    """Somebody else drops the objects into landing: there is nothing to collect."""
    return Collected()


CONNECTORS: Mapping[str, Collect] = {
    "dropped": _dropped,
    "subscription": subscription.collect,
    "snapshot": snapshot.collect,
    "cloud_storage": cloud_storage.collect,
    "database_query": database_query.collect,
    "sftp": sftp.collect,
    "own": own.collect,
}


def connector_name(ingestion: Ingestion) -> str:
    """Which of `CONNECTORS` lands the objects of a source."""
    if ingestion.streams:
        return "subscription"
    if ingestion.pattern is Pattern.REST_SNAPSHOT:
        return "snapshot"
    if ingestion.connector is not None:
        return "own"
    if ingestion.fetched:
        return str(ingestion.connector_type)
    return "cloud_storage" if ingestion.watched else "dropped"


def collect(source: Source, context: Context) -> Collected:
    """Lets the source's connector land what is new, if it is time to.

    Raises:
        ConnectorError: it could not; it is left alone for a while then, ever longer, and what it landed stays.
    """
    name = connector_name(source.file.ingestion)
    if not _is_due(source, context, name):
        return Collected()
    try:
        collected = CONNECTORS[name](source, context)
    except Exception as error:
        pause = _pause_after_failure(source, context)
        raise ConnectorError(
            f"{source.name}: {_told(source, error)} It is asked again in {pause.total_seconds():.0f} s."
        ) from error
    progress = context.ledger.progress(source.name)
    due = _next_time(source, context.now, name)
    if collected.again_in is not None:
        due = context.now + timedelta(seconds=collected.again_in)
    if name not in _EVERY_TICK or progress.failures:
        context.ledger.save_progress(source.name, replace(progress, due_at=due, failures=0))
    return collected


def _is_due(source: Source, context: Context, name: str) -> bool:
    progress = context.ledger.progress(source.name)
    if progress.due_at is None:
        return True
    # The schedule in the YAML may have become a closer one.
    due = min(progress.due_at, _next_time(source, context.now, name)) if name not in _EVERY_TICK else progress.due_at
    if due != progress.due_at:
        context.ledger.save_progress(source.name, replace(progress, due_at=due))
    return context.now >= due


def _next_time(source: Source, now: datetime, name: str) -> datetime:
    """When the source is to be asked after it was asked now."""
    from croniter import croniter

    ingestion = source.file.ingestion
    if name in _EVERY_TICK:
        return now
    if ingestion.schedule is not None:
        return datetime.fromtimestamp(croniter(ingestion.schedule, now).get_next(float), UTC)
    if name == "snapshot":
        return (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return now + timedelta(seconds=ingestion.poll_interval)


def _pause_after_failure(source: Source, context: Context) -> timedelta:
    """Remembers the failure; how long the source is left alone now."""
    progress = context.ledger.progress(source.name)
    longest = min(_LONGEST_PAUSE, timedelta(seconds=max(60, source.file.ingestion.poll_interval)))
    pause = min(_FIRST_PAUSE * 2.0 ** min(progress.failures, 20), longest)
    due = context.now + pause
    context.ledger.save_progress(source.name, replace(progress, due_at=due, failures=progress.failures + 1))
    return pause


def _told(source: Source, error: Exception) -> str:
    text = str(error).removeprefix(f"{source.name}: ").strip() or type(error).__name__
    if type(error).__module__.partition(".")[0] != "platform_assets":
        text = f"{type(error).__name__}: {text}"
    return text if text.endswith((".", "!", "?")) else f"{text}."

"""Sources that are polled for records: each record that is new is published to the source's topic (S1-40, S1-69).

From there on they are messages like any others. What has been published is remembered by key in the ledger, and only
after the broker has confirmed it (S3-05).
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from platform_assets.ingestion.connectors.base import ConnectorError
from platform_assets.ingestion.connectors.own import OwnConnector, json_line, since_of
from platform_assets.ingestion.connectors.snapshot import request_headers
from platform_assets.ingestion.pubsub import Event, iso, publish_new
from platform_assets.ingestion.rest import SourceUnavailable, pages
from platform_assets.settings import expanded
from platform_assets.sources.model import Kind

if TYPE_CHECKING:
    from platform_assets.ingestion.connectors.base import Context
    from platform_assets.ingestion.ledger import Ledger
    from platform_assets.settings import Settings
    from platform_assets.sources.model import Source

_EVENT_NAMESPACE = uuid.UUID("5f0c4a52-6a0b-5b0e-9d1c-3a7d0a4d4c11")
LONGEST_PAUSE_SECONDS = 24 * 3600.0  # whatever a source asks for
_AT_ONCE = 1_000
_NEXT_PAGE = "next_page"

Record = Mapping[str, Any]


def poll(source: Source, context: Context) -> int:
    """Publishes the records that the source has and that were not published yet; how many.

    A source of many pages is read on from where the time was up, the next time.

    Raises:
        ConnectorError: the source could not be asked; what was published before that stays.
    """
    published = 0
    due = context.ledger.progress(_memory(source)).due_at
    if due is not None and context.now < due:
        context.log.info("%s asked to be left alone until %s", source.name, due)
        return 0
    try:
        own = OwnConnector(source, context.settings) if source.file.ingestion.connector else None
        batches = _fetched(source, context, own) if own is not None and own.fetches else _pages(source, context)
        for records in batches:
            made = _as_json(own, records) if own is not None else records
            published += publish_records(context.settings, context.ledger, source, made)
    except Exception as error:
        _leave_alone(source, context, error)
        kind = "" if type(error).__module__.startswith("platform_assets") else f"{type(error).__name__}: "
        raise ConnectorError(f"{source.name}: {kind}{error}") from error
    return published


def publish_records(settings: Settings, ledger: Ledger, source: Source, records: Iterable[Record]) -> int:
    """Publishes those records that have not been published yet, each once; how many."""
    extracted_at = datetime.now(UTC)
    events = [event_of(source, record, extracted_at) for record in records]
    return publish_new(settings, ledger, source.name, str(source.file.ingestion.topic), events)


def event_of(source: Source, record: Record, extracted_at: datetime) -> Event:
    """What is published for a record: the record, and beside its members what it is and when it was got (S3-06).

    A member of the record that is called like one of those stays as it is.
    """
    key = record_key(source, record)
    event_id = str(uuid.uuid5(_EVENT_NAMESPACE, f"{source.name}/{key}"))
    event_type = source.file.ingestion.event_type or f"{source.name}_record"
    payload = {"event_id": event_id, "event_type": event_type, "extracted_at": iso(extracted_at), **record}
    return Event(key, event_id, event_type, payload)


def record_key(source: Source, record: Record) -> str:
    """What identifies a record: the key of the source's silver table, or the content if it has none.

    Of a table that keeps the state of each key, or its history, a record that has changed is another one.
    """
    table = next((table for table in source.file.silver if table.explode is None), None)
    paths = {column.name: column.path for column in source.record.columns}
    values = [_value(record, paths.get(name, (name,))) for name in table.key] if table else []
    if table is None or not values or None in values:
        return f"sha256:{_digest(record)}"
    key = str(values[0]) if len(values) == 1 else json.dumps(values, ensure_ascii=False, default=str)
    return key if table.kind is Kind.EVENTS else f"{key}@{_digest(record)}"


def _pages(source: Source, context: Context) -> Iterator[list[dict[str, object]]]:
    """The pages of the API, from where the last poll stopped for want of time."""
    url = expanded(str(source.file.ingestion.api_endpoint))
    position = context.ledger.progress(_memory(source)).position
    start = position[_NEXT_PAGE] if position.get("of") == url else url
    try:
        for page in pages(start, headers=request_headers(source, context.settings)):
            yield page.records
            late = context.time_is_up
            _remember(source, context, {"of": url, _NEXT_PAGE: page.following} if page.following and late else {})
            if late:
                context.log.info("%s: the time is up; the next poll goes on from here", source.name)
                return
    except SourceUnavailable as error:
        if error.permanent:  # the address of a page may be good for a while only: begin with the first one again
            _remember(source, context, {})
        raise


def _as_json(own: OwnConnector, records: Iterable[Record]) -> list[Record]:
    """What the connector makes of the records, as their readers will see it."""
    return [json.loads(json_line(record, own.reference)) for record in own.transformed(records)]


def _fetched(source: Source, context: Context, own: OwnConnector) -> Iterator[list[Record]]:
    """What the source's own connector fetches, in batches."""
    records = own.fetch(since_of(context.ledger.progress(_memory(source)).position))
    while batch := list(islice(records, _AT_ONCE)):
        yield batch
    _remember(source, context, {"since": context.now.isoformat()})


def _leave_alone(source: Source, context: Context, error: Exception) -> None:
    """A source that says after which time to come again is not asked before (S0-16)."""
    if isinstance(error, SourceUnavailable) and error.retry_after is not None:
        pause = timedelta(seconds=min(error.retry_after, LONGEST_PAUSE_SECONDS))
        progress = context.ledger.progress(_memory(source))
        context.ledger.save_progress(_memory(source), replace(progress, due_at=context.now + pause))


def _memory(source: Source) -> str:
    """Under which name the poll remembers its progress: the source's own is that of what lands its messages."""
    return f"{source.name}/poll"


def _remember(source: Source, context: Context, position: dict[str, Any]) -> None:
    progress = context.ledger.progress(_memory(source))
    if progress.position != position:
        context.ledger.save_progress(_memory(source), replace(progress, position=position))


def _value(record: Record, path: Iterable[str]) -> object:
    value: object = record
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _digest(record: Record) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True, default=str).encode()).hexdigest()

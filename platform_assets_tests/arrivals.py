"""Objects that somebody else drops into the landing bucket, overwrites and removes; web events to fill them with."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from datetime import date
from typing import Any

from platform_assets.settings import Settings


def web_event(number: int, day: str, **changes: object) -> dict[str, object]:
    """A web event that keeps its contract, with changes; numbers tell events and users apart."""
    return {
        "event_id": str(uuid.UUID(int=number)),
        "user_id": f"user_{number}",
        "session_id": f"session_{number}",
        "event_type": "purchase",
        "event_timestamp": f"{day}T12:00:00.000Z",
        "amount": 1.5,
        "currency": "USD",
        "product_id": 1,
        "properties": {"page": "/"},
        "email": f"user{number}@example.com",
        **changes,
    }


def json_lines(records: Iterable[object]) -> bytes:
    """One line of JSON for each record."""
    return "".join(f"{json.dumps(record)}\n" for record in records).encode()


def drop(settings: Settings, source: str, day: date | str, file_name: str, content: bytes) -> str:
    """Writes an object of a date, over the one that may be there; returns its URI."""
    return drop_at(settings, f"source={source}/date={day}/{file_name}", content)


def drop_at(settings: Settings, name: str, content: bytes) -> str:
    """Writes an object under any name; returns its URI."""
    landing_bucket(settings).blob(name).upload_from_string(content)
    return f"gs://{settings.landing_bucket}/{name}"


def remove(settings: Settings, uri: str) -> None:
    """Deletes an object."""
    landing_bucket(settings).blob(uri.removeprefix(f"gs://{settings.landing_bucket}/")).delete()


def dead_letters(settings: Settings, source: str) -> list[dict[str, Any]]:
    """Every dead letter of a source, by object and row."""
    blobs = _client(settings).list_blobs(settings.landing_bucket, prefix=f"dead_letter/source={source}/")
    letters = [json.loads(line) for blob in blobs for line in blob.download_as_text().splitlines()]
    return sorted(letters, key=lambda letter: (letter["object"], letter["row_number"] or 0))


def _client(settings: Settings) -> Any:  # noqa: ANN401 - the client library ships no types
    from google.cloud import storage

    return storage.Client(project=settings.project)


def landing_bucket(settings: Settings) -> Any:  # noqa: ANN401 - as above
    """The bucket, by a client of its own: who writes many objects keeps it."""
    return _client(settings).bucket(settings.landing_bucket)

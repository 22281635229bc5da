"""Lands a file by hand, and waits until the running platform has taken it into every table of its source."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from platform_assets.ingestion.landing import LandingObject
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.settings import Settings
    from platform_assets.sources.model import Source

_POLL_SECONDS = 0.5


class LandError(RuntimeError):
    """The file cannot be landed, or nobody took it; the message says why and what to do."""


def land_files(
    settings: Settings, source: Source, files: Sequence[Path], arrival_date: date | None
) -> Iterator[LandingObject]:
    """Lands the files one by one.

    Raises:
        LandError: the source is a stream, or another file of that name has landed on that day.
    """
    from platform_assets.ingestion.landing import Landing

    if source.file.ingestion.streams:
        topic = source.file.ingestion.topic
        raise LandError(f"{source.name} is a stream: what lands are messages of its topic {topic}; publish there")
    landing = Landing(settings)
    day = arrival_date or datetime.now(UTC).date()
    for file in files:
        landed = landing.put(source.name, day, file.name, file)
        if landed.size != file.stat().st_size:
            raise LandError(f"{landed.uri} exists already, with another content; give the file another name")
        yield landed


def taken(settings: Settings, source: Source, landed: LandingObject, seconds: float) -> Iterator[tuple[str, int]]:
    """Each table of the source with its rows, as soon as it was published from bronze that holds the object.

    Raises:
        LandError: it took longer.
    """
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.statistics import statistics

    lakehouse = Lakehouse(settings)
    deadline = time.monotonic() + seconds
    since = 0
    for name in (f"bronze.{source.name}", *(f"silver.{table.table}" for table in source.file.silver)):
        while (published := _published(lakehouse, name, landed, since)) is None:
            if time.monotonic() > deadline:
                raise LandError(
                    f"{landed.uri} is not in {name} after {seconds:.0f} s. Is the platform running, and the source "
                    f"deployed? See `platform-assets doctor` and `platform-assets source deploy {source.name}`."
                )
            time.sleep(_POLL_SECONDS)
        since = since or published
        yield name, statistics(lakehouse.catalog.load_table(name), None).rows


def _published(lakehouse: Lakehouse, name: str, landed: LandingObject, since: int) -> int | None:
    """When (ms since 1970) the table was published: bronze with the object in it, silver after that."""
    from platform_assets.contracts.rules import literal
    from platform_assets.lakehouse.reader import table_relation

    table = lakehouse.find(name)
    snapshot = table.current_snapshot() if table else None
    if table is None or snapshot is None:
        return None
    if since:
        return snapshot.timestamp_ms if snapshot.timestamp_ms > since else None
    with lakehouse.connect() as connection:
        found = connection.execute(
            f"SELECT 1 FROM {table_relation(table)} WHERE _landing_uri = {literal(landed.uri)} LIMIT 1"
        ).fetchone()
    return snapshot.timestamp_ms if found else None

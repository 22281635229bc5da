"""Lands a file by hand, and waits until the running platform has taken it into every table of its source."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from platform_assets.sources.contracts import EVENT_DATE
from platform_assets.sources.model import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from platform_assets.ingestion.landing import LandingObject
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.settings import Settings
    from platform_assets.sources.model import Source

_POLL_SECONDS = 0.5

Found = TypeVar("Found")


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
    """Each table of the source with its rows, as soon as all that the object brought has been published there.

    Raises:
        LandError: it took longer.
    """
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.statistics import statistics

    lakehouse = Lakehouse(settings)
    deadline = time.monotonic() + seconds
    bronze = f"bronze.{source.name}"
    arrived = _until(deadline, lambda: _arrived(lakehouse, bronze, landed), landed, bronze, source)
    yield bronze, statistics(lakehouse.catalog.load_table(bronze), None).rows
    for table in source.file.silver:
        name, dated = f"silver.{table.table}", table.kind is Kind.EVENTS
        _until(deadline, partial(_followed, lakehouse, name, arrived, dated=dated), landed, name, source)
        yield name, statistics(lakehouse.catalog.load_table(name), None).rows


def _until(
    deadline: float, found: Callable[[], Found | None], landed: LandingObject, table: str, source: Source
) -> Found:
    while not (answer := found()):
        if time.monotonic() > deadline:
            raise LandError(
                f"{landed.uri} is not in {table} yet. Is the platform running, and the source deployed? See "
                f"`platform-assets doctor` and `platform-assets source deploy {source.name}`."
            )
        time.sleep(_POLL_SECONDS)
    return answer


@dataclass(frozen=True)
class _Arrived:
    """When bronze was published with the object, and the event dates that it brought."""

    at: datetime
    days: frozenset[str]


def _arrived(lakehouse: Lakehouse, bronze: str, landed: LandingObject) -> _Arrived | None:
    from platform_assets.contracts.rules import literal
    from platform_assets.lakehouse.reader import table_relation
    from platform_assets.lakehouse.remembered import last_published_at

    table = lakehouse.find(bronze)
    published = last_published_at(table) if table else None
    if table is None or published is None:
        return None
    found = lakehouse.ask(
        f"SELECT DISTINCT {EVENT_DATE} FROM {table_relation(table)} WHERE _landing_uri = {literal(landed.uri)}"
    )
    return _Arrived(published, frozenset(day.isoformat() for (day,) in found)) if found else None


def _followed(lakehouse: Lakehouse, silver: str, arrived: _Arrived, *, dated: bool) -> bool:
    """Whether the table, or each of the dates in it, was published after bronze."""
    from platform_assets.lakehouse.remembered import commits_of

    table = lakehouse.find(silver)
    newer = [commit for commit in commits_of(table) if commit.at > arrived.at] if table else []
    published = {"" if commit.partition is None else commit.partition.isoformat() for commit in newer}
    return arrived.days <= published if dated else bool(published)

"""Durable memory of what has arrived, was announced and published, and of connectors: the operations database.

SQLite by default, PostgreSQL in production: SQL of both, nothing of one. The memory only saves work and repetition;
what a table holds never depends on it (I3, I4).
"""

from __future__ import annotations

import json
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypeVar

from platform_assets.ingestion.landing import LandingObject
from platform_assets.ingestion.ledger_tables import Tables, create_tables, insert_of, tables
from platform_assets.lakehouse.outcomes import Arrival

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table
    from sqlalchemy.dialects.sqlite import Insert

    from platform_assets.settings import Settings

_BUSY_SECONDS = 30
_ROWS_PER_STATEMENT = 500

Item = TypeVar("Item")


@dataclass(frozen=True)
class Published:
    """A record that a source has published.

    Attributes:
        key: what identifies the record in its source.
        event_id: what identifies the message, the same for each time that the record is published.
    """

    key: str
    event_id: str
    published_at: datetime


@dataclass(frozen=True)
class Progress:
    """How far the connector of a source has come.

    Attributes:
        position: what the connector wants to be told the next time, JSON.
        planned: date of the landing object of what comes after the position, once that has been settled.
        due_at: when the connector is to be asked again; at once if it is not known.
        failures: how often it has failed since it last succeeded.
    """

    position: dict[str, Any] = field(default_factory=dict)
    planned: date | None = None
    due_at: datetime | None = None
    failures: int = 0


@dataclass(frozen=True)
class Waiting:
    """What of an arrival date is not ingested: how many objects, and when the first and the last of them landed."""

    objects: int
    first_landed_at: datetime
    last_landed_at: datetime


class Ledger:
    """The memory of the settings' operations database. Any number of processes may use it at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __enter__(self) -> Self:
        """The ledger itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self.close()

    def close(self) -> None:
        """Close its connections. It may be used again."""
        if "_engine" in self.__dict__:
            self._engine.dispose()

    # Arrivals: which object generations have been seen, and which are in bronze.

    def record_seen(self, objects: Sequence[LandingObject], now: datetime | None = None) -> list[LandingObject]:
        """Remember objects; returns those that were not known, in the order given. A new generation is a new one."""
        from sqlalchemy import select

        arrivals = self._tables.arrivals
        columns = (arrivals.c.source, arrivals.c.name, arrivals.c.generation)
        new: set[tuple[str, str, int]] = set()
        with self._transaction() as connection:
            for page in _chunks(objects):
                # Nearly all are known at nearly every tick, and to ask is a tenth of the work of an insert in vain.
                there = select(*columns).where(
                    arrivals.c.source.in_({arrival.source for arrival in page}),
                    arrivals.c.name.in_([arrival.name for arrival in page]),
                )
                seen = {(row.source, row.name, row.generation) for row in connection.execute(there)}
                chunk = [arrival for arrival in page if (arrival.source, arrival.name, arrival.generation) not in seen]
                if not chunk:
                    continue
                rows = [{**_arrival_row(arrival), "seen_at": _moment(now)} for arrival in chunk]
                statement = self._insert(arrivals).values(rows).on_conflict_do_nothing()
                added = connection.execute(statement.returning(*columns))
                new.update((row.source, row.name, row.generation) for row in added)
        return [arrival for arrival in objects if (arrival.source, arrival.name, arrival.generation) in new]

    def waiting(self, source: str) -> dict[date, Waiting]:
        """What `pending` tells, in numbers: of 100,000 objects it costs a tenth, and the memory of a few dates."""
        from sqlalchemy import and_, func, select

        arrivals = self._tables.arrivals
        unread = and_(arrivals.c.source == source, arrivals.c.ingested_at.is_(None))
        newest = select(arrivals.c.name, func.max(arrivals.c.generation).label("generation"))
        newest_of = newest.where(unread).group_by(arrivals.c.name).subquery()
        same = and_(arrivals.c.name == newest_of.c.name, arrivals.c.generation == newest_of.c.generation)
        landed = arrivals.c.landed_at
        numbers = (func.count().label("objects"), func.min(landed).label("first"), func.max(landed).label("last"))
        by_date = select(arrivals.c.arrival_date, *numbers).join(newest_of, same).where(arrivals.c.source == source)
        with self._transaction() as connection:
            rows = connection.execute(by_date.group_by(arrivals.c.arrival_date).order_by(arrivals.c.arrival_date)).all()
        return {row.arrival_date: Waiting(row.objects, _utc(row.first), _utc(row.last)) for row in rows}

    def pending(self, source: str, arrival_date: date | None = None) -> dict[date, list[LandingObject]]:
        """Objects seen and not ingested, by arrival date, oldest first. Of a name only the newest generation exists.

        Args:
            source: name of the source.
            arrival_date: only this date.
        """
        from sqlalchemy import select

        arrivals = self._tables.arrivals
        waiting = select(arrivals).where(arrivals.c.source == source, arrivals.c.ingested_at.is_(None))
        if arrival_date is not None:
            waiting = waiting.where(arrivals.c.arrival_date == arrival_date)
        newest: dict[str, LandingObject] = {}
        with self._transaction() as connection:
            for row in connection.execute(waiting.order_by(arrivals.c.name, arrivals.c.generation)):
                newest[row.name] = LandingObject(
                    source=row.source,
                    arrival_date=row.arrival_date,
                    name=row.name,
                    generation=row.generation,
                    size=row.size,
                    landed_at=_utc(row.landed_at),
                    bucket=self._settings.landing_bucket,
                )
        by_date: dict[date, list[LandingObject]] = defaultdict(list)
        for arrival in sorted(newest.values()):
            by_date[arrival.arrival_date].append(arrival)
        return dict(by_date)

    def mark_ingested(self, source: str, keys: Iterable[tuple[str, int]], now: datetime | None = None) -> None:
        """Objects, by name and generation, are in bronze; nobody need read older generations of their names now."""
        from sqlalchemy import bindparam, update

        arrivals = self._tables.arrivals
        done = (
            update(arrivals)
            .where(arrivals.c.source == source, arrivals.c.ingested_at.is_(None))
            .where(arrivals.c.name == bindparam("of_name"), arrivals.c.generation <= bindparam("up_to"))
            .values(ingested_at=_moment(now))
        )
        with self._transaction() as connection:
            for chunk in _chunks(keys):
                connection.execute(done, [{"of_name": name, "up_to": generation} for name, generation in chunk])

    def forget_arrivals(self, source: str, keys: Iterable[tuple[str, int]]) -> None:
        """Objects, by name and generation, are gone from landing: should they be listed again, they are new."""
        from sqlalchemy import bindparam, delete

        arrivals = self._tables.arrivals
        gone = delete(arrivals).where(
            arrivals.c.source == source,
            arrivals.c.name == bindparam("of_name"),
            arrivals.c.generation == bindparam("of_generation"),
        )
        with self._transaction() as connection:
            for chunk in _chunks(keys):
                connection.execute(gone, [{"of_name": name, "of_generation": number} for name, number in chunk])

    def arrivals(self, source: str, since: datetime) -> list[Arrival]:
        """What was seen or ingested since, or is not ingested yet."""
        from sqlalchemy import or_, select

        these = self._tables.arrivals.c
        moment = _moment(since)
        recent = or_(these.seen_at >= moment, these.ingested_at >= moment, these.ingested_at.is_(None))
        wanted = select(these.arrival_date, these.landed_at, these.seen_at, these.ingested_at)
        with self._transaction() as connection:
            found = connection.execute(wanted.where(these.source == source, recent)).all()
        return [
            Arrival(
                row.arrival_date,
                _utc(row.landed_at),
                _utc(row.seen_at),
                None if row.ingested_at is None else _utc(row.ingested_at),
            )
            for row in found
        ]

    def has_arrival(self, source: str, arrival_date: date) -> bool:
        """Whether anything has been seen of a source on a date."""
        from sqlalchemy import exists, select

        arrivals = self._tables.arrivals
        these = (arrivals.c.source == source) & (arrivals.c.arrival_date == arrival_date)
        with self._transaction() as connection:
            return bool(connection.execute(select(exists().where(these))).scalar())

    def unseen(self, source: str, names: Iterable[str]) -> set[str]:
        """Those of the object names of which no generation has been seen."""
        from sqlalchemy import select

        arrivals = self._tables.arrivals
        wanted = set(names)
        known: set[str] = set()
        with self._transaction() as connection:
            for chunk in _chunks(wanted):
                these = (arrivals.c.source == source) & arrivals.c.name.in_(chunk)
                known.update(connection.execute(select(arrivals.c.name).where(these)).scalars())
        return wanted - known

    # Drift: which members that no schema has were told of.

    def record_drift(self, source: str, members: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Remember members by name and JSON type; returns those that were not known, in the order given."""
        drift = self._tables.drift
        new: set[tuple[str, str]] = set()
        with self._transaction() as connection:
            for chunk in _chunks(members):
                rows = [
                    {"source": source, "member": name, "json_type": json_type, "seen_at": _moment(None)}
                    for name, json_type in chunk
                ]
                statement = self._insert(drift).values(rows).on_conflict_do_nothing()
                known = statement.returning(drift.c.member, drift.c.json_type)
                new.update((row.member, row.json_type) for row in connection.execute(known))
        return [member for member in members if member in new]

    # Progress: how far the connector of a source has come.

    def progress(self, source: str) -> Progress:
        """What was saved last, or the beginning."""
        from sqlalchemy import select

        progress = self._tables.progress
        with self._transaction() as connection:
            row = connection.execute(select(progress).where(progress.c.source == source)).one_or_none()
        if row is None:
            return Progress()
        return Progress(
            position=json.loads(row.position),
            planned=row.planned,
            due_at=_utc(row.due_at) if row.due_at else None,
            failures=row.failures,
        )

    def save_progress(self, source: str, progress: Progress) -> None:
        """Remember it instead of what was saved before."""
        values = {
            "position": json.dumps(progress.position),
            "planned": progress.planned,
            "due_at": None if progress.due_at is None else _moment(progress.due_at),
            "failures": progress.failures,
        }
        row = self._insert(self._tables.progress).values(source=source, **values)
        with self._transaction() as connection:
            connection.execute(row.on_conflict_do_update(index_elements=["source"], set_=values))

    # Announced: up to which snapshot of a table its changes have been told downstream.

    def announced(self, table: str) -> int | None:
        """The snapshot of the table whose changes, and all before, have been told."""
        from sqlalchemy import select

        announced = self._tables.announced
        with self._transaction() as connection:
            found = connection.execute(select(announced.c.snapshot_id).where(announced.c.table_name == table)).scalar()
        return None if found is None else int(found)

    def mark_announced(self, table: str, snapshot_id: int) -> None:
        """Everything up to the snapshot has been told."""
        announced = self._tables.announced
        row = self._insert(announced).values(table_name=table, snapshot_id=snapshot_id)
        with self._transaction() as connection:
            connection.execute(
                row.on_conflict_do_update(index_elements=["table_name"], set_={"snapshot_id": snapshot_id})
            )

    # Published: what a polled source has already sent to its topic (S3-05).

    def unpublished(self, source: str, keys: Iterable[str]) -> set[str]:
        """Those of the keys that have not been published."""
        from sqlalchemy import select

        published = self._tables.published
        wanted = set(keys)
        known: set[str] = set()
        with self._transaction() as connection:
            for chunk in _chunks(wanted):
                these = (published.c.source == source) & published.c.record_key.in_(chunk)
                known.update(connection.execute(select(published.c.record_key).where(these)).scalars())
        return wanted - known

    def record_published(self, source: str, published: Iterable[Published]) -> None:
        """Remember records whose publication the broker has confirmed."""
        with self._transaction() as connection:
            for chunk in _chunks(published):
                rows = [
                    {
                        "source": source,
                        "record_key": record.key,
                        "event_id": record.event_id,
                        "published_at": _moment(record.published_at),
                    }
                    for record in chunk
                ]
                connection.execute(self._insert(self._tables.published).values(rows).on_conflict_do_nothing())

    def mark_landed(self, event_ids: Iterable[str], now: datetime | None = None) -> None:
        """Published events are in landing objects; ids that nobody here has published are passed over."""
        from sqlalchemy import update

        published = self._tables.published
        with self._transaction() as connection:
            for chunk in _chunks(event_ids):
                these = published.c.event_id.in_(chunk) & published.c.landed_at.is_(None)
                connection.execute(update(published).where(these).values(landed_at=_moment(now)))

    def forget_unlanded(self, source: str) -> int:
        """Forget what was published and has not landed, for a broker that lost its messages; returns how many."""
        from sqlalchemy import delete

        published = self._tables.published
        with self._transaction() as connection:
            lost = delete(published).where(published.c.source == source, published.c.landed_at.is_(None))
            return int(connection.execute(lost).rowcount)

    @property
    def _tables(self) -> Tables:
        return tables()

    def _insert(self, table: Table) -> Insert:
        return insert_of(self._engine.dialect.name)(table)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection

    @cached_property
    def _engine(self) -> Engine:
        engine = operations_engine(self._settings)
        weakref.finalize(self, engine.dispose)  # connections that nobody closed end with the ledger
        return engine


def operations_engine(settings: Settings) -> Engine:
    """Connections to the operations database, with all of its tables made; whoever asks disposes of them."""
    from sqlalchemy import create_engine, event, make_url

    url = make_url(settings.resolved_operations_uri)
    if url.get_backend_name() != "sqlite":
        engine = create_engine(url, pool_pre_ping=True)
    else:
        if url.database and url.database != ":memory:":
            _parent_of(url.database)
        engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS})
        event.listen(engine, "connect", _write_ahead)
    try:
        _until_unlocked(lambda: create_tables(engine))
    except BaseException:
        engine.dispose()
        raise
    return engine


def _until_unlocked(step: Callable[[], None]) -> None:
    """Two processes that make the database at once may disturb each other: the later one finds it made."""
    from sqlalchemy.exc import DBAPIError
    from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random

    patient = retry(
        retry=retry_if_exception_type(DBAPIError), stop=stop_after_delay(5), wait=wait_random(0, 0.2), reraise=True
    )
    patient(step)()


def _write_ahead(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        cursor.execute("PRAGMA journal_mode=WAL")  # readers do not wait for the writer
    cursor.close()


def _parent_of(database: str) -> None:
    from pathlib import Path

    Path(database).parent.mkdir(parents=True, exist_ok=True)


def _arrival_row(arrival: LandingObject) -> dict[str, object]:
    return {
        "source": arrival.source,
        "name": arrival.name,
        "generation": arrival.generation,
        "arrival_date": arrival.arrival_date,
        "size": arrival.size,
        "landed_at": _moment(arrival.landed_at),
    }


def _moment(moment: datetime | None) -> datetime:
    return (moment or datetime.now(UTC)).astimezone(UTC)


def _utc(stored: datetime) -> datetime:
    """SQLite keeps no zone: what it holds is UTC because only UTC is written."""
    return stored.astimezone(UTC) if stored.tzinfo else stored.replace(tzinfo=UTC)


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while chunk := list(islice(rest, _ROWS_PER_STATEMENT)):
        yield chunk

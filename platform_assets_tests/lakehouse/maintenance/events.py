"""A table of events with a file for every arrival, and what maintenance must leave as it is."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from platform_assets.contracts.model import Column, Contract
from platform_assets.lakehouse import publisher
from platform_assets.lakehouse.catalog import Lakehouse, local_path
from platform_assets.lakehouse.maintenance.compaction import Compaction, compact
from platform_assets.lakehouse.publisher import Publication
from platform_assets.lakehouse.reader import relation, table_relation

EVENTS = Contract(
    table="silver.events",
    columns=(
        Column("id", "integer", nullable=False),
        Column("name", "string"),
        Column("amount", "decimal(18,2)"),
        Column("at", "timestamp", nullable=False),
        Column("day", "date", nullable=False),
    ),
    event_time="at",
    partition_column="day",
    clustering=("name", "id"),
)
LOG = Contract("ops.log", (Column("id", "integer", nullable=False), Column("text", "string")))
BRONZE = Contract("bronze.events", EVENTS.columns, event_time="at", partition_column="day")
DAY = date(2026, 11, 20)
NEXT = DAY + timedelta(days=1)
SOON = timedelta(days=365)  # so long from now everything is old

Rows = list[tuple[object, ...]]


def rows_of(day: date = DAY, count: int = 3, first: int = 0) -> str:
    """SQL after FROM: events of a day; every second one has no name, and every third is there twice."""
    return (
        f"(SELECT i AS id, CASE WHEN i % 2 = 0 THEN 'n' || (100 - i) END AS name, i / 4 AS amount, "
        f"TIMESTAMPTZ '{day} 10:00:00+00' + to_seconds(i) AS at, DATE '{day}' AS day "
        f"FROM range({first}, {first + count}) r(i), range(CASE WHEN i % 3 = 0 THEN 2 ELSE 1 END))"
    )


def append(lakehouse: Lakehouse, day: date = DAY, count: int = 3, first: int = 0, contract: Contract = EVENTS) -> None:
    """One arrival more."""
    with lakehouse.connect() as connection:
        publisher.append(
            lakehouse,
            contract,
            connection,
            rows_of(day, count, first),
            base=lakehouse.ensure(contract),
            partition=day,
            properties={"platform.partition": day.isoformat()},
        )


def arrive(lakehouse: Lakehouse, day: date = DAY, first: int = 0) -> None:
    """One arrival more in bronze, which says at which dates."""
    with lakehouse.connect() as connection:
        publisher.append(
            lakehouse,
            BRONZE,
            connection,
            rows_of(day, 2, first),
            base=lakehouse.ensure(BRONZE),
            partition=day,
            properties={
                "platform.partition": day.isoformat(),
                "platform.touched-dates": json.dumps([day.isoformat()]),
            },
        )


def replace(lakehouse: Lakehouse, day: date = DAY, count: int = 3, first: int = 0) -> Publication:
    """A partition made anew."""
    with lakehouse.connect() as connection:
        return publisher.replace(
            lakehouse,
            EVENTS,
            connection,
            rows_of(day, count, first),
            partition=day,
            properties={"platform.partition": day.isoformat(), "platform.rows-in": str(count)},
        )


def write_log(lakehouse: Lakehouse, number: int) -> None:
    """One file more in a table without partitions."""
    with lakehouse.connect() as connection:
        publisher.append(
            lakehouse,
            LOG,
            connection,
            f"(SELECT {number} AS id, 'line ' || {number} AS text)",
            base=lakehouse.ensure(LOG),
            partition=None,  # type: ignore[arg-type] # a table without partitions has none
            properties={},
        )


def rows(lakehouse: Lakehouse, name: str = EVENTS.table) -> Rows:
    """All rows, sorted."""
    with lakehouse.connect() as connection:
        return connection.execute(f"SELECT * FROM {relation(lakehouse, name)} ORDER BY ALL").fetchall()


def planned(lakehouse: Lakehouse, name: str = EVENTS.table) -> str:
    """What a reader reads that has planned now: the files of the newest snapshot, by their names."""
    return table_relation(lakehouse.catalog.load_table(name))


def read(lakehouse: Lakehouse, source: str) -> Rows:
    """The rows of a reader, whenever it planned."""
    with lakehouse.connect() as connection:
        return connection.execute(f"SELECT * FROM {source} ORDER BY ALL").fetchall()


def live_files(lakehouse: Lakehouse, name: str = EVENTS.table) -> list[str]:
    """The files of the newest snapshot."""
    tasks = lakehouse.catalog.load_table(name).scan().plan_files()
    return sorted(local_path(task.file.file_path) for task in tasks)


def files(lakehouse: Lakehouse, name: str = EVENTS.table) -> set[Path]:
    """Everything in the table's folder."""
    folder = Path(local_path(lakehouse.catalog.load_table(name).location()))
    return {path for path in folder.rglob("*") if path.is_file()}


def age(lakehouse: Lakehouse, name: str = EVENTS.table, days: float = 30) -> None:
    """Makes every file of the table as old as that."""
    then = time.time() - days * 86_400
    for path in files(lakehouse, name):
        os.utime(path, (then, then))


def merge(lakehouse: Lakehouse, name: str = EVENTS.table, fewest_files: int = 2) -> Compaction:
    """Compacts the events, however few their files are."""
    clustering = EVENTS.clustering if name == EVENTS.table else ()
    return compact(lakehouse, name, clustering=clustering, fewest_files=fewest_files)


def later() -> datetime:
    """A moment at which everything that is there now is old."""
    return datetime.now(UTC) + SOON


def days_ago(days: float) -> datetime:
    """A moment before now."""
    return datetime.now(UTC) - timedelta(days=days)

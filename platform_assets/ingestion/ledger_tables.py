"""The operations database's tables. SQLite by default, PostgreSQL in production: what both know, nothing of one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine, MetaData, Table
    from sqlalchemy.dialects.sqlite import Insert


@dataclass(frozen=True)
class Tables:
    """All of them; a row of each is told where it is written and read, in `ledger`."""

    metadata: MetaData
    alert_positions: Table
    announced: Table
    arrivals: Table
    drift: Table
    incidents: Table
    parked: Table
    progress: Table
    published: Table


@cache
def tables() -> Tables:
    """The tables, which SQLAlchemy is loaded for."""
    from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, Index, Integer, MetaData, String, Table, Text

    metadata = MetaData()
    moment = DateTime(timezone=True)
    alert_positions = Table(
        "alert_positions",
        metadata,
        Column("name", String, primary_key=True),
        Column("position", String, nullable=False),
    )
    announced = Table(
        "announced",
        metadata,
        Column("table_name", String, primary_key=True),
        Column("snapshot_id", BigInteger, nullable=False),
    )
    arrivals = Table(
        "arrivals",
        metadata,
        Column("source", String, primary_key=True),
        Column("name", String, primary_key=True),
        Column("generation", BigInteger, primary_key=True),
        Column("arrival_date", Date, nullable=False),
        Column("size", BigInteger, nullable=False),
        Column("landed_at", moment, nullable=False),
        Column("seen_at", moment, nullable=False),
        Column("ingested_at", moment),
    )
    Index("arrivals_waiting", arrivals.c.source, arrivals.c.ingested_at)
    Index("arrivals_seen", arrivals.c.source, arrivals.c.seen_at)
    drift = Table(
        "drift",
        metadata,
        Column("source", String, primary_key=True),
        Column("member", String, primary_key=True),
        Column("json_type", String, primary_key=True),
        Column("seen_at", moment, nullable=False),
    )
    incidents = Table(
        "incidents",
        metadata,
        Column("fingerprint", String, primary_key=True),
        Column("severity", String, nullable=False),
        Column("since", moment, nullable=False),
        Column("over", Boolean, nullable=False, index=True),
        Column("body", Text, nullable=False),
    )
    parked = Table(
        "parked",
        metadata,
        Column("asset", String, primary_key=True),
        Column("partition", String, primary_key=True),
        Column("reason", Text, nullable=False),
        Column("since", moment, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("run_id", String, nullable=False),
        Column("definition", String, nullable=False),
        Column("released_at", moment),
        Column("released_by", String),
        Column("released_why", Text),
    )
    published = Table(
        "published",
        metadata,
        Column("source", String, primary_key=True),
        Column("record_key", String, primary_key=True),
        Column("event_id", String, nullable=False, index=True),
        Column("published_at", moment, nullable=False),
        Column("landed_at", moment),
    )
    progress = Table(
        "progress",
        metadata,
        Column("source", String, primary_key=True),
        Column("position", Text, nullable=False),
        Column("planned", Date),
        Column("due_at", moment),
        Column("failures", Integer, nullable=False),
    )
    return Tables(metadata, alert_positions, announced, arrivals, drift, incidents, parked, progress, published)


def insert_of(dialect: str) -> Callable[[Table], Insert]:
    """The dialect's insert, which knows ON CONFLICT; SQLite's and PostgreSQL's are the same for what is used here."""
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        return postgresql_insert  # type: ignore[return-value]
    from sqlalchemy.dialects.sqlite import insert

    return insert


def create_tables(engine: Engine) -> None:
    """Make those that are not there."""
    from sqlalchemy.schema import CreateIndex, CreateTable

    with engine.begin() as connection:
        for table in tables().metadata.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in sorted(table.indexes, key=lambda index: str(index.name)):
                connection.execute(CreateIndex(index, if_not_exists=True))

"""Landing to bronze: a partition of bronze holds exactly what landing holds for that arrival date (I3, I4).

A run lists the date's objects, subtracts those that the partition holds already, and commits the rest in one snapshot.
Whatever was killed at whatever point, the next run finds the truth in landing and in the table, and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from platform_assets.contracts.rules import literal, quote
from platform_assets.ingestion.intake import Intake
from platform_assets.ingestion.landing import Arrivals, ArrivalVanished, Landing, LandingObject
from platform_assets.lakehouse import publisher
from platform_assets.lakehouse.progress import progress
from platform_assets.lakehouse.publisher import ConcurrentPublish
from platform_assets.lakehouse.reader import table_relation
from platform_assets.lakehouse.staging import Staged
from platform_assets.lakehouse.values import raw_value, typed_value, utc_date
from platform_assets.sources.contracts import (
    ARRIVAL_DATE,
    EVENT_DATE,
    UNEXPECTED,
    bronze_contract,
    bronze_fields,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    import duckdb
    from pyiceberg.table import Table

    from platform_assets.contracts.model import Contract
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.publisher import Publication
    from platform_assets.settings import Settings
    from platform_assets.sources.model import Source

_ATTEMPTS = 5
TOUCHED = "platform.touched-dates"


@dataclass(frozen=True)
class Ingested:
    """What one run took from landing.

    Attributes:
        objects: objects of the date that the partition holds now.
        rows: rows that were committed.
        dead_letters: records that could not be read, and faults of whole objects.
        publication: the commit, or None if there was nothing new.
        committed_at: when the partition was last committed, at which it had all objects; None if it never was.
    """

    objects: tuple[LandingObject, ...]
    rows: int
    dead_letters: int
    publication: Publication | None
    committed_at: datetime | None = None


@dataclass(frozen=True)
class _Plan:
    table: Table
    objects: list[LandingObject]
    replace: bool


def ingest(
    settings: Settings,
    lakehouse: Lakehouse,
    source: Source,
    arrival_date: date,
    *,
    rebuild: bool,
    run_id: str,
    landing: Arrivals | None = None,
) -> Ingested:
    """Brings bronze up to date with landing for one arrival date.

    Args:
        settings: where landing and the lakehouse are.
        lakehouse: the tables.
        source: what arrives.
        arrival_date: the partition.
        rebuild: replace the partition from landing instead of adding what is new. An object that was overwritten since
            it was ingested forces this: its old rows must go.
        run_id: stamped on the snapshot.
        landing: where the objects are, if not in the landing bucket.

    Raises:
        ConcurrentPublish: other runs kept publishing to the same table.
        ArrivalVanished: objects kept changing while they were read.
    """
    landing = landing or Landing(settings)
    for attempt in range(_ATTEMPTS):
        try:
            return _ingest_once(settings, lakehouse, landing, source, arrival_date, rebuild=rebuild, run_id=run_id)
        except (ConcurrentPublish, ArrivalVanished):
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _ingest_once(
    settings: Settings,
    lakehouse: Lakehouse,
    landing: Arrivals,
    source: Source,
    arrival_date: date,
    *,
    rebuild: bool,
    run_id: str,
) -> Ingested:
    contract = bronze_contract(source)
    with lakehouse.connect() as connection:
        landed = tuple(landing.objects(source.name, arrival_date))
        plan = _plan(lakehouse, connection, contract, landed, arrival_date, rebuild)
        if not plan.objects and not plan.replace:
            return Ingested(landed, 0, 0, None, _committed_at(plan.table, arrival_date))
        with Staged(plan.table, contract, connection) as staged:
            rows = partial(bronze_rows, settings, source, arrival_date)
            intake = Intake(source, landing, connection, staged, arrival_date, rows)
            records = intake.take(plan.objects, settings.home.resolve() / "spill")
            landing.put_dead_letters(records.dead_letters, all_of=(source.name, arrival_date) if plan.replace else None)
            touched = _touched(connection, plan, staged, arrival_date)
            # Whoever published since the plan was made may have taken the same objects: then there is a new plan.
            publish = publisher.replace if plan.replace else publisher.append
            published = publish(
                lakehouse,
                contract,
                connection,
                staged,
                base=plan.table,
                partition=arrival_date,
                properties={
                    "platform.run-id": run_id,
                    "platform.partition": arrival_date.isoformat(),
                    "platform.objects": str(len(plan.objects)),
                    "platform.dead-letters": str(records.refused + records.faults),
                    TOUCHED: json.dumps([day.isoformat() for day in touched]),
                },
                data_version=_version(contract, plan.objects),
            )
    committed_at = _committed_at(plan.table, arrival_date)
    return Ingested(landed, published.rows, records.refused + records.faults, published, committed_at)


def _committed_at(table: Table, arrival_date: date) -> datetime | None:
    """When rows of the partition were last committed."""
    return progress(table).made.get(arrival_date)


def _plan(
    lakehouse: Lakehouse,
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    landed: Sequence[LandingObject],
    arrival_date: date,
    rebuild: bool,  # noqa: FBT001 - private
) -> _Plan:
    table = lakehouse.ensure(contract)
    held = set(
        connection.execute(
            "SELECT DISTINCT _landing_uri, _landing_generation "
            f"FROM {table_relation(table, where={ARRIVAL_DATE: arrival_date})}"
        ).fetchall()
    )
    uris = {uri for uri, _ in held}
    new = [arrival for arrival in landed if (arrival.uri, arrival.generation) not in held]
    if rebuild or any(arrival.uri in uris for arrival in new):
        return _Plan(table, list(landed), replace=True)
    return _Plan(table, new, replace=False)


def _version(contract: Contract, objects: Sequence[LandingObject]) -> str:
    """Which rows these are: a generation of an object never changes, and the columns say what is kept of it."""
    said = (
        [column.name for column in contract.columns],
        sorted((arrival.uri, arrival.generation) for arrival in objects),
    )
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def bronze_rows(settings: Settings, source: Source, arrival_date: date, records: str) -> str:
    """SQL after FROM: records (with the columns of `records.read_objects`) with those that bronze adds."""
    fields = ", ".join([*(quote(field.name) for field in bronze_fields(source)), UNEXPECTED])
    return (
        f"(SELECT {fields}, _landing_uri, _landing_generation, _landed_at, _row_number, now() AS _ingested_at, "
        f"DATE '{arrival_date.isoformat()}' AS {ARRIVAL_DATE}, "
        f"{_event_date(settings, source, arrival_date)} AS {EVENT_DATE} FROM {records})"
    )


def _event_date(settings: Settings, source: Source, arrival_date: date) -> str:
    """The silver partition of a row: the date of its event if that can be, else the date on which it arrived.

    A clock may run ahead by up to a day. Whatever else is out of range is told by the contract in quarantine.
    """
    arrived = f"DATE '{arrival_date.isoformat()}'"
    name = source.file.event_time
    if name is None:
        return arrived
    column = next(column for column in source.record.columns if column.name == name)
    day = utc_date(column, typed_value(column, raw_value(column)))
    start = literal(settings.partitions_start.isoformat())
    return f"CASE WHEN {day} BETWEEN DATE {start} AND {arrived} + 1 THEN {day} ELSE {arrived} END"


def _touched(connection: duckdb.DuckDBPyConnection, plan: _Plan, staged: Staged, arrival_date: date) -> list[date]:
    """Event dates of the rows that come, and on replacing also of those that go."""
    changed = [f"SELECT {EVENT_DATE} FROM {file.relation}" for file in staged.files]
    if plan.replace:
        changed.append(f"SELECT {EVENT_DATE} FROM {table_relation(plan.table, where={ARRIVAL_DATE: arrival_date})}")
    if not changed:
        return []
    found = connection.execute(f"SELECT DISTINCT {EVENT_DATE} FROM ({' UNION ALL '.join(changed)}) ORDER BY 1")
    return [day for (day,) in found.fetchall()]


def unannounced_dates(table: Table, announced: int | None) -> tuple[list[date], int | None]:
    """Event dates touched by the table's commits since the snapshot `announced`, and the newest snapshot.

    The snapshots are the outbox: a date is in there from the moment on at which its rows are visible, so that a run
    killed between its commit and its announcement leaves nothing that the next one would not find.
    """
    from datetime import date as calendar_date

    newest = table.current_snapshot()
    snapshots = {snapshot.snapshot_id: snapshot for snapshot in table.snapshots()}
    days: set[calendar_date] = set()
    snapshot = newest
    while snapshot is not None and snapshot.snapshot_id != announced:
        summary = snapshot.summary
        listed = summary.additional_properties.get(TOUCHED, "[]") if summary else "[]"
        days.update(calendar_date.fromisoformat(day) for day in json.loads(listed))
        snapshot = snapshots.get(snapshot.parent_snapshot_id or 0)  # 0 is no snapshot's
    return sorted(days), newest.snapshot_id if newest else None

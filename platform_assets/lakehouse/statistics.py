"""What a table's own Iceberg metadata tells of it: rows, partitions, last publish, watermark.

No row is read, but where a count by another date than the partition's cannot be had without (`rows_dated`). What was
read of a table is kept until its next commit (`lakehouse.answers`), and of that one only the pages that it wrote are
read (`lakehouse.manifests`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from platform_assets.contracts.rules import literal, quote
from platform_assets.lakehouse.answers import answer
from platform_assets.lakehouse.catalog import local_path
from platform_assets.lakehouse.commits import moment_of
from platform_assets.lakehouse.manifests import partition_of
from platform_assets.lakehouse.remembered import last_published_at

if TYPE_CHECKING:
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

    from platform_assets.contracts.model import Contract
    from platform_assets.lakehouse.catalog import Lakehouse

# For each table and each of its columns that tells the time, what its manifests hold: none of them ever changes.
_PAGES: dict[tuple[str, int | None], dict[str, _Page]] = {}


@dataclass(frozen=True)
class TableStatistics:
    """A table as its newest snapshot describes it.

    Attributes:
        partitions: number of partitions that hold rows; 1 for a table without partitions that holds any.
        newest_partition: the latest date that holds rows.
        last_published_at: when something was published last (UTC); maintenance is no publish.
        watermark: the newest event time in the table (UTC), None where it is empty.
        rows_by_partition: rows of every partition that holds any; empty for a table without partitions.
    """

    table: str
    rows: int
    files: int
    partitions: int
    newest_partition: date | None
    last_published_at: datetime | None
    watermark: datetime | None
    rows_by_partition: Mapping[date, int] = field(default_factory=dict)


def statistics(table: Table, contract: Contract | None) -> TableStatistics:
    """The statistics of a table; without a contract there is no watermark."""
    event_time = contract.event_time if contract else None
    return answer(table.metadata_location, "statistics", event_time, lambda: _statistics(table, event_time))


def _statistics(table: Table, event_time: str | None) -> TableStatistics:
    name = ".".join(table.name())
    snapshot = table.current_snapshot()
    if snapshot is None:
        return TableStatistics(name, 0, 0, 0, None, None, None)
    pages = _pages(table, snapshot, _timestamp(table, event_time))
    partitioned, files = bool(table.spec().fields), sum(page.files for page in pages)
    days: dict[date, int] = {}
    for page in pages:
        for day, rows in page.rows_by_partition.items():  # in half the time of Counter.update, of hundreds of pages
            days[day] = days.get(day, 0) + rows
    newest = max((page.newest for page in pages if page.newest is not None), default=None)
    return TableStatistics(
        table=name,
        rows=sum(page.rows for page in pages),
        files=files,
        partitions=len(days) if partitioned else int(bool(files)),
        newest_partition=max(days, default=None),
        last_published_at=last_published_at(table) or moment_of(snapshot),
        watermark=None if newest is None else datetime.fromtimestamp(newest / 1_000_000, UTC),
        rows_by_partition=days,
    )


@dataclass(frozen=True)
class _Page:
    """What the files of one manifest hold; `newest` is the greatest time of theirs, in microseconds since 1970."""

    files: int
    rows: int
    rows_by_partition: Mapping[date, int]
    newest: int | None


def _pages(table: Table, snapshot: Snapshot, timestamp: int | None) -> list[_Page]:
    from pyiceberg.manifest import ManifestContent

    key = (table.location(), timestamp)
    before = _PAGES.get(key, {})
    manifests = [m for m in snapshot.manifests(table.io) if m.content == ManifestContent.DATA]
    now = {m.manifest_path: before.get(m.manifest_path) or _read_page(table, m, timestamp) for m in manifests}
    _PAGES[key] = now
    return list(now.values())


def _read_page(table: Table, manifest: ManifestFile, timestamp: int | None) -> _Page:
    """The greatest upper bound of the time is exact, because Parquet keeps it exactly for timestamps."""
    from pyiceberg.conversions import from_bytes
    from pyiceberg.types import TimestamptzType

    files = [entry.data_file for entry in manifest.fetch_manifest_entry(table.io)]
    days: Counter[date] = Counter()
    for file in files:
        if (day := partition_of(file)) is not None:
            days[day] += file.record_count
    bounds = [(file.upper_bounds or {}).get(timestamp) for file in files] if timestamp is not None else []
    newest = max((int(from_bytes(TimestamptzType(), bound)) for bound in bounds if bound), default=None)
    return _Page(len(files), sum(file.record_count for file in files), days, newest)


def _timestamp(table: Table, column: str | None) -> int | None:
    """The field id of the column that tells the time; the contract may have gained it since."""
    from pyiceberg.types import TimestamptzType

    found = (field for field in table.schema().fields if field.name == column)
    return next((field.field_id for field in found if isinstance(field.field_type, TimestamptzType)), None)


def partition_rows(table: Table, day: date) -> int:
    """Rows of one partition, from the manifests."""
    from pyiceberg.expressions import EqualTo

    if table.current_snapshot() is None:
        return 0
    column = table.schema().find_field(table.spec().fields[0].source_id).name
    tasks = table.scan(row_filter=EqualTo(column, day.isoformat())).plan_files()  # type: ignore[call-arg,misc]
    return sum(task.file.record_count for task in tasks)


def rows_dated(lakehouse: Lakehouse, name: str, version: str, column: str, day: date) -> int:
    """Rows of which a date column says `day`: from the bounds of the files, and from rows only where those differ.

    Args:
        lakehouse: where the table is.
        name: `layer.table`.
        version: its metadata file, as from `Lakehouse.versions`.
        column: the date column.
        day: the date.
    """
    return answer(
        version,
        "rows dated",
        (column, day),
        lambda: _rows_dated(lakehouse, lakehouse.catalog.load_table(name), column, day),
    )


def _rows_dated(lakehouse: Lakehouse, table: Table, column: str, day: date) -> int:
    from pyiceberg.conversions import from_bytes
    from pyiceberg.expressions import EqualTo
    from pyiceberg.types import DateType

    wanted, field_id, rows, mixed = (day - date(1970, 1, 1)).days, table.schema().find_field(column).field_id, 0, []
    for task in table.scan(row_filter=EqualTo(column, day.isoformat())).plan_files():  # type: ignore[call-arg,misc]
        bounds = [(limits or {}).get(field_id) for limits in (task.file.lower_bounds, task.file.upper_bounds)]
        if all(bound is not None and int(from_bytes(DateType(), bound)) == wanted for bound in bounds):
            rows += task.file.record_count
        else:
            mixed.append(local_path(task.file.file_path))
    return rows + _count(lakehouse, mixed, column, day)


def _count(lakehouse: Lakehouse, paths: list[str], column: str, day: date) -> int:
    if not paths:
        return 0
    files = ", ".join(map(literal, paths))
    ((counted,),) = lakehouse.ask(
        f"SELECT count(*) FROM read_parquet([{files}]) WHERE {quote(column)} = DATE '{day.isoformat()}'"
    )
    return int(counted)

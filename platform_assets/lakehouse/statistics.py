"""What a table's own Iceberg metadata tells of it: rows, partitions, last publish, watermark.

No row is read, but where a count by another date than the partition's cannot be had without (`rows_dated`). What was
read of a table is kept until its next commit: of a thousand, few have changed since freshness was last looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from platform_assets.contracts.rules import literal, quote
from platform_assets.lakehouse.catalog import local_path
from platform_assets.lakehouse.commits import moment_of
from platform_assets.lakehouse.remembered import last_published_at

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table

    from platform_assets.contracts.model import Contract
    from platform_assets.lakehouse.catalog import Lakehouse

Read = TypeVar("Read")
# For each table and each thing that is asked of it, the newest answer, and to what: never more than there are tables.
_ANSWERS: dict[Hashable, tuple[Hashable, Any]] = {}


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
    return _as_it_stands(table, "statistics", event_time, lambda: _statistics(table, event_time))


def _as_it_stands(table: Table, question: str, detail: Hashable, read: Callable[[], Read]) -> Read:
    """What is read of a table, once for each of its metadata files: none of them ever changes."""
    key, asked = (question, table.name(), table.location()), (table.metadata_location, detail)
    known = _ANSWERS.get(key)
    if known is not None and known[0] == asked:
        answer: Read = known[1]
        return answer
    answer = read()
    _ANSWERS[key] = (asked, answer)
    return answer


def _statistics(table: Table, event_time: str | None) -> TableStatistics:
    name = ".".join(table.name())
    snapshot = table.current_snapshot()
    if snapshot is None:
        return TableStatistics(name, 0, 0, 0, None, None, None)
    files = [task.file for task in table.scan().plan_files()]
    partitioned = bool(table.spec().fields)
    days: Counter[date] = Counter()
    for file in files if partitioned else ():
        if (day := _day(file)) is not None:
            days[day] += file.record_count
    return TableStatistics(
        table=name,
        rows=sum(file.record_count for file in files),
        files=len(files),
        partitions=len(days) if partitioned else int(bool(files)),
        newest_partition=max(days, default=None),
        last_published_at=last_published_at(table) or moment_of(snapshot),
        watermark=_watermark(table, files, event_time),
        rows_by_partition=days,
    )


def partition_rows(table: Table, day: date) -> int:
    """Rows of one partition, from the manifests."""
    from pyiceberg.expressions import EqualTo

    if table.current_snapshot() is None:
        return 0
    column = table.schema().find_field(table.spec().fields[0].source_id).name
    tasks = table.scan(row_filter=EqualTo(column, day.isoformat())).plan_files()  # type: ignore[call-arg,misc]
    return sum(task.file.record_count for task in tasks)


def rows_dated(lakehouse: Lakehouse, table: Table, column: str, day: date) -> int:
    """Rows of which a date column says `day`: from the bounds of the files, and from rows only where those differ."""
    return _as_it_stands(table, "rows dated", (column, day), lambda: _rows_dated(lakehouse, table, column, day))


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
    with lakehouse.connect() as connection:
        counted = connection.execute(
            f"SELECT count(*) FROM read_parquet([{files}]) WHERE {quote(column)} = DATE '{day.isoformat()}'"
        ).fetchone()
    return int(counted[0]) if counted else 0


def _day(file: DataFile) -> date | None:
    """The date of a file's partition, which PyIceberg reads as days since 1970."""
    day = file.partition[0]
    return date(1970, 1, 1) + timedelta(days=day) if isinstance(day, int) else day


def _watermark(table: Table, files: list[DataFile], column: str | None) -> datetime | None:
    """The greatest upper bound of the column over all files, exact because Parquet keeps it exactly for timestamps."""
    from pyiceberg.conversions import from_bytes
    from pyiceberg.types import TimestamptzType

    if column is None:
        return None
    field = next((field for field in table.schema().fields if field.name == column), None)
    if field is None or not isinstance(field.field_type, TimestamptzType):  # the contract may have gained it since
        return None
    bounds = [
        file.upper_bounds[field.field_id] for file in files if file.upper_bounds and field.field_id in file.upper_bounds
    ]
    newest = max((from_bytes(field.field_type, bound) for bound in bounds), default=None)
    return None if newest is None else datetime.fromtimestamp(int(newest) / 1_000_000, UTC)

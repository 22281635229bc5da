"""Takes out partitions that are older than their table keeps them: one commit, which is nobody's change.

What a source or a model declares decides: `retention.silver_days` of a source, `retention_days` in a model's `meta`.
Without a number rows stay for ever (S1-51). Bronze is never deleted, whatever is declared (S1-49): it is what all else
is made from again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from platform_assets.contracts.dbt_yaml import load_models
from platform_assets.lakehouse.commits import MAINTENANCE
from platform_assets.lakehouse.publisher import ConcurrentPublish
from platform_assets.sources.contracts import contracts_of
from platform_assets.sources.registry import load_sources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table

    from platform_assets.contracts.model import Contract
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.settings import Settings

_ATTEMPTS = 5
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Keep:
    """How long a table keeps its rows.

    Attributes:
        column: its partition column; None if it has none, and rows cannot be told by their age.
        days: that a partition stays after its date.
        never: why nothing is taken out although a number is declared, if so.
    """

    table: str
    column: str | None
    days: int
    never: str | None = None

    def first_day(self, today: date) -> date:
        """The oldest date that stays."""
        return today - timedelta(days=self.days)


@dataclass(frozen=True)
class Deletion:
    """What was taken out, or would be.

    Attributes:
        first: the oldest date that was taken out; None if none was.
        last: the newest.
        never: why nothing is, although a number is declared.
    """

    table: str
    partitions: int = 0
    rows: int = 0
    files: int = 0
    first: date | None = None
    last: date | None = None
    never: str | None = None


def declared_retention(settings: Settings) -> list[Keep]:
    """Every table with a number of days, by name."""
    found = [*_of_sources(), *_of_models(settings)]
    return sorted(found, key=lambda keep: keep.table)


def delete_expired(lakehouse: Lakehouse, keep: Keep, today: date, *, dry_run: bool = False) -> Deletion:
    """Takes out the partitions that are over their time.

    The files stay until snapshots that name them expire: until then the rows can be had back.

    Raises:
        ConcurrentPublish: others kept committing to the table; nothing was done.
    """
    from pyiceberg.exceptions import CommitFailedException

    if keep.never is not None or keep.column is None:
        return Deletion(keep.table, never=keep.never)
    for _ in range(_ATTEMPTS):
        table = lakehouse.find(keep.table)
        old = [] if table is None else _older(table, keep, today)
        if table is None or dry_run or not old:
            return _deletion(keep.table, old)
        try:
            with (
                table.transaction() as transaction,
                transaction.update_snapshot({MAINTENANCE: "retention"}).overwrite() as overwrite,
            ):
                for file in old:
                    overwrite.delete_data_file(file)
        except CommitFailedException:
            continue
        return _deletion(keep.table, old)
    raise ConcurrentPublish(
        f"{keep.table}: others kept committing while old partitions were taken out; the next run tries again"
    )


def _of_sources() -> Iterator[Keep]:
    for source in load_sources():
        declared = source.file.retention
        days = {"bronze": declared.bronze_days, "silver": declared.silver_days, "quarantine": declared.silver_days}
        for contract in contracts_of(source):
            number = days.get(contract.layer)
            if number is not None:
                yield _keep(contract, number)


def _of_models(settings: Settings) -> Iterator[Keep]:
    for model in load_models(settings.dbt_project):
        if model.retention_days is not None:
            yield _keep(model.contract, model.retention_days)


def _keep(contract: Contract, days: int) -> Keep:
    never = None
    if contract.layer == "bronze":
        never = "bronze is never deleted (S1-49)"
    elif contract.partition_column is None:
        never = "it has no partitions by date"
    return Keep(contract.table, contract.partition_column, days, never)


def _older(table: Table, keep: Keep, today: date) -> list[DataFile]:
    """Files of the partitions that are over: each lies in one, so that none has to be rewritten."""
    from pyiceberg.expressions import LessThan

    first = keep.first_day(today)
    tasks = table.scan(row_filter=LessThan(str(keep.column), first.isoformat())).plan_files()  # type: ignore[call-arg,misc]
    return [task.file for task in tasks if (day := _day(task.file)) is not None and day < first]


def _deletion(name: str, files: list[DataFile]) -> Deletion:
    days = sorted({day for file in files if (day := _day(file)) is not None})
    return Deletion(
        name,
        len(days),
        sum(file.record_count for file in files),
        len(files),
        days[0] if days else None,
        days[-1] if days else None,
    )


def _day(file: DataFile) -> date | None:
    day = file.partition[0]
    return _EPOCH + timedelta(days=day) if isinstance(day, int) else day

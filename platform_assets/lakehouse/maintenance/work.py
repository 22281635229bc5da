"""Which job is done to which tables, one table after the other: for the assets and the command line.

A table that is busy is left for the next time, and one that fails does not keep the others from being maintained.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from platform_assets.lakehouse.declared import declared_tables
from platform_assets.lakehouse.maintenance.compaction import compact
from platform_assets.lakehouse.maintenance.expiry import Outbox, expire
from platform_assets.lakehouse.maintenance.orphans import remove_orphans
from platform_assets.lakehouse.maintenance.retention import Keep, declared_retention, delete_expired
from platform_assets.lakehouse.publisher import ConcurrentPublish
from platform_assets.lakehouse.sla import asked_since

if TYPE_CHECKING:
    from platform_assets.lakehouse.catalog import Lakehouse

_ONE_DAY = timedelta(days=1)
# What DuckDB makes of Ctrl-C while it computes; `test_work.py` holds it to that.
_INTERRUPTED = "Query interrupted"
# Of each job the figure that says whether it found something to do.
_DONE = ("merged", "expired", "removed", "rows", "never")


class Job(StrEnum):
    """What is done to tables, in the order in which one makes the next worth while."""

    RETENTION = "retention"
    COMPACT = "compact"
    EXPIRE = "expire"
    ORPHANS = "orphans"


@dataclass(frozen=True)
class Outcome:
    """What a job did to one table, or why it did not.

    Attributes:
        did: the job's own figures, by name; empty if it did not come to an end.
        postponed: who was in the way, if the table was too busy; the next time tries again.
        error: why it failed, if it did.
    """

    table: str
    did: Mapping[str, Any] = field(default_factory=dict)
    postponed: str | None = None
    error: Exception | None = None

    @property
    def figures(self) -> dict[str, int]:
        """What can be counted of it."""
        return {name: value for name, value in self.did.items() if isinstance(value, int)}

    @property
    def worth_telling(self) -> bool:
        """Whether something was done, or should have been."""
        return bool(self.error or self.postponed or any(self.did.get(name) for name in _DONE))

    @property
    def note(self) -> str:
        """Why nothing was done, if there is a reason."""
        failed = f"{type(self.error).__name__}: {self.error}" if self.error else ""
        return failed or self.postponed or str(self.did.get("never") or "")

    def as_json(self) -> dict[str, Any]:
        """One object; dates as text."""
        told = {"error": self.note} if self.error else {}
        late = {"postponed": self.postponed} if self.postponed else {}
        plain = {name: value.isoformat() if isinstance(value, date) else value for name, value in self.did.items()}
        return {"table": self.table, **plain, **late, **told}


@dataclass(frozen=True)
class Maintenance:
    """The jobs over the tables of a lakehouse.

    Attributes:
        lakehouse: where the tables are.
        announced: up to which snapshot a bronze table's changes have been told (`ingestion.ledger`); None if none have.
        now: the moment by which ages are judged.
        dry_run: only tell what would be done.
    """

    lakehouse: Lakehouse
    announced: Callable[[str], int | None]
    now: datetime
    dry_run: bool = False

    def tables(self, job: Job) -> list[str]:
        """The tables that the job is about, by name."""
        if job is Job.RETENTION:
            return list(self._retention)
        return self.lakehouse.tables()

    def run(self, job: Job, only: Collection[str] = ()) -> Iterator[Outcome]:
        """Does the job to each of its tables, or to those given; an outcome as soon as it is there."""
        for name in self.tables(job):
            if only and name not in only:
                continue
            try:
                done: Any = self._do(job, name)
            except ConcurrentPublish as busy:
                yield Outcome(name, postponed=str(busy))
            except Exception as error:
                if str(error) == _INTERRUPTED:
                    raise KeyboardInterrupt from error
                yield Outcome(name, error=error)
            else:
                yield Outcome(name, {key: value for key, value in asdict(done).items() if key != "table"})

    def _do(self, job: Job, name: str) -> object:
        settings = self.lakehouse.settings
        match job:
            case Job.RETENTION:
                return delete_expired(self.lakehouse, self._retention[name], self.now.date(), dry_run=self.dry_run)
            case Job.COMPACT:
                return compact(
                    self.lakehouse,
                    name,
                    clustering=self._clustering.get(name, ()),
                    target_bytes=settings.file_megabytes * 2**20,
                    dry_run=self.dry_run,
                )
            case Job.EXPIRE:
                outbox = Outbox(self.announced(name)) if name.startswith("bronze.") else None
                before = min(self.now - settings.snapshot_days * _ONE_DAY, self._asked_since)
                return expire(self.lakehouse, name, before, outbox=outbox, dry_run=self.dry_run)
            case Job.ORPHANS:
                before = self.now - settings.orphan_days * _ONE_DAY
                return remove_orphans(self.lakehouse, name, before, dry_run=self.dry_run)

    @cached_property
    def _retention(self) -> dict[str, Keep]:
        return {keep.table: keep for keep in declared_retention(self.lakehouse.settings)}

    @cached_property
    def _clustering(self) -> dict[str, tuple[str, ...]]:
        declared = declared_tables(self.lakehouse.settings.dbt_project)
        return {table.name: table.contract.clustering for table in declared}

    @cached_property
    def _asked_since(self) -> datetime:
        return asked_since(self.lakehouse, self.now)


def maintenance_of(
    lakehouse: Lakehouse, announced: Callable[[str], int | None], *, dry_run: bool = False
) -> Maintenance:
    """The jobs, at this moment."""
    return Maintenance(lakehouse, announced, datetime.now(UTC), dry_run)

"""The one way into a table: stage files, audit them against the contract, commit them atomically (I1).

Nothing staged is visible before the commit. A broken contract leaves the last good snapshot in place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from platform_assets.lakehouse.audit import Finding, audit, audits_no_rows
from platform_assets.lakehouse.catalog import Lakehouse, LakehouseError
from platform_assets.lakehouse.manifests import Replaced, commit
from platform_assets.lakehouse.staging import Staged

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from pathlib import Path

    import duckdb
    from pyiceberg.table import Table

    from platform_assets.contracts.model import Contract

_REPLACE_ATTEMPTS = 10


class ConcurrentPublish(LakehouseError):
    """Another commit came between; what was about to be published must be looked at again."""


@dataclass(frozen=True)
class Publication:
    """What one publish did.

    Attributes:
        rows: rows that were staged, audited and committed.
        snapshot_id: the table's snapshot after the commit; None if the table has none yet.
        location: where the table's files live.
        data_version: changes when, and only when, the rows do, in whatever order they stand.
        properties: what the snapshot was stamped with.
        warnings: rows that break a rule of severity `warn`, for every such rule that the audit judges.
    """

    table: str
    rows: int
    snapshot_id: int | None
    location: str
    data_version: str
    properties: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Finding, ...] = ()


def append(
    lakehouse: Lakehouse,
    contract: Contract,
    connection: duckdb.DuckDBPyConnection,
    source: str | Staged,
    *,
    base: Table,
    partition: date,
    properties: Mapping[str, str],
    data_version: str | None = None,
) -> Publication:
    """Adds the rows of `source`, all of one partition, to the table as it stood at `base`.

    Args:
        lakehouse: where the table lives.
        contract: what the rows must promise.
        connection: the DuckDB that can read `source`.
        source: SQL after FROM, with the contract's columns; or what was staged of them.
        base: the table as it was read when the rows were chosen.
        partition: the partition that all of them lie in.
        properties: snapshot properties, all text.
        data_version: of the rows, where that is known without looking at them.

    Raises:
        ContractBroken: the audit failed; nothing was published.
        ConcurrentPublish: the table has moved on since `base`; nothing was published.
    """
    return _publish(
        lakehouse,
        contract,
        connection,
        source,
        base=base,
        partition=partition,
        properties=properties,
        data_version=data_version,
    )


def replace(
    lakehouse: Lakehouse,
    contract: Contract,
    connection: duckdb.DuckDBPyConnection,
    source: str | Staged,
    *,
    base: Table | None = None,
    partition: date | None,
    properties: Mapping[str, str],
    data_version: str | None = None,
) -> Publication:
    """Replaces a partition of the table (or, with None, all of it) by the rows of `source`.

    Without `base`, a commit that comes between is no conflict: the replacement is tried again on top of it, and two
    publishers of the same partition are kept apart by its pool. With `base`, the table must be as it was read then.

    Raises:
        ContractBroken: the audit failed; the last good snapshot stays.
        ConcurrentPublish: the table has moved on since `base`, or was too busy; nothing was published.
    """
    if partition is not None and contract.partition_column is None:
        raise LakehouseError(f"{contract.table} has no partition column, so {partition} cannot be replaced in it")
    return _publish(
        lakehouse,
        contract,
        connection,
        source,
        base=base,
        replaced=Replaced(partition),
        partition=partition,
        properties=properties,
        data_version=data_version,
    )


def _publish(
    lakehouse: Lakehouse,
    contract: Contract,
    connection: duckdb.DuckDBPyConnection,
    source: str | Staged,
    *,
    base: Table | None = None,
    replaced: Replaced | None = None,
    partition: date | None,
    properties: Mapping[str, str],
    data_version: str | None = None,
) -> Publication:
    table = base if base is not None else lakehouse.ensure(contract)
    with source if isinstance(source, Staged) else Staged(table, contract, connection) as staged:
        if isinstance(source, str):
            staged.write(source, partition)
        warnings = audit(contract, _by_partition(staged, rows=not audits_no_rows(contract)), connection)
        files = [file.path for file in staged.files if file.rows]
        stamped = {
            **properties,
            "platform.rows": str(staged.rows),
            "platform.data-version": data_version or staged.data_version(),
            "platform.contract-version": str(contract.version),
        }
        try:
            committed = _commit(lakehouse, table, files, replaced, stamped, attempts=1 if base else _REPLACE_ATTEMPTS)
        except ConcurrentPublish:
            raise
        except BaseException:
            staged.keep()  # it is open whether the commit happened: the files may be the table's by now
            raise
        staged.keep()
    snapshot = committed.current_snapshot()
    return Publication(
        table=contract.table,
        rows=staged.rows,
        snapshot_id=snapshot.snapshot_id if snapshot else None,
        location=committed.location(),
        data_version=stamped["platform.data-version"],
        properties=stamped,
        warnings=warnings,
    )


def _by_partition(staged: Staged, *, rows: bool) -> list[list[Path]]:
    """The files of each partition; if only `rows` are to be audited, without those that have none."""
    found: dict[date | None, list[Path]] = {}
    for file in staged.files:
        if file.rows or not rows:
            found.setdefault(file.partition, []).append(file.path)
    return list(found.values())


def _commit(
    lakehouse: Lakehouse,
    table: Table,
    files: list[Path],
    replaced: Replaced | None,
    properties: dict[str, str],
    *,
    attempts: int,
) -> Table:
    from pyiceberg.exceptions import CommitFailedException

    name = ".".join(table.name())
    for _ in range(attempts):
        try:
            commit(table, [f"file://{path}" for path in files], replaced=replaced, properties=properties)
        except CommitFailedException:
            table = lakehouse.catalog.load_table(name)
        else:
            return table
    raise ConcurrentPublish(f"{name}: another run published to it in the meantime, {attempts} times; try again")

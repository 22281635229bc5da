"""The one way into a table: stage files, audit them against the contract, commit them atomically (I1).

Nothing staged is visible before the commit. A broken contract leaves the last good snapshot in place.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from platform_assets.contracts.iceberg_schema import duckdb_type
from platform_assets.contracts.rules import literal, quote
from platform_assets.lakehouse.audit import ContractBroken, Finding, audit, audits_no_rows
from platform_assets.lakehouse.catalog import Lakehouse, LakehouseError, local_path
from platform_assets.lakehouse.manifests import Replaced, commit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    import duckdb
    from pyiceberg.table import Table

    from platform_assets.contracts.model import Contract

_REPLACE_ATTEMPTS = 10
_ROW_GROUP_ROWS = 122_880


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
    source: str,
    *,
    base: Table,
    partition: date,
    properties: Mapping[str, str],
) -> Publication:
    """Adds the rows of `source`, all of one partition, to the table as it stood at `base`.

    Args:
        lakehouse: where the table lives.
        contract: what the rows must promise.
        connection: the DuckDB that can read `source`.
        source: SQL after FROM, with the contract's columns.
        base: the table as it was read when the rows were chosen.
        partition: the partition that all of them lie in.
        properties: snapshot properties, all text.

    Raises:
        ContractBroken: the audit failed; nothing was published.
        ConcurrentPublish: the table has moved on since `base`; nothing was published.
    """
    return _publish(lakehouse, contract, connection, source, base=base, partition=partition, properties=properties)


def replace(
    lakehouse: Lakehouse,
    contract: Contract,
    connection: duckdb.DuckDBPyConnection,
    source: str,
    *,
    base: Table | None = None,
    partition: date | None,
    properties: Mapping[str, str],
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
    )


@dataclass(frozen=True)
class _Staged:
    path: Path
    rows: int


def _publish(
    lakehouse: Lakehouse,
    contract: Contract,
    connection: duckdb.DuckDBPyConnection,
    source: str,
    *,
    base: Table | None = None,
    replaced: Replaced | None = None,
    partition: date | None,
    properties: Mapping[str, str],
) -> Publication:
    table = base if base is not None else lakehouse.ensure(contract)
    staged: list[_Staged] = []
    try:
        parts = [source] if partition else _parts(contract, connection, source)
        staged.extend(_stage(table, contract, connection, part) for part in parts)
        files = [file.path for file in staged if file.rows]
        if partition:
            _refuse_other_partitions(contract, connection, files, partition)
        warnings = audit(contract, [file.path for file in staged] if audits_no_rows(contract) else files)
        rows = sum(file.rows for file in staged)
        version = f"{rows}-{sum(_fingerprint(contract, connection, path) for path in files):x}"
    except BaseException:
        _discard(staged)
        raise
    stamped = {
        **properties,
        "platform.rows": str(rows),
        "platform.data-version": version,
        "platform.contract-version": str(contract.version),
    }
    try:
        committed = _commit(lakehouse, table, files, replaced, stamped, attempts=1 if base else _REPLACE_ATTEMPTS)
    except ConcurrentPublish:
        _discard(staged)
        raise  # any other error leaves open whether the commit happened: its files may be the table's by now
    _discard([file for file in staged if not file.rows])
    snapshot = committed.current_snapshot()
    return Publication(
        table=contract.table,
        rows=rows,
        snapshot_id=snapshot.snapshot_id if snapshot else None,
        location=committed.location(),
        data_version=version,
        properties=stamped,
        warnings=warnings,
    )


def _discard(staged: Iterable[_Staged]) -> None:
    for file in staged:
        file.path.unlink(missing_ok=True)


def _parts(contract: Contract, connection: duckdb.DuckDBPyConnection, source: str) -> list[str]:
    """The source by partition: Iceberg wants every file to lie in one."""
    if contract.partition_column is None:
        return [source]
    column = quote(contract.partition_column)
    days = connection.execute(f"SELECT DISTINCT {column} FROM {source} ORDER BY 1").fetchall()
    if len(days) <= 1:
        return [source]
    return [f"(SELECT * FROM {source} WHERE {column} IS NOT DISTINCT FROM {_day(day)})" for (day,) in days]


def _refuse_other_partitions(
    contract: Contract, connection: duckdb.DuckDBPyConnection, files: list[Path], partition: date
) -> None:
    column = quote(str(contract.partition_column))
    for path in files:
        found = connection.execute(f"SELECT DISTINCT {column} FROM read_parquet({literal(str(path))})").fetchall()
        if found != [(partition,)]:
            listed = ", ".join(sorted(str(day) for (day,) in found))
            raise LakehouseError(
                f"{contract.table}: partition {partition} was to be published, the rows are of {listed}"
            )


def _day(day: date | None) -> str:
    return "NULL" if day is None else f"DATE '{day.isoformat()}'"


def _stage(table: Table, contract: Contract, connection: duckdb.DuckDBPyConnection, source: str) -> _Staged:
    """Writes the rows to a Parquet file of the table's folder that no snapshot names yet."""
    folder = Path(local_path(table.location())) / "data"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid.uuid4()}.parquet"
    ids = {field.name: field.field_id for field in table.schema().fields}
    columns = ", ".join(
        f"CAST({quote(column.name)} AS {duckdb_type(column)}) AS {quote(column.name)}" for column in contract.columns
    )
    field_ids = ", ".join(f"{quote(column.name)}: {ids[column.name]}" for column in contract.columns)
    order = f" ORDER BY {', '.join(map(quote, contract.clustering))}" if contract.clustering else ""
    _refuse_wrong_types(contract, connection, source)
    try:
        result = connection.execute(
            f"COPY (SELECT {columns} FROM {source}{order}) TO {literal(str(path))} "
            f"(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE {_ROW_GROUP_ROWS}, "
            f"FIELD_IDS {{{field_ids}}})"
        ).fetchone()
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return _Staged(path, int(result[0]) if result else 0)


def _refuse_wrong_types(contract: Contract, connection: duckdb.DuckDBPyConnection, source: str) -> None:
    """Counts values that a cast would refuse, because DuckDB's own refusal quotes them (I7).

    Raises:
        ContractBroken: with every column that has some.
    """
    given = {row[0]: row[1] for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    promised = {c.name: duckdb_type(c) for c in contract.columns if c.name in given}
    doubtful = [name for name, kind in promised.items() if given[name] != kind.replace(", ", ",") and kind != "VARCHAR"]
    if not doubtful:
        return
    counts = ", ".join(
        f"count(*) FILTER ({quote(name)} IS NOT NULL AND TRY_CAST({quote(name)} AS {promised[name]}) IS NULL)"
        for name in doubtful
    )
    counted = connection.execute(f"SELECT {counts} FROM {source}").fetchone() or ()
    findings = [Finding(f"{name}.type", rows) for name, rows in zip(doubtful, counted, strict=False) if rows]
    if findings:
        raise ContractBroken(contract.table, tuple(findings))


def _fingerprint(contract: Contract, connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Sum of the rows' hashes, without the columns that tell of the platform instead of the data."""
    columns = ", ".join(quote(column.name) for column in contract.columns if not column.name.startswith("_"))
    row = connection.execute(
        f"SELECT sum(hash(r)::HUGEINT) FROM (SELECT {columns} FROM read_parquet({literal(str(path))})) r"
    ).fetchone()
    return int(row[0]) if row else 0


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

"""Writes rows to Parquet files of a table's folder that no snapshot names yet. Nobody sees them before the commit."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from platform_assets.contracts.iceberg_schema import duckdb_type
from platform_assets.contracts.rules import literal, quote
from platform_assets.lakehouse.audit import ContractBroken, Finding
from platform_assets.lakehouse.catalog import LakehouseError, local_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from types import TracebackType

    import duckdb
    from pyiceberg.table import Table

    from platform_assets.contracts.model import Contract

_ROW_GROUP_ROWS = 122_880


@dataclass(frozen=True)
class StagedFile:
    """A file, its rows, and the partition that all of them lie in (None: of a table without, or no date)."""

    path: Path
    rows: int
    partition: date | None

    @property
    def relation(self) -> str:
        """SQL after FROM over the rows."""
        return _relation([self.path])


class Staged:
    """Files that are about to be published. Leaving the block removes those that nobody has `kept`."""

    def __init__(self, table: Table, contract: Contract, connection: duckdb.DuckDBPyConnection) -> None:
        self._table = table
        self._contract = contract
        self._connection = connection
        self._files: list[StagedFile] = []
        self._kept = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            if not (self._kept and file.rows):
                file.path.unlink(missing_ok=True)

    @property
    def files(self) -> tuple[StagedFile, ...]:
        """What was written, in the order of writing; also files without rows, which are not published."""
        return tuple(self._files)

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(file.rows for file in self._files)

    @property
    def relation(self) -> str:
        """SQL after FROM over the rows; there must be a file."""
        return _relation([file.path for file in self._files])

    def keep(self) -> None:
        """The files may be a table's by now: they stay."""
        self._kept = True

    def drop(self, file: StagedFile) -> None:
        """Takes back a file."""
        self._files.remove(file)
        file.path.unlink()

    def write(
        self, source: str, partition: date | None = None, *, connection: duckdb.DuckDBPyConnection | None = None
    ) -> tuple[StagedFile, ...]:
        """Writes rows, a file for each partition that they lie in; several threads may do so at once.

        Args:
            source: SQL after FROM, with the contract's columns.
            partition: the one that all of them lie in, if that is known.
            connection: what can read them; by default the one that all of this was made with.

        Raises:
            ContractBroken: a value is none of its column's type.
            LakehouseError: rows lie in another partition.
        """
        connection = connection or self._connection
        if self._contract.partition_column is None or partition is not None:
            file = self._write(connection, source, partition)
            if partition is not None and file.rows:
                self._refuse_other_partitions(connection, file)
            return (file,)
        column = quote(self._contract.partition_column)
        days = connection.execute(f"SELECT DISTINCT {column} FROM {source} ORDER BY 1").fetchall()
        if len(days) <= 1:
            return (self._write(connection, source, days[0][0] if days else None),)
        parts = {day: f"(SELECT * FROM {source} WHERE {column} IS NOT DISTINCT FROM {_day(day)})" for (day,) in days}
        return tuple(self._write(connection, part, day) for day, part in parts.items())

    def data_version(self) -> str:
        """Changes when, and only when, the rows do, in whatever order they stand.

        The number of rows and the sum of their hashes, without the columns that tell of the platform instead of the
        data.
        """
        columns = ", ".join(quote(column.name) for column in self._contract.columns if not column.name.startswith("_"))
        paths = [file.path for file in self._files if file.rows]
        hashes = 0
        if paths:
            found = self._connection.execute(
                f"SELECT sum(hash(r)::HUGEINT) FROM (SELECT {columns} FROM {_relation(paths)}) r"
            ).fetchone()
            hashes = int(found[0]) if found else 0
        return f"{self.rows}-{hashes:x}"

    def _write(self, connection: duckdb.DuckDBPyConnection, source: str, partition: date | None) -> StagedFile:
        contract = self._contract
        folder = Path(local_path(self._table.location())) / "data"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{uuid.uuid4()}.parquet"
        columns = ", ".join(
            f"CAST({quote(column.name)} AS {duckdb_type(column)}) AS {quote(column.name)}"
            for column in contract.columns
        )
        order = f" ORDER BY {', '.join(map(quote, contract.clustering))}" if contract.clustering else ""
        self._refuse_wrong_types(connection, source)
        names = [column.name for column in contract.columns]
        rows = write_parquet(connection, self._table, f"SELECT {columns} FROM {source}{order}", names, path)
        file = StagedFile(path, rows, partition)
        self._files.append(file)
        return file

    def _refuse_wrong_types(self, connection: duckdb.DuckDBPyConnection, source: str) -> None:
        """Counts values that a cast would refuse, because DuckDB's own refusal quotes them (I7).

        Raises:
            ContractBroken: with every column that has some.
        """
        promised = {column.name: duckdb_type(column) for column in self._contract.columns}
        # DuckDB has several names for a type: it is asked for its own.
        casts = ", ".join(f"CAST(NULL AS {kind}) AS {quote(name)}" for name, kind in promised.items())
        wanted = _types(connection, f"SELECT {casts}")
        given = _types(connection, f"SELECT * FROM {source}")
        doubtful = [name for name, kind in wanted.items() if given.get(name, kind) != kind and kind != "VARCHAR"]
        if not doubtful:
            return
        counts = ", ".join(
            f"count(*) FILTER ({quote(name)} IS NOT NULL AND TRY_CAST({quote(name)} AS {promised[name]}) IS NULL)"
            for name in doubtful
        )
        counted = connection.execute(f"SELECT {counts} FROM {source}").fetchone() or ()
        findings = [Finding(f"{name}.type", rows) for name, rows in zip(doubtful, counted, strict=False) if rows]
        if findings:
            raise ContractBroken(self._contract.table, tuple(findings))

    def _refuse_other_partitions(self, connection: duckdb.DuckDBPyConnection, file: StagedFile) -> None:
        column = quote(str(self._contract.partition_column))
        found = connection.execute(f"SELECT DISTINCT {column} FROM {file.relation}").fetchall()
        if found != [(file.partition,)]:
            listed = ", ".join(sorted(str(day) for (day,) in found))
            raise LakehouseError(
                f"{self._contract.table}: partition {file.partition} was to be published, the rows are of {listed}"
            )


def write_parquet(
    connection: duckdb.DuckDBPyConnection, table: Table, query: str, columns: Sequence[str], path: Path
) -> int:
    """Writes a file as a table's files are: zstd, with the field ids of its columns. Returns how many rows it has.

    Args:
        connection: what can execute the query.
        table: whose file it is to be.
        query: gives the columns.
        columns: names of the table's columns that the query gives.
        path: the file, which is gone again if it cannot be written.
    """
    ids = {field.name: field.field_id for field in table.schema().fields}
    field_ids = ", ".join(f"{quote(name)}: {ids[name]}" for name in columns)
    try:
        result = connection.execute(
            f"COPY ({query}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, "
            f"ROW_GROUP_SIZE {_ROW_GROUP_ROWS}, FIELD_IDS {{{field_ids}}})"
        ).fetchone()
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return int(result[0]) if result else 0


def _relation(paths: list[Path]) -> str:
    return f"read_parquet([{', '.join(literal(str(path)) for path in paths)}])"


def _types(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, str]:
    return {row[0]: row[1] for row in connection.execute(f"DESCRIBE {query}").fetchall()}


def _day(day: date | None) -> str:
    return "NULL" if day is None else f"DATE '{day.isoformat()}'"

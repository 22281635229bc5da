"""Parquet to rows, by DuckDB alone: each column as the text, or the JSON text, that JSON of the same value would give.

A damaged file is one dead letter: its columns lie apart, and which rows of it are right cannot be told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from platform_assets.contracts.naming import distinct
from platform_assets.contracts.rules import literal
from platform_assets.ingestion.refusals import Refusals
from platform_assets.ingestion.shape import NUMBER, Shape
from platform_assets.ingestion.sql_json import NESTED, json_text, plain_text
from platform_assets.ingestion.unpack import Unpacked, unpack

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from duckdb.sqltypes import DuckDBPyType

    from platform_assets.ingestion.json_lines import Insert


@dataclass(frozen=True)
class _Cell:
    """A column of the file: its own name, the column of our query that has it, and its type."""

    name: str
    column: str
    kind: DuckDBPyType


@dataclass(frozen=True)
class ParquetRows:
    """Reads objects of format `parquet`."""

    connection: DuckDBPyConnection
    shape: Shape

    def prepare(self, path: Path) -> Unpacked:
        """The object as a plain file."""
        return unpack(path)

    def read(self, unpacked: Unpacked, insert: Insert) -> tuple[int, Refusals]:
        """Rows inserted, and what could not be read."""
        import duckdb
        import pyarrow as pa

        refusals = Refusals()
        if not unpacked.sound:
            refusals.note(f"{unpacked.fault}: no record of the object is used")
            return 0, refusals
        path = unpacked.path
        try:
            cells = self._cells(path)
            if any(cell.kind.id in NESTED for cell in cells):
                _read_with_arrow(path)
            return insert(self._rows(path, cells)), refusals
        except (duckdb.Error, pa.ArrowException, OSError, RuntimeError, ValueError) as error:
            # The last two are what Python makes of names that are no UTF-8.
            said = str(error).split("\n", 1)[0].replace(str(path), "the object")
            refusals.note(f"not Parquet that can be read: {said}")
            return 0, refusals

    def _cells(self, path: Path) -> list[_Cell]:
        kinds = self.connection.sql(f"SELECT * FROM {_parquet(path)}").types
        schema = self.connection.execute(
            f"SELECT name, num_children FROM parquet_schema({literal(str(path))})"
        ).fetchall()
        names = list(_top_names(schema))
        return [_Cell(name, f"c{n}", kind) for n, (name, kind) in enumerate(zip(names, kinds, strict=True))]

    def _rows(self, path: Path, cells: Sequence[_Cell]) -> str:
        columns = ", ".join(cell.column for cell in cells)
        numbered = f"SELECT *, row_number() OVER () AS {NUMBER} FROM {_parquet(path)} AS file({columns})"
        return f"SELECT {self._select(cells)} FROM ({numbered})"

    def _select(self, cells: Sequence[_Cell]) -> str:
        labels = distinct(cell.name for cell in cells)
        if self.shape.whole:
            members = [(label, json_text(cell.column, cell.kind)) for label, cell in zip(labels, cells, strict=True)]
            return self.shape.columns([_record(members, nulls=True)], "NULL::VARCHAR")
        found = {cell.name: cell for cell in reversed(cells)}
        values = []
        for field in self.shape.fields:
            cell = found.get(field.source_name or "")
            text = plain_text if field.text else json_text
            values.append("NULL::VARCHAR" if cell is None else text(cell.column, cell.kind))
        hidden = self.shape.hidden
        extra = [
            (label, json_text(cell.column, cell.kind))
            for label, cell in zip(labels, cells, strict=True)
            if cell.name not in hidden
        ]
        return self.shape.columns(values, f"nullif({_record(extra, nulls=False)}, '{{}}')")


def _parquet(path: Path) -> str:
    return f"read_parquet({literal(str(path))}, hive_partitioning = false, filename = false)"


def _top_names(schema: Sequence[tuple[str, int | None]]) -> Iterator[str]:
    """The names of the columns; DuckDB itself makes other names of those that differ in case only."""

    def end_of(position: int) -> int:
        after = position + 1
        for _ in range(schema[position][1] or 0):
            after = end_of(after)
        return after

    position = 1
    for _ in range(schema[0][1] or 0):
        yield schema[position][0]
        position = end_of(position)


def _read_with_arrow(path: Path) -> None:
    """A second opinion on nested columns, of which DuckDB reads some damaged pages as null.

    Raises:
        pyarrow.ArrowException, OSError: the file is damaged.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for _ in file.iter_batches():
            pass


def _record(members: Sequence[tuple[str, str]], *, nulls: bool) -> str:
    """SQL: a JSON object of JSON texts, with or without those that are null."""
    texts = []
    for name, value in members:
        text = f"to_json({literal(name)})::VARCHAR || ':' || "
        texts.append(f"{text}coalesce({value}, 'null')" if nulls else f"{text}{value}")
    return f"'{{' || concat_ws(',', {', '.join(texts) or 'NULL'}) || '}}'"

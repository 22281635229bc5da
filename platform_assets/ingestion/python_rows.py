"""Rows that Python made, given to DuckDB in batches: for formats, and for damage, that DuckDB itself does not read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from platform_assets.contracts.rules import quote
from platform_assets.ingestion.shape import NUMBER

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

_ROWS = "_python_rows"
_BATCH_ROWS = 10_000
_BATCH_BYTES = 16 * 2**20

Row = Sequence[int | str | None]


@contextmanager
def python_rows(connection: DuckDBPyConnection, names: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """SQL after FROM, to be read once: the column NUMBER, then one VARCHAR for each name.

    Args:
        connection: where it can be read, inside the context.
        names: of the columns after the first.
        rows: a number, and a text or None for each name; they are made while they are read.
    """
    import pyarrow as pa

    schema = pa.schema([(NUMBER, pa.int64()), *((name, pa.large_string()) for name in names)])
    columns = [f"{quote(name)}::VARCHAR AS {quote(name)}" for name in names]
    connection.register(_ROWS, pa.RecordBatchReader.from_batches(schema, _batches(rows, schema)))
    try:
        yield f"(SELECT {', '.join([NUMBER, *columns])} FROM {_ROWS})"
    finally:
        connection.unregister(_ROWS)


def _batches(rows: Iterable[Row], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(value) for value in row if isinstance(value, str))
        if len(batch) == _BATCH_ROWS or size > _BATCH_BYTES:
            yield _batch(batch, schema)
            batch, size = [], 0
    if batch:
        yield _batch(batch, schema)


def _batch(rows: Sequence[Row], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    columns = zip(zip(*rows, strict=True), schema.types, strict=True)
    return pa.RecordBatch.from_arrays([pa.array(values, kind) for values, kind in columns], schema=schema)

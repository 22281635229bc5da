"""dlt's side as an expert has it: fed Arrow that another reader made, so that no record is a Python object.

    python -m benchmarks.peers.dlt.arrow_side work INPUT OUTPUT --layers bronze
    python -m benchmarks.peers.dlt.arrow_side answer OUTPUT --layers bronze

The reader is DuckDB's, as the platform's is; PyArrow's own refuses a column that is a number here and a text there. All
else as in `side`, without dlt's identities: it adds none to Arrow.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers.command import Seconds, side
from benchmarks.peers.dlt.side import find_answer, load
from benchmarks.work.contract import JSON_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH = 500_000  # rows


def work(given: Path, output: Path, layers: Sequence[str]) -> Seconds:  # noqa: ARG001
    """One run of the pipeline."""
    import dlt

    began = time.perf_counter()
    load(dlt.resource(_batches(given), name="web_events"), output)
    return {"bronze": time.perf_counter() - began}


def _batches(given: Path) -> Iterator[pa.RecordBatch]:
    import duckdb

    columns = ", ".join(f"{name}: '{kind}'" for name, kind in JSON_COLUMNS.items())
    texts = ", ".join(f"{name}::VARCHAR AS {name}" for name in JSON_COLUMNS)
    with duckdb.connect() as connection:
        connection.execute("SET preserve_insertion_order = false")
        yield from connection.sql(
            f"SELECT {texts} FROM read_json('{given}/source=*/date=*/*.jsonl', format = 'newline_delimited', "
            f"columns = {{{columns}}}, hive_partitioning = false)"
        ).to_arrow_reader(_BATCH)


if __name__ == "__main__":
    side(work, find_answer)

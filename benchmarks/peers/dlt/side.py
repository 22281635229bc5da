"""dlt's side: bronze, from JSON lines into an Iceberg table in a folder.

    python -m benchmarks.peers.dlt.side work INPUT OUTPUT --layers bronze
    python -m benchmarks.peers.dlt.side answer OUTPUT --layers bronze
    python -m benchmarks.peers.dlt.arrow_side work INPUT OUTPUT --layers bronze

This is dlt's own way: its file system source, its reader of JSON lines, every record a dict. Values are kept as the
text that arrived and `properties` as JSON, as in the platform's bronze; without these hints dlt would flatten the one
and type the other. Tuned: Parquet files for the loader, two processes to normalise with files enough for both, large
buffers, its intermediate files uncompressed, no telemetry.
Less than the platform: one table without partitions, no audit, no look for what is already there, no origin of a row
(object, line, when), no set-aside of what cannot be read. More: an identity and a load id in every row.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers.command import Seconds, side
from benchmarks.work.answer import bronze_answer
from benchmarks.work.contract import JSON_COLUMNS

if TYPE_CHECKING:
    from dlt.extract.resource import DltResource

TABLE = "web_events"
_TUNED = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "WARNING",
    "NORMALIZE__WORKERS": "2",
    "LOAD__WORKERS": "2",
    "SOURCES__DATA_WRITER__FILE_MAX_ITEMS": "100000",
    "DATA_WRITER__BUFFER_MAX_ITEMS": "50000",
    "DATA_WRITER__DISABLE_COMPRESSION": "true",
    "SCHEMA__NAMING": "snake_case",
}


def work(given: Path, output: Path, layers: Sequence[str]) -> Seconds:  # noqa: ARG001
    """One run of the pipeline."""
    from dlt.sources.filesystem import filesystem, read_jsonl

    began = time.perf_counter()
    files = filesystem(bucket_url=given.as_uri(), file_glob="source=*/date=*/*.jsonl")
    load(files | read_jsonl(chunksize=10_000), output, columns=_hints())
    return {"bronze": time.perf_counter() - began}


def _hints() -> dict[str, Any]:
    return {name: {"data_type": "json" if name == "properties" else "text"} for name in JSON_COLUMNS}


def load(rows: DltResource, output: Path, *, columns: Mapping[str, Any] | None = None) -> None:
    """Loads a resource into the table, below `output`, in which dlt keeps everything else, too."""
    os.environ |= {**_TUNED, "DLT_DATA_DIR": str(output / "dlt")}
    import dlt

    pipeline = dlt.pipeline(
        "web_events",
        pipelines_dir=str(output / "pipelines"),
        destination=dlt.destinations.filesystem(bucket_url=(output / "lake").as_uri()),
        dataset_name="bronze",
    )
    rows.apply_hints(
        table_name=TABLE, write_disposition="append", table_format="iceberg", columns=dict(columns or {}) or None
    )
    done = pipeline.run(rows, loader_file_format="parquet")
    done.raise_on_failed_jobs()


def find_answer(output: Path, layers: Sequence[str]) -> Mapping[str, str]:  # noqa: ARG001
    """What the Iceberg table holds in its latest snapshot."""
    import duckdb
    from pyiceberg.table import StaticTable

    metadata = max((output / "lake" / "bronze" / TABLE / "metadata").glob("*.metadata.json"))
    files = [task.file.file_path for task in StaticTable.from_metadata(str(metadata)).scan().plan_files()]
    with duckdb.connect() as connection:
        return bronze_answer(connection, f"read_parquet({[file.removeprefix('file://') for file in files]})")


if __name__ == "__main__":
    side(work, find_answer)

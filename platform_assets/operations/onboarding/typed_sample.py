"""Reads a sample of Parquet or Avro, which say themselves what type their fields have."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import IO, Any

from platform_assets.operations.onboarding.sample import MAX_CELLS, Sample, SampleError
from platform_assets.sources.ingestion_settings import Format


def read_parquet(path: Path, stream: IO[bytes], limit: int) -> Sample:
    """The first rows of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(stream)
    layout = _whole_microseconds(file.schema_arrow)
    doubled = {name for name in layout.names if layout.names.count(name) > 1}
    if doubled:
        raise SampleError(f"{path}: the column {min(doubled)!r} stands more than once; nobody can tell which is meant")
    most = max(1, min(limit, MAX_CELLS // max(1, len(layout.names))))
    records: list[dict[str, Any]] = []
    for batch in file.iter_batches(batch_size=min(most, 1024)):
        table = pa.Table.from_batches([batch]).cast(layout, safe=False)
        records += table.slice(0, most - len(records)).to_pylist()
        if len(records) == most:
            break
    declared = {name: found for name, kind in zip(layout.names, layout.types, strict=True) if (found := _arrow(kind))}
    return Sample(
        path,
        Format.PARQUET,
        records,
        whole=len(records) == file.metadata.num_rows,
        layout=layout,
        declared=declared,
    )


def _whole_microseconds(schema: Any) -> Any:  # noqa: ANN401 - an Arrow schema
    """Python's own timestamps end at microseconds."""
    import pyarrow as pa

    fields = [
        f.with_type(pa.timestamp("us", f.type.tz)) if pa.types.is_timestamp(f.type) and f.type.unit == "ns" else f
        for f in schema
    ]
    return pa.schema(fields)


def _arrow(kind: Any) -> Mapping[str, Any] | None:  # noqa: ANN401 - an Arrow type
    from pyarrow import types

    if types.is_integer(kind):
        return {"type": "integer"}
    if types.is_floating(kind):
        return {"type": "number"}
    if types.is_decimal(kind):
        return _decimal(kind.precision, kind.scale)
    if types.is_boolean(kind):
        return {"type": "boolean"}
    if types.is_timestamp(kind):
        return {"type": "string", "format": "date-time"}
    return {"type": "string", "format": "date"} if types.is_date(kind) else None


def _decimal(precision: int, scale: int) -> Mapping[str, Any]:
    """An exact decimal as far as the contract has it: eighteen digits."""
    exact = precision <= 18 and scale >= 0
    return {"type": "number", "multipleOf": float(f"1e-{scale}") if scale else 1} if exact else {"type": "number"}


_AVRO_TYPES: Mapping[str, Mapping[str, Any]] = {
    "int": {"type": "integer"},
    "long": {"type": "integer"},
    "float": {"type": "number"},
    "double": {"type": "number"},
    "boolean": {"type": "boolean"},
    "timestamp-millis": {"type": "string", "format": "date-time"},
    "timestamp-micros": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"},
}


def read_avro(path: Path, stream: IO[bytes], limit: int) -> Sample:
    """The first records of an Avro object container file."""
    import fastavro

    reader = fastavro.reader(stream)
    layout: Any = reader.writer_schema
    if not isinstance(layout, dict) or layout.get("type") != "record":
        raise SampleError(f"{path}: expected Avro records; it holds something else")
    most = max(1, min(limit, MAX_CELLS // max(1, len(layout["fields"]))))
    records: list[Any] = list(islice(reader, most))
    declared = {one["name"]: found for one in layout["fields"] if (found := _avro(one["type"]))}
    whole = next(iter(reader), None) is None
    return Sample(path, Format.AVRO, records, whole=whole, layout=layout, declared=declared)


def _avro(kind: Any) -> Mapping[str, Any] | None:  # noqa: ANN401 - an Avro schema
    if isinstance(kind, list):
        concrete = [one for one in kind if one != "null"]
        return _avro(concrete[0]) if len(concrete) == 1 else None
    if not isinstance(kind, dict):
        return _AVRO_TYPES.get(kind)
    if kind.get("logicalType") == "decimal":
        return _decimal(kind["precision"], kind.get("scale", 0))
    if "logicalType" in kind:
        return _AVRO_TYPES.get(kind["logicalType"])
    return _avro(kind["type"]) if isinstance(kind["type"], str) and kind["type"] in _AVRO_TYPES else None

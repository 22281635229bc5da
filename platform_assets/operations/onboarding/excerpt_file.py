"""Writes a disguised excerpt in the format of the sample, so that it goes the way that the real objects go."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from platform_assets.operations.onboarding.disguise import excerpt
from platform_assets.operations.onboarding.sample import SampleError
from platform_assets.sources.ingestion_settings import Format

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from platform_assets.operations.onboarding.infer import Inferred
    from platform_assets.operations.onboarding.sample import Sample


def write_excerpt(inferred: Inferred, folder: Path, name: str) -> Path:
    """Writes `<folder>/<name>.<format>`, not compressed. The sample's own file name may name a person.

    Raises:
        SampleError: what was made up does not fit the types that the file states.
    """
    records, sample = excerpt(inferred), inferred.sample
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.{sample.format.value}"
    writers = {
        Format.JSONL: _write_lines,
        Format.JSON: _write_document,
        Format.CSV: _write_csv,
        Format.PARQUET: _write_parquet,
        Format.AVRO: _write_avro,
    }
    try:
        writers[sample.format](path, sample, records)
    except (ValueError, TypeError, LookupError, ArithmeticError, NotImplementedError) as error:
        raise SampleError(
            f"{sample.path}: no excerpt of it can be written as {sample.format.value}: {' '.join(str(error).split())}; "
            "give a sample as JSON lines"
        ) from None
    return path


def _write_lines(path: Path, _: Sample, records: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(f"{_json(record)}\n" for record in records), encoding="utf-8")


def _write_document(path: Path, _: Sample, records: Sequence[Mapping[str, Any]]) -> None:
    inner = ",\n".join(_json(record) for record in records)
    path.write_text(f"[\n{inner}\n]\n", encoding="utf-8")


def _json(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, default=_number)


def _number(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _write_csv(path: Path, sample: Sample, records: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", encoding=sample.csv.encoding, newline="") as file:
        writer = csv.writer(file, delimiter=sample.csv.delimiter or ",", lineterminator="\n")
        writer.writerow(records[0])
        writer.writerows(record.values() for record in records)


def _write_parquet(path: Path, sample: Sample, records: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(list(records), schema=sample.layout), path)


def _write_avro(path: Path, sample: Sample, records: Sequence[Mapping[str, Any]]) -> None:
    import fastavro

    with path.open("wb") as file:
        fastavro.writer(file, sample.layout, records)

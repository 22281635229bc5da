"""Takes one record out of the landing object that it came in, whole, as the source sent it.

This is the one place above landing that sees values in the clear, secrets included: nothing of them may be shown, told
in a message or kept anywhere but in landing (I7).
"""

from __future__ import annotations

import gzip
import json
import tempfile
import zlib
from dataclasses import dataclass, replace
from datetime import date
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from platform_assets.contracts.rules import quote
from platform_assets.ingestion.landing import ArrivalVanished, LandingObject
from platform_assets.ingestion.records import read_objects
from platform_assets.operations.fixed_record import parse_record, written
from platform_assets.operations.quarantined_rows import QuarantineError
from platform_assets.sources.contracts import UNEXPECTED, bronze_fields, declared_names
from platform_assets.sources.ingestion_settings import Format

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from platform_assets.ingestion.landing import Landing
    from platform_assets.operations.quarantined_rows import QuarantinedRow
    from platform_assets.sources.model import Source

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SPACE = b" \t\n\r\x0b\x0c"  # a line of nothing else is no record (`ingestion.records`)
_DATA = "data"  # the member of a landed message that holds what was published


@dataclass(frozen=True)
class Original:
    """A record as it landed.

    Attributes:
        record: its members, by the source's own names, as `parse_record` reads them.
        message: the landed message that it came in, if it came in one.
    """

    record: Mapping[str, Any]
    message: Mapping[str, Any] | None = None

    def line(self, record: Mapping[str, Any]) -> bytes:
        """Another record in the form in which this one landed: a line of JSON, in the same message."""
        text = written(record)
        return f"{text if self.message is None else written({**self.message, _DATA: text})}\n".encode()


def read_original(landing: Landing, source: Source, row: QuarantinedRow, scratch: Path) -> Original:
    """The record that a quarantined row was made of: this row number of exactly this generation.

    Args:
        landing: the bucket.
        source: whose record it is.
        row: says which.
        scratch: existing folder for the time being; what is written there is removed again.

    Raises:
        QuarantineError: the object is gone or damaged, or does not hold such a record.
    """
    try:
        with tempfile.TemporaryDirectory(dir=scratch, prefix="original-") as folder:
            arrival = _address(landing, source, row)
            (path,) = landing.download([arrival], Path(folder))
            record = _record(source, arrival, path, row.row_number)
    except ArrivalVanished:
        raise _lost(row, "was overwritten or deleted") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise _lost(row, "is a damaged gzip file") from None
    except ValueError:
        raise _lost(row, f"does not hold JSON at record {row.row_number}") from None
    found = _as_object(record, row)
    if not source.file.ingestion.streams:
        return Original(found)
    return Original(_as_object(parse_record(str(found.get(_DATA))), row), found)


def _address(landing: Landing, source: Source, row: QuarantinedRow) -> LandingObject:
    bucket, _, name = row.landing_uri.removeprefix("gs://").partition("/")
    if bucket != landing.bucket_name:
        raise QuarantineError(
            f"{row.landing_uri} lies in another bucket than landing does now, {landing.bucket_name}; set "
            "PLATFORM_LANDING_BUCKET to the one that it came from"
        )
    day = date.fromisoformat(name.split("/")[1].removeprefix("date="))
    return LandingObject(source.name, day, name, row.landing_generation, 0, row.landed_at, bucket)


def _record(source: Source, arrival: LandingObject, path: Path, row_number: int) -> object:
    kind = source.file.ingestion.format
    is_lines = arrival.name.removesuffix(".gz").endswith(".jsonl")  # whatever the source's format is
    if kind not in {Format.JSONL, Format.JSON} and not is_lines:
        return _row_as_record(source, arrival, path, row_number)
    with path.open("rb") as stored:
        packed = stored.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    with cast("BinaryIO", gzip.open(path)) if packed else path.open("rb") as lines:
        if kind is Format.JSON and not is_lines:
            records = _document(lines)
            if records is not None:
                return records[row_number - 1] if row_number <= len(records) else None
            lines.seek(0)
        line = next(islice(_lines(lines), row_number - 1, None), None)
    return None if line is None else parse_record(line)


def _row_as_record(source: Source, arrival: LandingObject, path: Path, row_number: int) -> object:
    """A row of a format that is no JSON, as the JSON that bronze would keep the same way; secrets are still in it."""
    import duckdb

    unclassified = replace(source, file=source.file.model_copy(update={"classification": {}}))
    fields = bronze_fields(unclassified)
    settings = source.file.ingestion
    with duckdb.connect(config={"temp_directory": str(path.parent)}) as connection:
        read_objects(
            connection,
            [(arrival, path)],
            fields,
            envelope=False,
            file_format=settings.format,
            csv=settings.csv,
            declared=declared_names(unclassified),
        )
        columns = ", ".join([UNEXPECTED, *(quote(field.name) for field in fields)])
        found = connection.execute(f"SELECT {columns} FROM records WHERE _row_number = {row_number}").fetchone()
    if found is None:
        return None
    unexpected, *values = found
    record = {
        str(field.source_name): value if field.text else parse_record(value)
        for field, value in zip(fields, values, strict=True)
        if value is not None
    }
    return {**record, **(parse_record(unexpected) if unexpected else {})}


def _document(content: BinaryIO) -> list[object] | None:
    """The records of a JSON document: those of an array, or one alone; None for one value a line."""
    try:
        value = parse_record(content.read().removeprefix(_BYTE_ORDER_MARK))
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, list) else [value]


def _lines(content: BinaryIO) -> Iterator[bytes]:
    for number, line in enumerate(content):
        record = line.removeprefix(_BYTE_ORDER_MARK if number == 0 else b"").strip(_SPACE)
        if record:
            yield record


def _as_object(value: object, row: QuarantinedRow) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _lost(row, f"holds no JSON object at record {row.row_number}")
    return value


def _lost(row: QuarantinedRow, what: str) -> QuarantineError:
    return QuarantineError(
        f"The {row} cannot be taken from landing again: {row.landing_uri} of generation {row.landing_generation} {what}"
    )

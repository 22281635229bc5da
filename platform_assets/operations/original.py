"""Takes one record out of the landing object that it came in, whole, as the source sent it.

This is the one place above landing that sees values in the clear, secrets included: nothing of them may be shown, told
in a message or kept anywhere but in landing (I7).
"""

from __future__ import annotations

import gzip
import json
import tempfile
import zlib
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from platform_assets.ingestion.landing import ArrivalVanished, LandingObject
from platform_assets.operations.fixed_record import parse_record, written
from platform_assets.operations.quarantined_rows import QuarantineError
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
        QuarantineError: the object is gone, damaged, of a format out of which no record can be taken, or does not hold
            such a record.
    """
    settings = source.file.ingestion
    if settings.format not in {Format.JSONL, Format.JSON}:
        raise QuarantineError(
            f"{row.landing_uri} is {settings.format}, and a record can be taken out of JSON only; give the whole "
            "mended record with --file"
        )
    with tempfile.TemporaryDirectory(dir=scratch, prefix="original-") as folder:
        try:
            (path,) = landing.download([_address(landing, source, row)], Path(folder))
            record = _record(path, row.row_number, document=settings.format is Format.JSON)
        except ArrivalVanished:
            raise _lost(row, "was overwritten or deleted") from None
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise _lost(row, "is a damaged gzip file") from None
        except ValueError:
            raise _lost(row, f"does not hold JSON at record {row.row_number}") from None
    if not settings.streams:
        return Original(_as_object(record, row))
    message = _as_object(record, row)
    return Original(_as_object(parse_record(str(message.get(_DATA))), row), message)


def _address(landing: Landing, source: Source, row: QuarantinedRow) -> LandingObject:
    bucket, _, name = row.landing_uri.removeprefix("gs://").partition("/")
    if bucket != landing.bucket_name:
        raise QuarantineError(
            f"{row.landing_uri} lies in another bucket than landing does now, {landing.bucket_name}; set "
            "PLATFORM_LANDING_BUCKET to the one that it came from"
        )
    day = date.fromisoformat(name.split("/")[1].removeprefix("date="))
    return LandingObject(source.name, day, name, row.landing_generation, 0, row.landed_at, bucket)


def _record(path: Path, row_number: int, *, document: bool) -> object:
    with path.open("rb") as stored:
        packed = stored.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    with cast("BinaryIO", gzip.open(path)) if packed else path.open("rb") as lines:
        if document:
            records = _document(lines)
            if records is not None:
                return records[row_number - 1] if row_number <= len(records) else None
            lines.seek(0)
        line = next(islice(_lines(lines), row_number - 1, None), None)
    return None if line is None else parse_record(line)


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

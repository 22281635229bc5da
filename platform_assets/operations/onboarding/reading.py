"""Reads the first records of a sample file, whatever its format: content tells which, and the name where it does not.

Light reading for a guess, forgiving what the platform's own readers would refuse; they alone decide what is loaded.
"""

from __future__ import annotations

import codecs
import gzip
import struct
import zlib
from dataclasses import replace
from io import BufferedReader, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, cast

from platform_assets.operations.onboarding.csv_sample import read_csv
from platform_assets.operations.onboarding.json_sample import read_json
from platform_assets.operations.onboarding.sample import Sample, SampleError
from platform_assets.operations.onboarding.typed_sample import read_avro, read_parquet
from platform_assets.sources.ingestion_settings import Compression

if TYPE_CHECKING:
    from io import RawIOBase

MAX_RECORDS = 10_000

_GZIP, _PARQUET, _AVRO = b"\x1f\x8b", b"PAR1", b"Obj\x01"
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_SNIFFED_CHARACTERS, _TRIED_MEGABYTES = 2**18, 64
# What the readers of binary formats say of a file that is cut or damaged; Arrow's own errors are of these kinds too.
_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    RuntimeError,
    zlib.error,
    struct.error,
)


def read_sample(path: Path, limit: int = MAX_RECORDS) -> Sample:
    """The first `limit` records of a CSV, JSON, JSON lines, Parquet or Avro file, plain or gzip.

    Raises:
        SampleError: there is no such file, it is of no known format, or no record of it can be read.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == _GZIP
        with _inflated(path) if zipped else path.open("rb") as stream:
            sample = _read(path, stream, limit)
    except SampleError:
        raise
    except _BROKEN as error:
        raise SampleError(f"{path}: cannot be read as a sample: {' '.join(str(error).split())}") from None
    if not sample.records:
        wrong = f"; {sample.unreadable} could not be read" if sample.unreadable else ""
        raise SampleError(f"{path}: holds no record{wrong}; give a sample with at least one, or none at all")
    if not any(sample.records):
        raise SampleError(f"{path}: its records have no fields; give a sample whose records say something")
    return replace(sample, compression=Compression.GZIP if zipped else Compression.NONE)


def _inflated(path: Path) -> BufferedReader:
    return BufferedReader(cast("RawIOBase", gzip.open(path)))


def _read(path: Path, stream: BufferedReader, limit: int) -> Sample:
    head = stream.peek(4)[:4]
    if head == _PARQUET:
        return read_parquet(path, stream, limit)
    if head == _AVRO:
        return read_avro(path, stream, limit)
    encoding = _encoding(path, stream)
    with TextIOWrapper(stream, encoding=encoding, newline="") as text:
        first = _first_character(text)
        names = {suffix.lower() for suffix in path.suffixes}
        if first in {"{", "["} and not names & {".csv", ".tsv"}:
            return read_json(path, text, limit)
        if names & {".json", ".jsonl", ".ndjson"}:
            raise SampleError(f"{path}: its name says JSON, but it starts with {first!r}, not with `{{` or `[`")
        return read_csv(path, text, "utf-8" if encoding == "utf-8-sig" else encoding, limit)


def _encoding(path: Path, stream: BufferedReader) -> str:
    """UTF-8 or UTF-16 where a byte order mark or the content says so, otherwise Latin-1, which anything is."""
    content = stream.peek(1)
    if not content:
        raise SampleError(f"{path}: is empty; give a sample with at least one record, or none at all")
    marked = next((encoding for mark, encoding in _MARKS if content.startswith(mark)), None)
    if marked:
        return marked
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in islice(iter(lambda: stream.read(2**20), b""), _TRIED_MEGABYTES):
            decoder.decode(chunk)
    except UnicodeDecodeError:
        return "latin-1"
    finally:
        stream.seek(0)
    return "utf-8"


def _first_character(text: TextIOWrapper) -> str:
    found = text.read(_SNIFFED_CHARACTERS).lstrip("\ufeff \t\r\n")[:1]
    text.seek(0)
    return found

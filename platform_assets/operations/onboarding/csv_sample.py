"""Reads a sample of CSV, however it is written: any delimiter, any line ends, also mixed."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import IO, Any

from platform_assets.operations.onboarding.sample import Sample, enough
from platform_assets.sources.ingestion_settings import CsvOptions, Format

_DELIMITERS = (",", ";", "\t", "|")
_SNIFFED_BYTES, _SNIFFED_RECORDS = 2**18, 20


def read_csv(path: Path, text: TextIOWrapper, encoding: str, limit: int) -> Sample:
    """The first records of a text with a header; empty cells are null."""
    delimiter = _delimiter(text.read(_SNIFFED_BYTES))
    text.seek(0)
    rows = _rows(text, delimiter)
    header = [name.strip() for name in next(rows, None) or ()]
    doubled = {name for name in header if header.count(name) > 1}
    records: list[dict[str, Any]] = []
    unreadable = 0
    most = enough(dict.fromkeys(header), limit)
    for row in rows:
        if row is None or len(row) != len(header):
            unreadable += 1
        elif len(records) < most:
            cells = zip(header, row, strict=True)
            records.append({name: cell if cell != "" else None for name, cell in cells if name not in doubled})
        else:
            return _csv_sample(path, delimiter, encoding, records, unreadable, doubled, whole=False)
    return _csv_sample(path, delimiter, encoding, records, unreadable, doubled, whole=True)


def _csv_sample(
    path: Path,
    delimiter: str,
    encoding: str,
    records: Sequence[Mapping[str, Any]],
    unreadable: int,
    doubled: Iterable[str],
    *,
    whole: bool,
) -> Sample:
    notes = [
        f"The column {name!r} stands more than once in the header and is left out: nobody can tell which is meant."
        for name in sorted(doubled)
    ]
    said: dict[str, Any] = {}
    if delimiter != ",":
        said["delimiter"] = delimiter
    if encoding != "utf-8":
        said["encoding"] = encoding
    if encoding == "latin-1":
        notes.append("The file is not UTF-8; it was read as Latin-1. Look whether letters with accents are right.")
    return Sample(
        path,
        Format.CSV,
        records,
        csv=CsvOptions(**said),
        unreadable=unreadable,
        whole=whole,
        notes=tuple(notes),
    )


def _rows(text: IO[str], delimiter: str) -> Iterator[list[str] | None]:
    """The rows that are not blank; None for one that cannot be read."""
    reader = csv.reader(text, delimiter=delimiter)
    first = True
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:  # a cell of more than 128 KiB
            yield None
            continue
        if first and row:
            row[0] = row[0].lstrip("\ufeff")
        first = False
        if len(row) > 1 or (row and row[0].strip()):
            yield row


def _delimiter(head: str) -> str:
    """That under which the first records have most cells, and all of them equally many; otherwise the comma."""
    best, most = ",", (0, 0)
    for delimiter in _DELIMITERS:
        widths = [len(row or ()) for row in islice(_rows(StringIO(head, newline=""), delimiter), _SNIFFED_RECORDS)]
        found = (sum(width == widths[0] for width in widths), widths[0]) if widths else (0, 0)
        if found[1] > 1 and found > most:
            best, most = delimiter, found
    return best

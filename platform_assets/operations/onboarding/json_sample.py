"""Reads a sample of JSON: a document, or one record a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from platform_assets.operations.onboarding.sample import Sample, SampleError, enough
from platform_assets.sources.ingestion_settings import Format

MAX_RECORD_BYTES = 16 * 2**20
MAX_DOCUMENT_BYTES = 128 * 2**20  # a document is read as a whole

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def read_json(path: Path, text: TextIOWrapper, limit: int) -> Sample:
    """The first records of a text that starts like JSON."""
    lines = _lines(text)
    first, second = next(lines, ""), next(lines, None)
    text.seek(0)
    if second is not None and _parsed(first) is not None:
        return _from_lines(path, text, limit)
    content = text.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise SampleError(f"{path}: a JSON document of more than {MAX_DOCUMENT_BYTES:,} characters; give a shorter one")
    try:
        document = _loads(content)
    except ValueError as error:
        text.seek(0)
        sample = _from_lines(path, text, limit)
        if sample.records:
            return sample
        raise SampleError(f"{path}: neither a JSON document nor JSON lines: {error}") from None
    found = document if isinstance(document, list) else [document]
    records = [record for record in found if isinstance(record, dict)]
    if not records:
        raise SampleError(f"{path}: expected a JSON object, or an array of them; it holds {_kind(document)}")
    kept = records[: enough(records[0], limit)]
    unreadable = len(found) - len(records)
    return Sample(path, Format.JSON, kept, unreadable=unreadable, whole=len(kept) == len(records))


def _from_lines(path: Path, text: TextIOWrapper, limit: int) -> Sample:
    records: list[dict[str, Any]] = []
    unreadable, most = 0, limit
    lines = _lines(text)
    for line in lines:
        record = _parsed(line)
        if isinstance(record, dict):
            records.append(record)
            most = enough(record, limit) if len(records) == 1 else most
        else:
            unreadable += 1
        if len(records) == most:
            break
    return Sample(
        path,
        Format.JSONL,
        records,
        unreadable=unreadable,
        whole=next(lines, None) is None,
    )


def _lines(text: TextIOWrapper) -> Iterator[str]:
    lines = iter(lambda: text.readline(MAX_RECORD_BYTES), "")
    return (line for line in lines if line.strip("\ufeff \t\r\n"))


def _parsed(line: str) -> Any:  # noqa: ANN401 - a JSON value
    try:
        return _loads(line)
    except (ValueError, RecursionError):
        return None


def _loads(text: str) -> Any:  # noqa: ANN401 - a JSON value
    found = json.loads(text.lstrip("\ufeff"), parse_float=Decimal, parse_constant=_refuse)
    if "\\u" in text and _LONE_SURROGATE.search(json.dumps(found, ensure_ascii=False, default=str)):
        raise ValueError("half of a surrogate pair, which is no character")
    return found


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def _kind(document: object) -> str:
    if isinstance(document, list):
        return "an array of something else" if document else "an empty array"
    return "a single value"

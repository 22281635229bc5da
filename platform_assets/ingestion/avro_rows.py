"""Avro to rows: each field as the text, or the JSON text, that JSON of the same value would give.

Records are decoded one by one; those before a damage are used.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_assets.ingestion.python_rows import Row, python_rows
from platform_assets.ingestion.refusals import MAX_RECORD_BYTES, Refusals, too_large
from platform_assets.ingestion.shape import Shape
from platform_assets.ingestion.unpack import Unpacked, unpack
from platform_assets.sources.contracts import UNEXPECTED

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from platform_assets.ingestion.json_lines import Insert


@dataclass(frozen=True)
class AvroRows:
    """Reads objects of format `avro`: container files with their schema."""

    connection: DuckDBPyConnection
    shape: Shape

    def prepare(self, path: Path) -> Unpacked:
        """The object as a plain file."""
        return unpack(path)

    def read(self, unpacked: Unpacked, insert: Insert) -> tuple[int, Refusals]:
        """Rows inserted, and what could not be read."""
        refusals = Refusals()
        names = [*(field.name for field in self.shape.fields), UNEXPECTED]
        with python_rows(self.connection, names, self._rows(unpacked, refusals)) as rows:
            return insert(f"SELECT * FROM {rows}"), refusals

    def _rows(self, unpacked: Unpacked, refusals: Refusals) -> Iterator[Row]:
        number = 0
        for number, record in _records(unpacked.path, refusals):
            if not self.shape.whole and not isinstance(record, Mapping):
                refusals.refuse(number, "not a record", json_text(record).encode())
                continue
            row = self._row(record)
            size = sum(len(value) for value in row if value is not None)
            if size > MAX_RECORD_BYTES:
                refusals.refuse(number, too_large(size), b"")
                continue
            yield [number, *row]
        if unpacked.fault is not None:
            refusals.note(f"{unpacked.fault} after record {number}")

    def _row(self, record: Any) -> list[str | None]:  # noqa: ANN401 - any Avro value
        if self.shape.whole:
            return [json_text(record), None]
        values: list[str | None] = []
        for field in self.shape.fields:
            value = record.get(field.source_name)
            values.append(None if value is None else plain_text(value) if field.text else json_text(value))
        hidden = self.shape.hidden
        extra = {name: value for name, value in record.items() if name not in hidden and value is not None}
        return [*values, json_text(extra) if extra else None]


def _records(path: Path, refusals: Refusals) -> Iterator[tuple[int, Any]]:
    """The records with their numbers, as far as the file can be read; then a word on why not further."""
    import fastavro

    number = 0
    with path.open("rb") as source:
        try:
            for number, record in enumerate(fastavro.reader(source), start=1):
                yield number, record
        except GeneratorExit:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a damaged file makes the library raise is the file's fault
            where = f"after record {number}" if number else str(error)
            refusals.note(f"not Avro that can be read: {type(error).__name__}: {where}")


def plain_text(value: object) -> str:
    """A value as the text of a text field."""
    text = _text(value)
    return json_text(value) if text is None else text


def json_text(value: object) -> str:
    """A value as JSON, exactly."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        return (
            "{" + ",".join(f"{json.dumps(str(k), ensure_ascii=False)}:{json_text(v)}" for k, v in value.items()) + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(json_text, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(str(value))
    text = _text(value)
    return json.dumps(value if text is None else text, ensure_ascii=False)


def _text(value: object) -> str | None:
    """The text of what JSON has no type for, or None if it has one."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        moment = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
        return f"{moment.isoformat()}Z"
    if isinstance(value, date | time):
        return value.isoformat()
    return None if isinstance(value, int | float | Decimal | Mapping | list | tuple | type(None)) else str(value)

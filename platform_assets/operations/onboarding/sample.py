"""A sample: the first records of a file, and what the file says about them."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from platform_assets.sources.ingestion_settings import Compression, CsvOptions, Format
from platform_assets.sources.yaml_file import SourceError

MAX_CELLS = 2_000_000  # so that a table of 2,000 columns takes seconds too


class SampleError(SourceError):
    """Nothing can be learned from a sample; the message names the file, what was expected, and what to do."""


@dataclass(frozen=True)
class Sample:
    """The first records of a file.

    Attributes:
        records: field name to value, in the file's order; the values of Avro and Parquet as Python has them.
        csv: how a CSV file is written, for the source file; empty where the platform finds out by itself.
        unreadable: how many records before the last one could not be read.
        whole: whether the file holds no further record.
        layout: the Arrow or Avro schema of a file that has one.
        declared: JSON Schema of the fields whose type the file itself states.
        notes: what a person should know about the file, in sentences that quote none of its values.
    """

    path: Path
    format: Format
    records: Sequence[Mapping[str, Any]]
    csv: CsvOptions = field(default_factory=CsvOptions)
    unreadable: int = 0
    whole: bool = True
    layout: Any = None
    declared: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    compression: Compression = Compression.NONE

    @property
    def textual(self) -> bool:
        """Whether every value is text, and its type has to be told from how it looks."""
        return self.format is Format.CSV


def plain(value: object) -> Any:  # noqa: ANN401 - a JSON value
    """A value as JSON has it: null, boolean, int, Decimal, text, list or dict. What is no number is null."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Decimal | float):
        return Decimal(repr(value) if isinstance(value, float) else value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return value.isoformat() if isinstance(value, date | time) else str(value)


def enough(record: Mapping[str, Any], limit: int) -> int:
    """How many records are looked at, given the first of them."""
    return max(1, min(limit, MAX_CELLS // max(1, len(record))))

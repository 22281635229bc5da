"""Landing objects given as bytes, read into the table `records`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import Any

import duckdb

from platform_assets.ingestion.landing import LandingObject
from platform_assets.ingestion.records import RecordSet, read_objects
from platform_assets.sources.contracts import BronzeField
from platform_assets.sources.ingestion_settings import Format

LANDED = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
FIELDS = (BronzeField("id", "id", text=False), BronzeField("note", "Note", text=True, blank=True))
WHOLE = (BronzeField("record", None, text=False),)
_GENERATIONS = count(1)

Row = tuple[Any, ...]


def text_fields(*names: str) -> tuple[BronzeField, ...]:
    """Fields that hold texts, called like the columns of the object."""
    return tuple(BronzeField(name, name, text=True, blank=True) for name in names)


class Reading:
    """What was read, from contents given as bytes."""

    def __init__(
        self,
        folder: Path,
        *contents: bytes,
        fields: Sequence[BronzeField] = FIELDS,
        envelope: bool = False,
        name: str = "a.jsonl",
        connection: duckdb.DuckDBPyConnection | None = None,
        **options: Any,  # noqa: ANN401 - of `read_objects`
    ) -> None:
        self.arrivals, paths = [], []
        for content in contents:
            generation = next(_GENERATIONS)
            landing_name = f"source=s/date=2026-01-02/{name}"
            size = len(content)
            self.arrivals.append(LandingObject("s", date(2026, 1, 2), landing_name, generation, size, LANDED, "b"))
            paths.append(folder / f"{generation}-{name}")
            paths[-1].write_bytes(content)
        self.connection = connection or duckdb.connect()
        objects = list(zip(self.arrivals, paths, strict=True))
        self.set: RecordSet = read_objects(self.connection, objects, fields, envelope=envelope, **options)
        assert sorted(folder.iterdir()) == sorted(paths), "files that reading made are left"
        for path in paths:
            path.unlink()

    def rows(self, columns: str = "id, note, _row_number") -> list[Row]:
        """The table's rows."""
        return self.connection.execute(f"SELECT {columns} FROM records ORDER BY ALL").fetchall()

    @property
    def numbers(self) -> list[int]:
        """The rows' numbers."""
        return [row[0] for row in self.connection.execute("SELECT _row_number FROM records ORDER BY 1").fetchall()]

    @property
    def letters(self) -> list[tuple[int | None, str]]:
        """Where and why, of each dead letter."""
        return [(letter.row_number, letter.reason) for letter in self.set.dead_letters]


def csv(folder: Path, *contents: bytes, **options: Any) -> Reading:  # noqa: ANN401 - of `Reading`
    """CSV objects, read."""
    return Reading(folder, *contents, **{"name": "a.csv", "file_format": Format.CSV, **options})

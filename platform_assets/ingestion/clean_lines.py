"""Clean JSON lines of many objects as one stream of rows: nothing is kept between the objects and the table's file.

The objects are put one behind the other into a plain file, headed by what tells DuckDB the columns, so that it refuses
every other member; then it reads them in one pass. What turns out not to be clean is for `records`, object by object.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

from platform_assets.contracts.rules import literal, quote
from platform_assets.ingestion.refusals import MAX_RECORD_BYTES
from platform_assets.ingestion.shape import NUMBER
from platform_assets.ingestion.strict_json import is_suspicious
from platform_assets.ingestion.unpack import pour
from platform_assets.sources.contracts import UNEXPECTED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from platform_assets.ingestion.json_lines import JsonLines
    from platform_assets.ingestion.landing import LandingObject

_LARGEST = 2**30  # bytes of a stream, and so of what is on disk at once for each processor
_SMALLEST = 64 * 2**20  # below that a second stream costs more than it saves
_INFLATED = 8  # times a gzip of JSON lines
_MOST = 1_000  # objects of a stream
_PLACE = '"place of the object"'  # a name that no field can have

Objects = list[tuple["LandingObject", "Path"]]


@dataclass(frozen=True)
class Stream:
    """Objects that are read together.

    Attributes:
        objects: landing objects with the files that they were downloaded to.
        path: the plain file of all of them.
        lines: of each object.
    """

    objects: Objects
    path: Path
    lines: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Rows that there are if all is as it seems: one for each line."""
        return sum(self.lines)

    def relation(self, lines: JsonLines) -> str:
        """SQL after FROM with the columns of `records.read_objects`; reading it fails where a line is not clean."""
        arrivals = [arrival for arrival, _ in self.objects]
        starts = [sum(self.lines[:place]) for place in range(len(self.lines))]
        names = ", ".join(quote(field.name) for field in lines.shape.fields)
        values = {
            "_landing_uri": [literal(arrival.uri) for arrival in arrivals],
            "_landing_generation": [f"{arrival.generation}::BIGINT" for arrival in arrivals],
            "_landed_at": [
                f"TIMESTAMPTZ {literal(arrival.landed_at.astimezone(UTC).isoformat())}" for arrival in arrivals
            ],
        }
        origin = ", ".join(f"[{', '.join(listed)}][{_PLACE}] AS {name}" for name, listed in values.items())
        return (
            f"(SELECT {names}, {UNEXPECTED}, {origin}, {NUMBER} - {starts}[{_PLACE}] AS _row_number FROM ("
            f"SELECT *, {_place(starts)} AS {_PLACE} FROM ({lines.shape.without_secrets(lines.columns(self.path))})))"
        )


def groups(objects: Objects) -> list[Objects]:
    """Objects that are to be read together, one group for each processor, more if there is more than fits the disk."""
    sizes = [arrival.size * (_INFLATED if arrival.name.endswith(".gz") else 1) for arrival, _ in objects]
    share = min(_LARGEST, max(_SMALLEST, sum(sizes) // (os.cpu_count() or 1) + 1))
    found: list[Objects] = []
    taken = 0
    for pair, size in zip(objects, sizes, strict=True):
        if not found or taken + size // 2 > share or len(found[-1]) == _MOST:
            found.append([])
            taken = 0
        found[-1].append(pair)
        taken += size
    return found


def gather(objects: Objects, head: bytes, path: Path) -> tuple[Stream | None, Objects]:
    """Puts objects together into a plain file.

    Args:
        objects: landing objects with the files that they were downloaded to, plain or gzip.
        head: lines from which DuckDB infers the columns.
        path: the file, which is made.

    Returns:
        The stream; and the objects that are not in it, because they are damaged, too long, or look like what only a
        lenient reader takes.
    """
    taken: Objects = []
    others: Objects = []
    lines: list[int] = []
    with path.open("wb") as target:
        target.write(head)
        for arrival, downloaded in objects:
            poured = pour(downloaded, target, longest=MAX_RECORD_BYTES)
            if poured is None:
                others.append((arrival, downloaded))
            else:
                taken.append((arrival, downloaded))
                lines.append(poured)
    if not taken or is_suspicious(path):
        path.unlink()
        return None, list(objects)
    return Stream(taken, path, tuple(lines)), others


def _place(starts: Sequence[int]) -> str:
    """SQL: which of the objects the record of a number is in, from 1, by halves."""

    def within(first: int, last: int) -> str:
        if first == last:
            return str(first + 1)
        middle = (first + last + 1) // 2
        below, above = within(first, middle - 1), within(middle, last)
        return f"CASE WHEN {NUMBER} <= {starts[middle]} THEN {below} ELSE {above} END"

    return within(0, len(starts) - 1)

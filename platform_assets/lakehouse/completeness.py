"""How complete a partition is: its rows against the source's own count, or against what is usual for its weekday."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_WEEKS = 8
_ENOUGH = 3


@dataclass(frozen=True)
class Completeness:
    """The rows of a partition beside those that it should have.

    Attributes:
        partition: the date.
        rows: rows that the table accounts for (source), or holds (usual).
        expected: rows that bronze holds for the date, or the median of the same weekday of the last 8 weeks.
        basis: `source` or `usual`.
    """

    partition: date
    rows: int
    expected: float
    basis: str

    @property
    def ratio(self) -> float:
        """1 is all of it; above the usual it is more."""
        return self.rows / self.expected if self.expected else 1.0

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "partition": self.partition.isoformat(),
            "rows": self.rows,
            "expected_rows": self.expected,
            "ratio": round(self.ratio, 4),
            "basis": self.basis,
        }


def against_source(partition: date, rows_in: int | None, bronze_rows: int | None) -> Completeness | None:
    """The rows that silver accounts for against those that bronze holds; None where either was not counted."""
    if rows_in is None or bronze_rows is None:
        return None
    return Completeness(partition, rows_in, bronze_rows, "source")


def against_usual(partition: date, rows_by_partition: Mapping[date, int]) -> Completeness | None:
    """The rows of a partition against the median of its weekday; None before 3 of the last 8 weeks have any."""
    before = [partition - timedelta(weeks=week) for week in range(1, _WEEKS + 1)]
    counts = [rows_by_partition[day] for day in before if day in rows_by_partition]
    if len(counts) < _ENOUGH:
        return None
    return Completeness(partition, rows_by_partition.get(partition, 0), float(median(counts)), "usual")

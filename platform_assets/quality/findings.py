"""What a look at the content of a table found out: the one shape that every watch answers in (S1-37, S2-33, S2-34)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class Watch(StrEnum):
    """What is looked at."""

    VOLUME = "volume"  # rows of a partition against what is usual
    NULL_RATE = "null_rate"  # share of null in a column against what is usual
    DISTRIBUTION = "distribution"  # values of a column against those of before
    SCHEMA = "schema"  # columns that came, went or changed their type
    RECONCILIATION = "reconciliation"  # two figures that must agree


@dataclass(frozen=True)
class Finding:
    """One judgement; those that are usual are kept too, because a score counts both.

    Attributes:
        table: `layer.table`.
        partition: the date that it is about; None for a table as a whole.
        subject: what of the table: a column, the name of a reconciliation; empty for the table itself.
        observed: what was measured, in the unit of the watch: rows, a share of 1, a distance, the compared figure.
        low, high: what would be usual, in the same unit; None where there is no such bound.
        unusual: whether it is told of.
        reason: the judgement in words: what was seen, what was expected.
    """

    watch: Watch
    table: str
    partition: date | None
    observed: float
    unusual: bool
    reason: str
    subject: str = ""
    low: float | None = None
    high: float | None = None

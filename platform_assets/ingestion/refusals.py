"""What of an object could not be read, and how much of it is kept: the same for every format."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_RECORD_BYTES = 16 * 2**20
MAX_PROBLEMS = 10_000  # named one by one for each object; the rest is counted
KEPT_BYTES = 64 * 2**10  # of each problem's content: the object itself still holds all of it
KEPT_BYTES_IN_ALL = 8 * 2**20  # of the content of all problems of an object


@dataclass(frozen=True)
class Problem:
    """Something that could not be read.

    Attributes:
        row_number: which record of the object, from 1; None if it concerns the object as a whole.
        reason: why, in words that hold none of the content.
        content: the bytes concerned, at most KEPT_BYTES of them.
    """

    row_number: int | None
    reason: str
    content: bytes = field(repr=False, default=b"")


@dataclass
class Refusals:
    """What of one object could not be read.

    Attributes:
        refused: how many records.
        problems: the first MAX_PROBLEMS of them, and what is wrong with the object as a whole.
    """

    refused: int = 0
    problems: list[Problem] = field(default_factory=list)
    _kept: int = 0

    def refuse(self, row_number: int, reason: str, content: bytes) -> None:
        """Count a record that could not be read, and name it while there are not too many."""
        self.refused += 1
        if self.refused <= MAX_PROBLEMS:
            kept = content[: min(KEPT_BYTES, KEPT_BYTES_IN_ALL - self._kept)]
            self._kept += len(kept)
            self.problems.append(Problem(row_number, reason, kept))

    def note(self, reason: str, content: bytes = b"") -> None:
        """Name something that is wrong with the object as a whole."""
        self.problems.append(Problem(None, reason, content[:KEPT_BYTES]))

    def named(self) -> list[Problem]:
        """The problems, with a word on those that are only counted."""
        unnamed = self.refused - MAX_PROBLEMS
        word = f"{unnamed:,} more records cannot be read; only the first {MAX_PROBLEMS:,} are named one by one"
        return self.problems + ([Problem(None, word)] if unnamed > 0 else [])


def too_large(size: int) -> str:
    """The reason for a record of `size` bytes."""
    return f"record of {size:,} bytes is larger than {MAX_RECORD_BYTES:,}"


def reader_errors() -> tuple[type[Exception], ...]:
    """What DuckDB raises for content that it cannot read.

    It quotes the content in its messages and may cut that within a character, which some versions of Python then
    cannot decode.
    """
    import duckdb

    return duckdb.InvalidInputException, duckdb.IOException, UnicodeDecodeError

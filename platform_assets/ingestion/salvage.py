"""What can still be read of an object that is not clean: good records keep their row number, the rest is named.

Bytes only: inflating, splitting into lines, judging each line. What a record's fields become is in `records`. Memory
stays bounded by one record and one batch of lines, whatever the object holds.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MAX_RECORD_BYTES = 16 * 2**20
MAX_OBJECT_BYTES = 8 * 2**30  # inflated; a gzip stream can claim a thousand times its size
MAX_PROBLEMS = 10_000  # named one by one for each object; the rest is counted
KEPT_BYTES = 64 * 2**10  # of each problem's content: the object itself still holds all of it
KEPT_BYTES_IN_ALL = 8 * 2**20  # of the content of all problems of an object

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP = 31  # zlib's window bits for a gzip member with its checksum
_CHUNK = 2**20
_BATCH_BYTES = 4 * 2**20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SPACE = b" \t\n\r\x0b\x0c"  # what DuckDB takes for blank


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


@dataclass(frozen=True)
class Unpacked:
    """An object as a file of plain lines.

    Attributes:
        path: the plain file.
        longest: bytes of the longest line.
        fault: what is wrong with the object as a whole, in words.
        complete: whether every byte of it is there; otherwise the last line may be cut.
        trusted: whether what was inflated is what had been compressed.
        made: whether `path` was made from the downloaded file, rather than being that file.
    """

    path: Path
    longest: int
    fault: str | None = None
    complete: bool = True
    trusted: bool = True
    made: bool = False


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

    def note(self, reason: str) -> None:
        """Name something that is wrong with the object as a whole."""
        self.problems.append(Problem(None, reason))

    def named(self) -> list[Problem]:
        """The problems, with a word on those that are only counted."""
        unnamed = self.refused - MAX_PROBLEMS
        word = f"{unnamed:,} more records cannot be read; only the first {MAX_PROBLEMS:,} are named one by one"
        return self.problems + ([Problem(None, word)] if unnamed > 0 else [])


def unpack(path: Path, max_bytes: int = MAX_OBJECT_BYTES) -> Unpacked:
    """Inflate a gzip file beside itself and check its sum; a plain file stays. The first bytes tell, not the name."""
    with path.open("rb") as source:
        if source.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC:
            source.seek(0)
            return _inflate(source, path.with_name(f"{path.name}.plain.jsonl"), max_bytes)
        if path.stat().st_size <= MAX_RECORD_BYTES:
            return Unpacked(path, longest=0)  # no line of it can be too long
        source.seek(0)
        measure = _LongestLine()
        while chunk := source.read(_CHUNK):
            measure.feed(chunk)
    return Unpacked(path, measure.longest)


def salvage(
    connection: DuckDBPyConnection, unpacked: Unpacked, names: Sequence[str], marker: str, refusals: Refusals
) -> Path:
    """Write a clean copy in which each line that cannot be read is replaced, so that the others keep their row number.

    Args:
        connection: judges the lines with the parser that also reads clean objects.
        unpacked: the object.
        names: top-level names that a record must not hold twice.
        marker: name of the only member of a line that stands for one that cannot be read.
        refusals: takes what could not be read; reasons say where a record cannot be read, never what stands there.
    """
    clean = unpacked.path.with_name(f"{unpacked.path.name}.clean.jsonl")
    if not unpacked.trusted:
        clean.write_bytes(b"")
        refusals.note(f"{unpacked.fault}: no record of the object is used")
        return clean
    replacement = f"{json.dumps({marker: 1})}\n".encode()
    fault, last = unpacked.fault, 0
    with unpacked.path.open("rb") as source, clean.open("wb") as target:
        for line, reason in _judged(connection, _lines(source), names):
            target.write(line.content + b"\n" if reason is None else replacement)
            if reason is not None and not line.ended and not unpacked.complete:
                # What is left of the record that was being read when the object ended.
                refusals.refuse(line.row_number, f"{fault} after record {last}", line.content)
                fault = None
            elif reason is not None:
                refusals.refuse(line.row_number, reason, line.content)
            last = line.row_number
    if fault is not None:
        refusals.note(fault if unpacked.complete else f"{fault} after record {last}")
    return clean


def explain(content: bytes, names: Sequence[str] = ()) -> str:
    """Why a record could not be read, in words that hold none of its content."""
    if len(content) > MAX_RECORD_BYTES:
        return too_large(len(content))
    try:
        value = json.loads(content.decode(), object_pairs_hook=lambda pairs: [name for name, _ in pairs] or {})
    except UnicodeDecodeError as error:
        return f"not valid UTF-8 at byte {error.start + 1}"
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at character {error.pos + 1}"
    except RecursionError:
        return "not JSON: nested too deeply"
    return _explain_shape(value, content, names)


def too_large(size: int) -> str:
    """The reason for a record of `size` bytes."""
    return f"record of {size:,} bytes is larger than {MAX_RECORD_BYTES:,}"


def _explain_shape(value: object, content: bytes, names: Sequence[str]) -> str:
    if not content.lstrip(_SPACE).startswith(b"{"):
        kinds = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
        return f"not a JSON object but {kinds.get(type(value), 'null')}"
    held = value if isinstance(value, list) else []
    doubled = next((name for name in names if held.count(name) > 1), None)
    return "not JSON that the reader accepts" if doubled is None else f"holds the name {doubled!r} twice"


@dataclass(frozen=True)
class _Line:
    row_number: int
    content: bytes  # without the space around it; only the first bytes if the line is too large
    size: int
    ended: bool


class _LongestLine:
    """Length of the longest line, exact for lines longer than a chunk."""

    def __init__(self) -> None:
        self.longest = 0
        self._open = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        first = chunk.find(b"\n")
        self._open += len(chunk) if first < 0 else first
        self.longest = max(self.longest, self._open)
        if first >= 0:
            self._open = len(chunk) - chunk.rfind(b"\n") - 1


def _inflate(source: BinaryIO, plain: Path, max_bytes: int) -> Unpacked:
    measure, total = _LongestLine(), 0
    fault, complete, trusted = None, False, True
    with plain.open("wb") as target:
        try:
            for piece in _members(source):
                target.write(piece)
                measure.feed(piece)
                total += len(piece)
                if total > max_bytes:
                    fault = f"inflates to more than {max_bytes:,} bytes: reading stopped"
                    break
            else:
                complete = True
        except zlib.error:
            fault, trusted = "gzip stream is damaged", False
        except EOFError as error:
            fault = str(error)
        except _NoMemberError as error:
            fault, complete = str(error), True
    return Unpacked(plain, measure.longest, fault, complete=complete, trusted=trusted, made=True)


class _NoMemberError(Exception):
    """What follows a gzip member is none."""


def _members(source: BinaryIO) -> Iterator[bytes]:
    """Inflated pieces of at most a chunk, of all members of a gzip file."""
    data = source.read(_CHUNK)
    while data:
        member, ended = zlib.decompressobj(_GZIP), False
        while not ended:
            yield member.decompress(data, _CHUNK)
            ended = member.eof
            data = member.unused_data if ended else member.unconsumed_tail or source.read(_CHUNK)
            if not data and not ended:
                yield member.flush()
                raise EOFError("gzip stream ends early")
        data = data.lstrip(b"\0")  # tape and block devices pad with zeros, as gzip itself accepts
        while len(data) < len(_GZIP_MAGIC) and (more := source.read(_CHUNK)):
            data = (data + more).lstrip(b"\0")
        if data and not data.startswith(_GZIP_MAGIC):
            raise _NoMemberError("the gzip stream is followed by bytes that are no gzip")


def _lines(source: BinaryIO) -> Iterator[_Line]:
    """The lines that are not blank."""
    row_number, first = 0, True
    while line := source.readline(MAX_RECORD_BYTES + 1):
        ended, size = line.endswith(b"\n"), len(line)
        if not ended and size > MAX_RECORD_BYTES:
            line = line[:KEPT_BYTES]
            while not ended and (more := source.readline(_CHUNK)):
                ended, size = more.endswith(b"\n"), size + len(more)
        # DuckDB takes more for space around a record than JSON does, and its functions on text take less.
        content = line.removeprefix(_BYTE_ORDER_MARK if first else b"").strip(_SPACE)
        first = False
        if content:
            row_number += 1
            yield _Line(row_number, content, size - ended, ended)


def _judged(
    connection: DuckDBPyConnection, lines: Iterable[_Line], names: Sequence[str]
) -> Iterator[tuple[_Line, str | None]]:
    """Each line with the reason why it cannot be read, or None if it can."""
    batch: list[_Line] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line.content)
        if size >= _BATCH_BYTES:
            yield from _judge(connection, batch, names)
            batch, size = [], 0
    yield from _judge(connection, batch, names)


def _judge(
    connection: DuckDBPyConnection, batch: Sequence[_Line], names: Sequence[str]
) -> Iterator[tuple[_Line, str | None]]:
    texts = [_text(line) for line in batch]
    rows = connection.execute(_VERDICTS, [texts]).fetchall()
    for line, (is_object, has_twins) in zip(batch, rows, strict=True):
        if line.size > MAX_RECORD_BYTES:
            yield line, too_large(line.size)
        elif not is_object:
            yield line, explain(line.content)
        elif has_twins and (reason := explain(line.content, names)).startswith("holds"):
            yield line, reason
        else:
            yield line, None


# CASE alone keeps the reader off text that is not JSON: the sides of AND are evaluated in any order.
_VERDICTS = """
    SELECT kind = 'OBJECT',
           CASE WHEN kind = 'OBJECT' THEN len(json_keys(line)) <> len(list_distinct(json_keys(line))) END
    FROM (
        SELECT line, position, CASE WHEN json_valid(line) THEN json_type(line) END AS kind
        FROM (SELECT unnest($1::VARCHAR[]) AS line, generate_subscripts($1::VARCHAR[], 1) AS position)
    )
    ORDER BY position
"""


def _text(line: _Line) -> str | None:
    if line.size > MAX_RECORD_BYTES:
        return None
    try:
        return line.content.decode()
    except UnicodeDecodeError:
        return None

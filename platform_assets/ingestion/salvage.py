"""What can still be read of JSON lines that are not clean: good records keep their row number, the rest is named.

Bytes only: splitting into lines, judging each line. What a record's fields become is in `json_lines`. Memory stays
bounded by one record and one batch of lines, whatever the object holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from platform_assets.ingestion.refusals import KEPT_BYTES, MAX_RECORD_BYTES, Refusals, too_large
from platform_assets.ingestion.strict_json import is_strict, load_strictly, suspicious
from platform_assets.ingestion.unpack import BYTE_ORDER_MARK, CHUNK, Unpacked

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_BATCH_BYTES = 4 * 2**20
_UNACCEPTED = "not JSON that the reader accepts"
_SPACE = b" \t\n\r\x0b\x0c"  # what DuckDB takes for blank


@dataclass(frozen=True)
class Judge:
    """Tells which lines are records.

    Attributes:
        connection: judges with the parser that also reads clean objects.
        names: top-level names that a record must not hold twice.
        objects_only: whether a record must be a JSON object, rather than any JSON value.
    """

    connection: DuckDBPyConnection
    names: Sequence[str]
    objects_only: bool = True


def salvage(judge: Judge, unpacked: Unpacked, head: bytes, replacement: bytes, refusals: Refusals) -> Path:
    """Write a clean copy in which each line that cannot be read is replaced, so that the others keep their row number.

    Args:
        judge: tells which lines are records.
        unpacked: the object.
        head: written before the lines.
        replacement: the line that stands for one that cannot be read.
        refusals: takes what could not be read; reasons say where a record cannot be read, never what stands there.
    """
    clean = unpacked.path.with_name(f"{unpacked.path.name}.clean")
    fault, last = unpacked.fault, 0
    with unpacked.path.open("rb") as source, clean.open("wb") as target:
        source.seek(unpacked.head)
        target.write(head)
        for line, judged in _judged(judge, _lines(source)):
            reason = judged
            # What is left of the record that was being read when the object ended; half a number is a number, too.
            if not line.ended and not unpacked.complete and (judged is not None or not judge.objects_only):
                fault, reason = None, f"{unpacked.fault} after record {last}"
            if reason is not None:
                refusals.refuse(line.row_number, reason, line.content)
            target.write((line.content if reason is None else replacement) + b"\n")
            last = line.row_number
    if fault is not None:
        refusals.note(fault if unpacked.complete else f"{fault} after record {last}")
    return clean


def explain(
    content: bytes, names: Sequence[str] = (), *, objects_only: bool = True, max_bytes: int = MAX_RECORD_BYTES
) -> str:
    """Why a record could not be read, in words that hold none of its content."""
    if len(content) > max_bytes:
        return too_large(len(content))
    try:
        value = load_strictly(content.decode(), object_pairs_hook=lambda pairs: [name for name, _ in pairs] or {})
    except UnicodeDecodeError as error:
        return f"not valid UTF-8 at byte {error.start + 1}"
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at character {error.pos + 1}"
    except RecursionError:
        return "not JSON: nested too deeply"
    return _explain_shape(value, content, names) if objects_only else _UNACCEPTED


def _explain_shape(value: object, content: bytes, names: Sequence[str]) -> str:
    if not content.lstrip(_SPACE).startswith(b"{"):
        kinds = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
        return f"not a JSON object but {kinds.get(type(value), 'null')}"
    held = value if isinstance(value, list) else []
    doubled = next((name for name in names if held.count(name) > 1), None)
    return _UNACCEPTED if doubled is None else f"holds the name {doubled!r} twice"


@dataclass(frozen=True)
class _Line:
    row_number: int
    content: bytes  # without the space around it; only the first bytes if the line is too large
    size: int
    ended: bool


def _lines(source: BinaryIO) -> Iterator[_Line]:
    """The lines that are not blank."""
    row_number, first = 0, True
    while line := source.readline(MAX_RECORD_BYTES + 1):
        ended, size = line.endswith(b"\n"), len(line)
        if not ended and size > MAX_RECORD_BYTES:
            line = line[:KEPT_BYTES]
            while not ended and (more := source.readline(CHUNK)):
                ended, size = more.endswith(b"\n"), size + len(more)
        # DuckDB takes more for space around a record than JSON does, and its functions on text take less.
        content = line.removeprefix(BYTE_ORDER_MARK if first else b"").strip(_SPACE)
        first = False
        if content:
            row_number += 1
            yield _Line(row_number, content, size - ended, ended)


def _judged(judge: Judge, lines: Iterable[_Line]) -> Iterator[tuple[_Line, str | None]]:
    """Each line with the reason why it cannot be read, or None if it can."""
    batch: list[_Line] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line.content)
        if size >= _BATCH_BYTES:
            yield from _judge(judge, batch)
            batch, size = [], 0
    yield from _judge(judge, batch)


def _judge(judge: Judge, batch: Sequence[_Line]) -> Iterator[tuple[_Line, str | None]]:
    texts = [_text(line) for line in batch]
    rows = judge.connection.execute(_VERDICTS, [texts]).fetchall()
    for line, text, (kind, has_twins, is_lenient) in zip(batch, texts, rows, strict=True):
        if line.size > MAX_RECORD_BYTES:
            yield line, too_large(line.size)
        elif kind is None or (judge.objects_only and kind != "OBJECT") or (is_lenient and not is_strict(text or "")):
            yield line, explain(line.content, objects_only=judge.objects_only)
        elif has_twins and (reason := explain(line.content, judge.names)).startswith("holds"):
            yield line, reason
        else:
            yield line, None


# CASE alone keeps the reader off text that is not JSON: the sides of AND are evaluated in any order.
_VERDICTS = f"""
    SELECT kind,
           CASE WHEN kind = 'OBJECT' THEN len(json_keys(line)) <> len(list_distinct(json_keys(line))) END,
           {suspicious("line")}
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

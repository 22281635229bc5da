"""A JSON document to JSON lines: one record, or an array of records, laid out as one line each.

A document is valid or it is not: of a broken one no record is used. Whether an object is one, or JSON lines already,
its content tells.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from platform_assets.contracts.rules import literal
from platform_assets.ingestion.json_lines import Insert, JsonLines
from platform_assets.ingestion.refusals import MAX_RECORD_BYTES, Refusals
from platform_assets.ingestion.salvage import explain
from platform_assets.ingestion.strict_json import is_strict, is_suspicious
from platform_assets.ingestion.unpack import Unpacked, unpack

MAX_DOCUMENT_BYTES = 2**29  # it is held in memory as a whole


@dataclass(frozen=True)
class JsonDocuments:
    """Reads objects of format `json`.

    Attributes:
        lines: reads what the documents are laid out as.
    """

    lines: JsonLines

    def prepare(self, path: Path) -> Unpacked:
        """The object as JSON lines."""
        unpacked = unpack(path)
        try:
            if is_lines(unpacked.path):
                return self.lines.prepare(path)
            problem = unpacked.fault or self._problem(unpacked.path)
            if problem is not None:
                return Unpacked(path, 0, problem, trusted=False)
            return self._laid_out(unpacked.path)
        finally:
            if unpacked.made:
                unpacked.path.unlink()

    def read(self, unpacked: Unpacked, insert: Insert) -> tuple[int, Refusals]:
        """Rows inserted, and what could not be read."""
        return self.lines.read(unpacked, insert)

    def reread(self, unpacked: Unpacked, insert: Insert) -> tuple[int, Refusals]:
        """Like `read`, looking at each record as a whole."""
        return self.lines.reread(unpacked, insert)

    def _problem(self, path: Path) -> str | None:
        import duckdb

        size = path.stat().st_size
        if size > MAX_DOCUMENT_BYTES:
            return f"document of {size:,} bytes is larger than {MAX_DOCUMENT_BYTES:,}; deliver it as JSON lines"
        try:
            found = self.lines.connection.cursor().execute(f"SELECT json_valid(content) FROM {_document(path)}")
            valid = found.fetchall() == [(True,)]
        except duckdb.InvalidInputException:
            valid = False  # it is not UTF-8
        if valid and not (is_suspicious(path) and not is_strict(path.read_text("utf-8-sig"))):
            return None
        return explain(path.read_bytes(), objects_only=False, max_bytes=MAX_DOCUMENT_BYTES)

    def _laid_out(self, path: Path) -> Unpacked:
        items = "CASE json_type(content) WHEN 'ARRAY' THEN from_json(content, '[\"JSON\"]') ELSE [json(content)] END"
        lines = f"list_transform({items}, lambda item: coalesce(item::VARCHAR, 'null'))"
        found = self.lines.connection.cursor().execute(
            "SELECT array_to_string(lines, chr(10)), list_max(list_transform(lines, lambda line: strlen(line))) "
            f"FROM (SELECT {lines} AS lines FROM {_document(path)})"
        )
        ((text, longest),) = found.fetchall()
        head, laid_out = self.lines.head, path.with_name(f"{path.name}.lines")
        laid_out.write_bytes(head + text.encode())
        return Unpacked(laid_out, longest or 0, made=True, head=len(head))


def is_lines(path: Path) -> bool:
    """Whether a file is JSON lines rather than one document: its first line is a value, and not the only one."""
    with path.open("rb") as source:
        lines = iter(lambda: source.readline(MAX_RECORD_BYTES + 1), b"")
        filled = (line for line in lines if line.strip())
        first = next(filled, b"")
        if len(first) > MAX_RECORD_BYTES or next(filled, None) is None:
            return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return True


def _document(path: Path) -> str:
    mark = literal("\ufeff")
    return (
        f"(SELECT CASE WHEN starts_with(content, {mark}) THEN content[2:] ELSE content END AS content "
        f"FROM read_text({literal(str(path))}))"
    )

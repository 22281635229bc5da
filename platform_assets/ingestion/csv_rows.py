"""CSV to rows: DuckDB reads what keeps to the rules; anything else is read record by record, in Python.

A cell means what the same value in JSON would: the text fields of the schema hold its text, the others its JSON text.
Nothing between two delimiters is null, and an empty quoted cell an empty text, or null where the field is no text.
"""

from __future__ import annotations

import codecs
import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from platform_assets.contracts.naming import distinct
from platform_assets.contracts.rules import literal
from platform_assets.ingestion.byte_search import holds
from platform_assets.ingestion.csv_dialect import Content, Dialect, Record, sniff
from platform_assets.ingestion.python_rows import Row, python_rows
from platform_assets.ingestion.refusals import MAX_RECORD_BYTES, Refusals, reader_errors, too_large
from platform_assets.ingestion.shape import NUMBER, Shape
from platform_assets.ingestion.strict_json import suspicious
from platform_assets.ingestion.unpack import BYTE_ORDER_MARK, CHUNK, Unpacked, unpack

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from platform_assets.ingestion.json_lines import Insert
    from platform_assets.sources.contracts import BronzeField
    from platform_assets.sources.ingestion_settings import CsvOptions

MAX_COLUMNS = 10_000
_UTF_8 = "utf-8"
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class CsvRows:
    """Reads objects of format `csv`."""

    connection: DuckDBPyConnection
    shape: Shape
    options: CsvOptions

    def prepare(self, path: Path) -> Unpacked:
        """The object as plain UTF-8."""
        unpacked = unpack(path)
        with unpacked.path.open("rb") as source:
            marked = source.read(2) in _UTF_16_MARKS
        encoding = "utf-16" if marked else self.options.encoding
        return unpacked if encoding == _UTF_8 or not unpacked.trusted else _recoded(unpacked, encoding)

    def read(self, unpacked: Unpacked, insert: Insert) -> tuple[int, Refusals]:
        """Rows inserted, and what could not be read. Removes the files that it made."""
        refusals = Refusals()
        if not unpacked.size:
            return 0, refusals
        with unpacked.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            table = self._table(content, refusals)
            if table is None:
                return 0, refusals
            if unpacked.sound and table.plain(content):
                try:
                    return insert(f"SELECT {self._select(table)} FROM {self._clean(table, unpacked.path)}"), refusals
                except reader_errors():
                    pass  # some record breaks the rules: find out which
            rows = table.rows(content, unpacked, refusals)
            with python_rows(self.connection, table.columns, rows) as salvaged:
                return insert(f"SELECT {self._select(table)} FROM {salvaged}"), refusals

    def _table(self, content: Content, refusals: Refusals) -> _Table | None:
        """What the object's columns are, or None with a word on why nothing of it can be used."""
        start = len(BYTE_ORDER_MARK) if content[:3] == BYTE_ORDER_MARK else 0
        quote = self.options.quote.encode()
        given = self.options.delimiter
        dialect = Dialect(given.encode(), quote) if given else sniff(content[start : start + 2**18], quote)
        if not self.options.header:
            first = next(dialect.records(content, start), None)
            width = len(first.cells or ()) if first else 0
            names = [*self.shape.declared, *(f"column_{n}" for n in range(len(self.shape.declared) + 1, width + 1))]
            return _Table(dialect, tuple(names[: max(width, 1)]), start)
        header = next(dialect.records(content, start), None)
        if header is None:
            return None
        problem, names = self._header(header)
        if problem is not None:
            refusals.note(f"{problem}: no record of the object is used", bytes(content[header.start : header.end]))
            return None
        for field in self.shape.fields:
            if field.required and field.source_name is not None and field.source_name not in names:
                refusals.note(f"missing column {field.source_name}: every record of the object lacks it")
        return _Table(dialect, tuple(names), header.next)

    def _header(self, header: Record) -> tuple[str | None, list[str]]:
        if header.cells is None:
            return f"the header cannot be read: {header.reason or too_large(header.end - header.start)}", []
        if len(header.cells) > MAX_COLUMNS:
            return f"the header has {len(header.cells):,} columns, more than {MAX_COLUMNS:,}", []
        try:
            names = [(cell or b"").decode() for cell in header.cells]
        except UnicodeDecodeError as error:
            return f"the header is {_not_utf_8(error)}", []
        known = set(self.shape.names)
        names = [name if name in known else name.strip() for name in names]
        doubled = next((name for name in names if name in known and names.count(name) > 1), None)
        return (None, names) if doubled is None else (f"the header holds the column {doubled!r} twice", [])

    def _clean(self, table: _Table, path: Path) -> str:
        columns = ", ".join(f"{column}: 'VARCHAR'" for column in table.columns)
        delimiter, quote = literal(table.dialect.delimiter.decode()), literal(table.dialect.quote.decode())
        return (
            f"(SELECT *, row_number() OVER () AS {NUMBER} FROM read_csv({literal(str(path))}, columns = {{{columns}}}, "
            f"delim = {delimiter}, quote = {quote}, escape = {quote}, skip = {int(self.options.header)}, {_READ}))"
        )

    def _select(self, table: _Table) -> str:
        cells = {name: f"c{position}" for position, name in reversed(list(enumerate(table.names)))}
        if self.shape.whole:
            named = dict(zip(distinct(table.names), (f"c{n}" for n in range(len(table.names))), strict=True))
            return self.shape.columns([f"{_object(named)}::VARCHAR"], "NULL::VARCHAR")
        values = [_value(field, cells.get(field.source_name or "")) for field in self.shape.fields]
        hidden = self.shape.hidden
        extra = {
            name: f"c{position}"
            for position, (name, own) in enumerate(zip(distinct(table.names), table.names, strict=True))
            if own not in hidden
        }
        unexpected = (
            f"nullif(json_merge_patch('{{}}', {_object(extra)})::VARCHAR, '{{}}')" if extra else "NULL::VARCHAR"
        )
        return self.shape.columns(values, unexpected)


@dataclass(frozen=True)
class _Table:
    """The columns of one object.

    Attributes:
        dialect: how it is written.
        names: of the columns, as the object has them.
        start: where the first record begins.
    """

    dialect: Dialect
    names: tuple[str, ...]
    start: int

    @property
    def columns(self) -> list[str]:
        """Names of our own for the columns, whatever the object calls them."""
        return [f"c{position}" for position in range(len(self.names))]

    def plain(self, content: mmap.mmap) -> bool:
        """Whether DuckDB reads the object as it is meant.

        It skips a header of one line, tells blank lines from records of several cells, and has rules of its own for
        blanks beside quotes and for carriage returns: `test_csv_rows.py` compares.
        """
        header = bytes(content[: self.start]).rstrip(b"\r\n")
        if len(self.names) < 2 or b"\n" in header or b"\r" in header:
            return False
        d, q = (re.escape(part.decode()) for part in (self.dialect.delimiter, self.dialect.quote))
        # Within a quoted cell quotes come in pairs: JSON in CSV, full of them after blanks, is nothing odd.
        opens = rf" +(?:{q}(?:{q}{q})*(?:[^{q}]|\z)|(?:{q}{q})+ *(?:[{d}\r\n]|\z))"
        odd = (f"{d}{opens}", f"\n{opens}", rf"{q} +(?:[{d}\r\n]|\z)", rf"[^{d}\r\n]{q} +{q}", r"\r(?:[^\n]|\z)")
        return not holds(content, odd)

    def rows(self, content: Content, unpacked: Unpacked, refusals: Refusals) -> Iterator[Row]:
        """The records that can be read, with their numbers; the others are refused."""
        fault, last = unpacked.fault, 0
        for number, record in enumerate(self.dialect.records(content, self.start), start=1):
            written = bytes(content[record.start : record.end])
            cells, reason = self._cells(record, written)
            if not unpacked.complete and not record.ended:
                # What is left of the record that was being read when the object ended.
                fault, reason = None, f"{unpacked.fault} after record {last}"
            if reason is None:
                yield [number, *cells]
            else:
                refusals.refuse(number, reason, written)
            last = number
        if fault is not None:
            refusals.note(fault if unpacked.complete else f"{fault} after record {last}")

    def _cells(self, record: Record, written: bytes) -> tuple[list[str | None], str | None]:
        """The texts of a record's cells, and why it cannot be read, if so."""
        width = len(self.names)
        if record.cells is None:
            return [], record.reason or too_large(len(written))
        # Nothing after the last column is no cell, as DuckDB has it: some producers end their lines with a delimiter.
        if len(record.cells) < width or any(cell is not None for cell in record.cells[width:]):
            amount = "few" if len(record.cells) < width else "many"
            return [], f"too {amount} cells: {len(record.cells)} instead of {width}"
        try:
            written.decode()
        except UnicodeDecodeError as error:
            return [], _not_utf_8(error)
        return [None if cell is None else cell.decode() for cell in record.cells[:width]], None


_READ = (
    "auto_detect = false, header = false, nullstr = '', allow_quoted_nulls = false, strict_mode = true, "
    "null_padding = false, ignore_errors = false, encoding = 'utf-8', compression = 'none', "
    f"hive_partitioning = false, filename = false, max_line_size = {MAX_RECORD_BYTES}"
)
_JSON_NUMBER = r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?"
_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"


def _value(field: BronzeField, cell: str | None) -> str:
    """SQL: what a field holds of a cell."""
    if cell is None:
        return "NULL::VARCHAR"
    text = f"trim({cell})"
    if field.text:
        return cell if field.blank else f"CASE WHEN {text} <> '' THEN {cell} END"
    # CASE alone keeps the reader off text that is not JSON: the sides of AND are evaluated in any order.
    document = f"CASE WHEN json_valid({text}) THEN NOT {suspicious(text)} ELSE FALSE END"
    return (
        f"CASE WHEN {text} = '' OR {text} = 'null' OR {cell} IS NULL THEN NULL "
        f"WHEN lower({text}) IN ('true', 'false') THEN lower({text}) "
        f"WHEN regexp_full_match({text}, {literal(_JSON_NUMBER)}) THEN {text} "
        f"WHEN regexp_full_match({text}, {literal(_NUMBER)}) THEN {_as_json_number(text)} "
        f"WHEN left({text}, 1) IN ('{{', '[', '\"') THEN "
        f"CASE WHEN {document} THEN json({text})::VARCHAR ELSE to_json({cell})::VARCHAR END "
        f"ELSE to_json({cell})::VARCHAR END"
    )


def _as_json_number(text: str) -> str:
    """SQL: a number without what JSON does not allow: a plus, zeros in front, a point without digits on both sides."""
    for pattern, replacement in (
        (r"^\+", ""),
        (r"^(-?)0+(\d)", r"\1\2"),
        (r"^(-?)\.", r"\10."),
        (r"\.([eE]|$)", r"\1"),
    ):
        text = f"regexp_replace({text}, {literal(pattern)}, {literal(replacement)})"
    return text


def _object(values: dict[str, str]) -> str:
    """SQL: a JSON object."""
    return f"json_object({', '.join(f'{literal(name)}, {value}' for name, value in values.items())})"


def _not_utf_8(error: UnicodeDecodeError) -> str:
    return (
        f"not valid UTF-8 at byte {error.start + 1}; "
        "if it is written in another encoding, say which in `ingestion.csv.encoding`, such as latin-1"
    )


def _recoded(unpacked: Unpacked, encoding: str) -> Unpacked:
    """The object as UTF-8, in a file of its own."""
    decoder = codecs.getincrementaldecoder(encoding)()
    recoded, done = unpacked.path.with_name(f"{unpacked.path.name}.utf8"), 0
    fault, trusted = unpacked.fault, True
    with unpacked.path.open("rb") as source, recoded.open("wb") as target:
        try:
            while chunk := source.read(CHUNK):
                target.write(decoder.decode(chunk).encode())
                done += len(chunk)
            target.write(decoder.decode(b"", final=unpacked.complete).encode())
        except UnicodeDecodeError as error:
            fault, trusted = f"not valid {encoding} near byte {done + error.start + 1}", False
    if unpacked.made:
        unpacked.path.unlink()
    return replace(unpacked, path=recoded, made=True, fault=fault, trusted=trusted)

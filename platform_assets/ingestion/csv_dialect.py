"""How a CSV object is written, and its records as bytes: the dialect, the header, where each record ends.

RFC 4180, and what producers make of it: any line end, also mixed; blank lines, which are no records; blanks around a
quoted cell. An unquoted quote inside a cell is text.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from platform_assets.ingestion.refusals import MAX_RECORD_BYTES

_DELIMITERS = (b",", b";", b"\t", b"|")
_SNIFFED_RECORDS = 20

Content = bytes | mmap.mmap


@dataclass(frozen=True)
class Record:
    """One record of a CSV object.

    Attributes:
        start: where it begins in the content.
        end: where it ends, without its line end.
        next: where the next one begins.
        cells: its cells as bytes, None where there is nothing between two delimiters; None if it is malformed.
        reason: why it is malformed, in words.
    """

    start: int
    end: int
    next: int
    cells: list[bytes | None] | None
    reason: str = ""

    @property
    def ended(self) -> bool:
        """Whether a line end follows."""
        return self.next > self.end


@dataclass(frozen=True)
class Dialect:
    """Delimiter and quote, one ASCII byte each."""

    delimiter: bytes
    quote: bytes

    def records(self, content: Content, start: int = 0) -> Iterator[Record]:
        """The records from a position on, without those that are blank."""
        size = len(content)
        while start < size:
            record = self._record(content, start)
            start = record.next
            if record.cells is None or len(record.cells) > 1 or (record.cells[0] or b"").strip(b" "):
                yield record
            elif record.cells[0] is not None and self.quote in content[record.start : record.end]:
                yield record  # a quoted blank is a value

    def _record(self, content: Content, start: int) -> Record:
        limit = min(len(content), start + MAX_RECORD_BYTES + 1)
        cells: list[bytes | None] = []
        position = start
        while True:
            cell = self._cell.match(content, position, limit)
            if cell is None:
                return self._malformed(content, start, position, limit)
            quoted, plain, ending = cell.groups()
            cells.append(plain or None if quoted is None else quoted.replace(self.quote * 2, self.quote))
            position = cell.end()
            if ending != self.delimiter:
                break
        if position - len(ending) - start > MAX_RECORD_BYTES:
            return self._one_line(content, start, "")
        return Record(start, position - len(ending), position, cells)

    def _malformed(self, content: Content, start: int, position: int, limit: int) -> Record:
        """A record that breaks off at a cell: as far as its line goes if the quotes are closed, else its first line."""
        closed = self._closed.match(content, position, limit)
        if closed is None:
            return self._one_line(content, start, "unterminated quote")
        rest = self._one_line(content, closed.end(), "")
        return Record(start, rest.end, rest.next, None, "text after a closing quote")

    def _one_line(self, content: Content, start: int, reason: str) -> Record:
        found = _LINE_END.search(content, start)
        end, after = found.span() if found else (len(content), len(content))
        return Record(start, end, after, None, reason)

    @cached_property
    def _cell(self) -> re.Pattern[bytes]:
        d = re.escape(self.delimiter)
        plain = rb"(?!%s%s)([^%s\r\n]*+)" % (self._blanks, re.escape(self.quote), d)
        return re.compile(rb"(?:%s|%s)(%s|\r\n|\n|\r|\Z)" % (self._quoted + self._blanks, plain, d))

    @cached_property
    def _closed(self) -> re.Pattern[bytes]:
        return re.compile(self._quoted)

    @property
    def _quoted(self) -> bytes:
        q = re.escape(self.quote)
        return rb"%s%s((?:[^%s]++|%s%s)*+)%s" % (self._blanks, q, q, q, q, q)

    @property
    def _blanks(self) -> bytes:
        return b"" if self.delimiter == b" " else b" *+"


_LINE_END = re.compile(rb"\r\n|\n|\r")


def sniff(content: Content, quote: bytes) -> Dialect:
    """The dialect under which the first records have most cells, and all of them equally many.

    A file of one column has no delimiter: then it is taken for comma-separated.
    """
    head = bytes(content[: 2**18])
    best, most = Dialect(b",", quote), (0, 0)
    for delimiter in _DELIMITERS:
        dialect = Dialect(delimiter, quote)
        widths = []
        for record in dialect.records(head):
            widths.append(len(record.cells or ()))
            if len(widths) == _SNIFFED_RECORDS:
                break
        if widths and widths[0] > 1:
            found = (sum(width == widths[0] for width in widths), widths[0])
            if found > most:
                best, most = dialect, found
    return best

"""An object as a plain file: inflated if it is gzip, whatever its name says, and measured on the way.

Bytes only; what they mean is the business of the reader of each format. Memory stays bounded by one chunk.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

MAX_OBJECT_BYTES = 8 * 2**30  # inflated; a gzip stream can claim a thousand times its size
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
CHUNK = 2**20

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP = 31  # zlib's window bits for a gzip member with its checksum


@dataclass(frozen=True)
class Unpacked:
    """An object as a plain file.

    Attributes:
        path: the plain file.
        longest: bytes of the longest line.
        fault: what is wrong with the object as a whole, in words.
        complete: whether every byte of it is there; otherwise the last record may be cut.
        trusted: whether what was inflated is what had been compressed.
        made: whether `path` was made from the downloaded file, rather than being that file.
        head: bytes of `path` that were put before the object's own.
        suspicious: whether it may hold what only a lenient JSON reader takes (see `strict_json`).
    """

    path: Path
    longest: int
    fault: str | None = None
    complete: bool = True
    trusted: bool = True
    made: bool = False
    head: int = 0
    suspicious: bool = False

    @property
    def sound(self) -> bool:
        """Whether the object is what was written, all of it."""
        return self.fault is None

    @property
    def size(self) -> int:
        """Bytes of the object's own."""
        return self.path.stat().st_size - self.head


def unpack(path: Path, *, head: bytes = b"", max_bytes: int | None = None) -> Unpacked:
    """Inflate a gzip file beside itself and check its sum; a plain file stays. The first bytes tell, not the name.

    Args:
        path: the downloaded file.
        head: written before the object's own bytes, which makes a copy of a plain file too. A byte order mark, which
            means something at the beginning of a file only, is then left out.
        max_bytes: inflate no further; by default MAX_OBJECT_BYTES.
    """
    with path.open("rb") as source:
        gzipped = source.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        source.seek(0)
        if not gzipped and not head:
            return Unpacked(path, _longest_line(source))
        with _Plain(path.with_name(f"{path.name}.plain"), head) as plain:
            if gzipped:
                return _inflate(source, plain, MAX_OBJECT_BYTES if max_bytes is None else max_bytes)
            while chunk := source.read(CHUNK):
                plain.write(chunk)
            return plain.finished()


def pour(path: Path, target: BinaryIO, *, longest: int) -> int | None:
    """Appends an object's plain bytes to a file, without a byte order mark and ended by a line feed.

    Returns:
        How many lines it has; None, and nothing is appended, if it is damaged or has a longer line than `longest`.
    """
    start = target.tell()
    try:
        with path.open("rb") as source:
            return _poured(source, target, longest)
    except (zlib.error, EOFError, _NoMemberError, _TooLargeError):
        target.seek(start)
        target.truncate()
        return None


def _poured(source: BinaryIO, target: BinaryIO, longest: int) -> int:
    lines, size, last, measure = 0, 0, b"\n", _LongestLine()
    for number, piece in enumerate(_pieces(source)):
        plain = piece.removeprefix(BYTE_ORDER_MARK) if number == 0 else piece
        target.write(plain)
        measure.feed(plain)
        lines += plain.count(b"\n")
        size += len(plain)
        last = plain[-1:] or last
        if measure.longest > longest or size > MAX_OBJECT_BYTES:
            raise _TooLargeError
    if last != b"\n":
        target.write(b"\n")
        lines += 1
    return lines


def _pieces(source: BinaryIO) -> Iterator[bytes]:
    gzipped = source.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    source.seek(0)
    if gzipped:
        yield from _members(source)
    else:
        while chunk := source.read(CHUNK):
            yield chunk


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


def _longest_line(source: BinaryIO) -> int:
    measure = _LongestLine()
    while chunk := source.read(CHUNK):
        measure.feed(chunk)
    return measure.longest


class _Plain:
    """The plain file while it is being written."""

    def __init__(self, path: Path, head: bytes) -> None:
        self.path, self._head, self._measure, self.written = path, head, _LongestLine(), 0
        self._target = path.open("wb")
        self._target.write(head)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._target.close()

    def write(self, chunk: bytes) -> None:
        """Take the object's next bytes."""
        if self._head and not self.written:
            chunk = chunk.removeprefix(BYTE_ORDER_MARK)
        self._target.write(chunk)
        self._measure.feed(chunk)
        self.written += len(chunk)

    def finished(self, fault: str | None = None, *, complete: bool = True, trusted: bool = True) -> Unpacked:
        """What has become of the object."""
        self._target.flush()
        return Unpacked(
            self.path,
            self._measure.longest,
            fault,
            complete=complete,
            trusted=trusted,
            made=True,
            head=len(self._head),
        )


def _inflate(source: BinaryIO, plain: _Plain, max_bytes: int) -> Unpacked:
    try:
        for piece in _members(source):
            plain.write(piece)
            if plain.written > max_bytes:
                return plain.finished(f"inflates to more than {max_bytes:,} bytes: reading stopped", complete=False)
    except zlib.error:
        return plain.finished("gzip stream is damaged", trusted=False)
    except EOFError as error:
        return plain.finished(str(error), complete=False)
    except _NoMemberError as error:
        return plain.finished(str(error))
    return plain.finished()


class _TooLargeError(Exception):
    """The object has more than may be read at once."""


class _NoMemberError(Exception):
    """What follows a gzip member is none."""


def _members(source: BinaryIO) -> Iterator[bytes]:
    """Inflated pieces of at most a chunk, of all members of a gzip file."""
    data = source.read(CHUNK)
    while data:
        member, ended = zlib.decompressobj(_GZIP), False
        while not ended:
            yield member.decompress(data, CHUNK)
            ended = member.eof
            data = member.unused_data if ended else member.unconsumed_tail or source.read(CHUNK)
            if not data and not ended:
                yield member.flush()
                raise EOFError("gzip stream ends early")
        data = data.lstrip(b"\0")  # tape and block devices pad with zeros, as gzip itself accepts
        while len(data) < len(_GZIP_MAGIC) and (more := source.read(CHUNK)):
            data = (data + more).lstrip(b"\0")
        if data and not data.startswith(_GZIP_MAGIC):
            raise _NoMemberError("the gzip stream is followed by bytes that are no gzip")

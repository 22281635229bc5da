"""Whether a file holds certain bytes, at the speed of a search engine and without reading it into memory."""

from __future__ import annotations

import mmap
from collections.abc import Iterable


def holds(content: mmap.mmap, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns (RE2) matches somewhere.

    One that begins with a certain byte takes a fifth of the time of one that does not.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    ends = pa.py_buffer((0).to_bytes(8, "little") + len(content).to_bytes(8, "little"))
    whole = pa.Array.from_buffers(pa.large_binary(), 1, [None, ends, pa.py_buffer(content)])
    return any(pc.match_substring_regex(whole, pattern)[0].as_py() for pattern in patterns)

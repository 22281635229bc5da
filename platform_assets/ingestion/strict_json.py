"""JSON as RFC 8259 has it, where DuckDB's reader is lenient: it takes NaN, Infinity and a comma before a bracket.

Hardly any object holds those, so a search through the bytes, at a fraction of the cost of reading them, finds the few
that may; only what is found is judged strictly. `test_strict_json.py` tells what DuckDB takes.
"""

from __future__ import annotations

import json
import mmap
from pathlib import Path
from typing import Any, NoReturn

from platform_assets.contracts.rules import literal
from platform_assets.ingestion.byte_search import holds

_SPACE = r"[ \t\r\n]*"
_NO_NUMBER = rf"{_SPACE}[-+]?(?i:nan|inf|infinity){_SPACE}(?:[,\]}}]|\z|[\r\n])"
# Each begins with one certain byte, for which a search has a short cut.
_LENIENT = (f",(?:{_SPACE}[\\]}}]|{_NO_NUMBER})", f":{_NO_NUMBER}", rf"\[{_NO_NUMBER}", rf"\n{_NO_NUMBER}")
_LENIENT_AT_ONCE = rf"\A{_NO_NUMBER}"


def is_suspicious(path: Path) -> bool:
    """Whether a file may hold what is not JSON although DuckDB reads it; a text may only look so."""
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return holds(content, (*_LENIENT, _LENIENT_AT_ONCE))


def suspicious(text: str) -> str:
    """DuckDB predicate: whether a text may hold what is not JSON although DuckDB takes it for JSON."""
    return "(" + " OR ".join(f"regexp_matches({text}, {literal(p)})" for p in (*_LENIENT, _LENIENT_AT_ONCE)) + ")"


def load_strictly(text: str, **hooks: Any) -> Any:  # noqa: ANN401 - any JSON value
    """What `json.loads` gives, without the constants that Python adds to JSON.

    Raises:
        json.JSONDecodeError: the text is not JSON.
        RecursionError: it is nested too deeply to be judged.
    """

    def refuse(constant: str) -> NoReturn:
        raise json.JSONDecodeError(f"{constant.lstrip('-')} is no JSON value", text, max(text.find(constant), 0))

    return json.loads(text, parse_constant=refuse, **hooks)


def is_strict(text: str) -> bool:
    """Whether a text is JSON."""
    try:
        load_strictly(text)
    except (json.JSONDecodeError, RecursionError):
        return False
    return True

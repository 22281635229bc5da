"""A view for programs: the objects that the command line prints with `--json`, and of freshness the same as CSV."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol

    from platform_assets.lakehouse.freshness import TableFreshness

    class Answer(Protocol):
        """What a command prints an object of."""

        def as_json(self) -> dict[str, Any]:
            """That object."""


# What is an object in JSON is a column for each of its keys here.
_NESTED = {
    "completeness": ("partition", "rows", "expected_rows", "ratio", "basis"),
    "blame": ("table", "since", "reason"),
    "policy": ("warn_seconds", "fail_seconds"),
}
_COLUMNS = (
    "table",
    "layer",
    "domain",
    "owner",
    "state",
    "reason",
    "partition",
    "expected_partition",
    "rows",
    "last_materialized_at",
    "watermark",
    "lag_seconds",
    *(f"{name}_{key}" for name, keys in _NESTED.items() for key in keys),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_json(rows: Iterable[Answer]) -> str:
    """One list, one object a row."""
    return json.dumps([row.as_json() for row in rows], indent=2)


def as_csv(rows: Iterable[TableFreshness]) -> str:
    """A header and one line a table; empty where JSON has null."""
    flat = [_flat(row.as_json()) for row in rows]
    columns = dict.fromkeys([*_COLUMNS, *(name for row in flat for name in row)])
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def _flat(found: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in found.items():
        if isinstance(value, dict):
            flat |= {f"{name}_{key}": _cell(inner) for key, inner in value.items()}
        elif name not in _NESTED:  # there null stands for the whole object
            flat[name] = _cell(value)
    return flat


def _cell(value: object) -> object:
    """Text that a spreadsheet would take for a formula is marked as text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value

"""No secret comes into bronze by another door: members that no schema declares are searched for names of secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from platform_assets.contracts.naming import snake_case
from platform_assets.contracts.rules import literal
from platform_assets.ingestion.python_rows import Row, python_rows
from platform_assets.ingestion.shape import NUMBER, Shape
from platform_assets.sources.contracts import UNEXPECTED

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_FETCHED = 10_000
_SQUASHED = r"\\u[0-9a-fA-F]{4}|\\.|[^0-9A-Za-z]"


def remove_secrets(connection: DuckDBPyConnection, table: str, shape: Shape) -> None:
    """Take out of the column `_unexpected` of a table what is called like a secret, at any depth.

    `userPassword`, `user-password` and `user_password` are the same name.
    """
    if not shape.secret_names:
        return
    squashed = f"lower(regexp_replace({UNEXPECTED}, {literal(_SQUASHED)}, '', 'g'))"
    needles = {re.sub(_SQUASHED, "", name).lower() for name in shape.secret_names}
    maybe = " OR ".join(f"contains({squashed}, {literal(needle)})" for needle in sorted(needles))
    found = connection.execute(f"SELECT rowid, {UNEXPECTED} FROM {table} WHERE {UNEXPECTED} IS NOT NULL AND ({maybe})")
    changed = [row for rows in iter(lambda: found.fetchmany(_FETCHED), []) for row in _pruned(rows, shape)]
    if changed:
        with python_rows(connection, ["pruned"], changed) as rows:
            connection.execute(
                f"UPDATE {table} SET {UNEXPECTED} = pruned FROM {rows} AS c WHERE {table}.rowid = c.{NUMBER}"
            )


def _pruned(rows: list[tuple[int, str]], shape: Shape) -> Iterator[Row]:
    for row_id, text in rows:
        kept = _without_secrets(json.loads(text), shape.secret_names)
        yield row_id, json.dumps(kept, ensure_ascii=False, separators=(",", ":")) if kept else None


def _without_secrets(value: object, secrets: frozenset[str]) -> object:
    if isinstance(value, dict):
        return {
            name: _without_secrets(held, secrets) for name, held in value.items() if snake_case(name) not in secrets
        }
    if isinstance(value, list):
        return [_without_secrets(held, secrets) for held in value]
    return value

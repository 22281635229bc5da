"""Tokenises PII: HMAC-SHA256 in SQL, once per distinct value (decisions.md, 4; S1-97).

The same value gives the same token in every table, so that tokens join; without the key a token tells nothing.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

_BLOCK = 64  # bytes, of SHA-256


def create_tokens(connection: duckdb.DuckDBPyConnection, values: str, key: bytes) -> None:
    """Makes the temporary table `tokens(value, token)`.

    Args:
        connection: where the table is made.
        values: SQL query with one text column `value`; nulls are left out.
        key: the secret. It travels as a query parameter, so that no statement, error or profile shows it.
    """
    padded = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    inner = bytes(byte ^ 0x36 for byte in padded)
    outer = bytes(byte ^ 0x5C for byte in padded)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE tokens AS "
        "SELECT value, sha256($outer::BLOB || unhex(sha256($inner::BLOB || encode(value)))) AS token "
        f"FROM (SELECT DISTINCT value FROM ({values}) WHERE value IS NOT NULL)",
        {"outer": outer, "inner": inner},
    )

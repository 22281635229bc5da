"""Tokens are HMAC-SHA256, and the key shows nowhere."""

from __future__ import annotations

import hashlib
import hmac

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from platform_assets.lakehouse.tokens import create_tokens


def tokens(connection: duckdb.DuckDBPyConnection, values: list[str | None], key: bytes) -> dict[str, str]:
    connection.execute("CREATE OR REPLACE TEMP TABLE clear (value VARCHAR)")
    connection.executemany("INSERT INTO clear VALUES (?)", [(value,) for value in values])
    create_tokens(connection, "SELECT value FROM clear", key)
    return dict(connection.execute("SELECT value, token FROM tokens").fetchall())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.one_of(
        st.binary(min_size=1, max_size=200), st.sampled_from([b"k" * 63, b"k" * 64, b"k" * 65, b"\x00", b"\\x41"])
    ),
    values=st.lists(st.one_of(st.none(), st.text()), min_size=1, max_size=6),
)
@example(key=b"k" * 64, values=["ü", "東京", "🇩🇪", "", r"\x41", "A", "a\x00b", "x" * 5000, None])
def test_a_token_is_the_hmac_of_its_value(
    connection: duckdb.DuckDBPyConnection, key: bytes, values: list[str | None]
) -> None:
    expected = {v: hmac.new(key, v.encode(), hashlib.sha256).hexdigest() for v in values if v is not None}
    assert tokens(connection, values, key) == expected


def test_no_values_give_no_tokens(connection: duckdb.DuckDBPyConnection) -> None:
    assert tokens(connection, [None], b"k") == {}


def test_the_key_shows_in_no_error_and_no_statement(connection: duckdb.DuckDBPyConnection) -> None:
    key = b"a-very-secret-key-of-many-characters"
    with pytest.raises(duckdb.Error) as caught:
        create_tokens(connection, "SELECT no_such_column AS value FROM range(3)", key)
    shown = str(caught.value) + repr(caught.value)
    assert "secret" not in shown
    assert key.hex() not in shown.lower()
    assert bytes(byte ^ 0x36 for byte in key).decode("latin-1") not in shown

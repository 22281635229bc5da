"""What a side has found, in numbers that are equal if, and only if, its tables are: the sum of the rows' hashes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

# Amounts as whole cents and times as whole microseconds, since the sides type them differently.
_SILVER = (
    "event_id || '|' || user_id || '|' || session_id || '|' || event_type || '|' || epoch_us(event_timestamp) || '|' "
    "|| coalesce(round(amount * 100)::BIGINT::VARCHAR, '') || '|' || coalesce(currency, '') || '|' "
    "|| coalesce(product_id::VARCHAR, '') || '|' || coalesce(email, '')"
)


# Bronze is text as it arrived; a number and the text of that number are one here, since some sides keep no difference.
_AMOUNT = "TRY_CAST(trim(amount::VARCHAR, '\"') AS DECIMAL(18, 2))"
_BRONZE_TEXTS = (
    "event_id",
    "user_id",
    "session_id",
    "event_type",
    "event_timestamp",
    "currency",
    "product_id",
    "email",
)


@dataclass(frozen=True)
class Relations:
    """SQL after FROM over the four tables."""

    silver: str
    quarantine: str
    event_metrics: str
    user_metrics: str


def answer(connection: duckdb.DuckDBPyConnection, held: Relations) -> dict[str, str]:
    """Counts and sums over the tables of a side; `email` is the token, HMAC-SHA256 in hexadecimal."""
    queries = {
        "silver rows": f"SELECT count(*) FROM {held.silver}",
        "silver event ids": f"SELECT count(DISTINCT event_id) FROM {held.silver}",
        "silver tokens": f"SELECT count(DISTINCT email) FROM {held.silver}",
        "silver contents": f"SELECT sum(md5_number_lower({_SILVER})::HUGEINT) FROM {held.silver}",
        "quarantined rows": f"SELECT count(*) FROM {held.quarantine}",
        "event metrics": "SELECT count(*) || ' ' || sum(events) || ' ' || sum(users) || ' ' || sum(sessions) || ' ' "
        f"|| sum(round(amount * 100)::BIGINT) FROM {held.event_metrics}",
        "user metrics": "SELECT count(*) || ' ' || sum(events) || ' ' || sum(sessions) || ' ' || sum(purchases) || ' ' "
        f"|| sum(round(amount * 100)::BIGINT) FROM {held.user_metrics}",
    }
    return _numbers(connection, queries)


def bronze_answer(connection: duckdb.DuckDBPyConnection, bronze: str) -> dict[str, str]:
    """Counts and sums over the bronze rows of a side, of SQL after FROM."""
    names = " || '|' || ".join(f"coalesce({name}::VARCHAR, '')" for name in _BRONZE_TEXTS)
    contents = (
        f"{names} || '|' || coalesce(round({_AMOUNT} * 100)::BIGINT::VARCHAR, '') "
        "|| '|' || coalesce(json(properties::VARCHAR)::VARCHAR, '')"
    )
    queries = {
        "bronze rows": f"SELECT count(*) FROM {bronze}",
        "bronze event ids": f"SELECT count(DISTINCT event_id) FROM {bronze}",
        "bronze contents": f"SELECT sum(md5_number_lower({contents})::HUGEINT) FROM {bronze}",
    }
    return _numbers(connection, queries)


def _numbers(connection: duckdb.DuckDBPyConnection, queries: dict[str, str]) -> dict[str, str]:
    found = {}
    for name, query in queries.items():
        row = connection.execute(query).fetchone()
        found[name] = str(row[0]) if row else ""
    return found

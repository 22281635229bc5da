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
    found = {}
    for name, query in queries.items():
        row = connection.execute(query).fetchone()
        found[name] = str(row[0]) if row else ""
    return found

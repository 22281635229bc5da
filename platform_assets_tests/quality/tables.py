"""Orders of many days, made to look as usual, and the platform that declares nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from platform_assets.contracts.model import TOKEN_PATTERN, Classification, Column, Contract, Rule
from platform_assets.lakehouse import publisher
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.declared import DeclaredTable
from platform_assets.quality import declarations, look, score
from platform_assets.quality.findings import Finding

FIRST = date(2026, 10, 1)
DAY = timedelta(days=1)
ORDERS = Contract(
    "silver.orders",
    (
        Column("order_id", "integer", nullable=False),
        Column("email", "string", classification=Classification.PII),
        Column("city", "string"),
        Column("state", "string"),
        Column("amount", "decimal(18,2)"),
        Column("day", "date", nullable=False),
    ),
    key=("order_id",),
    partition_column="day",
    rules=(Rule("one_of", "state", ("open", "paid")), Rule("pattern", "email", TOKEN_PATTERN)),
)


def noon(day: date) -> datetime:
    """Noon (UTC) of a date."""
    return datetime.combine(day, time(12), UTC)


def days(count: int, first: date = FIRST) -> list[date]:
    """So many dates, the first one first."""
    return [first + number * DAY for number in range(count)]


def orders(
    day: date,
    rows: int = 400,
    *,
    email: str = "CASE WHEN i % 50 > 0 THEN sha256('jane' || i || '@example.com') END",
    state: str = "CASE WHEN i % 3 > 0 THEN 'paid' ELSE 'open' END",
    amount: str = "10 * exp(0.8 * sqrt(-2 * ln(u)) * cos(6.2832 * v))",
) -> str:
    """SQL after FROM of a day's orders: amounts are lognormal, one address in fifty is not known."""
    return (
        f"(SELECT i AS order_id, {email} AS email, 'Secretville ' || (i % 5) AS city, {state} AS state, "
        f"CAST({amount} AS DECIMAL(18,2)) AS amount, DATE '{day}' AS day FROM (SELECT i, "
        f"(hash(i, '{day}') % 1000003 + 1) / 1000004 AS u, (hash('{day}', i, 'v') % 1000003) / 1000004 AS v "
        f"FROM range({rows}) r(i)))"
    )


def publish(lakehouse: Lakehouse, day: date, source: str | None = None, contract: Contract = ORDERS) -> None:
    """Replaces a day by the rows of SQL, by default usual ones."""
    with lakehouse.connect() as connection:
        partition = day if contract.partition_column else None
        properties = {"platform.partition": day.isoformat() if partition else ""}
        rows = source or orders(day)
        publisher.replace(lakehouse, contract, connection, rows, partition=partition, properties=properties)


def publish_all(lakehouse: Lakehouse, dates: Sequence[date], contract: Contract = ORDERS, rows: int = 400) -> None:
    """Replaces the table by usual rows of these days, in one commit."""
    together = " UNION ALL ".join(f"FROM {orders(day, rows)}" for day in dates)
    with lakehouse.connect() as connection:
        publisher.replace(lakehouse, contract, connection, f"({together})", partition=None, properties={})


def declare(monkeypatch: pytest.MonkeyPatch, *contracts: Contract) -> list[DeclaredTable]:
    """Makes the platform declare these tables, and no other."""
    tables = [DeclaredTable(c, "commerce", "team:test", None, DAY) for c in contracts or (ORDERS,)]
    tables = [replace(t, inputs=("silver.orders",) if t.contract.layer == "gold" else ()) for t in tables]
    for module in (look, declarations, score):
        monkeypatch.setattr(module, "declared_tables", lambda _: tables)
    return tables


def drop_one(source: str, where: str) -> str:
    """The rows of SQL without those of a condition."""
    return f"(SELECT * FROM {source} WHERE NOT ({where}))"


def unusual(found: Sequence[Finding]) -> list[tuple[str, str, date | None]]:
    """What is unusual: watch, subject, partition."""
    return [(f.watch.value, f.subject, f.partition) for f in found if f.unusual]

"""A lakehouse with published tables of every state and a history, and the pages over it at a real server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from platform_assets.contracts.model import Column, Contract
from platform_assets.lakehouse import freshness, freshness_history, publisher
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.declared import Cadence, DeclaredTable
from platform_assets.lakehouse.freshness import FreshnessState, TableFreshness, table_freshness
from platform_assets.serving.pages.app import app
from platform_assets.serving.pages.evaluation import Evaluations, Evaluator
from platform_assets.settings import Settings
from platform_assets_tests.lakehouse.test_freshness import ARRIVED, arrive
from platform_assets_tests.web_server import serving

if TYPE_CHECKING:
    from starlette.types import ASGIApp

DAGIT = "http://dagit.example:3000"
MINUTE, HOUR, ONE_DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LATE_BY = 42 * MINUTE
COLUMNS = (Column("id", "integer"), Column("at", "timestamp"), Column("day", "date"))
HOSTILE = '<script>alert("x")</script> & "quotes" \'single\' {{ 7 * 7 }}'


def contract(name: str, *, dated: bool = True, description: str = "") -> Contract:
    return Contract(name, COLUMNS, description, event_time="at", partition_column="day" if dated else None)


def publish(lakehouse: Lakehouse, of: Contract, rows: Mapping[date, int]) -> None:
    """Makes one partition of a table, or all of it."""
    days = (
        f"SELECT i AS id, TIMESTAMPTZ '{day} 00:00:00+00' + i * INTERVAL 1 SECOND AS at, DATE '{day}' AS day "
        f"FROM range({count}) r(i)"
        for day, count in rows.items()
    )
    day = next(iter(rows)) if len(rows) == 1 and of.partition_column else None
    properties = {"platform.partition": day.isoformat(), "platform.rows-in": str(rows[day])} if day else {}
    with lakehouse.connect() as connection:
        publisher.replace(
            lakehouse, of, connection, f"({' UNION ALL '.join(days)})", partition=day, properties=properties
        )


@dataclass(frozen=True)
class Shop:
    """The tables of a shop whose orders came and were not processed, and `now`, 42 minutes later."""

    lakehouse: Lakehouse
    tables: tuple[DeclaredTable, ...]
    now: datetime

    @property
    def settings(self) -> Settings:
        """Those of its lakehouse."""
        return self.lakehouse.settings

    def evaluate(self) -> list[TableFreshness]:
        """The freshness of its tables, as every reader has it."""
        return table_freshness(self.lakehouse, self.now)

    def app(self) -> ASGIApp:
        """The pages over it."""
        evaluator = Evaluator(self.lakehouse, clock=lambda: self.now)
        return app(self.settings, Evaluations(evaluator))


def _tables() -> tuple[DeclaredTable, ...]:
    bronze = DeclaredTable(ARRIVED, "commerce", "team:shop", 5 * MINUTE, 15 * MINUTE)
    orders = replace(
        bronze,
        contract=contract("silver.orders", description="One row for each order of the shop."),
        inputs=("bronze.orders",),
        counted_in="bronze.orders",
    )
    fact = replace(orders, contract=contract("gold.fact_orders"), inputs=("silver.orders",), counted_in=None)
    return (
        bronze,
        orders,
        DeclaredTable(contract("silver.users", dated=False), "commerce", "team:shop", None, ONE_DAY),
        DeclaredTable(contract("silver.visits"), "product_analytics", "anna@example.com", None, 2 * HOUR),
        fact,
        DeclaredTable(contract("gold.sessions", description=HOSTILE), "product_analytics", HOSTILE, None, ONE_DAY),
        replace(fact, contract=contract("mart.revenue_by_day"), inputs=("gold.fact_orders",), fail_window=2 * HOUR),
        DeclaredTable(
            contract("mart.visits_by_day"), "product_analytics", "=1+1", None, ONE_DAY, cadence=Cadence(daily=True)
        ),
    )


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Published once; tests read only."""
    home = tmp_path_factory.mktemp("shop")
    lakehouse = Lakehouse(Settings(home=home, dagit_url=f"{DAGIT}/"))
    tables = _tables()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(freshness, "declared_tables", lambda _: list(tables))
        today = datetime.now(UTC).date()
        by_name = {table.name: table.contract for table in tables}
        days = [today - back * ONE_DAY for back in range(34, -1, -1)]
        rows = {day: 400 + 90 * day.weekday() + 7 * day.day for day in days}
        for day in days[-2:]:
            arrive(lakehouse, day, day, rows[day])
        publish(lakehouse, by_name["silver.orders"], {day: rows[day] for day in days[-16:]})
        publish(lakehouse, by_name["silver.orders"], {today: rows[today]})
        publish(lakehouse, by_name["gold.fact_orders"], {day: rows[day] for day in days[-16:]})
        publish(lakehouse, by_name["mart.revenue_by_day"], dict.fromkeys(days[-12:], 1))
        publish(lakehouse, by_name["silver.visits"], {day: 3 * count for day, count in rows.items()})
        publish(lakehouse, by_name["mart.visits_by_day"], {day: rows[day] for day in days[-12:-1] if day != days[-3]})
        publish(lakehouse, by_name["silver.users"], {today: 11})
        arrived = arrive(lakehouse, today, today - ONE_DAY, 5)
        shop = Shop(lakehouse, tables, arrived + LATE_BY)
        _tell_history(shop)
    return shop


@pytest.fixture(scope="module")
def shop(published: Shop) -> Iterator[Shop]:
    """The shop, while its tables are all that is declared."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(freshness, "declared_tables", lambda _: list(published.tables))
        yield published


def _tell_history(shop: Shop) -> None:
    """What freshness was, hour by hour for nine days; the orders were late a day and a half ago for 5 hours."""
    rows = [row for row in shop.evaluate() if row.statistics]
    columns = ", ".join(column.name for column in freshness_history.FRESHNESS_HISTORY.columns)
    told: dict[date, list[str]] = {}
    for back in range(9 * 24, -1, -1):
        at = shop.now - back * HOUR
        for row in rows:
            late = row.lateness is not None and 36 <= back < 41
            state = FreshnessState.FAIL if late else FreshnessState.PASS
            lag = None if row.lag is None else row.lag % ONE_DAY - back * HOUR % ONE_DAY
            lag = lag if lag is None or lag > timedelta() else lag + ONE_DAY
            then = replace(row, state=state, lag=lag, reason="it was late" if late else "all that arrived is processed")
            now = row if back == 0 else replace(then, lateness=row.lateness if late else None)
            told.setdefault(at.date(), []).append(freshness_history._values(now, at))
    for day, values in told.items():
        with shop.lakehouse.connect() as connection:
            publisher.append(
                shop.lakehouse,
                freshness_history.FRESHNESS_HISTORY,
                connection,
                f"(VALUES {', '.join(values)}) AS t({columns})",
                base=shop.lakehouse.ensure(freshness_history.FRESHNESS_HISTORY),
                partition=day,
                properties={},
            )


@contextmanager
def browsing(site: ASGIApp) -> Iterator[httpx.Client]:
    """A client of the site."""
    with serving(site) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture(scope="module")
def site(shop: Shop) -> Iterator[str]:
    """Address of the pages over the shop."""
    with serving(shop.app()) as url:
        yield url


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """The same tables, of which none was ever made."""
    tables = _tables()
    monkeypatch.setattr(freshness, "declared_tables", lambda _: list(tables))
    return Shop(Lakehouse(Settings(home=tmp_path)), tables, datetime.now(UTC))

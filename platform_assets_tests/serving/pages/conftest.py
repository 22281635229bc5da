"""A lakehouse with published tables of every state and a history, and the pages over it at a real server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from platform_assets.contracts.model import Column, Contract
from platform_assets.contracts.sla import Promise
from platform_assets.lakehouse import attainment, freshness, freshness_history, publisher
from platform_assets.lakehouse.append_only import Row, append_news
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.declared import Cadence, DeclaredTable
from platform_assets.lakehouse.freshness import FreshnessState, TableFreshness, table_freshness
from platform_assets.lakehouse.outcomes import Outcome
from platform_assets.quality import score
from platform_assets.quality.findings import Finding, Watch
from platform_assets.quality.store import record as record_findings
from platform_assets.serving.pages.app import app
from platform_assets.serving.pages.evaluation import Evaluations, Evaluator
from platform_assets.settings import Settings
from platform_assets_tests.lakehouse.test_freshness import ARRIVED, arrive
from platform_assets_tests.lakehouse.test_sla import keep
from platform_assets_tests.web_server import serving

if TYPE_CHECKING:
    from starlette.types import ASGIApp

DAGIT = "http://dagit.example:3000"
MINUTE, HOUR, ONE_DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LATE_BY = 42 * MINUTE
WITHIN, BY_EIGHT = Promise(0.999, within=5 * MINUTE), Promise(0.99, ready_by=time(8))
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


def declare(monkeypatch: pytest.MonkeyPatch, tables: Sequence[DeclaredTable]) -> None:
    """Makes the platform declare these tables, and no other."""
    for module in (freshness, attainment, score):
        monkeypatch.setattr(module, "declared_tables", lambda _: list(tables))


def _tables() -> tuple[DeclaredTable, ...]:
    bronze = DeclaredTable(ARRIVED, "commerce", "team:shop", 5 * MINUTE, 15 * MINUTE, sla=(WITHIN,))
    orders = replace(
        bronze,
        contract=contract("silver.orders", description="One row for each order of the shop."),
        inputs=("bronze.orders",),
        counted_in="bronze.orders",
        sla=(),
    )
    fact = replace(
        orders,
        contract=contract("gold.fact_orders"),
        inputs=("silver.orders",),
        counted_in=None,
        sla=(WITHIN, BY_EIGHT),
    )
    revenue = replace(fact, contract=contract("mart.revenue_by_day"), inputs=("gold.fact_orders",), sla=(BY_EIGHT,))
    return (
        bronze,
        orders,
        DeclaredTable(contract("silver.users", dated=False), "commerce", "team:shop", None, ONE_DAY),
        DeclaredTable(contract("silver.visits"), "product_analytics", "anna@example.com", None, 2 * HOUR),
        fact,
        DeclaredTable(contract("gold.sessions", description=HOSTILE), "product_analytics", HOSTILE, None, ONE_DAY),
        replace(revenue, fail_window=2 * HOUR),
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
        declare(monkeypatch, tables)
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
        _keep_promises(shop)
        _look_at_content(shop)
    return shop


@pytest.fixture(scope="module")
def shop(published: Shop) -> Iterator[Shop]:
    """The shop, while its tables are all that is declared."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        declare(monkeypatch, published.tables)
        yield published


def _tell_history(shop: Shop) -> None:
    """What freshness was, hour by hour for nine days; the orders were late a day and a half ago for 5 hours."""
    rows = [row for row in shop.evaluate() if row.statistics]
    told: dict[date, list[Row]] = {}
    for back in range(9 * 24, -1, -1):
        at = shop.now - back * HOUR
        for row in rows:
            late = row.lateness is not None and 36 <= back < 41
            state = FreshnessState.FAIL if late else FreshnessState.PASS
            lag = None if row.lag is None else row.lag % ONE_DAY - back * HOUR % ONE_DAY
            lag = lag if lag is None or lag > timedelta() else lag + ONE_DAY
            then = replace(row, state=state, lag=lag, reason="it was late" if late else "all that arrived is processed")
            now = row if back == 0 else replace(then, lateness=row.lateness if late else None)
            told.setdefault(at.date(), []).append(freshness_history.row_of(now, at))
    for day, of_day in told.items():
        _append(shop, of_day, datetime.combine(day, time(), UTC))


def _append(shop: Shop, rows: list[Row], moment: datetime) -> None:
    append_news(shop.lakehouse, freshness_history.FRESHNESS_HISTORY, lambda _: rows, lambda row: row, moment)


def _keep_promises(shop: Shop) -> None:
    """Bronze was in time but for one object of 2,000; the orders of the day before yesterday were 2 hours late."""
    told = [Outcome("bronze.orders", WITHIN.name, "h", shop.now - HOUR, 2_000, 1_999, 0, 2 * MINUTE, shop.now)]
    for back in range(1, 11):
        day = shop.now.date() - back * ONE_DAY
        due, late = BY_EIGHT.deadline(day), 2 * HOUR if back == 2 else -HOUR
        told.append(
            Outcome("gold.fact_orders", BY_EIGHT.name, f"{day - ONE_DAY}", due, 1, int(back != 2), 0, late, due + late)
        )
    keep(shop.lakehouse, *told, at=shop.now)


def _look_at_content(shop: Shop) -> None:
    """A score for each of 20 days but one; of every watch, something unusual; and something usual."""
    today, table = shop.now.date(), "gold.fact_orders"
    days = [today - back * ONE_DAY for back in range(20, 0, -1) if back != 7]
    columns = ", ".join(column.name for column in score.SCORES.columns)
    scored = ", ".join(
        f"(TIMESTAMPTZ '{day} 12:00:00+00', DATE '{day}', '{table}', {80 + day.day % 7}::DOUBLE, 30::DOUBLE, "
        "28::DOUBLE, 20::DOUBLE, 18::DOUBLE)"
        for day in days
    )
    with shop.lakehouse.connect() as connection:
        source = f"(VALUES {scored}) AS t({columns})"
        publisher.replace(shop.lakehouse, score.SCORES, connection, source, partition=None, properties={})
    rows = Finding(Watch.VOLUME, table, today - ONE_DAY, 400.0, unusual=True, reason=HOSTILE, low=900.0, high=1_200.0)
    findings = [
        rows,
        replace(rows, watch=Watch.NULL_RATE, subject="id", observed=0.031, low=0.0, high=0.02, reason="too many nulls"),
        replace(rows, watch=Watch.DISTRIBUTION, subject="at", observed=0.4, low=0.0, high=0.1, reason="values lie far"),
        replace(rows, watch=Watch.SCHEMA, partition=None, observed=1.0, low=0.0, high=0.0, reason="`note` came"),
        replace(rows, watch=Watch.RECONCILIATION, subject="sums", observed=1.5, low=2.0, high=2.0, reason="unequal"),
        replace(rows, partition=today - 2 * ONE_DAY, unusual=False, reason="as always"),
        replace(rows, table="silver.visits", reason="too few visits"),
    ]
    record_findings(shop.lakehouse, findings, shop.now - MINUTE)


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
    declare(monkeypatch, tables)
    return Shop(Lakehouse(Settings(home=tmp_path)), tables, datetime.now(UTC))

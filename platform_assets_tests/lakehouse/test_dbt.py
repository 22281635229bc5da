"""Gold and mart, built by dbt over a real lakehouse."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from platform_assets.contracts.dbt_yaml import load_models
from platform_assets.contracts.iceberg_schema import duckdb_type
from platform_assets.contracts.model import Contract
from platform_assets.contracts.rules import quote
from platform_assets.lakehouse import publisher, reader
from platform_assets.lakehouse.catalog import Lakehouse, LakehouseError
from platform_assets.lakehouse.dbt_run import NodeResult, build
from platform_assets.lakehouse.unchanged import unchanged_tables
from platform_assets.settings import CHECKOUT, Settings
from platform_assets.sources.contracts import silver_contract
from platform_assets.sources.registry import load_sources

FIRST = date(2026, 3, 1)
SECOND = date(2026, 3, 2)
ORDER_MODELS = ("fact_order_lines", "fact_orders", "revenue_by_day")
EVENT_MODELS = ("event_metrics", "user_metrics", "business_metrics")
TOKEN = "a" * 64
SILVER: dict[str, Contract] = {
    contract.table: contract
    for source in load_sources()
    for table in source.file.silver
    for contract in [silver_contract(source, table).published()]
}

# Order, customer, day, lines told, (product, quantity) of the lines in silver. Prices are 10.50 times the product.
Order = tuple[int, int, date, int, tuple[tuple[int, int], ...]]
ORDERS: Sequence[Order] = (
    (1, 1, FIRST, 2, ((1, 2), (2, 1))),
    (2, 1, FIRST, 1, ((3, 4),)),
    (3, 2, FIRST, 2, ((1, 1),)),
    (4, 2, FIRST, 1, ()),
    (5, 3, SECOND, 1, ((2, 10),)),
    (6, 3, SECOND, 3, ((1, 1), (1, 1), (3, 1))),
    (7, 1, SECOND, 1, ((2, 1),)),
)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home of this test's own; no server is needed."""
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path))
    return Settings(home=tmp_path)


@pytest.fixture
def shop(settings: Settings) -> Lakehouse:
    """Silver tables of the shop, in which a line of order 3 and all of order 4 are missing."""
    lakehouse = Lakehouse(settings)
    publish_silver(lakehouse, "fakestore_products", [product(number) for number in (1, 2, 3)], None)
    publish_silver(lakehouse, "fakestore_users", [user(number) for number in (1, 2, 3)], None)
    for day in (FIRST, SECOND):
        publish_orders(lakehouse, day)
    return lakehouse


def publish_orders(lakehouse: Lakehouse, day: date, orders: Sequence[Order] = ORDERS) -> None:
    chosen = [order for order in orders if order[2] == day]
    publish_silver(lakehouse, "fakestore_carts", [cart(*order[:4]) for order in chosen], day)
    lines = [line(order[0], day, n, *told) for order in chosen for n, told in enumerate(order[4], start=1)]
    publish_silver(lakehouse, "fakestore_cart_lines", lines, day)


def publish_silver(lakehouse: Lakehouse, table: str, rows: list[dict[str, object]], day: date | None) -> None:
    contract = SILVER[f"silver.{table}"]
    with lakehouse.connect() as connection:
        placeholders = ", ".join("?" for _ in contract.columns)
        types = ", ".join(f"{quote(c.name)} {duckdb_type(c)}" for c in contract.columns)
        connection.execute(f"CREATE TABLE given ({types})")
        values = [[row.get(column.name) for column in contract.columns] for row in rows]
        if values:
            connection.executemany(f"INSERT INTO given VALUES ({placeholders})", values)
        publisher.replace(lakehouse, contract, connection, "given", partition=day, properties={})


def product(number: int) -> dict[str, object]:
    shown = {"title": f"p{number}", "category": "c", "price": Decimal("10.50") * number}
    return {**shown, "id": number, "_landed_at": "2026-03-01T00:00:00Z"}


def user(number: int) -> dict[str, object]:
    tokens = dict.fromkeys(SILVER["silver.fakestore_users"].pii, TOKEN)
    return {**tokens, "id": number, "address_city": "Pune", "_landed_at": "2026-03-01T00:00:00Z"}


def cart(number: int, customer: int, day: date, lines: int) -> dict[str, object]:
    return {
        "event_id": f"00000000-0000-0000-0000-{number:012d}",
        "event_type": "cart_created",
        "published_at": f"{day}T12:00:00Z",
        "cart_id": number,
        "user_id": customer,
        "cart_date": f"{day}T10:00:00Z",
        "products": f"[{', '.join(['{}'] * lines)}]",
        "order_date": day,
        "_landed_at": f"{day}T12:00:01Z",
    }


def line(order: int, day: date, number: int, bought: int, quantity: int) -> dict[str, object]:
    at = f"{day}T12:00:00Z"
    told = {"cart_id": order, "line_number": number, "product_id": bought, "quantity": quantity, "order_date": day}
    return {**told, "published_at": at, "cart_date": f"{day}T10:00:00Z", "_landed_at": at}


def event(number: int, day: date, who: str, what: str, amount: str | None = None) -> dict[str, object]:
    return {
        "event_id": f"00000000-0000-0000-0000-{number:012d}",
        "user_id": who,
        "session_id": f"{who}-1",
        "event_type": what,
        "event_timestamp": f"{day}T10:00:00Z",
        "amount": amount,
        "event_date": day,
        "_landed_at": f"{day}T12:00:00Z",
    }


def rows(lakehouse: Lakehouse, table: str, columns: str, order: str = "ALL") -> list[tuple[Any, ...]]:
    source = reader.relation(lakehouse, table)
    assert source is not None, f"{table} was never published"
    with lakehouse.connect() as connection:
        return connection.execute(f"SELECT {columns} FROM {source} ORDER BY {order}").fetchall()


def statuses(results: list[NodeResult]) -> dict[str, str]:
    return {result.name: result.status for result in results}


def files(lakehouse: Lakehouse, table: str) -> set[str]:
    found = lakehouse.find(table)
    assert found is not None
    return {task.file.file_path for task in found.scan().plan_files()}


def test_orders_and_revenue_add_up_from_lines_and_prices(settings: Settings, shop: Lakehouse) -> None:
    results = build(settings, ["dim_products", "dim_users", *ORDER_MODELS], None, "run-1")

    assert set(statuses(results).values()) == {"success"}
    assert {result.name: result.rows for result in results}["fact_order_lines"] == 9
    assert len(rows(shop, "gold.dim_products", "*")) == 3
    assert rows(shop, "gold.dim_users", "DISTINCT email, city") == [(TOKEN, "Pune")]
    told = "order_id, total_items, total_amount, line_count, lines_quarantined"
    assert rows(shop, "gold.fact_orders", told) == [
        (1, 3, Decimal("42.00"), 2, 0),
        (2, 4, Decimal("126.00"), 1, 0),
        (3, 1, Decimal("10.50"), 2, 1),
        (4, 0, Decimal("0.00"), 1, 1),
        (5, 10, Decimal("210.00"), 1, 0),
        (6, 3, Decimal("52.50"), 3, 0),
        (7, 1, Decimal("21.00"), 1, 0),
    ]
    assert rows(shop, "mart.revenue_by_day", "order_date, orders, items, revenue") == [
        (FIRST, 4, 8, Decimal("178.50")),
        (SECOND, 3, 14, Decimal("283.50")),
    ]


def test_event_metrics_count_users_sessions_and_purchases(settings: Settings) -> None:
    lakehouse = Lakehouse(settings)
    told = [
        event(1, FIRST, "ann", "page_view"),
        event(2, FIRST, "ann", "purchase", "9.99"),
        event(3, FIRST, "ben", "page_view"),
    ]
    publish_silver(lakehouse, "events_clean", told, FIRST)
    publish_silver(lakehouse, "events_clean", [event(4, SECOND, "ann", "click")], SECOND)

    build(settings, EVENT_MODELS, FIRST, "run-1")

    assert rows(lakehouse, "gold.event_metrics", "event_date, event_type, events, users, sessions, amount") == [
        (FIRST, "page_view", 2, 2, 2, Decimal("0.00")),
        (FIRST, "purchase", 1, 1, 1, Decimal("9.99")),
    ]
    assert rows(lakehouse, "gold.user_metrics", "user_id, events, sessions, purchases, amount") == [
        ("ann", 2, 1, 1, Decimal("9.99")),
        ("ben", 1, 1, 0, Decimal("0.00")),
    ]
    assert rows(lakehouse, "mart.business_metrics", "*") == [(FIRST, 2, Decimal("9.99"))]


def test_building_one_date_leaves_the_files_of_other_dates(settings: Settings, shop: Lakehouse) -> None:
    build(settings, ORDER_MODELS, FIRST, "run-1")
    build(settings, ORDER_MODELS, SECOND, "run-2")
    before = {table: files(shop, table) for table in ("gold.fact_orders", "mart.revenue_by_day")}
    orders_before = rows(shop, "gold.fact_orders", "*")
    publish_orders(shop, SECOND, [(5, 3, SECOND, 1, ((2, 1),))])

    build(settings, ORDER_MODELS, SECOND, "run-3")

    for table, earlier in before.items():
        assert len(earlier & files(shop, table)) == 1
        assert len(files(shop, table)) == 2
    first = [row for row in rows(shop, "gold.fact_orders", "*") if FIRST in row]
    assert first == [row for row in orders_before if FIRST in row]
    assert rows(shop, "mart.revenue_by_day", "revenue") == [(Decimal("21.00"),), (Decimal("178.50"),)]


def test_snapshots_say_which_run_built_which_partition(settings: Settings, shop: Lakehouse) -> None:
    build(settings, ORDER_MODELS, FIRST, "run-1")

    table = shop.find("gold.fact_orders")
    assert table is not None
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    stamped = snapshot.summary.additional_properties
    assert {name: stamped[f"platform.{name}"] for name in ("partition", "rows-out", "run-id", "writer")} == {
        "partition": "2026-03-01",
        "rows-out": "4",
        "run-id": "run-1",
        "writer": "dbt",
    }


def test_every_model_is_left_out_until_something_that_it_reads_has_changed(settings: Settings, shop: Lakehouse) -> None:
    publish_silver(shop, "events_clean", [event(1, FIRST, "ann", "click")], FIRST)
    models = load_models(settings.dbt_project)
    dated = {model for model in models if model.partition_column}
    undated = set(models) - dated

    def left_out() -> set[str]:
        return {
            table.split(".")[1]
            for together, day in ((dated, FIRST), (undated, None))
            for table in unchanged_tables(shop, settings.dbt_project, together, day)
        }

    assert left_out() == set()
    build(settings, [model.name for model in undated], None, "run-1")
    build(settings, [model.name for model in dated], FIRST, "run-2")
    assert left_out() == {model.name for model in models}

    publish_silver(shop, "fakestore_products", [product(1), product(2), product(3), product(4)], None)
    assert left_out() == {"dim_users", *EVENT_MODELS}
    publish_silver(shop, "events_clean", [event(2, FIRST, "ann", "click")], FIRST)
    assert left_out() == {"dim_users"}


def test_broken_contract_keeps_the_last_good_snapshot_and_skips_what_reads_it(
    settings: Settings, shop: Lakehouse
) -> None:
    build(settings, ORDER_MODELS, FIRST, "run-1")
    before = {table: files(shop, table) for table in ("gold.fact_order_lines", "gold.fact_orders")}
    publish_silver(shop, "fakestore_products", [product(2), product(3)], None)  # product 1 has lines and no price

    results = build(settings, ORDER_MODELS, FIRST, "run-2")

    assert statuses(results) == {"fact_order_lines": "error", "fact_orders": "skipped", "revenue_by_day": "skipped"}
    assert "unit_price.not_nullable broken by 2 rows" in results[0].message
    assert {table: files(shop, table) for table in before} == before


def test_gold_before_any_silver_is_empty_and_typed(settings: Settings) -> None:
    results = build(settings, ["dim_products", *ORDER_MODELS, *EVENT_MODELS], FIRST, "run-1")

    lakehouse = Lakehouse(settings)
    assert {(result.status, result.rows) for result in results} == {("success", 0)}
    for model in load_models(settings.dbt_project):
        if model.name != "dim_users":
            table = lakehouse.find(model.table)
            assert table is not None
            assert [field.name for field in table.schema().fields] == [c.name for c in model.contract.columns]
            assert files(lakehouse, model.table) == set()


def test_a_date_that_has_lost_its_orders_is_emptied(settings: Settings, shop: Lakehouse) -> None:
    build(settings, ORDER_MODELS, None, "run-1")
    publish_orders(shop, FIRST, [])

    build(settings, ORDER_MODELS, FIRST, "run-2")

    assert rows(shop, "mart.revenue_by_day", "order_date") == [(SECOND,)]


def _build_in_another_process(home: Path, day: date) -> list[tuple[str, str]]:
    results = build(Settings(home=home), ORDER_MODELS, day, f"run-{day}")
    return [(result.status, result.message) for result in results]


def test_two_processes_build_different_dates_at_the_same_time(settings: Settings, shop: Lakehouse) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        outcomes = list(pool.map(_build_in_another_process, [settings.home] * 2, [FIRST, SECOND]))

    assert [[status for status, _ in outcome] for outcome in outcomes] == [["success"] * 3] * 2, outcomes
    assert rows(shop, "mart.revenue_by_day", "orders, revenue") == [(3, Decimal("283.50")), (4, Decimal("178.50"))]


def test_sql_that_gives_another_type_than_its_yaml_is_not_published(
    settings: Settings, shop: Lakehouse, tmp_path: Path
) -> None:
    project = copy_project(tmp_path)
    query = project / "models/mart/revenue_by_day.sql"
    query.write_text(query.read_text().replace("count(*) as orders", "cast(count(*) as double) as orders"))

    results = build(settings.model_copy(update={"dbt_project": project}), ORDER_MODELS, FIRST, "run-1")

    assert statuses(results)["revenue_by_day"] == "error"
    assert "orders is DOUBLE in the SQL and BIGINT in the YAML" in results[-1].message
    assert shop.find("mart.revenue_by_day") is None


@pytest.mark.usefixtures("shop")
def test_dangling_reference_is_not_published(settings: Settings, tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    query = project / "models/gold/fact_order_lines.sql"
    query.write_text("-- depends_on: {{ ref('dim_products') }}\n" + query.read_text())
    contract = project / "models/gold/fact_order_lines.yml"
    test = "data_tests: [{relationships: {arguments: {to: ref('dim_products'), field: product_id}}}]"
    product_column = "description: Product on the line.\n"
    contract.write_text(contract.read_text().replace(product_column, f"{product_column}        {test}\n"))
    changed = settings.model_copy(update={"dbt_project": project})

    broken = build(changed, ["fact_order_lines"], FIRST, "run-1")
    mended = build(changed, ["dim_products", "fact_order_lines"], FIRST, "run-2")

    assert "product_id.references broken by 4 rows" in broken[0].message
    assert set(statuses(mended).values()) == {"success"}


def test_unknown_model_is_named() -> None:
    with pytest.raises(LakehouseError, match="no model fact_orderz"):
        build(Settings(), ["fact_orderz"], None, "run-1")


def copy_project(tmp_path: Path) -> Path:
    return shutil.copytree(CHECKOUT / "dbt_project", tmp_path / "dbt_project")

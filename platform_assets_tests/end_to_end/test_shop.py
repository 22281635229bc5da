"""The shop from API and topic to gold and mart: one way through, in one process, on real emulators."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest

from platform_assets.ingestion.connectors import Context
from platform_assets.ingestion.connectors.polling import poll
from platform_assets.ingestion.landing import Landing
from platform_assets.ingestion.ledger import Ledger
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.local.fakestore import write_sample
from platform_assets.local.servers import start_fakestore
from platform_assets.quality.look import look_across
from platform_assets.settings import Settings, load_settings
from platform_assets_tests.broker import create_subscription, publish
from platform_assets_tests.graph_runner import GraphRunner

SHOP = ("fakestore_products", "fakestore_users", "fakestore_carts")


@pytest.fixture
def shop_data(tmp_path: Path) -> Path:
    """Files of the shop's API, which a test may change."""
    folder = tmp_path / "shop"
    write_sample(folder)
    return folder


@pytest.fixture
def graph(
    settings: Settings, shop_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GraphRunner]:
    create_subscription(settings, "carts-events", "carts-events-sub")
    with start_fakestore(shop_data, tmp_path / "fakestore.log") as server:
        monkeypatch.setenv("FAKESTORE_URL", server.url)
        with dg.instance_for_test() as instance:
            yield GraphRunner(load_settings(), instance)


def _poll(graph: GraphRunner) -> int:
    settings = graph.settings
    logger = logging.getLogger(__name__)
    context = Context(settings, Landing(settings), Ledger(settings), logger, datetime.now(UTC))
    return poll(graph.source("fakestore_carts"), context)


def _cart(**changes: object) -> dict[str, object]:
    """A message about a cart that keeps the contract, with changes."""
    return {
        "event_id": "00000000-0000-4000-8000-000000000001",
        "event_type": "cart_created",
        "extracted_at": "2026-01-01T00:00:00Z",
        "published_at": "2026-01-01T00:00:01Z",
        "cart_id": 1001,
        "user_id": 1,
        "cart_date": "2025-11-11T10:00:00Z",
        "products": [{"product_id": 1, "quantity": 2}],
        **changes,
    }


def test_the_shop_arrives_in_gold_and_every_number_is_the_api_s(graph: GraphRunner, shop_data: Path) -> None:
    assert _poll(graph) == 7
    assert [run for run in graph.settle(*SHOP) if not run.success] == []

    products = {p["id"]: Decimal(str(p["price"])) for p in json.loads((shop_data / "products.json").read_text())}
    carts = json.loads((shop_data / "carts.json").read_text())
    expected = {
        cart["id"]: (
            sum(line["quantity"] for line in cart["products"]),
            sum(line["quantity"] * products[line["productId"]] for line in cart["products"]),
        )
        for cart in carts
    }
    assert graph.ask("select count(*) from gold.dim_products") == [(20,)]
    assert graph.ask("select count(*) from gold.dim_users") == [(10,)]
    orders = graph.ask("select order_id, total_items, total_amount from gold.fact_orders")
    assert {order: (items, amount) for order, items, amount in orders} == expected
    assert graph.ask("select sum(revenue) from mart.revenue_by_day") == [(sum(a for _, a in expected.values()),)]
    agree = look_across(Lakehouse(graph.settings), datetime.now(UTC) + timedelta(hours=2))
    assert {(found.subject, found.unusual) for found in agree} == {
        ("items_reach_the_orders", False),
        ("orders_reach_the_revenue", False),
    }

    # Nothing new arrives: nothing runs, nothing is published or counted again.
    assert _poll(graph) == 0
    assert graph.settle(*SHOP) == []
    assert graph.ask("select count(*) from gold.fact_orders") == [(7,)]


def test_passwords_end_in_landing_and_personal_data_above_bronze_is_tokens(graph: GraphRunner, shop_data: Path) -> None:
    graph.settle("fakestore_users")
    users = json.loads((shop_data / "users.json").read_text())
    everything = {
        name: "\n".join(str(row) for row in graph.ask(f"select * from {name}"))
        for (name,) in graph.ask("select table_schema || '.' || table_name from information_schema.tables")
    }
    assert {"bronze.fakestore_users", "silver.fakestore_users", "gold.dim_users"} <= everything.keys()
    for name, content in everything.items():
        assert not any(user["password"] in content for user in users), name
        if not str(name).startswith("bronze."):
            for user in users:
                clear = [user["email"], user["phone"], user["username"], user["address"]["street"]]
                assert not any(str(value) in content for value in clear), name


@pytest.mark.parametrize(
    ("message", "table", "rule"),
    [
        (_cart(user_id=None), "fakestore_carts", "user_id.not_null"),
        (_cart(user_id=999), "fakestore_carts", "user_id.references"),
        (_cart(products=[{"product_id": 1, "quantity": -1}]), "fakestore_cart_lines", "quantity.exclusive_minimum"),
        (_cart(products=[{"product_id": 999, "quantity": 1}]), "fakestore_cart_lines", "product_id.references"),
    ],
    ids=["missing user", "unknown user", "negative quantity", "unknown product"],
)
def test_a_bad_cart_is_quarantined_with_its_reason_and_the_good_one_beside_it_goes_through(
    graph: GraphRunner, message: dict[str, object], table: str, rule: str
) -> None:
    good = _cart(cart_id=1002, event_id="00000000-0000-4000-8000-000000000002")
    publish(graph.settings, "carts-events", [json.dumps(message).encode(), json.dumps(good).encode()])
    for source in ("fakestore_products", "fakestore_users", "fakestore_carts"):
        graph.tick(source)
    graph.run(["silver/fakestore_products", "quarantine/fakestore_products"])
    graph.run(["silver/fakestore_users", "quarantine/fakestore_users"])
    done = graph.run([f"silver/{table}", f"quarantine/{table}"], "2025-11-11")

    assert done.success
    found = graph.ask(f"select _broken_rules, _landing_uri, _row_number, cart_id from quarantine.{table}")
    assert [(rules, cart) for rules, _, _, cart in found] == [(rule, "1001")]
    assert str(found[0][1]).startswith(f"gs://{graph.settings.landing_bucket}/source=fakestore_carts/")
    assert graph.ask(f"select distinct cart_id from silver.{table}") == [(1002,)]
    checks = {e.check_name: e for e in done.get_asset_check_evaluations() if e.asset_key.path == ["silver", table]}
    assert not checks["quarantine"].passed
    assert checks["quarantine"].metadata["rows_quarantined"].value == 1
    assert checks["contract"].passed
    assert checks["row_accounting"].passed


def test_a_message_that_is_no_json_is_a_dead_letter_and_a_repeated_cart_a_counted_duplicate(graph: GraphRunner) -> None:
    good = json.dumps(_cart()).encode()
    publish(graph.settings, "carts-events", [b"this is not JSON", b"\xff\xfe", good, good])
    graph.tick("fakestore_users")
    graph.run(["silver/fakestore_users", "quarantine/fakestore_users"])
    graph.tick("fakestore_carts")
    done = graph.run(["silver/fakestore_carts", "quarantine/fakestore_carts"], "2025-11-11")

    (accounting,) = [e for e in done.get_asset_check_evaluations() if e.check_name == "row_accounting"]
    counts = {name: value.value for name, value in accounting.metadata.items()}
    assert counts == {"rows_in": 2, "rows_out": 1, "rows_quarantined": 0, "rows_duplicate": 1}
    letters = _dead_letters(graph.settings, "fakestore_carts")
    assert len(letters) == 2
    assert all(letter["row_number"] and letter["object"] and letter["reason"] for letter in letters)


def test_a_cart_that_comes_before_its_customer_is_an_order_when_the_customer_has_come(graph: GraphRunner) -> None:
    publish(graph.settings, "carts-events", [json.dumps(_cart()).encode()])
    graph.settle("fakestore_carts", "fakestore_products")
    assert graph.ask("select count(*) from silver.fakestore_carts") == [(0,)]
    assert graph.ask("select _broken_rules from quarantine.fakestore_carts") == [("user_id.references",)]

    ran = graph.settle("fakestore_users")

    assert graph.ask("select order_id from gold.fact_orders") == [(1001,)]
    assert graph.ask("select count(*) from quarantine.fakestore_carts") == [(0,)]
    assert {run.partition for run in ran if "silver/fakestore_carts" in run.assets} == {"2025-11-11"}


def test_a_price_change_reaches_the_orders_that_exist(graph: GraphRunner, shop_data: Path) -> None:
    _poll(graph)
    graph.settle(*SHOP)
    before = graph.ask("select sum(total_amount) from gold.fact_orders")[0][0]
    products = json.loads((shop_data / "products.json").read_text())
    for product in products:
        product["price"] = round(product["price"] * 2, 2)
    today = datetime.now(UTC).date()
    lines = "".join(json.dumps(product) + "\n" for product in products)
    Landing(graph.settings).put("fakestore_products", today, "correction.jsonl", lines.encode())
    graph.settle("fakestore_products")

    assert graph.ask("select sum(total_amount) from gold.fact_orders") == [(2 * Decimal(str(before)),)]


def _dead_letters(settings: Settings, source: str) -> list[dict[str, object]]:
    from google.cloud import storage

    client = storage.Client(project=settings.project)
    blobs = client.list_blobs(settings.landing_bucket, prefix=f"dead_letter/source={source}/")
    return [json.loads(line) for blob in blobs for line in blob.download_as_text().splitlines()]

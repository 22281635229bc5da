"""What a person gets from `platform-assets up` and the commands beside it, on real processes."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from platform_assets.lakehouse.declared import declared_tables
from platform_assets.local.home import running_state
from platform_assets.settings import CHECKOUT
from platform_assets_tests.live.conftest import SAMPLE_EVENTS
from platform_assets_tests.live.running import UP_TO_DATE, Platform, Stopped

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SERVERS = (
    "GCS emulator",
    "Pub/Sub emulator",
    "FakeStore API",
    "Dagster code server",
    "Dagit",
    "Dagster daemon",
    "Pages",
)
FRESHNESS_KEYS = {"table", "layer", "partition", "last_materialized_at", "watermark", "lag_seconds", "state", "policy"}
LAYERS = ("bronze", "silver", "quarantine", "gold", "mart")


def test_up_says_each_step_then_how_fresh_every_table_is_then_where_dagit_is(platform: Platform) -> None:
    said = platform.output
    steps = [rf"{server}: starting .*\n(.*\n)*?{server}: ready" for server in SERVERS]
    steps.append(rf"{SAMPLE_EVENTS} web events dropped into landing in \d+ objects")
    steps += [rf"^ *{re.escape(table.name)} +(PASS|WARN|FAIL) " for table in declared_tables(CHECKOUT / "dbt_project")]
    steps.append(UP_TO_DATE.pattern)
    found = [re.search(step, said, re.MULTILINE) for step in steps]
    missing = [step for step, match in zip(steps, found, strict=True) if match is None]
    assert missing == [], said
    starts = [match.start() for match in found if match]
    assert starts[: len(SERVERS) + 1] == sorted(starts[: len(SERVERS) + 1]), said
    assert max(starts[:-1]) < starts[-1], said
    assert "Traceback" not in said


def test_the_sample_is_in_gold_when_up_says_so(platform: Platform, shop: Path) -> None:
    """Counted by orders of the sample only: other tests add their own."""
    carts = json.loads((shop / "carts.json").read_text())
    prices = {product["id"]: product["price"] for product in json.loads((shop / "products.json").read_text())}
    expected = {
        cart["id"]: round(sum(line["quantity"] * prices[line["productId"]] for line in cart["products"]), 2)
        for cart in carts
    }
    orders = platform.ask("select order_id, total_amount from gold.fact_orders")
    assert {order: float(amount) for order, amount in orders if order in expected} == expected
    assert platform.ask("select count(*) from gold.dim_products") == [(20,)]
    assert platform.ask("select count(*) from gold.dim_users") == [(10,)]
    kept, refused = (
        platform.ask(f"select count(*) from {layer}.events_clean")[0][0] for layer in ("silver", "quarantine")
    )
    assert kept + refused >= SAMPLE_EVENTS * 0.97


def test_freshness_tells_another_process_of_every_table(platform: Platform) -> None:
    found = {row["table"]: row for row in platform.run_json("freshness")}
    assert found.keys() == {table.name for table in declared_tables(CHECKOUT / "dbt_project")}
    for name, row in found.items():
        assert row.keys() >= {*FRESHNESS_KEYS, "owner"}, name
        assert row["layer"] == name.partition(".")[0]
        assert row["state"] in {"PASS", "WARN", "FAIL"}, row
        assert datetime.fromisoformat(row["last_materialized_at"]) <= datetime.now(UTC)
        assert row["owner"].startswith("team:")
        assert row["policy"]["fail_seconds"] in {300, 86_400}
    orders = found["gold.fact_orders"]
    assert orders["policy"] == {"warn_seconds": 120, "fail_seconds": 300}
    assert datetime.fromisoformat(orders["watermark"]).date().isoformat() == orders["partition"]
    assert orders["lag_seconds"] > 0
    table = platform.run("freshness")
    assert table.returncode == 0, table.stderr
    assert all(name in table.stdout for name in found)


@pytest.mark.usefixtures("instance")
def test_the_page_tells_what_the_command_line_tells(platform: Platform) -> None:
    told = UP_TO_DATE.search(platform.output)
    where = re.search(r"Freshness: (?P<url>http://[\w.:]+/freshness) ", platform.output)
    assert told is not None
    assert where is not None
    shown = httpx.get(f"{where['url']}.json", headers={"Cache-Control": "no-cache"}, timeout=60).raise_for_status()
    ages = {"lag_seconds", "reason"}  # of the moment that was asked about
    expected = {row["table"]: row for row in platform.run_json("freshness")}
    for row in shown.json():
        other = expected.pop(row["table"])
        assert {name: row[name] for name in row.keys() - ages} == {name: other[name] for name in other.keys() - ages}
    assert expected == {}
    page = httpx.get(f"{where['url']}?sort=layer", timeout=60).raise_for_status().text
    assert f'href="{told["url"]}/assets/gold/fact_orders"' in page


@pytest.mark.usefixtures("instance")
def test_tables_and_queries_count_the_same_rows(platform: Platform) -> None:
    told: dict[str, dict[str, Any]] = {row["table"]: row for row in platform.run_json("tables")}
    sql = " union all ".join(f"select '{name}' as name, count(*) as rows from {name}" for name in told)
    counted = {row["name"]: row["rows"] for row in platform.run_json("query", sql)}
    assert {name: row["rows"] for name, row in told.items()} == counted
    assert told["gold.fact_orders"]["layer"] == "gold"
    assert told["gold.fact_orders"]["partitions"] >= 1


def test_query_answers_in_words_and_refuses_to_write(platform: Platform) -> None:
    answered = platform.run("query", "select count(*) as products from gold.dim_products")
    assert answered.returncode == 0, answered.stderr
    assert re.search(r"products\s.*20\s", answered.stdout, re.DOTALL), answered.stdout
    refused = platform.run("query", "delete from gold.dim_products")
    assert refused.returncode == 1
    assert "Only one SELECT" in refused.stderr


def test_doctor_finds_nothing_wrong(platform: Platform) -> None:
    findings = platform.run_json("doctor")
    assert [finding for finding in findings if finding["state"] != "ok"] == []
    assert {"graph", "lakehouse", "subscription carts-events-sub", "API of fakestore_carts"} <= {
        f["what"] for f in findings
    }


def test_a_second_up_on_the_same_home_is_refused(platform: Platform) -> None:
    refused = platform.run("up")
    assert refused.returncode == 1, refused.stdout
    message = " ".join(refused.stdout.split())
    assert f"The platform already runs on {platform.home}: process {platform.state['pid']}" in message
    assert f"Dagit at {platform.dagit_url}" in message
    assert "PLATFORM_HOME" in message
    assert "Traceback" not in refused.stdout + refused.stderr
    assert platform.process.poll() is None


@pytest.mark.stops_the_platform
@pytest.mark.usefixtures("instance")
def test_ctrl_c_stops_everything_and_up_goes_on_from_there(platform: Platform, shop: Path) -> None:
    before = platform.counts(*LAYERS)
    assert platform.stop() == Stopped(code=0, survivors=[]), platform.output
    assert "Stopped. Run it again to go on from here." in platform.output
    assert running_state(platform.home) is None

    # While it is down, somebody orders: nothing else may change, and it is not up to date before that is in gold.
    _order(shop, 5001, datetime(2026, 1, 10, 12, tzinfo=UTC))
    said = _up_until_fresh(platform.home, shop)
    assert platform.ask("select total_items from gold.fact_orders where order_id = 5001") == [(3,)], said
    new = {name: rows - before[name] for name, rows in platform.counts(*LAYERS).items() if rows != before[name]}
    assert new == {
        "bronze.fakestore_carts": 1,
        "silver.fakestore_carts": 1,
        "silver.fakestore_cart_lines": 1,
        "gold.fact_orders": 1,
        "gold.fact_order_lines": 1,
        "mart.revenue_by_day": 1,
    }, said


def _up_until_fresh(home: Path, shop: Path) -> str:
    """`platform-assets up --until-fresh` from start to end; what it said."""
    platform = Platform.start(home, shop, "--until-fresh", "--sample-events", str(SAMPLE_EVENTS))
    try:
        platform.says(re.compile("Dagster daemon: ready"))
        platform.processes()
        platform.says(UP_TO_DATE)
        assert platform.end() == Stopped(code=0, survivors=[]), platform.output
    finally:
        platform.stop()
    assert "web events dropped" not in platform.output
    return platform.output


def _order(shop: Path, cart_id: int, moment: datetime) -> None:
    """Adds a cart of three pieces to what the shop's API serves."""
    carts = json.loads((shop / "carts.json").read_text())
    lines = [{"productId": 1, "quantity": 3}]
    carts.append({"id": cart_id, "userId": 1, "date": moment.isoformat(), "products": lines})
    (shop / "carts.json").write_text(json.dumps(carts))

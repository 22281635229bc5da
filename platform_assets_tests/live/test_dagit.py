"""What Dagit shows in a real browser: the way from landing to mart, and everything about gold/fact_orders.

Debian's chromium, driven by Playwright; `make browser` installs it. Screenshots go to the test's folder, and to
$PLATFORM_SCREENSHOTS if that is set.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from dagster import DagsterInstance
from playwright.sync_api import Locator, Page, expect, sync_playwright

from platform_assets.contracts.dbt_yaml import load_models
from platform_assets.settings import CHECKOUT
from platform_assets_tests.live.running import Platform

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MILLISECONDS = 30_000
SHOP_WAY = (
    "landing/fakestore_carts",
    "bronze/fakestore_carts",
    "arrival/fakestore_carts",
    "silver/fakestore_carts",
    "gold/fact_orders",
    "mart/revenue_by_day",
)
GROUPS = ("commerce", "product_analytics")
SOURCES = ("carts", "products", "users")

Shoot = Callable[[str], None]


@pytest.fixture(scope="module")
def browser_page(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page of a browser with a profile of its own."""
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("chromium"),
            executable_path=chromium,
            headless=True,
            args=list(ARGUMENTS),
            viewport={"width": 2200, "height": 1500},  # in a smaller one Dagit leaves out what the nodes say
        )
        context.set_default_timeout(PATIENCE_MILLISECONDS)
        expect.set_options(timeout=PATIENCE_MILLISECONDS)
        yield context.pages[0]
        context.close()


@pytest.fixture
def page(browser_page: Page, instance: DagsterInstance) -> Page:  # noqa: ARG001 - for its rest
    """The page, when the platform is at rest."""
    return browser_page


@pytest.fixture
def shoot(browser_page: Page, tmp_path: Path) -> Shoot:
    """Takes a screenshot under a name."""

    def take(name: str) -> None:
        picture = tmp_path / f"{name}.png"
        browser_page.screenshot(path=picture)
        if folder := os.environ.get("PLATFORM_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, folder)

    return take


def _graph(platform: Platform) -> dict[str, dict[str, Any]]:
    """All assets by path, as the server that the browser talks to tells them."""
    query = """{ assetNodes {
        assetKey { path } groupName dependencyKeys { path } freshnessStatusInfo { freshnessStatus }
    } }"""
    answer = httpx.post(f"{platform.dagit_url}/graphql", json={"query": query}, timeout=60).json()
    assert "errors" not in answer, answer
    return {"/".join(node["assetKey"]["path"]): node for node in answer["data"]["assetNodes"]}


def _upstream(graph: dict[str, dict[str, Any]], path: str) -> set[str]:
    found: set[str] = set()
    waiting = [path]
    while waiting:
        for key in graph[waiting.pop()]["dependencyKeys"]:
            parent = "/".join(key["path"])
            if parent not in found:
                found.add(parent)
                waiting.append(parent)
    return found


def _nodes(page: Page) -> Locator:
    """The asset nodes of a lineage graph."""
    return page.locator("svg foreignObject [data-tooltip]")


def _wait_for_nodes(page: Page, paths: Iterable[str]) -> None:
    """Until the graph shows every asset, by the last part of its path, and its state."""
    names = Counter(path.split("/")[-1] for path in paths)
    expect(_nodes(page)).to_have_count(names.total())
    assert Counter(_nodes(page).all_inner_texts()) == names
    expect(page.get_by_text("Loading...")).to_have_count(0)


def test_the_lineage_page_shows_the_shop_from_landing_to_mart(page: Page, platform: Platform, shoot: Shoot) -> None:
    graph = _graph(platform)
    assert _upstream(graph, "mart/revenue_by_day") >= {
        *(f"{layer}/fakestore_{source}" for layer in ("landing", "bronze", "silver") for source in SOURCES),
        *SHOP_WAY[:-1],
    }
    for parent, child in pairwise(SHOP_WAY):
        assert {"path": parent.split("/")} in graph[child]["dependencyKeys"], f"{parent} -> {child}"

    page.goto(f"{platform.dagit_url}/asset-groups")
    for group in GROUPS:
        expect(page.locator("svg").get_by_text(group, exact=True)).to_be_visible()
    expect(page.get_by_text("fetching statuses")).to_have_count(0)
    shoot("lineage-groups")

    page.goto(f"{platform.dagit_url}/locations/platform_assets/asset-groups/commerce/lineage")
    shop = [path for path, node in graph.items() if node["groupName"] == "commerce"]
    _wait_for_nodes(page, shop)
    for layer, assets in Counter(path.split("/")[0] for path in shop).items():  # each node says its layer
        label = re.compile(f"^{layer}$", re.IGNORECASE)
        expect(page.locator("svg").get_by_text(label)).to_have_count(assets)
    shoot("lineage-commerce")


def test_the_overview_of_orders_shows_description_columns_freshness_owner_and_place(
    page: Page, platform: Platform, shoot: Shoot
) -> None:
    model = next(model for model in load_models(CHECKOUT / "dbt_project") if model.table == "gold.fact_orders")
    body = page.locator("body")

    def evaluated() -> bool:  # the sensor `freshness` looks once a minute, the page only when it is opened
        page.goto(f"{platform.dagit_url}/assets/gold/fact_orders?view=overview")
        expect(body).to_contain_text("Freshness policy")
        expect(body).to_contain_text(re.compile(r"Passing|Warning|Failed|Not evaluated"))
        return re.search(r"Passing|Warning|Failed", body.inner_text()) is not None

    platform.until(evaluated, 120, "Dagit has been told how fresh the orders are")
    for column in model.contract.columns:
        row = page.get_by_role("row").filter(has=page.get_by_text(column.name, exact=True))
        expect(row.first).to_contain_text(str(column.description))
    # Markdown: backticks around names are not shown.
    expect(body).to_contain_text(model.contract.description.replace("`", "").split(";")[0])
    expect(body).to_contain_text("Fails if more than 5 minutes since last materialization")
    expect(body).to_contain_text("Warns if more than 2 minutes since last materialization")
    expect(body).to_contain_text("lakehouse/warehouse/gold/fact_orders")
    # Two sensors: what keeps it up to date, and what mends it.
    for text in ("Owners", "commerce", "layer: gold", "Iceberg", "dbt", "2 sensors", "non-nullable", "unique"):
        expect(body).to_contain_text(text)
    shoot("fact_orders-overview")


def test_the_checks_of_orders_are_there_and_passed(page: Page, platform: Platform, shoot: Shoot) -> None:
    page.goto(f"{platform.dagit_url}/assets/gold/fact_orders?view=checks")
    body = page.locator("body")
    for text in ("Checks (2)", "contract", "fresh", "Succeeded", "This is a blocking asset check.", "Passed"):
        expect(body).to_contain_text(text)
    shoot("fact_orders-checks")

    page.goto(f"{platform.dagit_url}/assets/silver/events_clean?view=checks")
    for text in ("contract", "quarantine", "row_accounting"):
        expect(body).to_contain_text(text)
    shoot("events_clean-checks")


def test_the_partitions_of_orders_show_their_rows(page: Page, platform: Platform, shoot: Shoot) -> None:
    days = [str(day) for (day,) in platform.ask("select distinct order_date from gold.fact_orders order by 1")]
    page.goto(f"{platform.dagit_url}/assets/gold/fact_orders?view=partitions&partition={days[0]}")
    body = page.locator("body")
    expect(body).to_contain_text(f"Materialized ({len(days)})")
    expect(body).to_contain_text("Failed (0)")
    row = page.get_by_role("row").filter(has=page.get_by_text("dagster/partition_row_count"))
    rows = platform.ask(f"select count(*) from gold.fact_orders where order_date = '{days[0]}'")[0][0]
    expect(row).to_contain_text(str(rows))
    shoot("fact_orders-partitions")


def test_the_lineage_of_orders_leads_back_to_landing(page: Page, platform: Platform, shoot: Shoot) -> None:
    page.goto(f"{platform.dagit_url}/assets/gold/fact_orders?view=lineage&lineageScope=upstream&lineageDepth=10")
    upstream = {"gold/fact_orders", *_upstream(_graph(platform), "gold/fact_orders")}
    _wait_for_nodes(page, upstream)
    shoot("fact_orders-lineage")


def test_every_sensor_and_the_schedule_can_be_switched_off_by_itself(
    page: Page, platform: Platform, shoot: Shoot
) -> None:
    page.goto(f"{platform.dagit_url}/automation")
    names = [f"arrivals_{source}" for source in ("fakestore_carts", "fakestore_products", "fakestore_users")]
    standard = (*names, "arrivals_web_events", "poll_fakestore_carts", "freshness", "quality", "mend_failed", "alerts")
    automation = tuple(f"keep_up_to_date_{group}" for group in GROUPS)
    for name in (*standard, *automation, "maintenance"):
        expect(page.get_by_text(name, exact=True).first).to_be_visible()
    expect(page.get_by_text("Standard sensor")).to_have_count(len(standard))
    expect(page.get_by_text("Automation condition sensor")).to_have_count(len(automation))
    switched_on = {*standard, *automation, "maintenance"}
    expect(page.get_by_role("checkbox", checked=True)).to_have_count(len(switched_on))
    shoot("automation")


def test_landing_tells_what_arrived(page: Page, platform: Platform, shoot: Shoot) -> None:
    page.goto(f"{platform.dagit_url}/assets/landing/web_events?view=overview")
    body = page.locator("body")
    for text in ("objects", "bytes", "source=web_events/date=<YYYY-MM-DD>/", "bronze / web_events", "Passing"):
        expect(body).to_contain_text(text)
    shoot("landing-web_events")


def test_every_table_has_a_freshness_state_and_is_in_the_catalog(page: Page, platform: Platform, shoot: Shoot) -> None:
    tables = {path: node for path, node in _graph(platform).items() if not path.startswith("maintenance/")}
    states = {path: node["freshnessStatusInfo"] for path, node in tables.items()}
    assert {path for path, state in states.items() if state is None or state["freshnessStatus"] == "UNKNOWN"} == set()

    page.goto(f"{platform.dagit_url}/assets")
    for path in ("arrival/fakestore_carts", "bronze/fakestore_carts", "gold/fact_orders"):  # what fits on a screen
        expect(page.get_by_text(path.replace("/", " / "), exact=True).first).to_be_visible()
    expect(page.get_by_text("Loading...")).to_have_count(0)
    shoot("catalog")

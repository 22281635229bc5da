"""`/freshness` and its CSV and JSON, over published tables: what is shown, chosen, linked and never let through."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from html.parser import HTMLParser
from types import ModuleType, SimpleNamespace

import httpx
import pytest
from typer.testing import CliRunner

from platform_assets.cli import app as command
from platform_assets.cli import freshness as freshness_command
from platform_assets.cli import quality as quality_command
from platform_assets.cli import sla as sla_command
from platform_assets.lakehouse.declared import DeclaredTable
from platform_assets.lakehouse.freshness import FreshnessState, TableFreshness
from platform_assets.serving.pages.app import app
from platform_assets.serving.pages.evaluation import Evaluation, Evaluations
from platform_assets.serving.pages.rendering import ORDERS
from platform_assets.serving.pages.view import PAGE_ROWS, SORTS
from platform_assets.settings import Settings
from platform_assets_tests.serving.pages.conftest import DAGIT, HOSTILE, Shop, browsing, contract, declare

DASH = "\N{EN DASH} "
LATE = ["silver.orders", "gold.fact_orders", "mart.revenue_by_day"]
WORST_FIRST = [
    *LATE,
    "gold.sessions",
    "bronze.orders",
    "silver.users",
    "silver.visits",
    "mart.visits_by_day",
]


@pytest.fixture(scope="module")
def client(site: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site) as opened:
        yield opened


class Html(HTMLParser):
    """What a page says: attributes of every element, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keeps it."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        """Keeps it apart from its neighbours."""
        self.text += f"{data} "

    @property
    def said(self) -> str:
        """The text in one line."""
        return " ".join(self.text.split()).replace(" ,", ",")

    def all(self, tag: str) -> list[dict[str, str]]:
        """Attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def links(self) -> list[str]:
        """Where it leads."""
        return [a["href"] for a in self.all("a")]


def read(client: httpx.Client, path: str, status: int = 200) -> Html:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    return Html(answer.text)


def names(client: httpx.Client, query: str = "") -> list[str]:
    """The tables of a view, in order, which page, JSON and CSV agree on."""
    listed = [row["table"] for row in client.get(f"/freshness.json{query}").json()]
    shown = [row["id"] for row in read(client, f"/freshness{query}").all("tr") if "id" in row]
    flat = [row["table"] for row in csv.DictReader(io.StringIO(client.get(f"/freshness.csv{query}").text))]
    assert shown == listed == flat
    return listed


def cell(client: httpx.Client, table: str, column: str) -> str:
    """What the row of a table says in a column."""
    page = client.get(f"/freshness?table={table}").text
    (found,) = re.findall(rf'<td[^>]* data-label="{column}">(.*?)</td>', page, re.DOTALL)
    return Html(found).said.removeprefix(DASH)


def test_the_worst_is_first_and_everything_is_shown(client: httpx.Client, shop: Shop) -> None:
    assert names(client) == WORST_FIRST
    page = read(client, "/freshness")
    assert f"as of {shop.now:%H:%M:%S} UTC" in page.said
    for row in shop.evaluate():
        assert (row.reason in page.text, row.table.domain in page.text, row.table.owner in page.text) == (True,) * 3
        assert f"{DAGIT}/assets/{row.table.name.replace('.', '/')}" in page.links
        assert f"/freshness/{row.table.name}" in page.links
    assert "42 min of 15 min" in page.text
    assert "12 rows, newest" in page.text
    assert "100 %" in page.text


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?state=FAIL", LATE[:2]),
        ("?state=FAIL&state=WARN", LATE),
        ("?layer=mart", ["mart.revenue_by_day", "mart.visits_by_day"]),
        ("?domain=product_analytics&state=PASS", ["silver.visits", "mart.visits_by_day"]),
        ("?table=silver.users&table=gold.sessions", ["gold.sessions", "silver.users"]),
        ("?q=VISITS", ["silver.visits", "mart.visits_by_day"]),
        ("?q=visits+anna", ["silver.visits"]),
        ("?q=each+order", ["silver.orders"]),
        ("?q=never+materialised", ["gold.sessions"]),
        ("?q=%25", []),
        ("?q=&domain=&layer=&sort=&page=&utm_source=mail", WORST_FIRST),
    ],
)
def test_tables_are_chosen_by_the_query_string(client: httpx.Client, query: str, expected: list[str]) -> None:
    assert names(client, query) == expected


@pytest.mark.parametrize(
    ("sort", "first", "last"),
    [
        ("layer", "bronze.orders", "mart.visits_by_day"),
        ("-lag", "mart.visits_by_day", "gold.sessions"),
        ("lag", "bronze.orders", "gold.sessions"),
        ("-behind", "mart.visits_by_day", "gold.sessions"),
        ("-rows", "silver.visits", "gold.sessions"),
        ("rows", "silver.users", "gold.sessions"),
        ("table", "gold.fact_orders", "mart.visits_by_day"),
        ("owner", "gold.sessions", "mart.revenue_by_day"),
        ("partition", "mart.visits_by_day", "gold.sessions"),
        ("completeness", "silver.orders", "mart.visits_by_day"),
        ("sla", "gold.fact_orders", "mart.visits_by_day"),
        ("-sla", "bronze.orders", "mart.visits_by_day"),
        ("score", "gold.fact_orders", "gold.sessions"),
    ],
)
def test_rows_are_sorted_and_what_has_no_value_comes_last(
    client: httpx.Client, sort: str, first: str, last: str
) -> None:
    found = names(client, f"?sort={sort}")
    assert (found[0], found[-1]) == (first, last)
    (sorted_by,) = [column for column in read(client, f"/freshness?sort={sort}").all("th") if "aria-sort" in column]
    assert sorted_by["aria-sort"] == ("descending" if sort.startswith("-") else "ascending")


def test_every_order_has_its_words_and_a_link_of_its_own(client: httpx.Client) -> None:
    assert ORDERS.keys() == SORTS.keys()
    links = read(client, "/freshness?domain=commerce&state=FAIL").links
    for key, (_, word) in ORDERS.items():
        wanted = "-state" if key == "state" else word  # it is sorted by that already: the other way round
        assert f"/freshness?domain=commerce&state=FAIL&sort={wanted}" in links
        assert names(client, f"?sort={word}") != []


def test_a_view_has_a_link_and_the_form_keeps_what_it_has_no_field_for(client: httpx.Client) -> None:
    asked = "?q=orders+team%3Ashop&domain=commerce&layer=gold&state=FAIL&sort=-lag"
    page = read(client, f"/freshness{asked}")
    assert {f"/freshness{asked}", f"/freshness.csv{asked}", f"/freshness.json{asked}"} <= set(page.links)
    form = {field.get("name"): field.get("value") for field in page.all("input")}
    assert form == {"state": "FAIL", "q": "orders team:shop"}
    selected = [option.get("value", "") for option in page.all("option") if "selected" in option]
    assert selected == ["", "", "-lag"]  # of domain and layer the text is the value
    assert "/freshness?sort=-lag" in page.links  # to clear the filter


def test_a_wrong_query_is_answered_with_what_there_is(client: httpx.Client) -> None:
    for query, said in {
        "state=SICK": "SICK is no state; expected one of FAIL, WARN, UNKNOWN, PASS",
        "domain=comerce": "comerce is no domain; expected one of commerce, product_analytics",
        "layer=tin": "tin is no layer; expected one of bronze, gold, mart, silver",
        "sort=size": "size is no sort; expected one of state, layer,",
        "table=silver.order": "silver.order is no table; did you mean `silver.orders`?",
        "page=0": "0 is no page",
        "page=²": "² is no page",
        "page=99999999": "is no page",
    }.items():
        assert said in read(client, f"/freshness?{query}", 400).text
        answer = client.get(f"/freshness.json?{query}")
        assert (answer.status_code, said in answer.json()["error"]) == (400, True)


def test_page_json_csv_and_command_line_tell_the_same(
    client: httpx.Client, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freshness_command, "datetime", SimpleNamespace(now=lambda _: shop.now))
    monkeypatch.setenv("PLATFORM_HOME", str(shop.settings.home))
    told = CliRunner().invoke(command, ["freshness", "--json"])
    assert told.exit_code == 0, told.output
    expected = json.loads(told.stdout)
    answer = client.get("/freshness.json?sort=layer")
    assert (answer.json(), answer.headers["evaluated-at"]) == (expected, shop.now.isoformat())
    rows = list(csv.DictReader(io.StringIO(client.get("/freshness.csv?sort=layer").text)))
    for row, row_as_json in zip(rows, expected, strict=True):
        flat = {name: value for name, value in row_as_json.items() if not isinstance(value, dict)}
        for name in ("completeness", "blame", "policy"):
            flat |= {f"{name}_{key}": value for key, value in (row_as_json[name] or {}).items()}
        known = {name: str(value) for name, value in flat.items() if value is not None}
        assert {name: value.removeprefix("'") for name, value in row.items() if value} == known
    states = [(a["state"]) for a in expected]
    shown = re.findall(r'class="badge \w+">.*?</svg>(\w+)<', client.get("/freshness?sort=layer").text)
    assert shown == states


@pytest.mark.parametrize(
    ("path", "arguments", "module"),
    [("/sla.json", ["sla"], sla_command), ("/quality.json", ["quality", "score"], quality_command)],
)
def test_promises_and_scores_are_told_as_on_the_command_line(
    client: httpx.Client,
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    arguments: list[str],
    module: ModuleType,
) -> None:
    monkeypatch.setattr(module, "datetime", SimpleNamespace(now=lambda _: shop.now))
    monkeypatch.setenv("PLATFORM_HOME", str(shop.settings.home))
    told = json.loads(CliRunner().invoke(command, [*arguments, "--json"]).stdout)
    answer = client.get(path)
    assert (answer.json(), answer.headers["evaluated-at"]) == (told, shop.now.isoformat())
    for query in ("?table=gold.fact_orders", "?domain=product_analytics", "?state=PASS&layer=bronze"):
        chosen = names(client, query)
        expected = [one for one in told if one["table"] in chosen]
        assert client.get(path + query).json() == expected
    assert "no domain" in client.get(f"{path}?domain=x").json()["error"]
    assert f"{path}?domain=commerce" in read(client, "/freshness?domain=commerce").links


def test_every_table_tells_how_it_kept_its_promises_and_its_score(client: httpx.Client) -> None:
    kept = {name: cell(client, name, "SLA, 30 days") for name in (*LATE, "bronze.orders", "mart.visits_by_day")}
    assert kept == {
        "silver.orders": "nothing is promised",
        "gold.fact_orders": "nothing was due promised 99.9 % within 5 min "
        "not met 90 % promised 99 % ready by 08:00 UTC",
        "mart.revenue_by_day": "nothing was due promised 99 % ready by 08:00 UTC",
        "bronze.orders": "met 99.95 % promised 99.9 % within 5 min",
        "mart.visits_by_day": "nothing is promised",
    }
    cards = {card["table"]: card["score"] for card in client.get("/quality.json").json()}
    assert cell(client, "gold.fact_orders", "Score") == f"{cards['gold.fact_orders']:g} of 100"
    assert cell(client, "gold.sessions", "Score") == "not measured yet"
    assert cell(client, "bronze.orders", "Score") == "not scored"


def test_text_that_a_spreadsheet_would_compute_is_marked(client: httpx.Client) -> None:
    rows = csv.DictReader(io.StringIO(client.get("/freshness.csv?table=mart.visits_by_day").text))
    assert [row["owner"] for row in rows] == ["'=1+1"]


def test_a_late_table_names_the_first_late_ancestor_and_links_to_its_row(client: httpx.Client) -> None:
    everything, alone = read(client, "/freshness"), read(client, "/freshness?table=gold.fact_orders")
    assert "#silver.orders" in everything.links
    assert "silver.orders" in [row.get("id") for row in everything.all("tr")]
    assert "/freshness?table=silver.orders#silver.orders" in alone.links
    since = client.get("/freshness.json?table=silver.orders").json()[0]["blame"]["since"]
    assert since in [time["datetime"] for time in alone.all("time")]
    assert f"First late: silver.orders, since {datetime.fromisoformat(since):%Y-%m-%d %H:%M:%S} UTC" in alone.said


def test_every_figure_has_words(client: httpx.Client, shop: Shop) -> None:
    page = read(client, "/freshness")
    figures = [svg for svg in page.all("svg") if svg.get("role") == "img"]
    assert all(svg["aria-label"] for svg in figures)
    assert all("aria-hidden" in svg for svg in page.all("svg") if svg not in figures)
    strips = [svg["aria-label"] for svg in figures if svg["class"] == "strip"]
    yesterday = shop.now.date() - timedelta(days=1) if shop.now.hour or shop.now.minute >= 42 else shop.now.date()
    assert len(strips) == 6
    assert any(label.startswith("30 partitions up to") for label in strips)
    assert any("15 PASS, 1 FAIL; not well:" in label and f"{yesterday} FAIL with" in label for label in strips)
    assert re.search(r"\d{4}-\d\d-\d\d: FAIL, 0 rows", page.text)
    assert re.search(r"\d{4}-\d\d-\d\d: FAIL, [\d,]+ rows, waiting since \d{4}-\d\d-\d\d \d\d:\d\d UTC", page.text)
    lines = [svg["aria-label"] for svg in figures if svg["class"] == "line"]
    assert len(lines) == 7
    assert any("worst state FAIL" in label for label in lines)


def test_nothing_that_a_table_says_is_markup(shop: Shop) -> None:
    evil = shop.settings.model_copy(update={"dagit_url": None})
    row = next(row for row in shop.evaluate() if row.table.name == "gold.sessions")
    hostile = DeclaredTable(
        contract('gold.a"><img src=x onerror=alert(1)>', description=HOSTILE), HOSTILE, HOSTILE, None, timedelta(1)
    )
    rows = [row, TableFreshness(hostile, None, FreshnessState.FAIL, None, HOSTILE)]
    paths = ["/freshness", "/freshness/gold.sessions", "/freshness?q=%3Cscript%3E", "/freshness/%3Cscript%3E"]
    paths += ["/freshness?domain=%3Cscript%3E", "/freshness/gold.a%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E"]
    with browsing(app(evil, Evaluations(lambda: Evaluation(shop.now, rows)))) as other:
        for path in paths:
            page = Html(other.get(path).text)
            assert {name for name, _ in page.elements} & {"script", "img", "style", "iframe"} == set()
            assert not [a for _, a in page.elements for name in a if name.startswith("on") or name == "style"]
            assert all(link.startswith(("/", "#")) for link in page.links)
        assert HOSTILE in Html(other.get("/freshness").text).text


def test_every_answer_tells_the_browser_what_it_may_not_do(client: httpx.Client, shop: Shop) -> None:
    paths = ["/freshness", "/freshness.csv", "/freshness.json", "/freshness/silver.orders", "/static/pages.css"]
    for path in [*paths, "/nothing", "/freshness/gold.nothing", "/freshness?sort=x", "/healthz"]:
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy + headers.get("server", "")
        assert headers["x-content-type-options"] == "nosniff"

    def broken() -> Evaluation:
        return Evaluation(shop.now, [None])  # type: ignore[list-item]

    with browsing(app(shop.settings, Evaluations(broken))) as failing:
        answer = failing.get("/freshness")
        assert (answer.status_code, "content-security-policy" in answer.headers) == (500, True)
        assert "Traceback" not in answer.text


def test_what_is_not_there_is_said_in_words(client: httpx.Client) -> None:
    assert (
        "There is no table gold.fact_order; did you mean `gold.fact_orders`?"
        in read(client, "/freshness/gold.fact_order", 404).text
    )
    assert "/freshness" in read(client, "/somewhere", 404).links
    assert client.post("/freshness").status_code == 405
    assert client.get("/", follow_redirects=False).headers["location"] == "/freshness"
    assert client.get("/static/../app.py").status_code == 404


def test_a_platform_that_has_made_nothing_yet_says_what_to_do(empty: Shop) -> None:
    with browsing(empty.app()) as fresh:
        page = read(fresh, "/freshness")
        assert "Nothing has been materialised yet" in page.text
        assert "make up" in page.text
        assert {row["state"] for row in fresh.get("/freshness.json").json()} == {"UNKNOWN"}
        assert "never materialised" in read(fresh, "/freshness/silver.orders").text


def test_a_platform_without_tables_says_so(empty: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, [])
    with browsing(empty.app()) as none:
        assert "No table is declared" in read(none, "/freshness").text
        assert none.get("/freshness.json").json() == []


def test_thousands_of_tables_come_page_by_page(shop: Shop) -> None:
    template = next(row for row in shop.evaluate() if row.table.name == "silver.visits")

    def copy(number: int) -> TableFreshness:
        table = DeclaredTable(contract(f"gold.t{number:04}"), "commerce", "team:x", None, timedelta(hours=1))
        return TableFreshness(
            table, template.statistics, template.state, template.lag, "", partitions=template.partitions
        )

    rows = [copy(number) for number in range(3_000)]
    with browsing(app(shop.settings, Evaluations(lambda: Evaluation(shop.now, rows)))) as large:
        first, last = read(large, "/freshness"), read(large, "/freshness?page=60")
        assert [row["id"] for row in last.all("tr") if "id" in row] == [f"gold.t{n:04}" for n in range(2_950, 3_000)]
        assert ("/freshness?page=2" in first.links, "/freshness?page=59" in last.links) == (True, True)
        assert f"1 to {PAGE_ROWS} of 3,000" in first.text
        assert read(large, "/freshness?page=999").all("tr") == last.all("tr")
        assert len(large.get("/freshness.json").json()) == 3_000
        sent = large.get("/freshness", headers={"accept-encoding": "gzip"})
        assert int(sent.headers["content-length"]) < 100_000


def test_the_page_of_a_table_tells_its_partitions_its_past_and_its_neighbours(client: httpx.Client, shop: Shop) -> None:
    row = next(row for row in shop.evaluate() if row.table.name == "silver.orders")
    page = read(client, "/freshness/silver.orders")
    said = page.said
    for day in row.partitions:
        assert f"{day.partition} {day.state} {day.rows:,} {day.made_at:%Y-%m-%d %H:%M:%S} UTC" in said
    (waiting,) = [day for day in row.partitions if day.waiting_since]
    assert f"{waiting.waiting_since:%Y-%m-%d %H:%M:%S} UTC (42 min ago)" in said
    assert "97.68 % of the time it did not fail" in said  # 5 of 216 hours late
    assert re.search(r"FAIL 5 h silver.orders it was late", said)
    assert {"/freshness/bronze.orders", "/freshness/gold.fact_orders", f"{DAGIT}/assets/silver/orders"} <= set(
        page.links
    )
    assert "warns after 5 min, fails after 15 min" in said
    assert "One row for each order of the shop." in said
    (chart,) = [svg for svg in page.all("svg") if "chart" in svg.get("class", "")]
    assert chart["aria-label"].startswith("Lag over the last 30 d: at most")


def test_the_page_of_a_table_tells_its_promises_its_score_and_what_was_unusual(
    client: httpx.Client, shop: Shop
) -> None:
    page = read(client, "/freshness/gold.fact_orders")
    said, missed = page.said, shop.now.date() - timedelta(days=2)
    assert "99.9 % within 5 min nothing was due never" in said
    worst = f"2 h late ({missed - timedelta(days=1)})"
    assert f"99 % ready by 08:00 UTC not met 90 % (9 of 10) {worst} {missed} 08:00:00 UTC" in said
    (card,) = client.get("/quality.json?table=gold.fact_orders").json()
    assert f"Score {card['score']:g} of 100" in said
    for part in card["parts"]:
        points = f"{DASH}not measured" if part["points"] is None else f"{part['points']:g}"
        assert f"{part['name']} {points} of {part['out_of']} {part['reason']}" in said
    assert [part["points"] is None for part in card["parts"]].count(True) < len(card["parts"])
    (line,) = [svg for svg in page.all("svg") if svg.get("aria-label", "").startswith("Score over")]
    assert re.match(r"Score over the last 30 days: 80 to 86, last 8\d", line["aria-label"])
    assert len([one for one in page.all("polyline") if one["points"].count(",") in {13, 6}]) == 2  # but for one day
    day = shop.now.date() - timedelta(days=1)
    assert f"{day} rows 400 rows 900 rows to 1,200 rows {HOSTILE} 1 min ago" in said
    assert f"{day} share of null id 3.10 % up to 2.00 % too many nulls" in said
    assert f"{day} distribution at 0.40 up to 0.10" in said
    assert "the table columns 1 change 0 changes `note` came" in said
    assert f"{day} reconciliation sums 1.50 2 unequal" in said
    assert ("as always" in said, "too few visits" in said) == (False, False)
    assert "too few visits" in read(client, "/freshness/silver.visits").said
    bronze = read(client, "/freshness/bronze.orders").said
    assert "Tables of silver, gold and mart have a score; bronze has none." in bronze
    assert "Nothing is promised about when its data is there." in read(client, "/freshness/silver.users").said


def test_without_dagit_there_is_no_link_to_it(shop: Shop) -> None:
    settings: Settings = shop.settings.model_copy(update={"dagit_url": None})
    with browsing(app(settings, Evaluations(lambda: Evaluation(shop.now, shop.evaluate())))) as client:
        for path in ("/freshness", "/freshness/silver.orders"):
            assert not [link for link in read(client, path).links if "assets/" in link]


def test_the_page_needs_no_script_and_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = read(client, "/freshness")
    assert page.all("script") == []
    assert [link["href"] for link in page.all("link")] == ["/static/pages.css", "/static/icon.svg"]
    assert all(client.get(link["href"]).status_code == 200 for link in page.all("link"))
    sheet = client.get("/static/pages.css").text
    assert ("url(" in sheet, "@import" in sheet, "prefers-color-scheme: dark" in sheet) == (False, False, True)

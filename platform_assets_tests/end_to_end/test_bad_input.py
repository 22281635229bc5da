"""Bad input: the good rows go through, the bad ones are kept with a reason, nothing bad is published (I1, I2)."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from platform_assets.ingestion.refusals import KEPT_BYTES
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.settings import Settings
from platform_assets_tests.arrivals import dead_letters, drop, json_lines, web_event
from platform_assets_tests.graph_runner import GraphRunner

DAY = "2026-03-10"
GOOD = [json.dumps(web_event(number, DAY)).encode() for number in (1, 2)]
LATIN = json.dumps(web_event(3, DAY, properties={"city": "Zürich"}), ensure_ascii=False).encode("latin-1")
HUGE = json.dumps(web_event(3, DAY, properties={"page": "x" * 20_000_000})).encode()
SHORT = b'{"event_id": "00000000-0000-0000-0000-000000000003", '


@pytest.fixture
def graph(settings: Settings, tmp_path: Path) -> GraphRunner:
    return GraphRunner(settings, dg.DagsterInstance.ephemeral(str(tmp_path)))


def _checks(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, dg.AssetCheckEvaluation]:
    key = dg.AssetKey.from_user_string(asset)
    return {found.check_name: found for found in result.get_asset_check_evaluations() if found.asset_key == key}


def _lines(*lines: bytes) -> bytes:
    return b"".join(line + b"\n" for line in lines)


@dataclass(frozen=True)
class Bad:
    """A record that cannot be read: which one, and what its dead letter says and keeps."""

    content: bytes
    row_number: int
    reason: str
    kept: bytes
    file_name: str = "bad.jsonl"


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(
            Bad(_lines(GOOD[0], b"this is no JSON", GOOD[1]), 2, "not JSON: Expecting value", b"this is no JSON"),
            id="a line that is no JSON",
        ),
        pytest.param(Bad(_lines(GOOD[0], LATIN, GOOD[1]), 2, "not valid UTF-8 at byte", LATIN), id="wrong encoding"),
        pytest.param(
            Bad(_lines(GOOD[0], HUGE, GOOD[1]), 2, f"record of {len(HUGE):,} bytes is larger", HUGE[:KEPT_BYTES]),
            id="a line of 20 MB",
        ),
        pytest.param(
            Bad(
                gzip.compress(_lines(*GOOD) + SHORT, mtime=0)[:-8],  # without the end of the stream
                3,
                "gzip stream ends early after record 2",
                SHORT.strip(),
                "bad.jsonl.gz",
            ),
            id="truncated gzip",
        ),
    ],
)
def test_a_record_that_cannot_be_read_is_a_dead_letter_and_the_others_go_through(graph: GraphRunner, bad: Bad) -> None:
    uri = drop(graph.settings, "web_events", DAY, bad.file_name, bad.content)

    done = graph.run(["bronze/web_events"], DAY)

    assert done.success
    check = _checks(done, "bronze/web_events")["dead_letters"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.metadata["dead_letters"].value == 1
    (letter,) = dead_letters(graph.settings, "web_events")
    assert (letter["object"], letter["row_number"]) == (uri, bad.row_number)
    assert letter["reason"].startswith(bad.reason)
    assert letter["generation"] > 0
    content = str(letter["content"])
    assert (base64.b64decode(content) if letter["encoding"] == "base64" else content.encode()) == bad.kept
    assert graph.run(["silver/events_clean", "quarantine/events_clean"], DAY).success
    events = graph.ask("select event_id from silver.events_clean order by all")
    assert events == [(web_event(number, DAY)["event_id"],) for number in (1, 2)]


def test_an_empty_file_is_nothing_bad(graph: GraphRunner) -> None:
    drop(graph.settings, "web_events", DAY, "empty.jsonl", b"")
    drop(graph.settings, "web_events", DAY, "empty.jsonl.gz", gzip.compress(b""))
    done = graph.run(["bronze/web_events"], DAY)
    assert done.success
    assert all(check.passed for check in _checks(done, "bronze/web_events").values())
    assert dead_letters(graph.settings, "web_events") == []
    result = graph.run(["silver/events_clean", "quarantine/events_clean"], DAY)
    assert _checks(result, "silver/events_clean")["row_accounting"].metadata["rows_in"].value == 0
    assert graph.ask("select count(*) from silver.events_clean") == [(0,)]


def _product(number: int, **changes: object) -> dict[str, object]:
    return {"id": number, "title": f"Thing {number}", "price": 9.5, "category": "things", **changes}


def _publish_products(graph: GraphRunner, file_name: str, products: list[dict[str, object]]) -> str:
    """Products land and become bronze; silver is told by Dagster's records."""
    uri = drop(graph.settings, "fakestore_products", DAY, file_name, json_lines(products))
    assert graph.run(["bronze/fakestore_products"], DAY).success
    return uri


def _snapshot(graph: GraphRunner, table: str) -> int:
    found = Lakehouse(graph.settings).catalog.load_table(table).current_snapshot()
    assert found is not None
    return found.snapshot_id


def test_a_product_whose_price_is_a_text_is_quarantined_as_it_came(graph: GraphRunner) -> None:
    uri = _publish_products(graph, "a.jsonl", [_product(1), _product(2, price="9.5"), _product(3)])

    done = graph.run(["silver/fakestore_products", "quarantine/fakestore_products"])

    assert done.success
    bad = graph.ask("select id, price, _broken_rules, _landing_uri, _row_number from quarantine.fakestore_products")
    assert bad == [("2", '"9.5"', "price.type", uri, 2)]
    assert graph.ask("select id from silver.fakestore_products order by id") == [(1,), (3,)]
    checks = _checks(done, "silver/fakestore_products")
    assert not checks["quarantine"].passed
    assert checks["quarantine"].metadata["rows_quarantined"].value == 1
    assert checks["quarantine"].metadata["broken_rules"].value == {"price.type": 1}
    assert checks["contract"].passed
    assert checks["row_accounting"].passed


def test_above_the_ratio_of_the_source_nothing_is_published_and_nothing_downstream_runs(graph: GraphRunner) -> None:
    graph.automate()
    _publish_products(graph, "a.jsonl", [_product(number) for number in range(1, 11)])
    assert all(run.success for run in graph.settle())
    published = graph.ask("select * from gold.dim_products order by all")
    silver_tables = ["silver/fakestore_products", "quarantine/fakestore_products"]

    # Silver is updated, and before gold has followed, it breaks.
    _publish_products(graph, "b.jsonl", [_product(1, price=1.0)])
    assert graph.run(silver_tables).success
    good = {table: _snapshot(graph, table) for table in ("silver.fakestore_products", "quarantine.fakestore_products")}
    _publish_products(graph, "c.jsonl", [_product(number, price="free") for number in range(1, 13)])
    done = graph.run(silver_tables)

    assert not done.success
    check = _checks(done, "silver/fakestore_products")["contract"]
    assert not check.passed
    assert "12 of 23 rows break the contract (52.2%); the source allows 50.0%" in str(check.description)
    drop(graph.settings, "fakestore_users", DAY, "a.jsonl", json_lines([_USER]))
    assert graph.run(["bronze/fakestore_users"], DAY).success
    ran = graph.settle()
    assert graph.ask("select * from gold.dim_products order by all") == published
    assert {table: _snapshot(graph, table) for table in good} == good
    assert all("silver/fakestore_products" in run.assets for run in ran if not run.success)
    # The other source goes on.
    assert graph.ask("select count(*) from gold.dim_users") == [(1,)]

    # Mended, all of it follows.
    _publish_products(graph, "c.jsonl", [_product(number, price=2.0) for number in range(1, 13)])
    assert all(run.success for run in graph.settle())
    assert graph.ask("select count(*), min(price)::double from gold.dim_products") == [(12, 2.0)]


_USER = {"id": 1, "email": "ada@example.com", "username": "ada", "password": "hidden"}

"""A quarantined cart goes through again: list, show, release, the sensor, and the order is in gold (S0-55, S1-112)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from platform_assets.cli.quarantine import quarantine_app
from platform_assets.ingestion.landing import Landing
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.operations.quarantined_rows import open_rows
from platform_assets.settings import CHECKOUT, Settings
from platform_assets_tests.arrivals import drop, json_lines
from platform_assets_tests.broker import create_subscription, publish
from platform_assets_tests.end_to_end import killed_release
from platform_assets_tests.graph_runner import GraphRunner

CARTS, LINES, ORDERED = "fakestore_carts", "fakestore_cart_lines", "2025-11-11"
_TWO_BAD_LINES = [
    {"product_id": 1, "quantity": 2},
    {"product_id": 2, "quantity": -1},
    {"product_id": 1, "quantity": 0},
]


@pytest.fixture
def graph(settings: Settings) -> Iterator[GraphRunner]:
    """A shop with one customer and two products, whose carts come through a topic."""
    create_subscription(settings, "carts-events", "carts-events-sub")
    today = datetime.now(UTC).date()
    products = [{"id": n, "title": f"Thing {n}", "price": 10.0 * n, "category": "things"} for n in (1, 2)]
    drop(settings, "fakestore_products", today, "a.jsonl", json_lines(products))
    user = {"id": 1, "email": "ada@example.com", "username": "ada", "password": "hidden"}
    drop(settings, "fakestore_users", today, "a.jsonl", json_lines([user]))
    with dg.instance_for_test() as instance:
        runner = GraphRunner(settings, instance)
        runner.automate()
        for source in ("fakestore_products", "fakestore_users"):
            assert runner.run([f"bronze/{source}"], today.isoformat()).success
        yield runner


def _cart(number: int, lines: list[dict[str, int]], **changes: object) -> bytes:
    cart = {
        "event_id": f"00000000-0000-4000-8000-{number:012}",
        "event_type": "cart_created",
        "extracted_at": "2026-01-01T00:00:00Z",
        "published_at": "2026-01-01T00:00:01Z",
        "cart_id": number,
        "user_id": 1,
        "cart_date": f"{ORDERED}T10:00:00Z",
        "products": lines,
        **changes,
    }
    return json.dumps(cart).encode()


def _settle(graph: GraphRunner) -> list[str]:
    """The failures of everything that the sensor and automation asked for."""
    return [str(run) for run in graph.settle(CARTS) if not run.success]


def _command(*arguments: str) -> Any:  # noqa: ANN401 - JSON
    result = CliRunner().invoke(quarantine_app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def _orders(graph: GraphRunner) -> list[tuple[object, ...]]:
    return graph.ask(
        "select order_id, total_items, total_amount::double, line_count, lines_quarantined from gold.fact_orders "
        "order by all"
    )


def _released(graph: GraphRunner) -> list[str]:
    return [o.uri for o in Landing(graph.settings).objects(CARTS) if o.file_name.startswith("released-")]


def test_a_cart_with_bad_lines_is_mended_and_goes_through_to_gold_as_a_whole(graph: GraphRunner) -> None:
    publish(graph.settings, "carts-events", [_cart(1, _TWO_BAD_LINES), _cart(2, [{"product_id": 1, "quantity": 1}])])
    assert _settle(graph) == []
    assert _orders(graph) == [(1, 2, 20.0, 3, 2), (2, 1, 10.0, 1, 0)]
    (before,) = [table for table in _command("list")["quarantined"] if table["open_rows"]]
    assert (before["table"], before["partition"], before["open_rows"]) == (f"quarantine.{LINES}", ORDERED, 2)
    assert before["broken_rules"] == {"quantity.exclusive_minimum": 2}
    shown = _command("show", LINES, "--partition", ORDERED, "--rule", "quantity.exclusive_minimum")["rows"]
    assert [(row["line_number"], row["values"]["quantity"]) for row in shown] == [(2, "-1"), (3, "0")]
    half = CliRunner().invoke(
        quarantine_app, ["release", LINES, shown[0]["row_id"], "--set", "products[1].quantity=1", "--why", "half of it"]
    )
    assert half.exit_code == 1
    assert "would be quarantined again" in half.stderr

    changes = ["--set", "products[1].quantity=1", "--set", "products[2].quantity=4"]
    (released,) = _command("release", LINES, shown[0]["row_id"], *changes, "--why", "the shop said so", "--by", "ada")

    # Both lines are lines of the record that goes through.
    assert sorted(released["row_ids"]) == sorted(row["row_id"] for row in shown)
    assert _released(graph) == [released["landing_uri"]]
    assert _settle(graph) == []
    assert _orders(graph) == [(1, 7, 80.0, 3, 0), (2, 1, 10.0, 1, 0)]
    (after,) = [table for table in _command("list")["quarantined"] if table["table"] == f"quarantine.{LINES}"]
    assert (after["open_rows"], after["released"], after["broken_rules"]) == (0, 2, {})
    assert graph.ask(f"select count(*) from silver.{CARTS}") == [(2,)]
    _it_stays_a_message(graph, released["landing_uri"])

    # Everything again, and nothing changes.
    (again,) = _command("release", LINES, shown[1]["row_id"], *changes, "--why", "twice")
    assert (again["landing_uri"], again["new"]) == (released["landing_uri"], False)
    assert graph.settle(CARTS) == []


def _it_stays_a_message(graph: GraphRunner, uri: str) -> None:
    objects = Landing(graph.settings).objects(CARTS)
    paths = Landing(graph.settings).download(objects, graph.settings.home)
    lines = {
        o.uri: [json.loads(line) for line in p.read_text().splitlines()] for o, p in zip(objects, paths, strict=True)
    }
    (message,) = lines.pop(uri)
    (sent,) = [one for batch in lines.values() for one in batch if json.loads(one["data"])["cart_id"] == 1]
    assert {**message, "data": None} == {**sent, "data": None}
    mended, was = json.loads(message["data"]), json.loads(sent["data"])
    assert {**mended, "products": None} == {**was, "products": None}
    assert [line["quantity"] for line in mended["products"]] == [2, 1, 4]


def test_a_release_that_is_killed_when_its_record_has_landed_is_finished_by_the_same_command(
    graph: GraphRunner,
) -> None:
    publish(graph.settings, "carts-events", [_cart(1, [{"product_id": 2, "quantity": -3}])])
    assert _settle(graph) == []
    (row,) = open_rows(Lakehouse(graph.settings), LINES, partition=date.fromisoformat(ORDERED)).rows
    command = [sys.executable, "-m", killed_release.__name__, LINES, row.row_id, "products[0].quantity=3"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-4000:]
    (landed,) = _released(graph)
    assert [table["open_rows"] for table in _command("list")["quarantined"] if table["table"].endswith(LINES)] == [1]
    # Nobody waits for the decision: what has landed goes through.
    assert _settle(graph) == []
    assert _orders(graph) == [(1, 3, 60.0, 1, 0)]

    other = ["release", LINES, row.row_id, "--set", "products[0].quantity=4", "--why", "I forgot"]
    refused = CliRunner().invoke(quarantine_app, other)
    assert refused.exit_code == 1
    assert "landed by a release not finished yet, with other values: gs://" in refused.stderr
    (finished,) = _command("release", LINES, row.row_id, "--set", "products[0].quantity=3", "--why", "again")

    assert (finished["landing_uri"], finished["new"]) == (landed, True)
    assert _released(graph) == [landed]
    assert [table["open_rows"] for table in _command("list")["quarantined"] if table["table"].endswith(LINES)] == [0]
    assert graph.settle(CARTS) == []


def test_a_cart_that_broke_two_tables_is_decided_about_in_both(graph: GraphRunner) -> None:
    bad = _cart(1, [{"product_id": 1, "quantity": -1}], user_id=None, cart_date="soon")
    publish(graph.settings, "carts-events", [bad, _cart(2, [])])
    assert _settle(graph) == []
    today = datetime.now(UTC).date().isoformat()  # its own date is none
    assert {(t["table"], t["partition"], t["open_rows"]) for t in _command("list")["quarantined"]} == {
        (f"quarantine.{CARTS}", today, 1),
        (f"quarantine.{LINES}", today, 1),
    }
    (row,) = _command("show", CARTS)["rows"]
    mended = graph.settings.home / "mended.jsonl"
    mended.write_bytes(_cart(1, [{"product_id": 2, "quantity": 2}]))

    (released,) = _command("release", CARTS, row["row_id"], "--file", str(mended), "--why", "the shop sent it again")

    assert len(released["row_ids"]) == 2
    assert _settle(graph) == []
    assert _orders(graph) == [(1, 2, 40.0, 1, 0), (2, 0, 0.0, 0, 0)]
    assert {table["open_rows"] for table in _command("list")["quarantined"]} == {0}

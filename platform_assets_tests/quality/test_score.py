"""The score of a table: what each part costs, and that what was not measured costs nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from platform_assets.contracts.model import Column, Contract
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.completeness import Completeness
from platform_assets.lakehouse.declared import DeclaredTable
from platform_assets.lakehouse.freshness import FreshnessState, TableFreshness
from platform_assets.lakehouse.freshness_history import record as record_freshness
from platform_assets.quality.findings import Finding, Watch
from platform_assets.quality.score import Scorecard, record_scores, score_history, scorecards
from platform_assets.quality.store import record
from platform_assets_tests.quality.tables import DAY, FIRST, ORDERS, declare, noon, orders, publish

NOW = noon(FIRST + 3 * DAY)
HOUR = timedelta(hours=1)
GOLD = Contract("gold.orders", (Column("order_id", "integer"), Column("day", "date")), partition_column="day")
BROKEN = Contract("quarantine.orders", (Column("order_id", "string"), Column("day", "date")), partition_column="day")


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> list[DeclaredTable]:
    return declare(monkeypatch, ORDERS, BROKEN, GOLD)


def cards(lakehouse: Lakehouse) -> dict[str, Scorecard]:
    return {card.table: card for card in scorecards(lakehouse, NOW)}


def points(card: Scorecard) -> dict[str, float]:
    return {part.name: part.points for part in card.parts if part.points is not None}


@pytest.mark.usefixtures("declared")
def test_nothing_measured_is_no_score(lakehouse: Lakehouse) -> None:
    (silver, gold) = scorecards(lakehouse, NOW)
    assert (silver.table, silver.score, gold.score) == ("silver.orders", None, None)
    assert silver.as_json()["parts"][0] == {
        "name": "contract",
        "points": None,
        "out_of": 30,
        "reason": "no row was judged by a contract yet",
    }


@pytest.mark.usefixtures("declared")
def test_rows_in_quarantine_cost_the_table_and_all_that_is_made_of_it(lakehouse: Lakehouse) -> None:
    publish(lakehouse, FIRST, orders(FIRST, 196))
    publish(lakehouse, FIRST, f"(SELECT 'x' AS order_id, DATE '{FIRST}' AS day FROM range(4))", BROKEN)
    found = cards(lakehouse)
    assert found.keys() == {"silver.orders", "gold.orders"}
    for card in found.values():
        assert points(card) == {"contract": pytest.approx(24)}
        assert card.parts[0].reason == "4 of 200 rows are in quarantine (2.00%)"
        assert card.score == 80.0


def test_freshness_and_completeness_count_as_they_were_kept(
    lakehouse: Lakehouse, declared: list[DeclaredTable]
) -> None:
    silver = declared[0]
    day = NOW.date()
    for hours, state, share in ((6, "PASS", 0.5), (5, "FAIL", 0.5), (4, "PASS", 0.9), (3, "PASS", 0.9)):
        complete = Completeness(day, int(share * 100), 100, "usual")
        fresh = TableFreshness(silver, None, FreshnessState(state), None, "so", day, complete)
        record_freshness(lakehouse, [fresh], NOW - hours * HOUR)
    complete = Completeness(day + DAY, 150, 100, "usual")  # more than all of it is all of it
    fresh = TableFreshness(silver, None, FreshnessState.PASS, None, "so", day + DAY, complete)
    record_freshness(lakehouse, [fresh], NOW - HOUR)
    found = points(cards(lakehouse)["silver.orders"])
    assert found["freshness"] == pytest.approx(30 * 5 / 6)
    assert found["completeness"] == pytest.approx(20 * (0.9 + 1) / 2)


@pytest.mark.usefixtures("declared")
def test_each_day_with_an_unusual_finding_costs_two_points(lakehouse: Lakehouse) -> None:
    usual = Finding(Watch.NULL_RATE, "gold.orders", FIRST, 0.0, unusual=False, reason="so", subject="a")
    record(
        lakehouse,
        [
            usual,
            replace(usual, subject="b", unusual=True),
            replace(usual, watch=Watch.VOLUME, subject="", unusual=True),
            replace(usual, partition=FIRST + DAY, unusual=True),
        ],
        NOW,
    )
    card = cards(lakehouse)["gold.orders"]
    assert (points(card), card.score) == ({"content": 16.0}, 80.0)
    assert card.parts[3].reason == "3 of 4 findings unusual, on 2 days"
    record(lakehouse, [replace(usual, partition=FIRST + DAY)], NOW + HOUR)  # mended
    (*_, mended) = scorecards(lakehouse, NOW + HOUR)
    assert mended.score == 90.0
    (*_, later) = scorecards(lakehouse, NOW + 31 * DAY)
    assert later.score is None


@pytest.mark.usefixtures("declared")
def test_scores_are_kept_once_a_day(lakehouse: Lakehouse) -> None:
    publish(lakehouse, FIRST)
    assert [record_scores(lakehouse, NOW), record_scores(lakehouse, NOW + HOUR)] == [2, 0]
    assert record_scores(lakehouse, NOW + DAY) == 2
    today, names = NOW.date(), ("gold.orders", "silver.orders")
    both, last = [(today, 100.0), (today + DAY, 100.0)], [(today + DAY, 100.0)]
    assert score_history(lakehouse, NOW + DAY) == dict.fromkeys(names, both)
    assert score_history(lakehouse, NOW + 2 * DAY, days=1) == dict.fromkeys(names, last)
    assert score_history(lakehouse, NOW + DAY, of="gold.orders") == {"gold.orders": both}

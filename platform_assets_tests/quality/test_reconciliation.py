"""Figures of different tables that must agree: what is declared, when it is judged, what breaks and mends it."""

from __future__ import annotations

import textwrap
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.contracts.model import Column, Contract
from platform_assets.lakehouse import publisher
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.quality.declarations import FILE_NAME, Reconciliation, read_reconciliations
from platform_assets.quality.findings import Finding
from platform_assets.quality.look import look_across
from platform_assets.quality.reconciliation import _judged
from platform_assets.quality.store import latest
from platform_assets.settings import load_settings
from platform_assets.sources.yaml_file import SourceError
from platform_assets_tests.quality.tables import DAY, FIRST, ORDERS, days, declare, drop_one, orders, publish, unusual

REVENUE = Contract(
    "mart.revenue",
    (Column("day", "date"), Column("orders", "integer"), Column("total", "double")),
    partition_column="day",
)
USERS = Contract("silver.users", (Column("user_id", "integer"),))
DIM_USERS = Contract("gold.dim_users", (Column("user_id", "integer"),))
COUNTS = """\
reconciliations:
  - name: orders_are_counted
    description: The mart counts every paid order.
    expected: {table: silver.orders, measure: count, where: state = 'paid'}
    actual: {table: mart.revenue, measure: sum, column: orders}
"""
SUMS = (
    COUNTS
    + """\
  - name: revenue
    description: The mart adds up every order.
    expected: {table: silver.orders, measure: sum, column: amount}
    actual: [{table: mart.revenue, measure: sum, column: total}]
    tolerance: 1%
"""
)
ARRIVALS = """\
reconciliations:
  - name: accounted
    description: Every row is somewhere.
    expected: {table: bronze.orders, measure: count, date: _event_date}
    actual:
      - {table: silver.orders, measure: count}
      - {table: quarantine.orders, measure: count}
      - {table: silver.orders, measure: duplicates}
"""
WHOLE = """\
reconciliations:
  - name: users
    description: Every user is in the dimension.
    expected: {table: silver.users, measure: count}
    actual: {table: gold.dim_users, measure: count}
"""


def write(lakehouse: Lakehouse, text: str) -> None:
    (lakehouse.settings.sources / FILE_NAME).write_text(text)


def make_revenue(lakehouse: Lakehouse, day: date, source: str | None = None) -> None:
    rows = source or orders(day)
    figures = (
        f"(SELECT day, count(*) FILTER (state = 'paid') AS orders, sum(amount)::DOUBLE AS total FROM {rows} GROUP BY 1)"
    )
    publish(lakehouse, day, figures, REVENUE)


def settled(lakehouse: Lakehouse) -> datetime:
    """A moment at which everything has stood for long enough."""
    moments = [table.metadata.last_updated_ms for name in lakehouse.tables() if (table := lakehouse.find(name))]
    return datetime.fromtimestamp(max(moments) / 1000, UTC) + timedelta(hours=2)


def judged(lakehouse: Lakehouse, hours: int = 0) -> list[Finding]:
    return look_across(lakehouse, settled(lakehouse) + timedelta(hours=hours))


def test_a_row_that_is_missing_on_one_side_breaks_it_until_it_is_back(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, ORDERS, REVENUE)
    write(lakehouse, SUMS)
    for day in days(2):
        publish(lakehouse, day)
        make_revenue(lakehouse, day)
    told = judged(lakehouse)
    assert [(f.table, f.subject, f.partition, f.unusual) for f in told] == [
        ("mart.revenue", name, day, False) for name in ("orders_are_counted", "revenue") for day in days(2)
    ]
    assert judged(lakehouse, 1) == []

    publish(lakehouse, FIRST, drop_one(orders(FIRST), "order_id = 1"))
    told = judged(lakehouse, 26)
    assert unusual(told) == [("reconciliation", "orders_are_counted", FIRST)]
    assert len(told) == 4  # a judgement is kept once a day
    assert told[0].reason == (
        "sum of mart.revenue.orders: 266, count of silver.orders: 265; they differ by +1, allowed is 0"
    )
    publish(lakehouse, FIRST)
    assert [(f.subject, f.unusual, f.partition) for f in judged(lakehouse, 27)] == [
        ("orders_are_counted", False, FIRST)
    ]
    assert not any(found.finding.unusual for found in latest(lakehouse, settled(lakehouse) + timedelta(hours=27)))


def test_a_date_that_one_side_lacks_is_nothing_of_it_and_one_that_has_just_changed_is_left_for_later(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, ORDERS, REVENUE)
    write(lakehouse, COUNTS)
    publish(lakehouse, FIRST)
    assert judged(lakehouse) == []  # the mart was never made
    make_revenue(lakehouse, FIRST)
    publish(lakehouse, FIRST + DAY)
    assert look_across(lakehouse, settled(lakehouse) - timedelta(hours=1, minutes=1)) == []
    told = judged(lakehouse)
    assert [(f.partition, f.unusual, f.observed) for f in told] == [(FIRST, False, 266), (FIRST + DAY, True, 0)]


def test_every_row_that_arrived_is_in_silver_in_quarantine_or_was_a_duplicate(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    bronze = Contract(
        "bronze.orders",
        (Column("id", "integer"), Column("_arrival_date", "date"), Column("_event_date", "date")),
        partition_column="_arrival_date",
    )
    broken = Contract("quarantine.orders", (Column("id", "string"), Column("day", "date")), partition_column="day")
    declare(monkeypatch, bronze, ORDERS, broken)
    write(lakehouse, ARRIVALS)
    with lakehouse.connect() as connection:
        for day, rows in ((FIRST, 300), (FIRST + DAY, 123)):  # late rows arrive a day later
            dates = f"DATE '{day}' AS _arrival_date, DATE '{FIRST}' AS _event_date"
            arrived = f"(SELECT i AS id, {dates} FROM range({rows}) r(i))"
            publisher.replace(lakehouse, bronze, connection, arrived, partition=day, properties={})
        made = {"platform.partition": FIRST.isoformat(), "platform.rows-duplicate": "19"}
        publisher.replace(lakehouse, ORDERS, connection, orders(FIRST, 400), partition=FIRST, properties=made)
        bad = f"(SELECT 'x' AS id, DATE '{FIRST}' AS day FROM range(4))"
        publisher.replace(lakehouse, broken, connection, bad, partition=FIRST, properties={})
    (told,) = judged(lakehouse)
    assert (told.table, told.observed, told.unusual) == ("silver.orders", 423, False)
    assert told.reason == (
        "count of silver.orders + count of quarantine.orders + duplicates of silver.orders: 423, "
        "count of bronze.orders: 423"
    )


def test_tables_without_dates_are_compared_as_a_whole(lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, USERS, DIM_USERS)
    write(lakehouse, WHOLE)
    publish(lakehouse, FIRST, "(SELECT i AS user_id FROM range(10) r(i))", USERS)
    publish(lakehouse, FIRST, "(SELECT i AS user_id FROM range(9) r(i))", DIM_USERS)
    assert unusual(judged(lakehouse)) == [("reconciliation", "users", None)]


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        ("{table: silver.order, measure: count}", ":4: silver.order is no table; did you mean `silver.orders`?"),
        ("{table: silver.orders, measure: sum}", ":4: `reconciliations.0.expected.0`: `column` says what a `sum`"),
        (
            "{table: silver.orders, measure: sum, column: amuont}",
            ":4: silver.orders has no column 'amuont'; did you",
        ),
        ("{table: silver.orders, measure: sum, column: city}", ":4: silver.orders: city is string, which has no sum"),
        ("{table: silver.orders, measure: max}", "is 'max', expected one of `count`, `sum`, `duplicates`"),
        ("{table: silver.orders, measure: count, where: read_text('/etc/x') = 'x'}", "which a rule may not"),
        ("{table: silver.orders, measure: count, where: stat = 'x'}", ":4: silver.orders has no column 'stat'"),
        ("{table: silver.orders, measure: count, date: city}", ":4: silver.orders: city is string, no date"),
        ("{table: mart.revenue, measure: duplicates}", "only silver counts the duplicates"),
        ("{table: gold.dim_users, measure: count}", ":2: broken: a figure by date and one without"),
        ("{table: silver.orders, measure: count}\n    tolerance: some", ":5: `reconciliations.0.tolerance`"),
        ("{table: silver.orders, measure: count}\n    tolerence: 1", "did you mean `tolerance`?"),
        ("[]", ":4: "),
    ],
)
def test_a_mistake_is_told_with_its_line(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch, expected: str, said: str
) -> None:
    declare(monkeypatch, ORDERS, REVENUE, DIM_USERS)
    text = """\
        reconciliations:
          - name: broken
            description: A mistake.
            expected: {}
            actual: {{table: mart.revenue, measure: count}}
    """
    write(lakehouse, textwrap.dedent(text).format(expected))
    with pytest.raises(SourceError) as refused:
        read_reconciliations(lakehouse.settings)
    assert said in str(refused.value)
    assert FILE_NAME in str(refused.value)


def test_two_of_one_name_are_refused_and_no_file_is_nothing(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, ORDERS, REVENUE)
    assert read_reconciliations(lakehouse.settings) == ()
    write(lakehouse, COUNTS + COUNTS.removeprefix("reconciliations:\n"))
    with pytest.raises(SourceError, match="two `reconciliations` are called orders_are_counted"):
        read_reconciliations(lakehouse.settings)


def test_what_the_platform_declares_can_be_read() -> None:
    declared = read_reconciliations(load_settings())
    assert {figure.table.partition(".")[0] for found in declared for figure in found.figures} == {
        "bronze",
        "silver",
        "quarantine",
        "gold",
        "mart",
    }


@given(st.floats(0, 1e12), st.floats(-1, 1), st.sampled_from(["0", "5", "0.5%", "10 %"]))
def test_what_lies_within_the_tolerance_is_usual_and_nothing_else(
    expected: float, share: float, tolerance: str
) -> None:
    figure = {"table": "a.b", "measure": "count"}
    declared = Reconciliation.model_validate(
        {"name": "n", "description": "d", "expected": figure, "actual": figure, "tolerance": tolerance}
    )
    allowed = {"0": 0.0, "5": 5.0, "0.5%": expected * 0.005, "10 %": expected * 0.1}[tolerance]
    assert declared.allowed(expected) == pytest.approx(allowed)
    within = _judged(declared, None, expected, expected + share * allowed)
    assert not within.unusual
    beyond = _judged(declared, None, expected, expected + allowed * 1.01 + expected * 1e-6 + 1)
    assert beyond.unusual
    assert "they differ by +" in beyond.reason

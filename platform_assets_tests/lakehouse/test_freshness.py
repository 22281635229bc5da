"""How fresh a table is, from its own metadata; and that the metadata tells what the rows say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.manifest import ManifestEntry, ManifestFile
from pyiceberg.table import Table

from platform_assets.contracts.model import Column, Contract
from platform_assets.ingestion.bronze import TOUCHED
from platform_assets.lakehouse import freshness, publisher
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.declared import Cadence, DeclaredTable, declared_tables
from platform_assets.lakehouse.durations import in_words
from platform_assets.lakehouse.freshness import FreshnessState, TableFreshness, table_freshness
from platform_assets.lakehouse.progress import progress
from platform_assets.lakehouse.reader import relation
from platform_assets.lakehouse.statistics import TableStatistics, partition_rows, rows_dated, statistics
from platform_assets.settings import CHECKOUT

DAY = date(2026, 11, 21)
MINUTE = timedelta(minutes=1)
ORDERS = Contract(
    "silver.orders",
    (Column("id", "integer"), Column("at", "timestamp"), Column("day", "date")),
    event_time="at",
    partition_column="day",
)
KEYS = [
    "table",
    "layer",
    "domain",
    "owner",
    "partition",
    "expected_partition",
    "rows",
    "last_materialized_at",
    "watermark",
    "lag_seconds",
    "state",
    "reason",
    "completeness",
    "blame",
    "policy",
]
ARRIVED = Contract(
    "bronze.orders",
    (
        Column("id", "integer"),
        Column("_landed_at", "timestamp"),
        Column("_arrival_date", "date"),
        Column("_event_date", "date"),
    ),
    event_time="_landed_at",
    partition_column="_arrival_date",
)


def publish(lakehouse: Lakehouse, days: Sequence[date], contract: Contract = ORDERS, hour: int = 10) -> None:
    """Two orders a day: one on the hour, one a second and a microsecond later."""
    with lakehouse.connect() as connection:
        for day in days:
            source = (
                f"(SELECT i AS id, TIMESTAMPTZ '{day} {hour}:00:00+00' + i * INTERVAL 1000001 MICROSECOND AS at, "
                f"DATE '{day}' AS day FROM range(2) r(i))"
            )
            partition = day if contract.partition_column else None
            properties = {"platform.partition": day.isoformat(), "platform.rows-in": "2"}
            publisher.replace(lakehouse, contract, connection, source, partition=partition, properties=properties)


def arrive(lakehouse: Lakehouse, day: date, events: date, rows: int = 2) -> datetime:
    """Orders of one event date arrive in bronze; returns when they were there."""
    with lakehouse.connect() as connection:
        source = (
            f"(SELECT i AS id, TIMESTAMPTZ '{day} 11:00:00+00' AS _landed_at, DATE '{day}' AS _arrival_date, "
            f"DATE '{events}' AS _event_date FROM range({rows}) r(i))"
        )
        properties = {"platform.partition": day.isoformat(), TOUCHED: json.dumps([events.isoformat()])}
        base = lakehouse.ensure(ARRIVED)
        publisher.append(lakehouse, ARRIVED, connection, source, base=base, partition=day, properties=properties)
    return published_at(lakehouse, ARRIVED)


def declare(
    monkeypatch: pytest.MonkeyPatch, contract: Contract = ORDERS, warn: timedelta | None = 2 * MINUTE
) -> DeclaredTable:
    """Makes the platform declare one table, and the bronze table that it is made of."""
    table = DeclaredTable(
        contract, "commerce", "team:test", warn, 5 * MINUTE, inputs=("bronze.orders",), counted_in="bronze.orders"
    )
    bronze = replace(table, contract=ARRIVED, inputs=(), counted_in=None)
    monkeypatch.setattr(freshness, "declared_tables", lambda _: [bronze, table])
    return table


def judged(lakehouse: Lakehouse, now: datetime) -> TableFreshness:
    _, found = table_freshness(lakehouse, now)
    return found


def published_at(lakehouse: Lakehouse, contract: Contract = ORDERS) -> datetime:
    found = lakehouse.find(contract.table)
    assert found is not None
    moment = statistics(found, contract).last_published_at
    assert moment is not None
    return moment


WAITS = "bronze.orders 2026-11-21 changed and is not processed, since"


@pytest.mark.parametrize(
    ("age", "state", "reason"),
    [
        (timedelta(0), FreshnessState.PASS, f"{WAITS} 0 s"),
        (2 * MINUTE, FreshnessState.PASS, f"{WAITS} 2 min"),
        (2 * MINUTE + timedelta(seconds=1), FreshnessState.WARN, f"{WAITS} 2 min 1 s, more than 2 min"),
        (5 * MINUTE, FreshnessState.WARN, f"{WAITS} 5 min, more than 2 min"),
        (5 * MINUTE + timedelta(seconds=1), FreshnessState.FAIL, f"{WAITS} 5 min 1 s, more than 5 min"),
        (timedelta(days=3, hours=4, minutes=5), FreshnessState.FAIL, f"{WAITS} 3 d 4 h, more than 5 min"),
        (timedelta(seconds=-30), FreshnessState.PASS, f"{WAITS} 0 s"),
    ],
)
def test_a_table_passes_warns_or_fails_by_how_long_what_arrived_is_not_processed(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch, age: timedelta, state: FreshnessState, reason: str
) -> None:
    declare(monkeypatch)
    publish(lakehouse, [DAY])
    arrived = arrive(lakehouse, DAY, DAY)
    publish(lakehouse, [DAY - timedelta(days=1)])  # to make an old partition again does not help
    found = judged(lakehouse, arrived + age)
    assert (found.state, found.reason) == (state, reason)
    blame = found.as_json()["blame"]
    assert (blame and blame["since"]) == (None if state is FreshnessState.PASS else arrived.isoformat())
    assert {day.partition: day.waiting_since for day in found.partitions} == {
        DAY - timedelta(days=1): None,
        DAY: arrived,
    }


def test_a_table_that_has_processed_all_that_arrived_passes_however_long_ago_that_was(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch)
    arrived = arrive(lakehouse, DAY, DAY)
    publish(lakehouse, [DAY])
    found = judged(lakehouse, arrived + timedelta(days=9))
    assert (found.state, found.reason) == (FreshnessState.PASS, "all that arrived is processed")
    assert [day.state for day in found.partitions] == [FreshnessState.PASS]


def test_what_landed_and_is_not_ingested_makes_every_table_of_the_source_late(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch)
    arrived = arrive(lakehouse, DAY, DAY)
    publish(lakehouse, [DAY])
    bronze, silver = table_freshness(lakehouse, arrived + 6 * MINUTE, {"bronze.orders": arrived})
    assert (bronze.state, silver.state) == (FreshnessState.FAIL, FreshnessState.FAIL)
    assert silver.reason == "bronze.orders: what landed is not ingested, since 6 min, more than 5 min"
    assert silver.as_json()["blame"] == {
        "table": "bronze.orders",
        "since": arrived.isoformat(),
        "reason": "what landed is not ingested",
    }


def test_what_has_not_changed_is_not_read_again_and_what_has_is(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch)
    arrived = arrive(lakehouse, DAY, DAY)
    publish(lakehouse, [DAY])
    opened: list[str] = []
    fetch, load = ManifestFile.fetch_manifest_entry, SqlCatalog.load_table

    def fetched(manifest: ManifestFile, *given: Any, **named: Any) -> list[ManifestEntry]:  # noqa: ANN401 - PyIceberg's
        opened.append("files of " + ".".join(manifest.manifest_path.split("/")[-4:-2]))
        return fetch(manifest, *given, **named)

    def loaded(catalog: SqlCatalog, name: Any) -> Table:  # noqa: ANN401 - PyIceberg's own
        opened.append(f"metadata of {name}")
        return load(catalog, name)

    monkeypatch.setattr("platform_assets.lakehouse.answers._ANSWERS", {})
    monkeypatch.setattr("platform_assets.lakehouse.statistics._PAGES", {})
    monkeypatch.setattr(ManifestFile, "fetch_manifest_entry", fetched)
    monkeypatch.setattr(SqlCatalog, "load_table", loaded)
    found = [table_freshness(Lakehouse(lakehouse.settings), arrived) for _ in range(3)]
    assert found[0] == found[1] == found[2]
    of_bronze, of_silver = ([f"metadata of {name}", f"files of {name}"] for name in (ARRIVED.table, ORDERS.table))
    assert opened == [*of_bronze, *of_silver, *of_bronze]  # and bronze once more by event date
    arrive(lakehouse, DAY, DAY, rows=5)
    opened.clear()
    bronze, silver = table_freshness(lakehouse, arrived)
    assert bronze.statistics is not None
    assert silver.completeness is not None
    assert (bronze.statistics.rows, silver.completeness.expected) == (7, 7)
    assert of_silver[0] not in opened
    assert of_bronze[0] in opened


def test_after_a_commit_only_its_page_is_read_for_the_statistics(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform_assets.lakehouse.manifests._PAGE", 2)
    days = [DAY + timedelta(days=number) for number in range(6)]
    publish(lakehouse, days)
    before = statistics(lakehouse.ensure(ORDERS), ORDERS)
    publish(lakehouse, days[2:3], hour=11)
    read: list[str] = []
    fetch = ManifestFile.fetch_manifest_entry

    def fetched(manifest: ManifestFile, *given: Any, **named: Any) -> list[ManifestEntry]:  # noqa: ANN401 - PyIceberg's
        read.append(manifest.manifest_path)
        return fetch(manifest, *given, **named)

    monkeypatch.setattr(ManifestFile, "fetch_manifest_entry", fetched)
    after = statistics(lakehouse.ensure(ORDERS), ORDERS)
    assert len(read) == 1
    assert (after.rows, after.files, after.rows_by_partition) == (12, 6, dict.fromkeys(days, 2))
    assert (after.watermark, after.partitions) == (before.watermark, 6)
    monkeypatch.setattr("platform_assets.lakehouse.statistics._PAGES", {})
    monkeypatch.setattr("platform_assets.lakehouse.answers._ANSWERS", {})
    assert statistics(lakehouse.ensure(ORDERS), ORDERS) == after


def test_progress_remembers_as_far_back_as_snapshots_are_kept(lakehouse: Lakehouse) -> None:
    publish(lakehouse, [DAY - timedelta(days=1), DAY])
    table = lakehouse.catalog.load_table(ORDERS.table)
    before, last = table.snapshots()
    assert progress(table).remembered_since is None
    assert progress(table).made.keys() == {DAY - timedelta(days=1), DAY}
    table.maintenance.expire_snapshots().by_id(before.snapshot_id).commit()
    found = progress(lakehouse.catalog.load_table(ORDERS.table))
    assert found.remembered_since == datetime.fromtimestamp(last.timestamp_ms / 1000, UTC)
    assert found.made.keys() == {DAY}


def test_completeness_is_what_silver_accounts_for_of_what_bronze_holds(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch)
    arrived = arrive(lakehouse, DAY, DAY)
    arrive(lakehouse, DAY, DAY - timedelta(days=1))
    publish(lakehouse, [DAY])
    assert judged(lakehouse, arrived).expected_partition is None  # a stream promises no date
    assert judged(lakehouse, arrived).as_json()["completeness"] == {
        "partition": "2026-11-21",
        "rows": 2,
        "expected_rows": 2,
        "ratio": 1.0,
        "basis": "source",
    }
    arrive(lakehouse, DAY + timedelta(days=1), DAY, rows=6)
    late = judged(lakehouse, arrived).completeness
    assert late is not None
    assert (late.rows, late.expected, late.ratio) == (2, 8, 0.25)


def test_rows_of_a_date_are_counted_in_files_of_several_dates_too(lakehouse: Lakehouse) -> None:
    source = "(SELECT i AS id, now() AS _landed_at, DATE '{0}' AS _arrival_date, DATE '{0}' - i AS _event_date FROM r)"
    with lakehouse.connect() as connection:
        connection.execute("CREATE TABLE r AS SELECT unnest([0, 0, 1, 2]) AS i")
        base = lakehouse.ensure(ARRIVED)
        publisher.append(lakehouse, ARRIVED, connection, source.format(DAY), base=base, partition=DAY, properties={})
    arrive(lakehouse, DAY, DAY, rows=5)
    version = lakehouse.versions()[ARRIVED.table]
    days = [DAY - timedelta(days=number) for number in range(4)]
    assert [rows_dated(lakehouse, ARRIVED.table, version, "_event_date", day) for day in days] == [7, 1, 1, 0]


def test_without_a_warning_window_a_table_passes_until_it_fails(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, warn=None)
    publish(lakehouse, [DAY])
    at = arrive(lakehouse, DAY, DAY)
    assert judged(lakehouse, at + 5 * MINUTE).state is FreshnessState.PASS
    assert judged(lakehouse, at + 6 * MINUTE).state is FreshnessState.FAIL


@pytest.mark.parametrize("created", [False, True])
def test_a_table_that_was_never_published_is_unknown(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch, created: bool
) -> None:
    declare(monkeypatch)
    if created:
        lakehouse.ensure(ORDERS)
    found = judged(lakehouse, datetime(2026, 11, 21, tzinfo=UTC))
    assert (found.state, found.reason, found.lag) == (FreshnessState.UNKNOWN, "never materialised", None)
    told = found.as_json()
    assert list(told) == KEYS
    assert (told["rows"], told["partition"], told["watermark"], told["last_materialized_at"]) == (0, None, None, None)


def test_a_table_without_rows_is_as_fresh_as_the_run_that_found_none(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch)
    with lakehouse.connect() as connection:
        none = "(SELECT 1 AS id, now() AS at, DATE '2026-11-21' AS day WHERE false)"
        publisher.replace(lakehouse, ORDERS, connection, none, partition=DAY, properties={})
    found = judged(lakehouse, published_at(lakehouse) + MINUTE)
    assert (found.state, found.lag) == (FreshnessState.PASS, None)
    assert found.statistics is not None
    assert (found.statistics.rows, found.statistics.files, found.statistics.partitions) == (0, 0, 0)


def test_the_answer_is_one_flat_object_of_plain_values(lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch)
    publish(lakehouse, [DAY - timedelta(days=1), DAY])
    now = published_at(lakehouse)
    told = judged(lakehouse, now).as_json()
    assert list(told) == KEYS
    assert json.loads(json.dumps(told)) == told
    watermark = datetime(2026, 11, 21, 10, 0, 1, 1, tzinfo=UTC)
    assert told | {"reason": ""} == {
        "table": "silver.orders",
        "layer": "silver",
        "domain": "commerce",
        "owner": "team:test",
        "partition": "2026-11-21",
        "expected_partition": None,
        "rows": 4,
        "last_materialized_at": now.isoformat(),
        "watermark": watermark.isoformat(),
        "lag_seconds": round((now - watermark).total_seconds(), 3),
        "state": "PASS",
        "reason": "",
        "completeness": None,
        "blame": None,
        "policy": {"warn_seconds": 120.0, "fail_seconds": 300.0},
    }


def test_the_statistics_are_what_the_rows_say(lakehouse: Lakehouse) -> None:
    days = [DAY - timedelta(days=number) for number in (5, 0, 2)]
    publish(lakehouse, days)
    publish(lakehouse, [DAY], hour=3)  # an older day's worth replaces the newest: the watermark goes back
    table = lakehouse.catalog.load_table(ORDERS.table)
    found = statistics(table, ORDERS)
    with lakehouse.connect() as connection:
        source = relation(lakehouse, ORDERS.table)
        facts = connection.execute(
            f'SELECT count(*), max("at"), max(day), count(DISTINCT day) FROM {source}'
        ).fetchone()
    assert facts == (found.rows, found.watermark, found.newest_partition, found.partitions)
    assert found.files == 3
    assert [partition_rows(table, day) for day in (DAY, DAY - timedelta(days=1))] == [2, 0]
    assert statistics(table, None).watermark is None


def test_a_table_without_partitions_counts_as_one(lakehouse: Lakehouse) -> None:
    contract = replace(ORDERS, partition_column=None)
    empty = lakehouse.ensure(contract)
    assert statistics(empty, contract) == TableStatistics("silver.orders", 0, 0, 0, None, None, None)
    assert partition_rows(empty, DAY) == 0
    publish(lakehouse, [DAY], contract)
    found = statistics(lakehouse.catalog.load_table(contract.table), contract)
    assert (found.rows, found.partitions, found.newest_partition) == (2, 1, None)
    assert found.watermark == datetime(2026, 11, 21, 10, 0, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "contract",
    [
        replace(ORDERS, event_time="day"),
        replace(ORDERS, event_time=None),
        replace(ORDERS, columns=(*ORDERS.columns, Column("new", "timestamp")), event_time="new"),
    ],
    ids=["a date", "none", "not published yet"],
)
def test_an_event_time_that_is_no_moment_of_the_table_gives_no_watermark(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch, contract: Contract
) -> None:
    publish(lakehouse, [DAY])
    declare(monkeypatch, contract)
    found = judged(lakehouse, published_at(lakehouse))
    assert (found.state, found.lag) == (FreshnessState.PASS, None)


def test_every_declared_table_is_judged_layer_by_layer(lakehouse: Lakehouse) -> None:
    found = table_freshness(lakehouse, datetime(2026, 11, 21, tzinfo=UTC))
    names = [table.table.name for table in found]
    assert {"bronze.web_events", "silver.events_clean", "quarantine.events_clean"} <= set(names)
    assert {table.state for table in found} == {FreshnessState.UNKNOWN}
    layers = [name.split(".")[0] for name in names]
    assert list(dict.fromkeys(layers)) == [
        layer for layer in ("bronze", "silver", "quarantine", "gold", "mart") if layer in layers
    ]
    assert len(set(names)) == len(names)


def test_declared_tables_carry_their_source_s_promise() -> None:
    tables = {table.name: table for table in declared_tables(Path("no such folder"))}
    assert tables["silver.fakestore_carts"].warn_window == 2 * MINUTE
    assert tables["quarantine.fakestore_carts"].fail_window == 5 * MINUTE
    assert tables["bronze.web_events"].warn_window is None
    assert tables["silver.events_clean"].owner == "team:product-analytics"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3661, "1 h 1 min"), (86_400, "1 d"), (90_061, "1 d 1 h"), (-5, "0 s")],
)
def test_a_duration_is_told_in_two_units(seconds: float, words: str) -> None:
    assert in_words(timedelta(seconds=seconds)) == words


def test_declared_tables_say_what_they_are_made_of_and_when_that_comes() -> None:
    tables = {table.name: table for table in declared_tables(CHECKOUT / "dbt_project")}
    assert tables["bronze.web_events"].inputs == ()
    assert tables["silver.fakestore_carts"].inputs == ("bronze.fakestore_carts",)  # the customers give it no rows
    assert tables["silver.fakestore_carts"].counted_in == "bronze.fakestore_carts"
    assert tables["silver.fakestore_cart_lines"].counted_in is None  # one row a line, not a cart
    assert "gold.fact_orders" in tables["mart.revenue_by_day"].inputs
    assert tables["mart.business_metrics"].cadence == Cadence(daily=True)
    assert tables["mart.revenue_by_day"].cadence == Cadence()  # carts are a stream, whatever products are

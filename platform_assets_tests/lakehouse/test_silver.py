"""Rebuilding silver and quarantine from bronze: accounting, replay, PII, blocking, late references (I2, I3, I7)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.lakehouse.catalog import Lakehouse, LakehouseError
from platform_assets.lakehouse.conform import Accounting
from platform_assets.lakehouse.publisher import Publication
from platform_assets.lakehouse.reader import relation
from platform_assets.lakehouse.silver import PublishBlocked, Rebuilt, rebuild, reopened_partitions
from platform_assets.lakehouse.tokens import create_tokens
from platform_assets.settings import Settings, SettingsError
from platform_assets.sources.model import Source
from platform_assets_tests.lakehouse.bronze_rows import (
    ARRIVED,
    LANDED,
    PII_KEY,
    Arrival,
    JsonText,
    object_schema,
    publish_bronze,
    write_source,
)

YESTERDAY = ARRIVED - timedelta(days=1)
TEXT = {"type": ["string", "null"]}
MAIL = "ännchen.müller@example.org"
SECRET = "correct horse battery"
SCHEMA = object_schema(
    "id",
    "at",
    id={"type": "integer", "minimum": 1},
    at={"type": "string", "format": "date-time"},
    version={"type": ["integer", "null"]},
    price={"type": ["number", "null"], "multipleOf": 0.01, "minimum": 0},
    mail={"type": ["string", "null"], "format": "email"},
    born={"type": ["string", "null"], "format": "date"},
    person={
        "type": ["object", "null"],
        "properties": {"name": TEXT, "house": {"type": ["integer", "null"]}, "pin": TEXT},
    },
    password=TEXT,
    region=TEXT,
    other_region=TEXT,
    lines={"type": ["array", "null"], "items": object_schema("sku", sku={"type": "string"}, gift={"type": "string"})},
)
ORDERS = {
    "table": "orders",
    "kind": "events",
    "description": "Orders.",
    "key": ["id"],
    "ordering": ["version"],
    "partition_column": "day",
    "references": {"region": "silver.orders.region", "other_region": "silver.orders.region"},
}


@pytest.fixture(scope="module")
def orders() -> Iterator[Source]:
    """A source of dated orders with PII, secrets and lines, without references."""
    with tempfile.TemporaryDirectory() as folder:
        yield order_source(Path(folder))


def order_source(folder: Path, *, references: dict[str, str] | None = None, **settings: Any) -> Source:  # noqa: ANN401
    lines = {**ORDERS, "table": "lines", "explode": "lines", "keep": ["id", "at"], "key": ["id", "line_number"]}
    tables = [
        {**ORDERS, "references": references or {}},
        {**lines, "ordering": ["at"], "references": {}},
    ]
    classification = {
        "mail": "pii",
        "born": "pii",
        "person": "pii",
        "person.pin": "secret",
        "password": "secret",
        "lines": "pii",
    }
    return write_source(
        folder / "orders", SCHEMA, silver=tables, event_time="at", classification=classification, **settings
    )


def order(number: object, day: date = ARRIVED, **values: object) -> Arrival:
    """An order of a day, in that day's partition."""
    return Arrival({"id": number, "at": f"{day}T10:00:00Z", **values}, event_date=day)


def build(lakehouse: Lakehouse, source: Source, day: date = ARRIVED, table: int = 0) -> Rebuilt:
    return rebuild(lakehouse, source, source.file.silver[table], partition=day, run_id="run-1")


def rows(lakehouse: Lakehouse, columns: str, table: str) -> list[tuple[Any, ...]]:
    with lakehouse.connect() as connection:
        return connection.execute(f"SELECT {columns} FROM {relation(lakehouse, table)} ORDER BY ALL").fetchall()


def stamped(lakehouse: Lakehouse, table: str) -> dict[str, str]:
    found = lakehouse.catalog.load_table(table).current_snapshot()
    assert found is not None
    assert found.summary is not None
    return dict(found.summary.additional_properties)


# Accounting and replay

arrivals = st.lists(
    st.builds(
        order,
        st.sampled_from([1, 2, 3, 0, None, "1", JsonText("1.0")]),
        st.sampled_from([ARRIVED, ARRIVED, YESTERDAY]),
        version=st.sampled_from([None, 1, 2]),
        price=st.sampled_from([None, 1.5, -1, JsonText("2.005")]),
        mail=st.sampled_from([None, MAIL.replace("ä", "a").replace("ü", "u"), "nobody"]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=3, deadline=None)
@given(first=arrivals, second=arrivals)
def test_published_rows_add_up_and_a_rebuild_gives_the_same(
    orders: Source, first: list[Arrival], second: list[Arrival]
) -> None:
    with tempfile.TemporaryDirectory() as home:
        lakehouse = Lakehouse(Settings(home=Path(home), pii_key=PII_KEY))
        publish_bronze(lakehouse, orders, first)
        build(lakehouse, orders)
        publish_bronze(lakehouse, orders, second)
        before = {day: sum(arrival.event_date == day for arrival in [*first, *second]) for day in (ARRIVED, YESTERDAY)}
        versions = []
        for day, rows_in in before.items():
            built = build(lakehouse, orders, day)
            accounting = built.accounting
            assert accounting.rows_in == rows_in
            assert accounting.balanced
            assert (built.silver.rows, built.quarantine.rows) == (accounting.rows_out, accounting.rows_quarantined)
            assert sum(built.broken_rules.values()) == accounting.rows_quarantined
            published = [found for (found,) in rows(lakehouse, "day", "silver.orders")]
            assert published.count(day) == accounting.rows_out
            versions.append(built.silver.data_version)
        once = {table: rows(lakehouse, "*", table) for table in ("silver.orders", "quarantine.orders")}
        assert [build(lakehouse, orders, day).silver.data_version for day in before] == versions
        assert {table: rows(lakehouse, "*", table) for table in once} == once


def test_a_rebuild_stamps_its_accounting_on_both_tables(lakehouse: Lakehouse, orders: Source) -> None:
    publish_bronze(lakehouse, orders, [order(1), order(1, version=2), order(0), order(2)])
    built = build(lakehouse, orders)
    assert built.accounting == Accounting(4, 2, 1, 1)
    assert built.broken_rules == {"id.minimum": 1}
    for table in ("silver.orders", "quarantine.orders"):
        found = stamped(lakehouse, table)
        expected = {
            "platform.partition": ARRIVED.isoformat(),
            "platform.run-id": "run-1",
            "platform.rows-in": "4",
            "platform.rows-out": "2",
            "platform.rows-quarantined": "1",
            "platform.rows-duplicate": "1",
        }
        assert {name: found[name] for name in expected} == expected


def test_a_partition_without_rows_is_recorded_as_such(lakehouse: Lakehouse, orders: Source) -> None:
    publish_bronze(lakehouse, orders, [order(1)])
    assert build(lakehouse, orders, YESTERDAY).accounting == Accounting(0, 0, 0, 0)
    assert stamped(lakehouse, "quarantine.orders")["platform.rows-in"] == "0"


def test_only_the_date_that_is_rebuilt_changes(lakehouse: Lakehouse, orders: Source) -> None:
    publish_bronze(lakehouse, orders, [order(1), order(1, YESTERDAY)])
    for day in (ARRIVED, YESTERDAY):
        build(lakehouse, orders, day)
    publish_bronze(lakehouse, orders, [order(2), order(2, YESTERDAY)])
    build(lakehouse, orders, YESTERDAY)
    assert rows(lakehouse, "day, id", "silver.orders") == [(YESTERDAY, 1), (YESTERDAY, 2), (ARRIVED, 1)]


def test_a_row_outside_its_partition_is_quarantined(lakehouse: Lakehouse, orders: Source) -> None:
    far = Arrival({"id": 1, "at": "1999-01-01T00:00:00Z"})
    publish_bronze(lakehouse, orders, [far, order(2)])
    assert build(lakehouse, orders).broken_rules == {"at.outside_window": 1}
    assert rows(lakehouse, 'id, "at", day', "quarantine.orders") == [("1", "1999-01-01T00:00:00Z", ARRIVED)]


def test_current_state_keeps_the_latest_of_each_key_over_all_arrivals(lakehouse: Lakehouse, tmp_path: Path) -> None:
    source = write_source(tmp_path / "things", object_schema("id", id={"type": "integer"}, note=TEXT))
    later = LANDED + timedelta(hours=1)
    publish_bronze(lakehouse, source, [Arrival({"id": 1, "note": "new"}, landed_at=later), Arrival({"id": 2})])
    publish_bronze(lakehouse, source, [Arrival({"id": 1, "note": "old"})])
    built = rebuild(lakehouse, source, source.file.silver[0], partition=None, run_id="r")
    assert built.accounting == Accounting(3, 2, 0, 1)
    assert rows(lakehouse, "id, note", "silver.things") == [(1, "new"), (2, None)]


def test_silver_without_bronze_says_what_to_materialise(lakehouse: Lakehouse, orders: Source) -> None:
    with pytest.raises(
        LakehouseError, match=r"bronze\.orders was never published; materialise it before silver\.orders"
    ):
        build(lakehouse, orders)


# PII


def every_value(lakehouse: Lakehouse, *tables: str) -> str:
    """Everything that is in the live and dead Parquet files of the tables, decoded."""
    folders = [Path(lakehouse.settings.home).rglob(f"{table.replace('.', '/')}/**/*.parquet") for table in tables]
    found = [path for folder in folders for path in folder]
    assert len(found) >= len(tables)
    return "".join(str(duckdb.execute(f"SELECT * FROM read_parquet('{path}')").fetchall()) for path in found)


def test_no_clear_value_of_a_pii_column_is_in_silver_or_quarantine(lakehouse: Lakehouse, orders: Source) -> None:
    person = {"name": "Ännchen", "house": 987654}
    good = order(1, mail="ann.good@example.org", born="1987-06-05", person=person, lines=[{"sku": "gift-for-bob"}])
    broken = order(0, mail=MAIL, born="05.06.1987", person=person, lines=[{"sku": 770077}, {"gift": "to-eve"}])
    strange = order(2, person="Ännchen", mail=MAIL + " ")
    publish_bronze(lakehouse, orders, [good, broken, strange])
    assert build(lakehouse, orders).broken_rules == {
        "born.type, id.minimum, mail.email": 1,
        "person.type, mail.email": 1,
    }
    build(lakehouse, orders, table=1)
    held = every_value(lakehouse, "silver.orders", "quarantine.orders", "silver.lines", "quarantine.lines")
    for clear in (MAIL, "ann.good", "1987", "Ännchen", "987654", "gift-for-bob", "770077", "to-eve"):
        assert clear not in held
    snapshots = "".join(str(stamped(lakehouse, table)) for table in ("silver.orders", "quarantine.orders"))
    assert "example.org" not in snapshots
    assert len(rows(lakehouse, "DISTINCT mail", "silver.orders")[0][0]) == 64


def test_the_same_value_gives_the_same_token_in_every_table(lakehouse: Lakehouse, orders: Source) -> None:
    publish_bronze(lakehouse, orders, [order(1, person={"name": "x"}, lines=[{"sku": "x"}])])
    build(lakehouse, orders)
    build(lakehouse, orders, table=1)
    assert rows(lakehouse, "person_name", "silver.orders") == rows(lakehouse, "sku", "silver.lines")


def test_a_secret_is_in_no_table(lakehouse: Lakehouse, orders: Source) -> None:
    publish_bronze(lakehouse, orders, [order(1, password=SECRET), order(0, password=SECRET)])
    build(lakehouse, orders)
    assert SECRET not in every_value(lakehouse, "bronze.orders", "silver.orders", "quarantine.orders")


def test_without_a_key_nothing_is_published(
    lakehouse: Lakehouse, orders: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PLATFORM_PII_KEY", "PLATFORM_PII_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    publish_bronze(lakehouse, orders, [order(1, mail="a@example.org")])
    keyless = Lakehouse(Settings(home=lakehouse.settings.home))
    with pytest.raises(SettingsError, match="No key to tokenise PII with"):
        build(keyless, orders)
    assert keyless.find("silver.orders") is None


def test_an_error_while_tokenising_shows_neither_key_nor_value(
    lakehouse: Lakehouse, orders: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_bronze(lakehouse, orders, [order(1, mail=MAIL)])

    def failing(connection: duckdb.DuckDBPyConnection, values: str, key: bytes) -> None:
        create_tokens(connection, f"SELECT error('no') AS value FROM ({values})", key)

    monkeypatch.setattr("platform_assets.lakehouse.conform.create_tokens", failing)
    with pytest.raises(duckdb.Error) as caught:
        build(lakehouse, orders)
    assert PII_KEY not in str(caught.value)
    assert MAIL not in str(caught.value)


# Blocking


def test_too_many_broken_rows_block_the_publish_and_leave_the_last_good_data(
    lakehouse: Lakehouse, tmp_path: Path
) -> None:
    source = order_source(tmp_path, quarantine={"max_ratio": 0.5, "minimum_rows": 4})
    publish_bronze(lakehouse, source, [order(0), order(0), order(1)])
    assert build(lakehouse, source).accounting == Accounting(3, 1, 2, 0)  # too few rows to mean anything
    publish_bronze(lakehouse, source, [order(2)])
    assert build(lakehouse, source).accounting == Accounting(4, 2, 2, 0)  # just at the limit
    tables = ("silver.orders", "quarantine.orders")
    before = {table: (stamped(lakehouse, table), rows(lakehouse, "*", table)) for table in tables}
    publish_bronze(lakehouse, source, [order(0, mail=MAIL)])
    with pytest.raises(PublishBlocked) as caught:
        build(lakehouse, source)
    assert "silver.orders: 3 of 5 rows break the contract (60.0%); the source allows 50.0%" in str(caught.value)
    assert MAIL not in str(caught.value)
    assert caught.value.accounting == Accounting(5, 2, 3, 0)
    assert {table: (stamped(lakehouse, table), rows(lakehouse, "*", table)) for table in tables} == before


# References


def region_sources(folder: Path) -> tuple[Source, Source]:
    regions = write_source(folder / "regions", object_schema("id", id={"type": "string"}))
    return regions, order_source(
        folder, references={"region": "silver.regions.id", "other_region": "silver.regions.id"}
    )


def publish_regions(lakehouse: Lakehouse, regions: Source, *names: str) -> Publication:
    publish_bronze(lakehouse, regions, [Arrival({"id": name}) for name in names])
    return rebuild(lakehouse, regions, regions.file.silver[0], partition=None, run_id="r").silver


def test_an_unknown_reference_waits_in_quarantine_until_it_has_arrived(lakehouse: Lakehouse, tmp_path: Path) -> None:
    regions, source = region_sources(tmp_path)
    table = source.file.silver[0]
    assert reopened_partitions(lakehouse, source, table) == []
    days = [ARRIVED - timedelta(days=number) for number in range(4)]
    publish_bronze(
        lakehouse,
        source,
        [
            order(1, days[0], region="west"),
            order(2, days[1], region="east"),
            order(3, days[2], region="west", price=-1),
            order(4, days[3], price=-1),
            order(5, days[0]),
        ],
    )
    publish_regions(lakehouse, regions, "north")
    for day in days:
        build(lakehouse, source, day)
    assert rows(lakehouse, "id, _broken_rules", "quarantine.orders") == [
        ("1", "region.references"),
        ("2", "region.references"),
        ("3", "price.minimum, region.references"),
        ("4", "price.minimum"),
    ]
    assert reopened_partitions(lakehouse, source, table) == []
    publish_regions(lakehouse, regions, "west")
    assert reopened_partitions(lakehouse, source, table) == [days[2], days[0]]
    for day in (days[2], days[0]):
        build(lakehouse, source, day)
    assert reopened_partitions(lakehouse, source, table) == []
    assert rows(lakehouse, "id", "silver.orders") == [(1,), (5,)]


def test_a_known_reference_beside_an_unknown_one_reopens_nothing(lakehouse: Lakehouse, tmp_path: Path) -> None:
    regions, source = region_sources(tmp_path)
    publish_regions(lakehouse, regions, "north")
    publish_bronze(lakehouse, source, [order(1, region="north", other_region="atlantis")])
    assert build(lakehouse, source).broken_rules == {"other_region.references": 1}
    assert reopened_partitions(lakehouse, source, source.file.silver[0]) == []


def test_a_reference_to_a_table_without_rows_knows_nothing(lakehouse: Lakehouse, tmp_path: Path) -> None:
    _, source = region_sources(tmp_path)
    publish_bronze(lakehouse, source, [order(1, region="north"), order(2)])
    assert build(lakehouse, source).accounting == Accounting(2, 1, 1, 0)


# Evolution


def test_a_field_that_the_source_gains_reads_null_in_what_was_published_before(
    lakehouse: Lakehouse, tmp_path: Path
) -> None:
    old = write_source(tmp_path / "a" / "things", object_schema("id", id={"type": "integer"}))
    publish_bronze(lakehouse, old, [Arrival({"id": 1})])
    rebuild(lakehouse, old, old.file.silver[0], partition=None, run_id="r")
    new = write_source(tmp_path / "b" / "things", object_schema("id", id={"type": "integer"}, note=TEXT))
    publish_bronze(lakehouse, new, [Arrival({"id": 2, "note": "ü"})])
    rebuild(lakehouse, new, new.file.silver[0], partition=None, run_id="r")
    assert rows(lakehouse, "id, note", "silver.things") == [(1, None), (2, "ü")]

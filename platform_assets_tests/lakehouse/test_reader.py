"""Reading Iceberg tables with DuckDB: by field id, at one snapshot, and never past what it cannot see."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyiceberg import types
from pyiceberg.table import Table

from platform_assets.contracts.model import Column, Contract
from platform_assets.lakehouse import publisher
from platform_assets.lakehouse.catalog import Lakehouse, LakehouseError, local_path
from platform_assets.lakehouse.reader import relation, sql_type, table_relation

DAY, NEXT = date(2026, 11, 21), date(2026, 11, 22)
EVERY_TYPE = Contract(
    table="silver.things",
    columns=(
        Column("i", "integer"),
        Column("d", "double"),
        Column("m", "decimal(18,2)"),
        Column("b", "boolean"),
        Column("s", "string"),
        Column("o", "object"),
        Column("a", "array"),
        Column("t", "timestamp"),
        Column("day", "date"),
    ),
    partition_column="day",
)
SQL_TYPES = [
    ("i", "BIGINT"),
    ("d", "DOUBLE"),
    ("m", "DECIMAL(18,2)"),
    ("b", "BOOLEAN"),
    ("s", "VARCHAR"),
    ("o", "VARCHAR"),
    ("a", "VARCHAR"),
    ("t", "TIMESTAMP WITH TIME ZONE"),
    ("day", "DATE"),
]


def a_row(day: date = DAY, number: int = 1) -> str:
    return (
        f"(SELECT {number} AS i, 1.5::DOUBLE AS d, 2.25 AS m, true AS b, 'ü' AS s, '{{}}' AS o, '[]' AS a, "
        f"TIMESTAMPTZ '{day} 23:59:59.999999+00' AS t, DATE '{day}' AS day)"
    )


def publish(lakehouse: Lakehouse, contract: Contract, source: str, partition: date | None) -> None:
    with lakehouse.connect() as connection:
        publisher.replace(lakehouse, contract, connection, source, partition=partition, properties={})


def select(lakehouse: Lakehouse, columns: str, source: str | None) -> list[tuple[Any, ...]]:
    with lakehouse.connect() as connection:
        return connection.execute(f"SELECT {columns} FROM {source} ORDER BY ALL").fetchall()


def described(lakehouse: Lakehouse, source: str | None) -> list[tuple[str, str]]:
    with lakehouse.connect() as connection:
        return [(row[0], row[1]) for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]


def test_a_table_that_was_never_published_has_no_relation(lakehouse: Lakehouse) -> None:
    assert relation(lakehouse, "silver.nothing") is None


def test_an_empty_table_reads_as_no_rows_in_their_types(lakehouse: Lakehouse) -> None:
    lakehouse.ensure(EVERY_TYPE)
    source = relation(lakehouse, EVERY_TYPE.table)
    assert described(lakehouse, source) == SQL_TYPES
    assert select(lakehouse, "*", source) == []
    assert described(lakehouse, relation(lakehouse, EVERY_TYPE.table, where={"day": DAY})) == SQL_TYPES


def test_values_are_read_in_their_types(lakehouse: Lakehouse) -> None:
    publish(lakehouse, EVERY_TYPE, a_row(), DAY)
    source = relation(lakehouse, EVERY_TYPE.table)
    assert described(lakehouse, source) == SQL_TYPES
    found = select(lakehouse, "i, d, m::VARCHAR, b, s, o, a, t::VARCHAR, day", source)
    assert found == [(1, 1.5, "2.25", True, "ü", "{}", "[]", "2026-11-21 23:59:59.999999+00", DAY)]


def test_one_date_is_read_without_opening_the_files_of_others(lakehouse: Lakehouse) -> None:
    for day in (DAY, NEXT):
        publish(lakehouse, EVERY_TYPE, a_row(day), day)
    source = relation(lakehouse, EVERY_TYPE.table, where={"day": DAY})
    assert source is not None
    assert source.count(".parquet") == 1
    assert select(lakehouse, "day", source) == [(DAY,)]
    nowhere = relation(lakehouse, EVERY_TYPE.table, where={"day": date(2020, 1, 1)})
    assert select(lakehouse, "day", nowhere) == []


def test_dates_before_those_that_are_asked_for_are_not_opened(lakehouse: Lakehouse) -> None:
    for day in (DAY, NEXT):
        publish(lakehouse, EVERY_TYPE, a_row(day), day)
    source = table_relation(lakehouse.catalog.load_table(EVERY_TYPE.table), since={"day": NEXT})
    assert (source.count(".parquet"), select(lakehouse, "day", source)) == (1, [(NEXT,)])


def test_rows_of_one_date_are_picked_out_of_files_that_hold_several(lakehouse: Lakehouse) -> None:
    contract = replace(EVERY_TYPE, partition_column=None)
    publish(lakehouse, contract, f"(FROM {a_row(DAY)} UNION ALL FROM {a_row(NEXT)})", None)
    assert select(lakehouse, "day", relation(lakehouse, contract.table, where={"day": NEXT})) == [(NEXT,)]


def test_a_relation_stays_with_its_snapshot(lakehouse: Lakehouse) -> None:
    publish(lakehouse, EVERY_TYPE, a_row(number=1), DAY)
    before = relation(lakehouse, EVERY_TYPE.table)
    publish(lakehouse, EVERY_TYPE, a_row(number=2), DAY)
    assert select(lakehouse, "i", before) == [(1,)]
    assert select(lakehouse, "i", relation(lakehouse, EVERY_TYPE.table)) == [(2,)]


def test_a_column_that_was_added_is_null_in_old_files_and_nothing_is_rewritten(lakehouse: Lakehouse) -> None:
    publish(lakehouse, EVERY_TYPE, a_row(), DAY)
    old = {path: path.read_bytes() for path in Path(lakehouse.settings.home).rglob("*.parquet")}
    grown = replace(EVERY_TYPE, columns=(Column("new", "integer", description="Added."), *EVERY_TYPE.columns))
    publish(lakehouse, grown, f"(SELECT 7 AS new, * FROM {a_row(NEXT)})", NEXT)
    source = relation(lakehouse, EVERY_TYPE.table)
    assert select(lakehouse, "day, new, i", source) == [(DAY, None, 1), (NEXT, 7, 1)]
    assert {path: path.read_bytes() for path in old} == old
    empty = relation(lakehouse, EVERY_TYPE.table, where={"day": date(2020, 1, 1)})
    assert ("new", "BIGINT") in described(lakehouse, empty)


def test_a_column_that_the_contract_dropped_reads_null_in_new_files(lakehouse: Lakehouse) -> None:
    publish(lakehouse, EVERY_TYPE, a_row(), DAY)
    shrunk = replace(EVERY_TYPE, columns=tuple(column for column in EVERY_TYPE.columns if column.name != "s"))
    publish(lakehouse, shrunk, a_row(NEXT), NEXT)
    assert select(lakehouse, "day, s", relation(lakehouse, EVERY_TYPE.table)) == [(DAY, "ü"), (NEXT, None)]


def test_a_changed_type_is_refused_in_words(lakehouse: Lakehouse) -> None:
    publish(lakehouse, EVERY_TYPE, a_row(), DAY)
    changed = replace(EVERY_TYPE, columns=(Column("i", "string"), *EVERY_TYPE.columns[1:]))
    with pytest.raises(
        LakehouseError, match=r"silver\.things: column i is long in the table and string in the contract"
    ):
        publish(lakehouse, changed, a_row(), DAY)
    assert select(lakehouse, "i", relation(lakehouse, EVERY_TYPE.table)) == [(1,)]


def test_delete_files_are_refused_because_their_rows_would_come_back(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(lakehouse, EVERY_TYPE, a_row(), DAY)
    table = lakehouse.catalog.load_table(EVERY_TYPE.table)
    task = SimpleNamespace(file=next(iter(table.scan().plan_files())).file, delete_files={"a position delete"})
    monkeypatch.setattr(Table, "scan", lambda *_, **__: SimpleNamespace(plan_files=lambda: [task]))
    with pytest.raises(LakehouseError, match=r"silver\.things has row-level delete files"):
        table_relation(table)


def test_every_type_of_a_contract_has_a_duckdb_type_and_others_are_refused() -> None:
    assert sql_type(types.DecimalType(18, 2)) == "DECIMAL(18, 2)"
    assert sql_type(types.IntegerType()) == "INTEGER"
    with pytest.raises(LakehouseError, match="no DuckDB type for Iceberg's binary"):
        sql_type(types.BinaryType())


@pytest.mark.parametrize(
    ("uri", "path"), [("file:///a/b c.parquet", "/a/b c.parquet"), ("/a/b", "/a/b"), ("gs://b/c", "gs://b/c")]
)
def test_a_file_uri_is_opened_as_its_path(uri: str, path: str) -> None:
    assert local_path(uri) == path

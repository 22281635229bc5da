"""Read-only SQL: joins over views work; writing, leaving the lakehouse and unlocking it do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_assets.contracts.model import Column, Contract
from platform_assets.lakehouse import publisher
from platform_assets.lakehouse.catalog import Lakehouse, LakehouseError
from platform_assets.lakehouse.query import query

TABLES = {
    "silver.orders": "(SELECT unnest([1, 2, 3]) AS id, unnest([10, 20, 10]) AS other)",
    "gold.customers": "(SELECT unnest([10, 20]) AS id, unnest([7, 8]) AS other)",
}


@pytest.fixture
def filled(lakehouse: Lakehouse) -> Lakehouse:
    """Two tables in two layers."""
    with lakehouse.connect() as connection:
        for name, source in TABLES.items():
            contract = Contract(name, (Column("id", "integer"), Column("other", "integer")), key=("id",))
            publisher.replace(lakehouse, contract, connection, source, partition=None, properties={})
    return lakehouse


def test_tables_of_several_layers_are_joined(filled: Lakehouse) -> None:
    columns, rows = query(
        filled,
        "SELECT c.other AS customer, count(*) AS orders FROM silver.orders o JOIN gold.customers c ON o.other = c.id "
        "GROUP BY ALL ORDER BY ALL",
    )
    assert columns == ["customer", "orders"]
    assert rows == [(7, 2), (8, 1)]


@pytest.mark.parametrize(
    "sql",
    [
        "FROM silver.orders",
        "  -- a comment\nSELECT * FROM silver.orders;",
        "WITH o AS (SELECT * FROM silver.orders) SELECT * FROM o",
        "TABLE silver.orders",
        "DESCRIBE silver.orders",
        "SUMMARIZE silver.orders",
        "EXPLAIN SELECT * FROM silver.orders",
        "EXPLAIN ANALYZE SELECT * FROM silver.orders",
        "explain (format json) select * from silver.orders",
    ],
)
def test_whatever_only_reads_is_answered(filled: Lakehouse, sql: str) -> None:
    columns, rows = query(filled, sql)
    assert columns
    assert rows


def test_an_empty_lakehouse_answers_too(lakehouse: Lakehouse) -> None:
    assert query(lakehouse, "SELECT 1 AS one") == (["one"], [(1,)])


def test_a_query_that_spills_may_write_to_its_own_spill(filled: Lakehouse) -> None:
    _, rows = query(filled, "SELECT current_setting('temp_directory')")
    assert str(rows[0][0]).startswith(str(filled.settings.home))


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO '{folder}/x.csv'",
        "COPY silver.orders FROM '{folder}/x.csv'",
        "INSERT INTO silver.orders VALUES (1, 2)",
        "DELETE FROM silver.orders",
        "UPDATE silver.orders SET id = 1",
        "CREATE TABLE t (a INT)",
        "DROP VIEW silver.orders",
        "ATTACH '{folder}/x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "PRAGMA version",
        "CALL pragma_version()",
        "EXPORT DATABASE '{folder}'",
        "SELECT 1; SELECT 2",
        "SELECT 1; COPY (SELECT 1) TO '{folder}/x.csv'",
        "EXPLAIN COPY (SELECT 1) TO '{folder}/x.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/x.csv'",
        "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{folder}/x.csv'",
        "/* */ EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/x.csv'",
        "EXPLAIN EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/x.csv'",
        "",
        "-- nothing",
    ],
)
def test_whatever_does_not_only_read_is_refused(filled: Lakehouse, sql: str) -> None:
    inside = filled.settings.lakehouse_home / "warehouse"
    before = {path for path in Path(filled.settings.home).rglob("*") if path.is_file()}
    with pytest.raises(LakehouseError):
        query(filled, sql.format(folder=inside))
    assert {path for path in Path(filled.settings.home).rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('{file}')",
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM read_blob('{file}')",
        "SELECT * FROM read_json('{file}')",
        "SELECT * FROM '{file}'",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM read_text('{warehouse}/../../../outside.csv')",
        "SELECT * FROM read_text('{warehouse}/../catalog.db')",
        "SELECT * FROM read_text('http://127.0.0.1:9/')",
        "SELECT getenv('HOME')",
    ],
)
def test_no_file_but_the_lakehouse_s_own_is_read(filled: Lakehouse, tmp_path: Path, sql: str) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("secret\n1\n", encoding="utf-8")
    warehouse = filled.settings.lakehouse_home / "warehouse"
    with pytest.raises(LakehouseError):
        query(filled, sql.format(file=outside, folder=tmp_path, warehouse=warehouse))


def test_a_wrong_name_is_answered_with_the_tables_that_there_are(filled: Lakehouse) -> None:
    with pytest.raises(LakehouseError, match=r"(?s)silver\.order\b.*Tables: gold\.customers, silver\.orders"):
        query(filled, "SELECT * FROM silver.order")


def test_nothing_published_is_said_so(lakehouse: Lakehouse) -> None:
    with pytest.raises(LakehouseError, match="Tables: none yet"):
        query(lakehouse, "SELECT * FROM silver.orders")

"""One contract, every engine: Pandera, Iceberg, DuckDB and Dagster say the same of it (I5)."""

from __future__ import annotations

import polars as pl
import pytest
from pandera.errors import SchemaErrors
from pyiceberg.transforms import IdentityTransform

from platform_assets.contracts.dagster_schema import table_schema
from platform_assets.contracts.iceberg_schema import duckdb_type, iceberg_schema, partition_spec
from platform_assets.contracts.model import LOGICAL_TYPES, Classification, Column, Contract, Rule
from platform_assets.contracts.pandera_schema import pandera_schema, polars_type
from platform_assets.lakehouse.reader import sql_type

CONTRACT = Contract(
    table="silver.orders",
    columns=(
        Column("id", "integer", nullable=False, description="Number."),
        Column("line", "integer", nullable=False),
        Column("price", "decimal(18,2)"),
        Column("mail", "string", classification=Classification.PII),
        Column("region", "string"),
        Column("day", "date", nullable=False),
    ),
    key=("id", "line"),
    partition_column="day",
    rules=(
        Rule("minimum", "price", 0),
        Rule("one_of", "region", ("n", "s")),
        Rule("references", "region", "silver.r.id"),
    ),
)


@pytest.mark.parametrize("type_", [*LOGICAL_TYPES, "decimal(18,2)"])
def test_a_type_is_the_same_in_iceberg_duckdb_and_polars(type_: str) -> None:
    contract = Contract("silver.t", (Column("v", type_),))
    field = iceberg_schema(contract).fields[0]
    assert sql_type(field.field_type) == duckdb_type(contract.columns[0])
    frame = pl.DataFrame({"v": pl.Series([None], dtype=polars_type(contract.columns[0]))})
    pandera_schema(contract).validate(frame, lazy=True)


def test_iceberg_fields_are_optional_and_numbered_from_one() -> None:
    schema = iceberg_schema(CONTRACT)
    assert [(field.field_id, field.required) for field in schema.fields] == [(number, False) for number in range(1, 7)]
    assert schema.find_field("id").doc == "Number."


def test_a_dated_table_is_partitioned_by_the_date_itself() -> None:
    spec = partition_spec(CONTRACT, iceberg_schema(CONTRACT))
    assert [(field.source_id, field.name) for field in spec.fields] == [(6, "day")]
    assert isinstance(spec.fields[0].transform, IdentityTransform)
    undated = Contract("silver.t", (Column("v", "integer"),))
    assert partition_spec(undated, iceberg_schema(undated)).fields == ()


def frame(**columns: list[object]) -> pl.DataFrame:
    """Two good rows with some columns replaced."""
    good: dict[str, list[object]] = {
        "id": [1, 1],
        "line": [1, 2],
        "price": [None, 1],
        "mail": ["x", None],
        "region": ["n", None],
        "day": [None, None],
    }
    day = pl.Series([20000, 20000]).cast(pl.Date)
    made = pl.DataFrame({**good, **columns}).with_columns(pl.col("price").cast(pl.Decimal(18, 2)), day=day)
    return made.with_columns(pl.col("mail", "region").cast(pl.String), pl.col("id", "line").cast(pl.Int64))


def broken(data: pl.DataFrame) -> set[str]:
    try:
        pandera_schema(CONTRACT).validate(data, lazy=True)
    except SchemaErrors as error:
        return {str(check) for check in error.failure_cases["check"]}
    return set()


def test_pandera_accepts_what_keeps_the_contract_and_leaves_references_to_the_split() -> None:
    assert broken(frame()) == set()


def test_pandera_finds_every_broken_promise() -> None:
    assert broken(frame(price=[-1, 0])) == {"price.minimum"}
    assert broken(frame(region=["x", "n"])) == {"region.one_of"}
    assert broken(frame(id=[None, 1])) == {"not_nullable"}
    assert broken(frame(line=[1, 1])) == {"multiple_fields_uniqueness"}
    assert broken(frame().with_columns(extra=pl.lit(1))) == {"column_in_schema"}
    assert broken(frame().drop("price")) == {"column_in_dataframe"}
    assert broken(frame().with_columns(pl.col("price").cast(pl.Float64))) == {"dtype('Decimal(precision=18, scale=2)')"}


def test_dagit_shows_types_nullability_uniqueness_and_rules_in_words() -> None:
    schema = table_schema(CONTRACT)
    columns = {column.name: column for column in schema.columns}
    assert [column.name for column in schema.columns] == [column.name for column in CONTRACT.columns]
    assert columns["id"].description == "Number."
    assert not columns["id"].constraints.nullable
    assert columns["price"].type == "decimal(18,2)"
    assert columns["price"].constraints.other == ["is at least 0"]
    assert columns["region"].constraints.other == ["is one of n, s", "is in silver.r.id"]
    assert columns["mail"].tags == {"classification": "pii"}
    assert columns["id"].tags == {}
    assert schema.constraints.other == ["id, line unique in a partition"]


def test_a_key_of_one_column_is_shown_at_the_column() -> None:
    schema = table_schema(Contract("silver.t", (Column("v", "integer"),), key=("v",)))
    assert schema.columns[0].constraints.unique
    assert schema.constraints.other == []

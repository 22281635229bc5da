"""One contract, every engine: Pandera, Iceberg, DuckDB, Dagster, BigQuery and the page say the same of it (I5)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from pandera.errors import SchemaErrors
from pyiceberg.transforms import IdentityTransform

from platform_assets.contracts.bigquery_schema import bigquery_schema, bigquery_table
from platform_assets.contracts.dagster_schema import table_schema
from platform_assets.contracts.iceberg_schema import duckdb_type, iceberg_schema, partition_spec
from platform_assets.contracts.markdown import markdown_page
from platform_assets.contracts.model import (
    LOGICAL_TYPES,
    Classification,
    Column,
    Contract,
    ContractError,
    ExpertSchema,
    Rule,
    Severity,
)
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


RULED = replace(
    CONTRACT,
    description="Orders | of <shops>.",
    ordering=("line",),
    clustering=("region", "id"),
    rules=(
        *CONTRACT.rules,
        Rule("positive", "id", severity=Severity.WARN),
        Rule("compare", "id", ">=", others=("line",)),
        Rule("unique", "region", others=("price",), severity=Severity.WARN),
        Rule("unique", "mail"),
        Rule("row_count", "", (1, None)),
        Rule("sql", "price", "price > id", label="dear_enough", others=("id",)),
    ),
    expert=ExpertSchema(Path("somewhere/checks.py"), "Orders"),
)


def test_pandera_judges_rows_and_the_whole_table() -> None:
    contract = replace(RULED, rules=tuple(rule for rule in RULED.rules if rule.name != "dear_enough"))

    def found(data: pl.DataFrame) -> set[str]:
        try:
            pandera_schema(contract).validate(data, lazy=True)
        except SchemaErrors as error:
            return {str(check) for check in error.failure_cases["check"]}
        return set()

    assert found(frame()) == {"id.compare.line"}
    assert found(frame(id=[2, 2])) == set()
    assert found(frame(id=[-1, 2])) == {"id.compare.line"}  # that it is positive is only counted
    assert found(frame(id=[2, 2], mail=["x", "x"])) == {"mail.unique"}
    assert found(frame().clear()) == {"row_count"}


def test_dagit_shows_rules_about_rows_and_the_table_and_what_only_counts() -> None:
    schema = table_schema(RULED)
    columns = {column.name: column for column in schema.columns}
    assert columns["id"].constraints.other == ["is more than 0 (only counted)"]
    assert columns["mail"].constraints.other == ["is unique"]
    assert schema.constraints.other == [
        "id, line unique in a partition",
        "id.compare.line: id is at least line",
        "region.unique.price: region, price are unique together (only counted)",
        "row_count: has at least 1 rows",
        "dear_enough: price > id",
        "keeps Orders of checks.py",
    ]


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("string", {"type": "STRING"}),
        ("integer", {"type": "INT64"}),
        ("double", {"type": "FLOAT64"}),
        ("boolean", {"type": "BOOL"}),
        ("date", {"type": "DATE"}),
        ("timestamp", {"type": "TIMESTAMP"}),
        ("object", {"type": "STRING"}),
        ("array", {"type": "STRING"}),
        ("decimal(18,2)", {"type": "NUMERIC", "precision": "18", "scale": "2"}),
        ("decimal(38,9)", {"type": "NUMERIC", "precision": "38", "scale": "9"}),
        ("decimal(38,10)", {"type": "BIGNUMERIC", "precision": "38", "scale": "10"}),
        ("decimal(38,0)", {"type": "BIGNUMERIC", "precision": "38", "scale": "0"}),
    ],
)
def test_a_type_has_its_bigquery_type(type_: str, expected: dict[str, str]) -> None:
    contract = Contract("silver.t", (Column("v", type_),))
    assert bigquery_schema(contract) == [{"name": "v", "mode": "NULLABLE", **expected}]


def test_bigquery_is_told_modes_descriptions_partitioning_and_clustering() -> None:
    table = bigquery_table(RULED)
    fields = {field["name"]: field for field in table["schema"]["fields"]}
    assert list(fields) == [column.name for column in CONTRACT.columns]
    assert (fields["id"]["mode"], fields["id"]["description"]) == ("REQUIRED", "Number.")
    assert fields["price"]["mode"] == "NULLABLE"
    assert table["timePartitioning"] == {"type": "DAY", "field": "day"}
    assert table["clustering"] == {"fields": ["region", "id"]}
    plain = bigquery_table(Contract("silver.t", (Column("v", "string", description="x" * 2000),)))
    assert set(plain) == {"schema", "description"}
    assert len(plain["schema"]["fields"][0]["description"]) == 1024


def test_bigquery_refuses_what_it_cannot_hold() -> None:
    with pytest.raises(ContractError, match=r"column v: BigQuery has no decimal\(39,39\)"):
        bigquery_schema(Contract("silver.t", (Column("v", "decimal(39,39)"),)))
    columns = tuple(Column(f"c{number}", "string") for number in range(5))
    with pytest.raises(ContractError, match=r"silver\.t: BigQuery clusters by at most 4 columns, not 5"):
        bigquery_table(Contract("silver.t", columns, clustering=tuple(column.name for column in columns)))


def test_the_page_of_a_contract_says_everything_that_it_promises() -> None:
    page = markdown_page(RULED, "team:shops").splitlines()
    assert page[0] == "# silver.orders"
    assert "Orders \\| of &lt;shops>." in page
    assert [line for line in page if line.startswith("- ")] == [
        "- Owner: team:shops",
        "- Contract version: 1",
        "- Key, unique in each partition: `id`, `line`",
        "- Latest row of a key: by `line`",
        "- Partitioning: by day of `day`",
        "- Clustering: `region`, `id`",
        "- Also keeps: `Orders` of `checks.py`",
        "- id.compare.line: id is at least line",
        "- region.unique.price: region, price are unique together (only counted)",
        "- row_count: has at least 1 rows",
        "- dear_enough: price > id",
    ]
    rows = [line for line in page if line.startswith("| `")]
    assert rows[0] == "| `id` | integer | no |  | Number. | is more than 0 (only counted) |"
    assert rows[2] == "| `price` | decimal(18,2) | yes |  |  | is at least 0 |"
    assert rows[3] == "| `mail` | string | yes | pii |  | is unique |"
    assert rows[4] == "| `region` | string | yes |  |  | is one of n, s; is in silver.r.id |"
    assert len(rows) == len(CONTRACT.columns)


def test_the_page_of_a_plain_contract_says_no_more() -> None:
    page = markdown_page(Contract("gold.t", (Column("v", "integer"),), event_time="v"), "a@example.org")
    assert "- Event time: `v`\n- Partitioning: none" in page
    assert "Promises about rows" not in page
    assert "Clustering" not in page

"""What the YAML of a dbt model promises, read without dbt."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from platform_assets.contracts.dbt_yaml import DbtModel, load_models
from platform_assets.contracts.model import Column, ContractError, Rule
from platform_assets.settings import CHECKOUT
from platform_assets.sources.contracts import silver_contract
from platform_assets.sources.registry import load_sources

MODELS = load_models(CHECKOUT / "dbt_project")
MODEL = """
models:
  - name: sales
    description: What was sold.
    config:
      event_time: sold_at
      partition_by: {field: day, data_type: date}
      cluster_by: [item]
      meta:
        owner: team:commerce
        domain: commerce
        freshness: {warn_minutes: 2, fail_minutes: 5}
    constraints:
      - {type: primary_key, columns: [day, item]}
      - {type: check, expression: "pieces > 0 and share <= 1.5"}
    columns:
      - {name: day, data_type: date, description: Day.}
      - name: item
        data_type: bigint
        data_tests: [{relationships: {arguments: {to: ref('items'), field: id}}}]
      - {name: sold_at, data_type: timestamptz, constraints: [{type: not_null}]}
      - {name: pieces, data_type: integer, data_tests: [not_null]}
      - {name: share, data_type: double, constraints: [{type: check, expression: share >= 0}]}
      - {name: price, data_type: "decimal(18,2)", data_tests: [{in_range: {arguments: {min: 0, max: 9.5}}}]}
      - {name: paid, data_type: boolean}
      - {name: how, data_type: varchar, data_tests: [{accepted_values: {arguments: {values: [cash, card]}}}]}
      - {name: code, data_type: string, data_tests: [{matches: {arguments: {pattern: "^[A-Z]+$"}}}]}
"""
QUERY = """
-- depends_on: {{ ref('items') }}
{# not read: ref('nothing') #}
select * from {{ partition_of(source('silver', 'sold'), 'day') }} join {{ source("silver", "prices") }} using (item)
"""
ITEMS = """
models:
  - name: items
    description: Items.
    config: {meta: {owner: team:commerce, domain: commerce, freshness: {fail_minutes: 1440}}}
    constraints: [{type: primary_key, columns: [id]}]
    columns: [{name: id, data_type: bigint, data_tests: [unique]}]
"""


def project(folder: Path, *, model: str = MODEL, query: str = QUERY) -> Path:
    for layer, name, text in (
        ("mart", "sales.yml", model),
        ("mart", "sales.sql", query),
        ("gold", "items.yml", ITEMS),
        ("gold", "items.sql", "select 1 as id"),
    ):
        path = folder / "models" / layer / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def sales(tmp_path: Path) -> DbtModel:
    return load_models(project(tmp_path))[1]


def test_model_says_who_answers_for_it_and_what_it_reads(sales: DbtModel) -> None:
    assert (sales.table, sales.owner, sales.domain, sales.description) == (
        "mart.sales",
        "team:commerce",
        "commerce",
        "What was sold.",
    )
    assert sales.depends_on == ("gold.items", "silver.sold", "silver.prices")
    assert sales.reads_whole == ("gold.items", "silver.prices")
    assert (sales.freshness_warn_minutes, sales.freshness_fail_minutes) == (2, 5)
    assert (sales.materialized, sales.sql_path.name) == ("lakehouse", "sales.sql")


def test_columns_constraints_and_tests_become_the_contract(sales: DbtModel) -> None:
    contract = sales.contract

    assert contract.columns == (
        Column("day", "date", nullable=False, description="Day."),
        Column("item", "integer", nullable=False),
        Column("sold_at", "timestamp", nullable=False),
        Column("pieces", "integer", nullable=False),
        Column("share", "double"),
        Column("price", "decimal(18,2)"),
        Column("paid", "boolean"),
        Column("how", "string"),
        Column("code", "string"),
    )
    assert contract.key == ("day", "item")
    assert (contract.event_time, contract.partition_column, contract.clustering) == ("sold_at", "day", ("item",))
    assert set(contract.rules) == {
        Rule("exclusive_minimum", "pieces", 0),
        Rule("maximum", "share", 1.5),
        Rule("minimum", "share", 0),
        Rule("references", "item", "gold.items.id"),
        Rule("minimum", "price", 0),
        Rule("maximum", "price", 9.5),
        Rule("one_of", "how", ("cash", "card")),
        Rule("pattern", "code", "^[A-Z]+$"),
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("data_type: boolean", "data_type: money", r"sales\.yml: sales, column paid: unknown data_type 'money'"),
        ("data_tests: [not_null]", "data_tests: [sane]", r"sales\.yml: sales, column pieces: unknown data test 'sane'"),
        ("share >= 0", "share is fair", r"column share: a check compares a column with a number, not 'share is fair'"),
        ("type: check, expression: share", "type: foreign_key, to: share", r"column share: unknown constraint"),
        ("arguments: {min: 0, max: 9.5}", "arguments: {min: 0}, config: {severity: warn}", "column price: data test"),
        ("to: ref('items')", "to: ref('goods')", "column item: `relationships` refers to"),
        ("owner: team:commerce", "", "sales: `config.meta` lacks `owner`"),
        ("description: What was sold.", "", "sales: the model lacks `description`"),
        ("data_type: double, ", "", "sales: column share lacks `data_type`"),
        ("field: day, data_type: date", "field: day, data_type: timestamp", "tables are partitioned by day"),
        ("name: sales", "name: salez", r"sales\.sql: no YAML file describes the model sales"),
        ("cluster_by: [item]", "cluster_by: [shop]", "mart.sales: clustering names 'shop'"),
        ("    columns:", "    data_tests: [sane]\n    columns:", "no test of a whole model is known"),
    ],
)
def test_what_no_contract_can_promise_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in MODEL
    with pytest.raises(ContractError, match=message):
        load_models(project(tmp_path, model=MODEL.replace(old, new)))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select * from {{ ref('nothing') }}", "the SQL refers to 'nothing', which is no model"),
        ("{{ config(materialized='view') }} select 1", r"sales\.sql calls config\(\)"),
        ("select 1", "`relationships` to gold.items, which the SQL never reads; add `-- depends_on:"),
    ],
)
def test_sql_that_the_graph_could_not_follow_is_refused(tmp_path: Path, query: str, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        load_models(project(tmp_path, query=query))


def test_every_model_describes_itself_and_every_column() -> None:
    assert [model.table for model in MODELS] == [
        "gold.dim_products",
        "gold.dim_users",
        "gold.event_metrics",
        "gold.fact_order_lines",
        "gold.fact_orders",
        "gold.user_metrics",
        "mart.business_metrics",
        "mart.revenue_by_day",
    ]
    for model in MODELS:
        assert model.description
        assert model.contract.key
        assert [column.name for column in model.contract.columns if not column.description] == []


def test_models_read_only_tables_that_exist() -> None:
    silver = {silver_contract(source, table).table for source in load_sources() for table in source.file.silver}
    read = {name for model in MODELS for name in model.depends_on}

    assert read - {model.table for model in MODELS} == silver


def test_tokens_stay_tokens_in_gold() -> None:
    users = next(model.contract for model in MODELS if model.name == "dim_users")
    held = {rule.column for rule in users.rules if rule.kind == "pattern"}

    assert {column.name for column in users.columns} - held == {"user_id", "city"}


def test_loading_imports_no_dbt() -> None:
    code = (
        "import sys, pathlib; from platform_assets.contracts.dbt_yaml import load_models; "
        f"load_models(pathlib.Path({str(CHECKOUT / 'dbt_project')!r})); "
        "print([m for m in sys.modules if m.split('.')[0] in ('dbt', 'duckdb', 'pyiceberg', 'polars')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT)

    assert done.stdout.strip() == "[]"

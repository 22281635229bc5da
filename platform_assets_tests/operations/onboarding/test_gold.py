"""The dbt model that a source's `silver_to_gold` becomes: the contract reads it, and dbt builds it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from platform_assets.contracts.dbt_yaml import DbtModel, load_models
from platform_assets.contracts.iceberg_schema import duckdb_type
from platform_assets.contracts.model import TOKEN_PATTERN, Column, Contract
from platform_assets.contracts.rules import quote
from platform_assets.lakehouse import publisher, reader
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.dbt_run import build
from platform_assets.operations.onboarding.gold import scaffold, write_scaffold
from platform_assets.operations.onboarding.metrics import identifier, read_metric
from platform_assets.settings import CHECKOUT, Settings
from platform_assets.sources.contracts import silver_contract
from platform_assets.sources.model import Source
from platform_assets.sources.registry import load_source
from platform_assets.sources.yaml_file import SourceError
from platform_assets_tests.lakehouse.bronze_rows import object_schema, write_source_files

FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)
SALE = object_schema(
    "id",
    "customer_id",
    "amount",
    "at",
    id={"type": "integer"},
    customer_id={"type": "string", "description": "Who bought."},
    amount={"type": "number", "multipleOf": 0.01},
    weight={"type": "number"},
    pieces={"type": "integer"},
    shop={"type": ["string", "null"]},
    email={"type": "string"},
    order={"type": "integer"},
    at={"type": "string", "format": "date-time"},
)
EVENTS = [{"table": "sales", "kind": "events", "key": ["id"], "partition_column": "sale_date"}]
DAILY = {"group_by": ["customer_id", "date"], "metrics": ["sum(amount) as total", "count(*) as transaction_count"]}
CUSTOMERS_SQL = "select customer_id, tier from {{ source('silver', 'sales') }}\n"
CUSTOMERS_YML = """\
version: 2

models:
  - name: customers
    description: Customers.
    config:
      meta: {owner: team:commerce, domain: commerce, freshness: {fail_minutes: 1440}}
    constraints:
      - {type: primary_key, columns: [customer_id]}
    columns:
      - name: customer_id
        data_type: varchar
      - name: tier
        data_type: varchar
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return shutil.copytree(CHECKOUT / "dbt_project", tmp_path / "dbt_project")


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the platform's sources for this test alone: dbt's process reads its contracts there."""
    monkeypatch.setenv("PLATFORM_SOURCES", str(tmp_path / "sources"))
    return tmp_path / "sources"


def sales(root: Path, *steps: dict[str, Any], **settings: Any) -> Source:  # noqa: ANN401 - as YAML has it
    told = {"silver": EVENTS, "event_time": "at", "classification": {"email": "pii"}, **settings}
    write_source_files(root / "sales", SALE, processing={"silver_to_gold": list(steps)}, **told)
    return load_source(root / "sales")


def written(source: Source, project: Path) -> DbtModel:
    write_scaffold(scaffold(source, project), project)
    return next(model for model in load_models(project) if model.name == source.name)


def publish(lakehouse: Lakehouse, contract: Contract, rows: Sequence[dict[str, object]], day: date | None) -> None:
    with lakehouse.connect() as connection:
        types = ", ".join(f"{quote(c.name)} {duckdb_type(c)}" for c in contract.columns)
        connection.execute(f"CREATE TABLE given ({types})")
        values = [[row.get(column.name) for column in contract.columns] for row in rows]
        connection.executemany(f"INSERT INTO given VALUES ({', '.join('?' * len(contract.columns))})", values)
        publisher.replace(lakehouse, contract, connection, "given", partition=day, properties={})


def sale(number: int, customer: str, amount: str, day: date, **more: object) -> dict[str, object]:
    at = f"{day}T10:00:00Z"
    told: dict[str, object] = {"id": number, "customer_id": customer, "amount": Decimal(amount), "at": at}
    return {**told, "sale_date": day, "_landed_at": at, **more}


def rows(lakehouse: Lakehouse, table: str) -> list[tuple[Any, ...]]:
    source = reader.relation(lakehouse, table)
    assert source is not None
    with lakehouse.connect() as connection:
        return connection.execute(f"SELECT * FROM {source} ORDER BY ALL").fetchall()


def two_days(settings: Settings, source: Source) -> Lakehouse:
    lakehouse = Lakehouse(settings)
    contract = silver_contract(source, source.file.silver[0]).published()
    first = [sale(1, "ann", "1.10", FIRST, pieces=2), sale(2, "ann", "2.20", FIRST, pieces=3, order=7)]
    publish(lakehouse, contract, [*first, sale(3, "ben", "4.00", FIRST)], FIRST)
    publish(lakehouse, contract, [sale(4, "ann", "8.00", SECOND, pieces=1)], SECOND)
    return lakehouse


def scratch(tmp_path: Path, project: Path) -> Settings:
    return Settings(home=tmp_path / "home", dbt_project=project)


# What runs


def test_a_scaffolded_aggregate_is_built_day_by_day(
    tmp_path: Path, project: Path, roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path / "home"))
    metrics = [*DAILY["metrics"], "sum(pieces) as pieces", "count(distinct id) as sales", "avg(amount) as mean"]
    metrics += ["max(at) as newest", "sum(order) as orders", "min(weight) as lightest"]
    source = sales(roots, {"aggregate": {"group_by": ["customer_id", "date"], "metrics": metrics}})
    model = written(source, project)
    settings = scratch(tmp_path, project)
    lakehouse = two_days(settings, source)

    results = [result for day in (FIRST, SECOND) for result in build(settings, ["sales"], day, "run-1")]

    assert [(result.status, result.message) for result in results if result.status != "success"] == []
    assert model.contract.partition_column == "sale_date"
    assert [row[:5] for row in rows(lakehouse, "gold.sales")] == [
        ("ann", FIRST, Decimal("3.30"), 2, 5),
        ("ann", SECOND, Decimal("8.00"), 1, 1),
        ("ben", FIRST, Decimal("4.00"), 1, None),
    ]


def test_a_scaffolded_join_brings_the_columns_of_the_other_model(
    tmp_path: Path, project: Path, roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path / "home"))
    sql = "select distinct customer_id, upper(customer_id) as tier from {{ source('silver', 'sales') }}\n"
    (project / "models/gold/customers.sql").write_text(sql, encoding="utf-8")
    (project / "models/gold/customers.yml").write_text(CUSTOMERS_YML, encoding="utf-8")
    by_tier = {"group_by": ["tier", "date"], "metrics": ["sum(amount) as total"]}
    source = sales(roots, {"join": {"table": "gold.customers", "on": "customer_id"}}, {"aggregate": by_tier})
    model = written(source, project)
    settings = scratch(tmp_path, project)
    lakehouse = two_days(settings, source)

    results = build(settings, ["customers", "sales"], None, "run-1")

    assert {(result.status, result.message) for result in results if result.status != "success"} == set()
    assert set(model.depends_on) == {"silver.sales", "gold.customers"}
    assert [row[:3] for row in rows(lakehouse, "gold.sales")] == [
        ("ANN", FIRST, Decimal("3.30")),
        ("ANN", SECOND, Decimal("8.00")),
        ("BEN", FIRST, Decimal("4.00")),
    ]


def test_what_is_summed_up_over_days_is_built_from_all_of_them(
    tmp_path: Path, project: Path, roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path / "home"))
    source = sales(roots, {"aggregate": {"group_by": ["customer_id"], "metrics": ["sum(amount) as total"]}})
    model = written(source, project)
    settings = scratch(tmp_path, project)
    lakehouse = two_days(settings, source)

    (result,) = build(settings, ["sales"], FIRST, "run-1")

    assert result.status == "success", result.message
    assert model.contract.partition_column is None
    assert rows(lakehouse, "gold.sales") == [("ann", Decimal("11.30")), ("ben", Decimal("4.00"))]


# What is written


def test_the_model_says_what_the_source_file_says(tmp_path: Path, project: Path) -> None:
    made = scaffold(sales(tmp_path, {"aggregate": DAILY}), project)
    assert made.sql == (
        "select\n"
        "    customer_id,\n"
        "    sale_date,\n"
        "    {{ money('sum(amount)') }} as total,\n"
        "    count(*) as transaction_count\n"
        "from {{ partition_of(source('silver', 'sales'), 'sale_date') }}\n"
        "group by customer_id, sale_date\n"
    )
    (entry,) = yaml.safe_load(made.yml)["models"]
    assert entry["constraints"] == [{"type": "primary_key", "columns": ["customer_id", "sale_date"]}]
    assert entry["config"]["meta"]["owner"] == "team:test"
    described = {column["name"]: column for column in entry["columns"]}
    assert described["customer_id"]["description"] == "Who bought."
    assert described["total"]["data_type"] == "decimal(18,2)"
    assert described["transaction_count"]["data_tests"] == [{"in_range": {"arguments": {"min": 1}}}]


def test_a_join_alone_keeps_the_grain_and_the_tokens(tmp_path: Path, project: Path) -> None:
    (project / "models/gold/customers.sql").write_text(CUSTOMERS_SQL, encoding="utf-8")
    (project / "models/gold/customers.yml").write_text(CUSTOMERS_YML, encoding="utf-8")
    source = sales(tmp_path, {"join": {"table": "gold.customers", "on": "customer_id"}})
    contract = written(source, project).contract
    assert contract.key == ("id",)
    assert contract.column("tier").nullable
    assert "_landed_at" not in [column.name for column in contract.columns]
    assert [rule.argument for rule in contract.rules if rule.column == "email"] == [TOKEN_PATTERN]


def test_a_group_that_may_be_null_is_no_primary_key(tmp_path: Path, project: Path) -> None:
    steps = {"aggregate": {"group_by": ["shop", "date"], "metrics": ["count(*) as sales"]}}
    made = scaffold(sales(tmp_path, steps), project)
    assert "# No primary key: shop may be null." in made.yml
    assert written(load_source(tmp_path / "sales"), project).contract.key == ()


def test_dbt_learns_of_the_silver_table_once(tmp_path: Path, project: Path) -> None:
    made = scaffold(sales(tmp_path, {"aggregate": DAILY}), project)
    paths = write_scaffold(made, project)
    assert paths[2] == project / "models/sources.yml"
    tables = yaml.safe_load(paths[2].read_text(encoding="utf-8"))["sources"][0]["tables"]
    assert [table["name"] for table in tables].count("sales") == 1
    made.sql_path.unlink()
    made.yml_path.unlink()
    assert len(write_scaffold(scaffold(load_source(tmp_path / "sales"), project), project)) == 2


def test_a_model_that_is_there_is_the_analyst_s(tmp_path: Path, project: Path) -> None:
    source = sales(tmp_path, {"aggregate": DAILY})
    made = scaffold(source, project)
    write_scaffold(made, project)
    made.sql_path.write_text("-- mine\n", encoding="utf-8")
    with pytest.raises(SourceError, match="exists already and is yours to edit; remove it"):
        write_scaffold(made, project)
    assert made.sql_path.read_text(encoding="utf-8") == "-- mine\n"


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([], "`processing.silver_to_gold` says nothing"),
        (
            [{"join": {"table": "gold.customers", "on": "customer_id"}}],
            "joins gold.customers, which is no model of the dbt project; write that model first, or take the join out",
        ),
        ([{"join": {"table": "gold.dim_user", "on": "customer_id"}}], "did you mean `gold.dim_users`?"),
        (
            [{"join": {"table": "gold.dim_users", "on": "customer_id"}}],
            "told apart by user_id: rows would",
        ),
        ([{"join": {"table": "gold.dim_users", "on": "user_id"}}], "joins on 'user_id', which is no column"),
        (
            [{"aggregate": {**DAILY, "group_by": ["customer"]}}],
            "groups by 'customer', which is no column; did",
        ),
        ([{"aggregate": {**DAILY, "metrics": ["sum(amuont) as x"]}}], "no column 'amuont'; did you mean `amount`?"),
        ([{"aggregate": {**DAILY, "metrics": ["sum(shop) as x"]}}], "shop is a string; sum wants a number: id, amount"),
        ([{"aggregate": {**DAILY, "metrics": ["count(*) as customer_id"]}}], "gives the column 'customer_id' twice"),
    ],
)
def test_what_cannot_become_a_model_is_refused_with_what_to_do(
    tmp_path: Path, project: Path, steps: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(SourceError, match=r"^sales: ") as caught:
        scaffold(sales(tmp_path, *steps), project)
    assert said in str(caught.value)
    assert not (project / "models/gold/sales.sql").exists()


def test_the_date_of_what_nothing_dates_is_refused(tmp_path: Path, project: Path) -> None:
    state = [{"table": "sales", "kind": "current_state", "key": ["id"]}]
    source = sales(tmp_path, {"aggregate": DAILY}, silver=state, event_time=None)
    with pytest.raises(SourceError, match=r"groups by 'date', which is no column \(nothing dates its rows\)"):
        scaffold(source, project)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("sum(amount)", "has no name"),
        ("amount as total", "sums nothing up"),
        ("sum(amount) over () as total", "sums nothing up"),
        ("median(amount) as total", "sums nothing up"),
        ("sum(amount) as total, count(*) as n", "more than one expression"),
        ("sum(amount) as total from elsewhere", "more than one expression"),
        ("sum(amount) as total; drop table x", "more than one expression"),
        ("sum(amount * 2) as total", "computes something inside"),
        ("sum((select max(id) from x)) as total", "computes something inside"),
        ("count(distinct amount, id) as total", "computes something inside"),
        ("max(elsewhere.amount) as total", "computes something inside"),
        ("sum(amount as total", "is no SQL"),
        ('sum(amount) as "Total Sum"', "cannot name a column"),
        ('sum(amount) as "select"', "cannot name a column"),
        ("sum(*) as total", "computes something inside"),
    ],
)
def test_only_a_named_sum_over_a_column_is_a_metric(metric: str, said: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_metric(metric, {"amount": Column("amount", "double"), "id": Column("id", "integer")})
    assert said in str(caught.value)
    assert json.dumps(metric)[1:5] in str(caught.value)


def test_a_column_called_like_a_word_of_sql_is_quoted_as_the_engine_wants_it() -> None:
    assert identifier("amount") == "amount"
    assert identifier("order") == "{{ adapter.quote('order') }}"

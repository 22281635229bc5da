"""The requirement document's sources and schema as they stand there (S1-39 to S1-43, S1-82 to S1-88)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from platform_assets.contracts.model import Contract, Severity
from platform_assets.sources.contracts import bronze_contract, silver_contract
from platform_assets.sources.model import Kind, Source
from platform_assets.sources.pattern import Pattern
from platform_assets.sources.registry import load_folder
from platform_assets.sources.yaml_file import SourceError
from platform_assets_tests.sources.documents import DOCUMENTS, write_document


def load(folder: Path, name: str) -> tuple[Source, ...]:
    return load_folder(write_document(folder, name))


def silver(source: Source) -> Contract:
    (table,) = source.file.silver
    return silver_contract(source, table)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_source_of_the_document_loads_as_it_stands(tmp_path: Path, name: str) -> None:
    for source in load(tmp_path, name):
        assert source.name.startswith(name)
        assert source.file.owner
        assert source.file.description
        assert bronze_contract(source).table == f"bronze.{source.name}"


def test_the_long_form_says_all_of_its_silver_table(tmp_path: Path) -> None:
    (source,) = load(tmp_path, "example_source")
    contract = silver(source)
    assert [(c.name, c.type, c.nullable) for c in contract.columns] == [
        ("id", "string", False),
        ("customer_id", "string", False),
        ("amount", "double", False),
        ("timestamp", "timestamp", False),
        ("event_date", "date", False),
        ("_landed_at", "timestamp", False),
    ]
    assert contract.column("customer_id").description == "Customer identifier"
    assert (contract.key, contract.event_time, contract.partition_column) == (
        ("id", "timestamp"),
        "timestamp",
        "event_date",
    )
    assert [(rule.kind, rule.column) for rule in contract.rules] == [("positive", "amount")]
    assert source.notes == ("the check valid_email waits for a field 'email', which the schema does not have",)
    assert source.file.freshness.fail_minutes == 60
    assert source.file.serving.third_party_api
    assert source.file.monitoring.alert_email == "data-team@example.com"
    assert source.file.processing.silver_to_gold[1].aggregate is not None


def test_a_database_is_one_source_for_each_of_its_tables(tmp_path: Path) -> None:
    sources = load(tmp_path, "postgres_orders")
    assert [source.name for source in sources] == [
        "postgres_orders_orders",
        "postgres_orders_order_items",
        "postgres_orders_customers",
    ]


def test_a_source_without_schema_keeps_each_record_whole_and_has_no_silver_table(tmp_path: Path) -> None:
    (source,) = load(tmp_path, "aws_data_lake")
    assert source.file.silver == ()
    assert [c.name for c in bronze_contract(source).columns if not c.name.startswith("_")] == ["record"]


@pytest.mark.parametrize(
    ("name", "topic", "subscription"),
    [
        ("stripe_payments", "stripe_payments", "stripe_payments-sub"),
        ("iot_sensors", "projects/my-project/topics/iot-events", "iot-events-sub"),
    ],
)
def test_a_stream_has_a_topic_and_a_subscription(tmp_path: Path, name: str, topic: str, subscription: str) -> None:
    (source,) = load(tmp_path, name)
    assert (source.file.ingestion.topic, source.file.ingestion.subscription) == (topic, subscription)
    assert (source.file.freshness.warn_minutes, source.file.freshness.fail_minutes) == (2, 5)


def test_the_short_form_is_the_long_form_with_less_to_write(tmp_path: Path) -> None:
    (source,) = load(tmp_path, "salesforce_exports")
    ingestion = source.file.ingestion
    assert (ingestion.pattern, ingestion.format, ingestion.schedule) == (Pattern.BATCH_FILE, "csv", "0 2 * * *")
    assert source.file.json_schema.file == "schemas/salesforce_accounts.json"
    (table,) = source.file.silver
    assert (table.kind, table.key) == (Kind.CURRENT_STATE, ("id",))


def test_records_that_nothing_identifies_are_kept_by_the_date_on_which_they_arrive(tmp_path: Path) -> None:
    folder = write_document(tmp_path, "salesforce_exports")
    fields = {"fields": [{"name": "note", "type": "STRING"}]}
    (folder / "schemas" / "salesforce_accounts.json").write_text(json.dumps(fields), encoding="utf-8")
    (source,) = load_folder(folder)
    (table,) = source.file.silver
    assert (table.kind, table.key, table.partition_column) == (Kind.EVENTS, (), "arrival_date")


@pytest.mark.parametrize(
    ("field", "column"),
    [
        ({"type": "INT64"}, ("integer", True)),
        ({"type": "integer", "mode": "required"}, ("integer", False)),
        ({"type": "NUMERIC"}, ("decimal(18,9)", True)),
        ({"type": "NUMERIC", "scale": 2}, ("decimal(18,2)", True)),
        ({"type": "BOOL"}, ("boolean", True)),
        ({"type": "DATE"}, ("date", True)),
        ({"type": "DATETIME"}, ("timestamp", True)),
        ({"type": "JSON"}, ("object", True)),
        ({"type": "STRING", "mode": "REPEATED"}, ("array", True)),
    ],
)
def test_every_type_of_the_fields_form_is_a_column(
    tmp_path: Path, field: dict[str, object], column: tuple[str, bool]
) -> None:
    folder = write_document(tmp_path, "salesforce_exports")
    fields = {"fields": [{"name": "id", "type": "STRING", "mode": "REQUIRED"}, {"name": "value", **field}]}
    (folder / "schemas" / "salesforce_accounts.json").write_text(json.dumps(fields), encoding="utf-8")
    (source,) = load_folder(folder)
    found = silver(source).column("value")
    assert (found.type, found.nullable) == column


def test_a_record_in_the_fields_form_becomes_a_column_for_each_of_its_fields(tmp_path: Path) -> None:
    folder = write_document(tmp_path, "salesforce_exports")
    city = {"name": "address", "type": "RECORD", "mode": "REQUIRED", "fields": [{"name": "City", "type": "STRING"}]}
    fields = {"fields": [{"name": "id", "type": "STRING", "mode": "REQUIRED"}, city]}
    (folder / "schemas" / "salesforce_accounts.json").write_text(json.dumps(fields), encoding="utf-8")
    (source,) = load_folder(folder)
    assert silver(source).column("address_city").path == ("address", "City")


def test_a_check_about_a_name_that_is_nearly_right_is_refused(tmp_path: Path) -> None:
    folder = write_document(tmp_path, "example_source")
    file = folder / "source.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("field: amount", "field: amont"), encoding="utf-8")
    with pytest.raises(SourceError, match=r"source\.yaml:29: .*amont.*amount"):
        load_folder(folder)


def test_lenient_validation_only_counts_what_breaks_a_rule_about_values(tmp_path: Path) -> None:
    folder = write_document(tmp_path, "example_source")
    file = folder / "source.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("strict", "lenient"), encoding="utf-8")
    (source,) = load_folder(folder)
    assert {rule.severity for rule in silver(source).rules} == {Severity.WARN}


def test_two_versions_of_a_schema_are_two_tables_over_one_bronze(tmp_path: Path) -> None:
    folder = write_document(tmp_path, "example_source")
    fields = json.loads((folder / "schemas" / "example_source.json").read_text(encoding="utf-8"))["fields"]
    fields[2] = {"name": "amount_cents", "type": "INT64", "mode": "REQUIRED"}
    (folder / "schema.v2.json").write_text(json.dumps({"fields": fields}), encoding="utf-8")
    file = folder / "source.yaml"
    text = file.read_text(encoding="utf-8")
    start, end = text.index("# Processing"), text.index("# Serving")
    table = "kind: events, key: [id], partition_column: event_date"
    silver_tables = (
        f"event_time: timestamp\nsilver:\n  - {{table: example, {table}}}\n"
        f"  - {{table: example_v2, {table}, schema: schema.v2.json}}\n"
    )
    file.write_text(text[:start] + silver_tables + text[end:], encoding="utf-8")
    (source,) = load_folder(folder)
    first, second = (silver_contract(source, table) for table in source.file.silver)
    assert (first.version, second.version) == (1, 2)
    assert "amount" in [c.name for c in first.columns]
    assert "amount_cents" in [c.name for c in second.columns]
    kept = [c.name for c in bronze_contract(source).columns if not c.name.startswith("_")]
    assert kept == ["id", "customer_id", "amount", "timestamp", "amount_cents"]

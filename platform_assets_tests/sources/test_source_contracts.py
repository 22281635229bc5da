"""What a source's tables promise: bronze, silver, quarantine, from one file and one schema (I5, I7)."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_assets.contracts.model import Classification, Contract
from platform_assets.sources.contracts import (
    BronzeField,
    bronze_contract,
    bronze_fields,
    quarantine_contract,
    secret_paths,
    silver_contract,
)
from platform_assets.sources.model import Source
from platform_assets.sources.registry import load_sources
from platform_assets_tests.lakehouse.bronze_rows import object_schema, write_source

TEXT = {"type": ["string", "null"]}
ORIGIN = ["_landing_uri", "_landing_generation", "_landed_at", "_row_number"]
SCHEMA = object_schema(
    "id",
    id={"type": "integer", "minimum": 1, "description": "Number."},
    at={"type": "string", "format": "date-time"},
    mail={"type": "string", "format": "email"},
    password=TEXT,
    person={"type": "object", "properties": {"first": TEXT, "pin": TEXT}},
    vault={"type": "object", "properties": {"a": TEXT, "b": TEXT}},
    items={
        "type": "array",
        "items": object_schema("sku", sku={"type": "string", "minLength": 1}, n={"type": "integer"}),
    },
)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """A dated source with secrets at every depth, PII, and a table of elements."""
    dated = {"kind": "events", "description": "Things.", "partition_column": "day"}
    lines = {"table": "lines", "key": ["id", "line_number"], "explode": "items", "keep": ["id", "at", "mail"]}
    return write_source(
        tmp_path / "things",
        SCHEMA,
        silver=[{**dated, "table": "things", "key": ["id"]}, {**dated, **lines}],
        event_time="at",
        classification={
            "password": "secret",
            "person.pin": "secret",
            "vault": "secret",
            "mail": "pii",
            "person": "pii",
        },
    )


def names(contract: Contract) -> list[str]:
    return [column.name for column in contract.columns]


def test_bronze_keeps_every_top_level_field_but_secrets(source: Source) -> None:
    assert bronze_fields(source) == (
        BronzeField("id", "id", text=False, required=True),
        BronzeField("at", "at", text=True),
        BronzeField("mail", "mail", text=True, blank=True),
        BronzeField("person", "person", text=False, dropped=(("pin",),)),
        BronzeField("items", "items", text=False),
    )


def test_secrets_are_told_with_their_paths(source: Source) -> None:
    assert secret_paths(source) == (("password",), ("person", "pin"), ("vault", "a"), ("vault", "b"))


def test_bronze_promises_where_a_row_came_from_and_nothing_about_what_it_says(source: Source) -> None:
    contract = bronze_contract(source)
    assert names(contract) == [
        "id",
        "at",
        "mail",
        "person",
        "items",
        "_unexpected",
        *ORIGIN,
        "_ingested_at",
        "_arrival_date",
        "_event_date",
    ]
    assert all(column.type == "string" and column.nullable for column in contract.columns[:5])
    assert contract.rules == ()
    assert contract.column("id").description == "Number."


def test_silver_promises_the_schema_the_key_and_the_date(source: Source) -> None:
    contract = silver_contract(source, source.file.silver[0])
    assert names(contract) == ["id", "at", "mail", "person_first", "items", "day", "_landed_at"]
    nullable = {column.name for column in contract.columns if column.nullable}
    assert nullable == {"mail", "person_first", "items"}  # `at` dates the row, so that it is needed
    assert [rule.name for rule in contract.rules] == ["id.minimum", "mail.email"]
    assert (contract.key, contract.event_time, contract.partition_column) == (("id",), "at", "day")


def test_an_exploded_table_has_what_it_keeps_a_number_and_the_element(source: Source) -> None:
    contract = silver_contract(source, source.file.silver[1])
    assert names(contract) == ["id", "at", "mail", "line_number", "sku", "n", "day", "_landed_at"]
    assert [rule.name for rule in contract.rules] == ["id.minimum", "mail.email", "sku.min_length"]
    assert contract.column("sku").path == ("[]", "sku")
    assert not contract.column("line_number").nullable
    assert contract.pii == ("mail",)


def test_elements_of_an_array_of_pii_are_pii(tmp_path: Path) -> None:
    table = {"table": "things", "kind": "current_state", "description": "x", "key": ["id", "line_number"]}
    source = write_source(
        tmp_path / "things",
        SCHEMA,
        silver=[{**table, "explode": "items", "keep": ["id"]}],
        classification={"items": "pii"},
    )
    assert silver_contract(source, source.file.silver[0]).pii == ("sku", "n")


def test_quarantine_keeps_values_as_text_with_reasons_and_origin(source: Source) -> None:
    contract = quarantine_contract(source, source.file.silver[1])
    assert names(contract) == ["id", "at", "mail", "sku", "n", "line_number", "_broken_rules", *ORIGIN, "day"]
    assert {column.type for column in contract.columns[:5]} == {"string"}
    assert contract.pii == ("mail",)
    assert contract.rules == ()
    assert contract.partition_column == "day"


@pytest.mark.parametrize("every", load_sources(), ids=lambda source: source.name)
def test_no_secret_is_in_any_contract_and_every_pii_column_is_a_token(every: Source) -> None:
    record = every.record.columns
    secrets = {column.name for column in record if column.classification is Classification.SECRET}
    bronze = bronze_contract(every)
    assert secrets.isdisjoint(names(bronze))
    for table in every.file.silver:
        published = silver_contract(every, table).published()
        quarantine = quarantine_contract(every, table)
        assert secrets.isdisjoint([*names(published), *names(quarantine)])
        for name in published.pii:
            assert f"{name}.pattern" in {rule.name for rule in published.rules}
        assert set(published.pii) == set(quarantine.pii)


def test_a_secret_at_any_depth_is_in_no_contract(source: Source) -> None:
    contracts = [bronze_contract(source)]
    for table in source.file.silver:
        contracts += [silver_contract(source, table), quarantine_contract(source, table)]
    shown = " ".join(name for contract in contracts for name in names(contract))
    assert not {"password", "pin", "vault"} & set(shown.replace("_", " ").split())


def test_without_event_time_a_row_is_dated_by_its_landing(tmp_path: Path) -> None:
    source = write_source(tmp_path / "things", SCHEMA)
    assert silver_contract(source, source.file.silver[0]).event_time == "_landed_at"
    assert bronze_contract(source).event_time == "_landed_at"

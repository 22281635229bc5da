"""Which fields look personal or secret, and that nothing of them is left in an excerpt."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from platform_assets.contracts.json_schema import read_json_schema
from platform_assets.contracts.model import Classification
from platform_assets.operations.onboarding.disguise import excerpt
from platform_assets.operations.onboarding.infer import infer
from platform_assets.operations.onboarding.personal import classify
from platform_assets_tests.operations.onboarding.samples import Record, write_csv, write_lines

PII, SECRET = Classification.PII, Classification.SECRET
CARDS = ["4111 1111 1111 1111", "5500-0000-0000-0004", "340000000000009", "6011000000000004"]


def kind(path: str, values: list[Any], source: str = "things") -> Classification | None:
    found = classify(source, tuple(path.split(".")), values)
    return found[0] if found else None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        *((name, PII) for name in ("email", "userEmail", "e-mail", "Contact Phone Number", "phone", "fax")),
        *((name, PII) for name in ("first_name", "lastName", "surname", "username", "shipping_name")),
        *((name, PII) for name in ("address", "street", "address_line_1", "zip", "postal_code", "ip_address")),
        *((name, PII) for name in ("date_of_birth", "birthdate", "iban", "ssn", "passport_number", "card_number")),
        *((name, SECRET) for name in ("password", "apiKey", "client_secret", "access_token", "cvv", "pin")),
        *((name, None) for name in ("id", "amount", "name", "file_name", "token_type", "cvc_check", "city", "tip")),
        *((name, None) for name in ("description", "shipping_cost", "phone_model", "addressable", "spinning")),
        ("customer.name", PII),
        ("customer.latitude", PII),
        ("station.latitude", None),
    ],
)
def test_a_name_says_what_a_field_holds(path: str, expected: Classification | None) -> None:
    assert kind(path, ["x"]) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["ann@example.com"], PII),
        (["nothing", "write to ann@example.com please", "nothing"], PII),
        (["+49 30 1234567", "(030) 765-4321", "030 1112223"], PII),
        (["192.0.2.7", "192.0.2.8", "192.0.2.9"], PII),
        (["123-45-6789", "987-65-4321", "111-22-3333"], PII),
        (["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "FR1420041010050500013M02606"], PII),
        (["Ann Miller", "Ben T. Smith", "Zoë Müller-Lang"], PII),
        (CARDS, SECRET),
        (["4111111111111112", "5500000000000005", "340000000000001"], None),
        (["sk_live_0123456789abcdef"], SECRET),
        (["2026-11-21", "2026-11-22", "2026-11-23"], None),
        (["2026-11-21 10:00:00", "2026-11-22 10:00:00", "2026-11-23 10:00:00"], None),
        (["10.5", "11.5", "12.5"], None),
        (["Big Box", "small box", "box"], None),
        ([1, 2, 3], None),
        ([], None),
    ],
)
def test_values_say_what_a_field_holds(values: list[Any], expected: Classification | None) -> None:
    assert kind("value", values) == expected


def test_a_name_is_a_person_s_where_the_source_is_about_persons() -> None:
    assert kind("name", ["x"], "customers") is PII
    assert kind("name", ["x"], "products") is None


def test_a_flag_about_something_personal_is_not_personal() -> None:
    assert kind("email_verified", [True, False]) is None
    assert kind("has_password", [True]) is None


def test_what_lists_and_free_objects_hold_marks_the_field_that_is_a_column(tmp_path: Path) -> None:
    record = {"id": 1, "contacts": [{"email": "ann@example.com"}], "more": {"ann@example.com": {"n": 1}, "5": 2}}
    inferred = infer(write_lines(tmp_path / "a.jsonl", [record, {**record, "id": 2}]))
    assert inferred.classification["contacts"][0] is PII
    assert read_json_schema(inferred.schema, {p: k for p, (k, _) in inferred.classification.items()}).columns


def test_what_is_inside_a_marked_field_is_not_marked_again(tmp_path: Path) -> None:
    records = [{"id": 1, "address": {"street": "Long Lane", "zip": "12345", "pin": "1234"}}]
    found = infer(write_lines(tmp_path / "a.jsonl", records)).classification
    assert {path: kind for path, (kind, _) in found.items()} == {"address": PII, "address.pin": SECRET}


@pytest.mark.parametrize("path", ["email", "card", "notes"])
def test_no_reason_quotes_a_value(path: str) -> None:
    for values in (["ann@example.com"] * 3, CARDS, ["+49 30 1234567"] * 3):
        found = classify("customers", (path,), values)
        assert found is not None
        assert not any(value in found[1] for value in values)


# The excerpt

PERSON: Record = {
    "id": 17,
    "customer_id": "C-88231",
    "email": "ann.miller@personal.example",
    "name": {"first": "Annabel", "last": "Millerton"},
    "phone": 4930123456789,
    "birth_date": "1987-06-05",
    "notes": "Annabel called, wants Millerton Lane 7 instead",
    "ip": "198.51.100.77",
    "password": "hunter2hunter2",
    "status": "open",
    "amount": 12.5,
    "tags": ["vip", "annabel"],
    "seen": "2026-11-21T10:00:00Z",
    "site": "https://annabel.example/millerton",
    "extra": {"4711": {"who": "Annabel"}},
}
PERSONAL = ["annabel", "millerton", "ann.miller", "4930123456789", "1987-06-05", "198.51.100.77", "hunter2", "88231"]
PERSONAL += ["4711", "vip"]


def test_nothing_personal_is_left_in_an_excerpt(tmp_path: Path) -> None:
    records = [{**PERSON, "id": number} for number in range(150)]
    found = excerpt(infer(write_lines(tmp_path / "a.jsonl", records), "customers"))
    assert len(found) == 100
    text = json.dumps(found, default=str).lower()
    assert [word for word in PERSONAL if word in text] == []


def test_an_excerpt_keeps_what_is_not_personal_and_the_shape_of_what_is(tmp_path: Path) -> None:
    inferred = infer(write_lines(tmp_path / "a.jsonl", [{**PERSON, "id": n} for n in range(60)]), "customers")
    first, second = excerpt(inferred)[:2]
    assert {name: first[name] for name in ("id", "status", "amount", "seen")} == {
        "id": 0,
        "status": "open",
        "amount": Decimal("12.5"),
        "seen": "2026-11-21T10:00:00Z",
    }
    assert first["email"].endswith("@example.com")
    assert first["customer_id"][1] == "-"
    assert len(str(first["phone"])) == 13
    assert date.fromisoformat(first["birth_date"]) != date(1987, 6, 5)
    assert first["email"] == second["email"]  # the same value is the same made-up one


def test_an_excerpt_keeps_the_schema_and_the_key_of_its_sample(tmp_path: Path) -> None:
    records = [
        {
            "email": f"person{n}@personal.example",
            "uuid": str(UUID(int=n)),
            "zip": f"0{n:04}",
            "at": "2026-01-01 00:00:00",
        }
        for n in range(50)
    ]
    inferred = infer(write_lines(tmp_path / "a.jsonl", records))
    again = infer(write_lines(tmp_path / "b.jsonl", excerpt(inferred)))
    assert again.schema == inferred.schema
    assert len({record["email"] for record in again.sample.records}) == 50
    assert again.key.columns == inferred.key.columns


def test_json_in_a_cell_is_disguised_too(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [["id", "payload"], ["1", '{"who": "Annabel", "n": 3}'], ["2", "{}"]])
    found = excerpt(infer(path))
    assert "Annabel" not in json.dumps(found)
    assert json.loads(found[1]["payload"]) == {}
    assert len(json.loads(found[0]["payload"])) == 2

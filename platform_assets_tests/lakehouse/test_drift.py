"""Members that the schema does not have, and fields that do not arrive: kept, counted, and no secret among them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from platform_assets.lakehouse import drift
from platform_assets.lakehouse.drift import Unexpected
from platform_assets.sources.contracts import BronzeField
from platform_assets_tests.ingestion.reading import FIELDS, Reading


def lines(*records: str, envelope: bool = False) -> bytes:
    return "\n".join(json.dumps({"data": record}) if envelope else record for record in records).encode()


@pytest.mark.parametrize("envelope", [False, True])
def test_unknown_members_are_kept_beside_the_fields_and_counted_by_type(tmp_path: Path, envelope: bool) -> None:
    content = lines(
        '{"id":1,"Note":"x","new":"y","a/b":[1]}',
        '{"id":2,"new":null,"deep":{"c":[1,{"d":2}]}}',
        '{"id":3}',
        '{"ID":4,"new":7,"":true,"~1":0.5}',
        '{"new":"only"}',
        envelope=envelope,
    )
    reading = Reading(tmp_path, content, envelope=envelope)
    assert reading.rows("_row_number, id, note, _unexpected") == [
        (1, "1", "x", '{"new":"y","a/b":[1]}'),
        (2, "2", None, '{"new":null,"deep":{"c":[1,{"d":2}]}}'),
        (3, "3", None, None),
        (4, None, None, '{"ID":4,"new":7,"":true,"~1":0.5}'),
        (5, None, None, '{"new":"only"}'),
    ]
    assert reading.set.unexpected == (
        Unexpected("new", "string", 2),
        Unexpected("", "boolean", 1),
        Unexpected("ID", "integer", 1),
        Unexpected("a/b", "array", 1),
        Unexpected("deep", "object", 1),
        Unexpected("new", "null", 1),
        Unexpected("new", "integer", 1),
        Unexpected("~1", "number", 1),
    )
    assert reading.set.absent == {"id": 2, "note": 4}
    assert reading.letters == []


def test_clean_objects_have_nothing_unexpected(tmp_path: Path) -> None:
    reading = Reading(tmp_path, lines('{"id":1,"Note":""}', '{"Note":"x","id":2}'))
    assert reading.rows("DISTINCT _unexpected") == [(None,)]
    assert (reading.set.unexpected, reading.set.absent) == ((), {})


def test_unknown_member_in_one_object_changes_no_other(tmp_path: Path) -> None:
    reading = Reading(tmp_path, lines('{"id":1}'), lines('{"id":2,"new":1}'), lines('{"id":3}', "bad", '{"new":2}'))
    assert reading.rows("id, _unexpected, _row_number") == [
        ("1", None, 1),
        ("2", '{"new":1}', 1),
        ("3", None, 1),
        (None, '{"new":2}', 3),
    ]
    assert reading.letters == [(2, "not JSON: Expecting value at character 1")]


@pytest.mark.parametrize("envelope", [False, True])
def test_what_looks_like_a_secret_is_neither_kept_nor_counted(tmp_path: Path, envelope: bool) -> None:
    content = lines(
        '{"id":1,"password":"hunter2"}',
        '{"id":2,"user-password":"hunter2","userPIN":"hunter2","\\u0050assword":"hunter2","Password":"hunter2"}',
        '{"id":3,"account":{"password":"hunter2"},"x":"kept"}',
        '{"id":4,"y":[1.5,{"Pass\\tword":"kept","z":[{"user\\tpassword ":"hunter2","ü":null}]}],"password hint":""}',
        envelope=envelope,
    )
    secrets = [("password",), ("user", "password"), ("user", "pin"), ("account", "password")]
    reading = Reading(tmp_path, content, envelope=envelope, secrets=secrets)
    assert reading.rows("id, _unexpected") == [
        ("1", None),
        ("2", None),
        ("3", '{"x":"kept"}'),
        ("4", '{"y":[1.5,{"Pass\\tword":"kept","z":[{"ü":null}]}],"password hint":""}'),
    ]
    assert {found.name for found in reading.set.unexpected} == {"x", "y", "password hint"}


def test_declared_secret_keeps_an_object_on_the_fast_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from platform_assets.ingestion.json_lines import JsonLines

    monkeypatch.setattr(JsonLines, "_stage", lambda *_: pytest.fail("staged"))
    reading = Reading(tmp_path, lines('{"id":1,"password":"hunter2"}'), secrets=[("password",)])
    assert reading.rows("id, _unexpected") == [("1", None)]


def test_names_that_differ_in_case_only_are_different_members(tmp_path: Path) -> None:
    fields = [
        BronzeField("id", "id", text=False),
        BronzeField("id_2", "ID", text=True),
        BronzeField("e", "", text=False),
    ]
    content = lines('{"id":1.50,"ID":"x","":[1]}', '{"ID":2,"Id":3,"id":null}', "null")
    reading = Reading(tmp_path, content, fields=fields)
    assert reading.rows("_row_number, id, id_2, e, _unexpected") == [
        (1, "1.5", "x", "[1]", None),
        (2, None, "2", None, '{"Id":3}'),
    ]
    assert reading.letters == [(3, "not a JSON object but null")]


def test_values_where_names_belong_are_reported_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "MAX_REPORTED", 3)
    content = lines(*(json.dumps({"id": number, f"key {number}": 1, "often": 1}) for number in range(9)))
    reading = Reading(tmp_path, content)
    assert [found.name for found in reading.set.unexpected] == ["often", "key 0", "key 1"]
    assert reading.connection.execute("SELECT count(_unexpected) FROM records").fetchall() == [(9,)]


def test_fast_and_thorough_reading_agree(tmp_path: Path) -> None:
    records = [
        '{"id":1.10,"Note":"a"}',
        '{"Note":5,"id":[1, 2]}',
        '{"id":"9.5","Note":{"x":null}}',
        "{}",
        '{"id":true}',
    ]
    clean = Reading(tmp_path, lines(*records), fields=FIELDS).rows("_row_number, id, note")
    drifted = Reading(tmp_path, lines(*records, '{"new":1}')).rows("_row_number, id, note")
    spoiled = Reading(tmp_path, lines(*records, '{"new":NaN}')).rows("_row_number, id, note")
    assert drifted == [*clean, (6, None, None)]
    assert spoiled == clean


def test_numbers_beyond_64_bits_are_kept_exactly(tmp_path: Path) -> None:
    number = "-123456789012345678901234567890"
    content = lines(f'{{"id":{number},"Note":{number}}}', f'{{"id":{number},"new":{number}}}')
    for spoiled in (content, content.splitlines()[0]):
        reading = Reading(tmp_path, spoiled)
        assert (number,) in reading.rows("id")
        assert reading.rows("note")[0] == (number,)
    assert Reading(tmp_path, content).rows("_unexpected")[0] == (f'{{"new":{number}}}',)


def test_naughty_strings_arrive_unharmed_as_values_and_as_names(tmp_path: Path, real_data: Path) -> None:
    naughty = json.loads((real_data / "naughty_strings" / "blns.json").read_text())
    fields = [BronzeField(f"f{place}", name, text=True) for place, name in enumerate(dict.fromkeys(naughty))]
    values = {field.source_name: f"v{field.source_name}" for field in fields}
    plain = json.dumps(values, ensure_ascii=False)
    drifted = json.dumps({f"{name} " if name else "?": value for name, value in values.items() if name is not None})
    reading = Reading(tmp_path, lines(plain), lines(json.dumps(values)), lines(drifted), fields=fields)
    assert reading.letters == []
    columns = ", ".join(field.name for field in fields)
    rows = reading.connection.execute(f"SELECT {columns} FROM records ORDER BY _landing_generation").fetchall()
    assert rows[:2] == [tuple(values.values())] * 2
    ((unexpected,),) = reading.connection.execute(
        "SELECT _unexpected FROM records WHERE _unexpected IS NOT NULL ORDER BY ALL"
    ).fetchall()
    assert len(json.loads(unexpected)) >= len(values) - 10
    ascii_names = [field for field in fields if (field.source_name or "").isascii() and field.source_name]
    alone = {field.source_name: field.source_name for field in ascii_names}
    assert Reading(tmp_path, lines(json.dumps(alone)), fields=ascii_names).rows(
        ", ".join(field.name for field in ascii_names)
    ) == [tuple(alone.values())]

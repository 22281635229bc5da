"""Changes to a record: paths, values, and numbers that stay as they were written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.operations.fixed_record import changed, parse_change, parse_record, written
from platform_assets.operations.quarantined_rows import QuarantineError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_a_record_is_written_as_it_was_read(value: object) -> None:
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)
        assert json.loads(written(parse_record(text)).encode()) == value


@pytest.mark.parametrize(
    "number", ["9.50", "1e2", "0.1000000000000000055511151231257827", "123456789012345678901234567890"]
)
def test_numbers_stay_as_they_were_written(number: str) -> None:
    assert (
        written(changed(parse_record(f'{{"a":{number},"b":[{number}]}}'), [], None))
        == f'{{"a":{number},"b":[{number}]}}'
    )
    assert written(changed({}, [parse_change(f"a={number}")], None)) == f'{{"a":{number}}}'


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("quantity=2", {"quantity": 2}),
        ("name=Ada Lovelace", {"name": "Ada Lovelace"}),
        ('code="007"', {"code": "007"}),
        ("code=007", {"code": "007"}),
        ("limit=NaN", {"limit": "NaN"}),
        ("note=a=b", {"note": "a=b"}),
        ("note=", {"note": ""}),
        ("gone=null", {"gone": None}),
        ("address.city=Bonn", {"address": {"city": "Bonn", "zip": "1"}}),
        ("person.name.first=Ada", {"person": {"name": {"first": "Ada"}}}),
        ("lines[1].quantity=3", {"lines": [{"quantity": 1}, {"quantity": 3}]}),
        ('lines=[{"quantity": 1}]', {"lines": [{"quantity": 1}]}),
        ("/odd.name/a~1b=1", {"odd.name": {"a/b": 1}}),
        ("/lines/0/quantity=9", {"lines": [{"quantity": 9}, {"quantity": -1}]}),
    ],
)
def test_a_change_replaces_one_value(change: str, expected: dict[str, Any]) -> None:
    record = {"address": {"city": "Ulm", "zip": "1"}, "person": None, "lines": [{"quantity": 1}, {"quantity": -1}]}
    before = json.dumps(record)
    assert changed(record, [parse_change(change)], None) == {**record, **expected}
    assert json.dumps(record) == before


@pytest.mark.parametrize("change", ["quantity", "=2", "a..b=1", "a[x]=1", ".a=1", "a.=1"])
def test_what_is_no_change_is_refused(change: str) -> None:
    with pytest.raises(QuarantineError, match="--set wants field=value"):
        parse_change(change)


def test_what_may_be_a_value_is_not_repeated() -> None:
    with pytest.raises(QuarantineError) as refused:
        parse_change("ada@example.com")
    assert "ada" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("lines[2].quantity=1", "lines.* is a list of 2, counted from 0, so it has no 2"),
        ("lines.quantity=1", "lines is a list of 2, counted from 0, so it has no 'quantity'"),
        ("address[0]=1", "address is an object, whose values have names, so it has no 0"),
        ("lines[0].quantiti=1", "no field 'quantiti'; did you mean `quantity`?"),
        ("adress.city=1", "no field 'adress'; did you mean `address`?"),
        ("zzz=1", "no field 'zzz'; there are address, lines, free"),
    ],
)
def test_a_place_that_a_record_cannot_have_is_refused(change: str, says: str) -> None:
    text = {"type": "string"}
    schema = {
        "properties": {
            "address": {"properties": {"city": text}},
            "lines": {"items": {"properties": {"quantity": {"type": "integer"}}}},
            "free": {"type": "object"},
        }
    }
    record = {"address": {"city": "Ulm"}, "lines": [{"quantity": 1}, {"quantity": -1}]}
    with pytest.raises(QuarantineError, match=says):
        changed(record, [parse_change(change)], schema)
    assert changed(record, [parse_change("free.any=1")], schema)["free"] == {"any": 1}

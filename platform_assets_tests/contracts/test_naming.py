"""Names of columns: for every name that a source may use, one that no other has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.contracts.json_schema import bronze_names, read_json_schema
from platform_assets.contracts.naming import column_names, distinct, snake_case


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (["userId", "user_id", "user-id"], ["user_id", "user_id_2", "user_id_3"]),
        (["", "!", "名前", "😀"], ["column_1", "column_2", "名前", "column_4"]),
        (["rowid", "ROWID"], ["rowid_2", "rowid_3"]),
        (["a", "A", "a_2"], ["a", "a_2", "a_2_2"]),
        (["select", "order", "_landing_uri"], ["select", "order", "landing_uri"]),
        (["column_2", "?"], ["column_2", "column_2_2"]),
    ],
)
def test_every_name_gives_a_column_of_its_own(names: list[str], columns: list[str]) -> None:
    assert column_names((name,) for name in names) == columns


def test_steps_of_a_path_are_joined() -> None:
    paths = [("user", "firstName"), ("user_first", "name"), ("!", "x"), ("!", "?")]
    assert column_names(paths) == ["user_first_name", "user_first_name_2", "x", "column_4"]


@given(st.lists(st.text(max_size=4)))
def test_no_two_columns_have_one_name_and_an_addition_renames_none(names: list[str]) -> None:
    columns = column_names((name,) for name in names)
    assert len({column.lower() for column in columns}) == len(names)
    assert all(columns)
    assert column_names((name,) for name in names[:-1]) == columns[:-1]
    assert len(set(distinct(names))) == len(names)


def test_columns_know_where_they_arrive() -> None:
    properties = {
        "userId": {"type": "string"},
        "user-id": {"type": "object", "properties": {"a": {"type": "string"}, "A": {"type": "integer"}}},
        "?": {"type": "number"},
    }
    columns = read_json_schema({"type": "object", "properties": properties}, {}).columns
    assert [(column.name, column.path, column.bronze) for column in columns] == [
        ("user_id", ("userId",), ""),
        ("user_id_a", ("user-id", "a"), "user_id_2"),
        ("user_id_a_2", ("user-id", "A"), "user_id_2"),
        ("column_4", ("?",), "column_3"),
    ]
    assert bronze_names(properties) == {"userId": "user_id", "user-id": "user_id_2", "?": "column_3"}


def test_naughty_strings_are_names(real_data: Path) -> None:
    naughty = list(dict.fromkeys(json.loads((real_data / "naughty_strings" / "blns.json").read_text())))
    columns = column_names((name,) for name in naughty)
    assert len({column.lower() for column in columns}) == len(naughty)
    assert snake_case("") == ""

"""What a JSON Schema becomes: columns, types, rules, classification; and what is refused in words."""

from __future__ import annotations

from typing import Any

import pytest

from platform_assets.contracts.json_schema import SchemaColumns, read_json_schema
from platform_assets.contracts.model import Classification, Column, Contract, ContractError, Rule
from platform_assets.contracts.naming import snake_case


def read(properties: dict[str, Any], *required: str, **classification: str) -> SchemaColumns:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    classified = {path: Classification(value) for path, value in classification.items()}
    return read_json_schema(schema, classified)


def read_one(schema: dict[str, Any]) -> tuple[Column, list[tuple[str, object]]]:
    """The column and rules of one property `v`."""
    found = read({"v": schema})
    return found.columns[0], [(rule.kind, rule.argument) for rule in found.rules]


@pytest.mark.parametrize(
    ("schema", "type_"),
    [
        ({"type": "string"}, "string"),
        ({"type": "string", "format": "date-time"}, "timestamp"),
        ({"type": "string", "format": "date"}, "date"),
        ({"type": "string", "format": "uri"}, "string"),
        ({"type": "integer"}, "integer"),
        ({"type": "number"}, "double"),
        ({"type": ["integer", "number"]}, "double"),
        ({"type": "number", "multipleOf": 0.01}, "decimal(18,2)"),
        ({"type": "number", "multipleOf": 1}, "decimal(18,0)"),
        ({"type": "number", "multipleOf": 1.0}, "decimal(18,0)"),
        ({"type": "number", "multipleOf": 1e-06}, "decimal(18,6)"),
        ({"type": "boolean"}, "boolean"),
        ({"type": "object"}, "object"),
        ({"type": "array", "items": {"type": "string"}}, "array"),
        ({"enum": ["a", "b"]}, "string"),
        ({"type": ["null", "integer"]}, "integer"),
    ],
)
def test_every_json_type_has_a_logical_type(schema: dict[str, Any], type_: str) -> None:
    assert read_one(schema)[0].type == type_


@pytest.mark.parametrize(
    ("schema", "rules"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 9}, [("minimum", 1), ("maximum", 9)]),
        (
            {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            [("exclusive_minimum", 0), ("exclusive_maximum", 1)],
        ),
        (
            {"type": "string", "minLength": 1, "maxLength": 2, "pattern": "^x"},
            [("min_length", 1), ("max_length", 2), ("pattern", "^x")],
        ),
        ({"type": ["string", "null"], "enum": ["a", None]}, [("one_of", ("a",))]),
        ({"type": "string", "format": "email"}, [("email", None)]),
        ({"type": "string", "format": "uuid"}, [("uuid", None)]),
        ({"type": "string", "format": "uri"}, [("uri", None)]),
        ({"type": "string", "format": "ipv4"}, [("ipv4", None)]),
        ({"type": "string", "format": "ipv6"}, [("ipv6", None)]),
        ({"type": "string", "format": "hostname"}, [("hostname", None)]),
        ({"type": "string", "format": "time"}, [("iso_time", None)]),
        ({"type": "string", "format": "color"}, []),
        ({"type": "integer", "const": 7}, [("one_of", (7,))]),
        ({"type": "string", "title": "No promise", "default": "x", "examples": ["y"]}, []),
    ],
)
def test_every_promise_becomes_a_rule(schema: dict[str, Any], rules: list[tuple[str, object]]) -> None:
    assert read_one(schema)[1] == rules


def test_a_column_may_be_null_unless_it_and_all_around_it_are_required() -> None:
    inner = {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    found = read({"x": inner, "y": inner, "z": {"type": ["string", "null"]}}, "x", "z")
    nullable = {column.name: column.nullable for column in found.columns}
    assert nullable == {"x_a": False, "x_b": True, "y_a": True, "y_b": True, "z": True}


def test_nested_objects_become_one_column_per_leaf_in_the_order_of_the_schema() -> None:
    name = {
        "type": "object",
        "properties": {"firstName": {"type": "string", "description": "Given."}, "n-1": {"type": "string"}},
    }
    found = read({"userId": {"type": "integer"}, "name": name})
    assert [(column.name, column.path) for column in found.columns] == [
        ("user_id", ("userId",)),
        ("name_first_name", ("name", "firstName")),
        ("name_n_1", ("name", "n-1")),
    ]
    assert found.columns[1].description == "Given."


def test_a_classification_covers_everything_below_it_until_a_nearer_one_says_otherwise() -> None:
    geo = {"type": "object", "properties": {"lat": {"type": "number"}}}
    address = {"type": "object", "properties": {"city": {"type": "string"}, "street": {"type": "string"}, "geo": geo}}
    schema = {"type": "object", "properties": {"address": address, "id": {"type": "integer"}}}
    classification = {
        "address": Classification.PII,
        "address.city": Classification.PUBLIC,
        "address.geo": Classification.SECRET,
    }
    found = {column.name: column.classification.value for column in read_json_schema(schema, classification).columns}
    assert found == {"address_city": "public", "address_street": "pii", "address_geo_lat": "secret", "id": "public"}


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "text"}, "v: unknown JSON type 'text'"),
        ({}, "v: the schema states no `type`"),
        ({"$ref": "#/x"}, "v: the schema states no `type`"),
        ({"enum": [1, 2]}, "v: the schema states no `type`"),
        ({"type": ["string", "integer"]}, r"v: a column holds one type, the schema allows \['integer', 'string'\]"),
        ({"type": "null"}, r"v: a column holds one type"),
        ({"type": "number", "multipleOf": 5}, "v: multipleOf is 5; expected 1, 0.1, 0.01"),
        ({"type": "number", "multipleOf": 0.05}, "v: multipleOf is 0.05"),
        ({"type": "number", "multipleOf": 10}, "v: multipleOf is 10"),
        ({"type": "number", "multipleOf": 1e-20}, "v: multipleOf is 1e-20"),
        ({"type": "string", "minimum": 1}, "v: `minimum` says nothing about a string"),
        ({"type": "integer", "pattern": "x"}, "v: `pattern` says nothing about a integer"),
        ({"type": "string", "format": "date-time", "minLength": 1}, "v: `minLength` says nothing about a timestamp"),
        ({"type": "array", "maxLength": 1}, "v: `maxLength` says nothing about a array"),
        ({"type": "object", "enum": [{}]}, "v: `enum` of a object is not known"),
        ({"type": "array", "const": []}, "v: `const` of a array is not known"),
        ({"type": "string", "enum": [["a"]]}, r"v\.one_of: .* is nothing that a value can be compared with"),
    ],
)
def test_a_schema_that_makes_no_column_is_refused_in_words(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        read_one(schema)


@pytest.mark.parametrize("schema", [{}, {"type": "array"}, {"properties": []}])
def test_a_record_is_an_object_with_properties(schema: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="the schema: expected an object schema with `properties`"):
        read_json_schema(schema, {})


@pytest.mark.parametrize("path", ["nothing", "v.below", "V"])
def test_a_classification_of_nothing_is_refused(path: str) -> None:
    with pytest.raises(ContractError, match=f"classification names '{path}', which the schema does not have"):
        read({"v": {"type": "string"}}, **{path: "pii"})


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("userId", "user_id"),
        ("first-name", "first_name"),
        ("HTTPStatus", "httpstatus"),
        ("a.b c", "a_b_c"),
        ("größe", "größe"),
        ("x1Y2", "x1_y2"),
        ("_private_", "private"),
    ],
)
def test_names_become_snake_case(name: str, snake: str) -> None:
    assert snake_case(name) == snake


# The contract itself


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(ContractError, match=r"silver\.t: column user_id is declared twice"):
        Contract("silver.t", (Column("user_id", "string"), Column("user_id", "integer")))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"key": ("b",)}, r"silver\.t: key names 'b', which is no column; columns: \['a'\]"),
        ({"ordering": ("b",)}, "ordering names 'b'"),
        ({"clustering": ("b",)}, "clustering names 'b'"),
        ({"event_time": "b"}, "event_time or partition_column names 'b'"),
        ({"partition_column": "b"}, "event_time or partition_column names 'b'"),
        ({"rules": (Rule("minimum", "b", 1),)}, "rule names 'b'"),
    ],
)
def test_a_contract_that_names_no_column_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        Contract("silver.t", (Column("a", "integer"),), **wrong)


def test_a_column_cannot_be_called_like_duckdb_s_own() -> None:
    with pytest.raises(ContractError, match="no column can be called rowid"):
        Contract("silver.t", (Column("rowid", "integer"),))


@pytest.mark.parametrize("type_", ["text", "decimal", "decimal(18)", "INTEGER", ""])
def test_an_unknown_type_is_refused_with_those_that_there_are(type_: str) -> None:
    with pytest.raises(
        ContractError, match=r"column a: unknown type '.*'; expected one of string, .*decimal\(precision"
    ):
        Column("a", type_)


def test_a_published_contract_promises_tokens_instead_of_clear_values() -> None:
    contract = Contract(
        "silver.t",
        (
            Column("id", "integer", nullable=False),
            Column("born", "date", False, "Birth.", ("born",), Classification.PII),
        ),
        rules=(Rule("minimum", "id", 1), Rule("email", "born")),
    )
    published = contract.published()
    assert published.column("born").type == "string"
    assert published.column("born").nullable is False
    assert published.column("born").description == "Birth. (token: HMAC-SHA256)"
    assert [rule.name for rule in published.rules] == ["id.minimum", "born.pattern"]
    assert contract.pii == published.pii == ("born",)

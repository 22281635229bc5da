"""Reads a JSON Schema (draft 7 or 2020-12) into the columns and rules of a contract.

Nested objects with properties become one column per leaf, named by the path in snake_case (`name.firstname` →
`name_firstname`); arrays and free objects stay JSON text. Annotations that carry no promise are ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from platform_assets.contracts.model import Classification, Column, ContractError, Rule
from platform_assets.contracts.naming import column_names, snake_case

_FORMAT_TYPES = {"date-time": "timestamp", "date": "date"}
_FORMAT_RULES = {
    "email": "email",
    "uuid": "uuid",
    "uri": "uri",
    "ipv4": "ipv4",
    "ipv6": "ipv6",
    "hostname": "hostname",
    "time": "iso_time",
}
_KEYWORD_RULES = {
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusiveMinimum": "exclusive_minimum",
    "exclusiveMaximum": "exclusive_maximum",
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
    "enum": "one_of",
    "const": "one_of",
}
_NUMBER_KEYWORDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
_DECIMAL_PRECISION = 18


@dataclass(frozen=True)
class SchemaColumns:
    """Columns and rules that a JSON Schema promises, in its order."""

    columns: tuple[Column, ...]
    rules: tuple[Rule, ...]


def read_json_schema(schema: Mapping[str, Any], classification: Mapping[str, Classification]) -> SchemaColumns:
    """The columns and rules of an object schema.

    Args:
        schema: the parsed JSON Schema of one record.
        classification: dotted source path to classification; it covers everything below that path.

    Raises:
        ContractError: the schema is no object schema, uses an unknown type, or a classified path does not exist.
    """
    columns: list[Column] = []
    rules: list[Rule] = []
    leaves = list(_leaves(schema, (), required=True))
    names = column_names(column.path for column, _ in leaves)
    tops = bronze_names(schema["properties"])
    for name, (column, property_schema) in zip(names, leaves, strict=True):
        top = tops[column.path[0]]
        named = replace(column, name=name, bronze="" if top == snake_case(column.path[0]) else top)
        classified = _classify(named, classification)
        columns.append(classified)
        rules.extend(_rules(classified, property_schema))
    _refuse_unknown_paths(columns, classification)
    return SchemaColumns(tuple(columns), tuple(rules))


def bronze_names(properties: Iterable[str]) -> dict[str, str]:
    """The bronze column of each top-level property."""
    names = list(properties)
    return dict(zip(names, column_names((name,) for name in names), strict=True))


def _leaves(
    schema: Mapping[str, Any], path: tuple[str, ...], *, required: bool
) -> Iterator[tuple[Column, Mapping[str, Any]]]:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        raise ContractError(f"{'.'.join(path) or 'the schema'}: expected an object schema with `properties`")
    needed = set(schema.get("required", ()))
    for name, property_schema in properties.items():
        here = (*path, name)
        kinds = _kinds(property_schema, here)
        mandatory = required and name in needed and "null" not in kinds
        if "object" in kinds and "properties" in property_schema:
            yield from _leaves(property_schema, here, required=mandatory)
        else:
            yield (
                Column(
                    name="",  # depends on those before it
                    type=_logical_type(property_schema, kinds, here),
                    nullable=not mandatory,
                    description=str(property_schema.get("description", "")),
                    path=here,
                ),
                property_schema,
            )


def _kinds(schema: Mapping[str, Any], path: tuple[str, ...]) -> set[str]:
    kinds = schema.get("type")
    if kinds is None and all(isinstance(value, str) for value in schema.get("enum", [None])):
        kinds = "string"
    if kinds is None:
        raise ContractError(f"{'.'.join(path)}: the schema states no `type`")
    return {kinds} if isinstance(kinds, str) else set(kinds)


def _logical_type(schema: Mapping[str, Any], kinds: set[str], path: tuple[str, ...]) -> str:
    concrete = kinds - {"null"}
    if concrete == {"integer", "number"}:
        concrete = {"number"}
    if len(concrete) != 1:
        raise ContractError(f"{'.'.join(path)}: a column holds one type, the schema allows {sorted(kinds)}")
    kind = concrete.pop()
    if kind == "string":
        return _FORMAT_TYPES.get(str(schema.get("format")), "string")
    if kind == "number":
        return _number_type(schema, path)
    if kind in {"integer", "boolean", "object", "array"}:
        return kind
    raise ContractError(f"{'.'.join(path)}: unknown JSON type {kind!r}")


def _number_type(schema: Mapping[str, Any], path: tuple[str, ...]) -> str:
    """`multipleOf: 0.01` is money: an exact decimal of that scale; any other number is a double."""
    step = schema.get("multipleOf")
    if step is None:
        return "double"
    scale = -Decimal(str(step)).adjusted()
    if Decimal(str(step)) != Decimal(1).scaleb(-scale) or not 0 <= scale <= _DECIMAL_PRECISION:
        raise ContractError(f"{'.'.join(path)}: multipleOf is {step}; expected 1, 0.1, 0.01 and so on, down to 1e-18")
    return f"decimal({_DECIMAL_PRECISION},{scale})"


def _rules(column: Column, schema: Mapping[str, Any]) -> Iterator[Rule]:
    for keyword, kind in _KEYWORD_RULES.items():
        if keyword in schema:
            _refuse_misplaced(column, keyword)
            argument = [schema[keyword]] if keyword == "const" else schema[keyword]
            if kind == "one_of":
                argument = tuple(value for value in argument if value is not None)
            yield Rule(kind, column.name, argument)
    if schema.get("format") in _FORMAT_RULES and column.type == "string":
        yield Rule(_FORMAT_RULES[schema["format"]], column.name)


def _refuse_misplaced(column: Column, keyword: str) -> None:
    """A promise about text cannot be kept by a number, nor one about numbers by text."""
    numeric = column.decimal is not None or column.type in {"integer", "double"}
    about_text = keyword in {"minLength", "maxLength", "pattern"}
    if (about_text and column.type != "string") or (keyword in _NUMBER_KEYWORDS and not numeric):
        raise ContractError(f"{'.'.join(column.path)}: `{keyword}` says nothing about a {column.type}; leave it out")
    if keyword in {"enum", "const"} and not numeric and column.type not in {"string", "boolean"}:
        raise ContractError(f"{'.'.join(column.path)}: `{keyword}` of a {column.type} is not known; leave it out")


def _classify(column: Column, classification: Mapping[str, Classification]) -> Column:
    for length in range(len(column.path), 0, -1):
        found = classification.get(".".join(column.path[:length]))
        if found is not None:
            return replace(column, classification=Classification(found))
    return column


def classified(record: SchemaColumns, classification: Mapping[str, Classification]) -> SchemaColumns:
    """The same with what of the classification its columns have; a path that they do not have says nothing here."""
    return replace(record, columns=tuple(_classify(column, classification) for column in record.columns))


def classifiable(columns: Iterable[Column]) -> set[str]:
    """The dotted paths that a classification may name: columns, and what they are in."""
    return {".".join(column.path[:length]) for column in columns for length in range(1, len(column.path) + 1)}


def _refuse_unknown_paths(columns: list[Column], classification: Mapping[str, Classification]) -> None:
    known = classifiable(columns)
    for path in classification:
        if path not in known:
            raise ContractError(f"classification names {path!r}, which the schema does not have")

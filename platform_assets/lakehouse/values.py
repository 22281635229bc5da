"""How a column's value is taken from a bronze row: first as the text that arrived, then in its type. SQL only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_assets.contracts.naming import snake_case
from platform_assets.contracts.rules import literal, quote
from platform_assets.sources.contracts import ELEMENT, TEXT_TYPES

if TYPE_CHECKING:
    from platform_assets.contracts.model import Column

EACH_ELEMENT = '"each element"'  # a name that no field can have


def raw_value(column: Column) -> str:
    """The value as text as it arrived: text columns as their text, anything else as its JSON text."""
    if column.type not in TEXT_TYPES:
        return f"nullif({container(column.path, bronze_column(column))}, 'null')"
    if column.path[0] == ELEMENT:
        return f"json_extract_string({EACH_ELEMENT}, {literal(_json_path(column.path[1:]))})"
    top = quote(bronze_column(column))
    return top if len(column.path) == 1 else f"json_extract_string({top}, {literal(_json_path(column.path[1:]))})"


def typed_value(column: Column, raw: str) -> str:
    """The value in its type, or null where the text is none of that type."""
    if column.decimal:
        precision, scale = column.decimal
        # What lies beyond eight more digits is the noise of a producer that computes in floats.
        exact = f"TRY_CAST({raw} AS DECIMAL(38, {scale + 8}))"
        typed = f"TRY_CAST({raw} AS DECIMAL({precision}, {scale}))"
        return f"CASE WHEN {exact} = {typed} THEN {typed} END"
    starts_with_digit = f"{raw} BETWEEN '0' AND ':'"
    timestamp, day = f"TRY_CAST({raw} AS TIMESTAMPTZ)", f"TRY_CAST({raw} AS DATE)"
    # DuckDB knows more years than ISO 8601, Python and BigQuery do.
    moments = "BETWEEN TIMESTAMPTZ '0001-01-01 00:00:00Z' AND TIMESTAMPTZ '9999-12-31 23:59:59.999999Z'"
    days = "BETWEEN DATE '0001-01-01' AND DATE '9999-12-31'"
    expressions = {
        "integer": f"CASE WHEN regexp_full_match({raw}, '-?\\d+(\\.0+)?') THEN TRY_CAST({raw} AS BIGINT) END",
        "double": f"CASE WHEN isfinite(TRY_CAST({raw} AS DOUBLE)) THEN TRY_CAST({raw} AS DOUBLE) END",
        "boolean": f"CASE {raw} WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END",
        "timestamp": f"CASE WHEN {starts_with_digit} AND {timestamp} {moments} THEN {timestamp} END",
        "date": f"CASE WHEN {starts_with_digit} AND {day} {days} THEN {day} END",
        "object": f"CASE WHEN json_type({raw}) = 'OBJECT' THEN {raw} END",
        "array": f"CASE WHEN json_type({raw}) = 'ARRAY' THEN {raw} END",
    }
    return expressions.get(column.type, raw)


def utc_date(column: Column, value: str) -> str:
    """The date (UTC) of a typed moment or date; a cast of a moment would ask the calendar of the time zone."""
    return f"make_timestamp(epoch_us({value}))::DATE" if column.type == "timestamp" else f"CAST({value} AS DATE)"


def bronze_column(column: Column) -> str:
    """The column of bronze that holds a column's value, or an object with it."""
    return column.bronze or snake_case(column.path[0])


def container(path: tuple[str, ...], top: str) -> str:
    """JSON text of the value at `path` of the record, whose outermost value bronze holds in `top`, or of an element."""
    if path[0] == ELEMENT:
        return _below(EACH_ELEMENT, path[1:])
    return _below(quote(top), path[1:])


def _below(column: str, path: tuple[str, ...]) -> str:
    return f"json_extract({column}, {literal(_json_path(path))})::VARCHAR" if path else f"{column}::VARCHAR"


def _json_path(path: tuple[str, ...]) -> str:
    """A JSON pointer: a JSONPath has wildcards, even between quotes."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)

"""A typed DuckDB value as the text that JSON of the same value has. Exact: no number becomes a double on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_assets.contracts.rules import literal
from platform_assets.ingestion.strict_json import suspicious

if TYPE_CHECKING:
    from duckdb.sqltypes import DuckDBPyType

_INTEGERS = {f"{sign}{size}" for sign in ("", "u") for size in ("tinyint", "smallint", "integer", "bigint", "hugeint")}
NESTED = {"struct", "list", "array", "map"}
_TIMESTAMPS = {"timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns"}


def plain_text(value: str, kind: DuckDBPyType) -> str:
    """SQL: a value as the text of a text field: a text as it is, a moment in ISO 8601, anything else as its JSON."""
    return _text(value, kind) or json_text(value, kind)


def json_text(value: str, kind: DuckDBPyType) -> str:
    """SQL: a value as JSON text, null for null.

    Args:
        value: SQL of the value.
        kind: its type.
    """
    name = kind.id
    if name in {"boolean", "decimal", *_INTEGERS}:
        return f"{value}::VARCHAR"
    if name in {"float", "double"}:  # JSON has no infinity: as a text it is told apart, and refused where it matters
        return f"CASE WHEN isfinite({value}) THEN {value}::VARCHAR ELSE to_json({value}::VARCHAR)::VARCHAR END"
    return _nested(value, kind) or _quoted_text(value, kind)


def _nested(value: str, kind: DuckDBPyType) -> str | None:
    """SQL: a value that holds others as JSON text, or None if it holds none."""
    name = kind.id
    inner = _inner(kind)
    if name == "struct":
        members = [(literal(key), json_text(f"struct_extract({value}, {literal(key)})", k)) for key, k in inner]
        return _object_text(value, members)
    if name in {"list", "array"}:
        element = json_text("item", inner[0][1])
        return _joined(value, "[", f"coalesce({element}, 'null')", "]")
    if name == "map":
        (_, key), (_, held) = inner
        text, held_text = plain_text("item.key", key), json_text("item.value", held)
        member = f"to_json({text})::VARCHAR || ':' || coalesce({held_text}, 'null')"
        return _joined(f"map_entries({value})", "{", member, "}")
    return None


def _inner(kind: DuckDBPyType) -> list[tuple[str, DuckDBPyType]]:
    """Name and type of each part of a nested type; an array has its length as well."""
    from duckdb.sqltypes import DuckDBPyType

    nested = kind.children if kind.id in NESTED else []
    return [(name, part) for name, part in nested if isinstance(part, DuckDBPyType)]


def _quoted_text(value: str, kind: DuckDBPyType) -> str:
    """SQL: a text, or what is written as one, as JSON text."""
    text = _text(value, kind)
    if str(kind) == "JSON":
        document = f"CASE WHEN json_valid({text}) THEN NOT {suspicious(str(text))} ELSE FALSE END"
        return f"CASE WHEN {value} IS NULL THEN NULL WHEN {document} THEN {text} ELSE {_quoted(str(text))} END"
    return _quoted(text or f"{value}::VARCHAR")


def _text(value: str, kind: DuckDBPyType) -> str | None:
    """SQL: the text of what JSON has no type for, or None if JSON has one."""
    name = kind.id
    if name in {"varchar", "uuid", "enum", "time", "date", "interval", "time with time zone", "bit"}:
        return f"{value}::VARCHAR"
    if name == "blob":  # old writers mark no text as such
        return f"coalesce(TRY(decode({value})), to_base64({value}))"
    if name in _TIMESTAMPS:
        return _moment(value)
    if name == "timestamp with time zone":
        return _moment(f"({value} AT TIME ZONE 'UTC')")
    return None


def _moment(value: str) -> str:
    """ISO 8601 in UTC. A time without zone is taken for that, as everywhere in the platform."""
    return f"replace({value}::VARCHAR, ' ', 'T') || 'Z'"


def _quoted(text: str) -> str:
    return f"CASE WHEN {text} IS NOT NULL THEN to_json({text})::VARCHAR END"


def _joined(items: str, opening: str, item: str, closing: str) -> str:
    """SQL: the texts of a list's items, of which each is `item`, in brackets."""
    texts = f"list_transform({items}, lambda item: {item})"
    return f"CASE WHEN {items} IS NOT NULL THEN '{opening}' || array_to_string({texts}, ',') || '{closing}' END"


def _object_text(value: str, members: list[tuple[str, str]]) -> str:
    parts = [f"to_json({key})::VARCHAR || ':' || coalesce({text}, 'null')" for key, text in members]
    inner = " || ',' || ".join(parts) or "''"
    return f"CASE WHEN {value} IS NOT NULL THEN '{{' || {inner} || '}}' END"

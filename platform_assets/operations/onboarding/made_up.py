"""Records made from a schema alone, for the dry run of a source that has no sample yet.

They keep types, required fields and most rules. A pattern is not solved: its column gets plain text, and the dry run
then shows the rows in quarantine, which is the moment to put a real sample beside the schema.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from platform_assets.contracts.json_schema import SchemaColumns, read_json_schema

if TYPE_CHECKING:
    from pathlib import Path

    from platform_assets.contracts.model import Column, Rule
    from platform_assets.sources.model import Source

MADE_UP = "made-up.jsonl"
_TEXTS = {
    "email": "person{n}@example.com",
    "uri": "https://example.com/{n}",
    "ip": "192.0.2.{octet}",
    "ipv4": "192.0.2.{octet}",
    "ipv6": "2001:db8::{octet}",
    "hostname": "host{n}.example.com",
    "currency": "EUR",
    "country": "DE",
}


def write_made_up(source: Source, folder: Path, count: int = 100) -> Path:
    """A JSON lines file of `count` records; a source without a schema gets records of an id and a time."""
    path = folder / MADE_UP
    lines = (json.dumps(_record(source, number), default=str) for number in range(1, count + 1))
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def _record(source: Source, number: int) -> dict[str, Any]:
    if source.record_schema is None:
        return {"id": number, "updated_at": _moment(number).isoformat()}
    record = _object(source.record, number)
    for name, schema in source.record_schema["properties"].items():
        element = schema.get("items", {})
        if "properties" in element:
            record[name] = [_object(read_json_schema(element, {}), number)]
    return record


def _object(schema: SchemaColumns, number: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for column in schema.columns:
        inside = made
        for step in column.path[:-1]:
            inside = inside.setdefault(step, {})
        rules = {rule.kind: rule for rule in schema.rules if rule.column == column.name}
        inside[column.path[-1]] = _value(column, rules, number)
    return made


def _value(column: Column, rules: Mapping[str, Rule], number: int) -> object:
    if "one_of" in rules:
        choices = rules["one_of"].argument
        return choices[number % len(choices)] if isinstance(choices, tuple) else choices
    if column.type in {"integer", "double"} or column.decimal:
        return _number(column, rules, number)
    made: Mapping[str, object] = {
        "boolean": number % 2 == 0,
        "date": _moment(number).date().isoformat(),
        "timestamp": _moment(number).isoformat(),
        "object": {},
        "array": [],
    }
    return made.get(column.type, _text(column, rules, number))


def _number(column: Column, rules: Mapping[str, Rule], number: int) -> float:
    def bound(*kinds: str) -> float | None:
        found = (rules[kind].argument for kind in kinds if kind in rules)
        return next((float(value) for value in found if isinstance(value, int | float)), None)

    low, high = bound("minimum", "exclusive_minimum"), bound("maximum", "exclusive_maximum")
    start = low if low is not None else (high - 100 if high is not None and high < number else 0)
    room = (high - start) if high is not None else None
    step = number if room is None or number < room else max(room / 2, 0)
    return int(start + step) if column.type == "integer" else round(start + step, 2)


def _text(column: Column, rules: Mapping[str, Rule], number: int) -> str:
    if "uuid" in rules:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{column.name}/{number}"))
    known = next((text for kind, text in _TEXTS.items() if kind in rules), None)
    text = known.format(n=number, octet=number % 250 + 1) if known else f"{column.name} {number}"
    limits = {kind: rules[kind].argument for kind in ("min_length", "max_length") if kind in rules}
    shortest, longest = limits.get("min_length", 0), limits.get("max_length", len(text))
    if isinstance(shortest, int) and isinstance(longest, int):
        text = text[-max(longest, 0) :].rjust(shortest, "x") if longest else ""
    return text


def _moment(number: int) -> datetime:
    """Today (UTC), a second apart, never in the future."""
    now = datetime.now(UTC).replace(microsecond=0)
    return max(now - timedelta(seconds=number), now.replace(hour=0, minute=0, second=0))

"""Writes source folders as a company has them after some years: many, alike in kind, each different.

The same number and seed always give the same files, and a source is the same however many there are beside it.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import yaml

DOMAINS = ("commerce", "finance", "iot", "marketing", "mobility", "product_analytics", "support")
_EVERY = 5  # every fifth source is a master list, to which the four after it may refer
_SYSTEMS = ("erp", "crm", "shop", "billing", "fleet", "warehouse", "helpdesk", "campaign", "sensor", "partner")
_LISTS = ("customers", "products", "vehicles", "employees", "stores", "contracts")
_EVENTS = ("orders", "payments", "visits", "trips", "tickets", "readings", "shipments", "returns", "calls")
_TEXT: dict[str, Any] = {"type": "string"}
_FIELDS: dict[str, dict[str, Any]] = {
    "status": {**_TEXT, "enum": ["open", "paid", "shipped", "closed", "cancelled"]},
    "channel": {**_TEXT, "enum": ["web", "app", "store", "phone"]},
    "currency": {**_TEXT, "pattern": "^[A-Z]{3}$"},
    "country": {**_TEXT, "minLength": 2, "maxLength": 2},
    "email": {**_TEXT, "format": "email"},
    "phone": _TEXT,
    "firstName": _TEXT,
    "lastName": {**_TEXT, "minLength": 1, "maxLength": 100},
    "city": _TEXT,
    "zipCode": {**_TEXT, "maxLength": 12},
    "device": _TEXT,
    "sessionId": {**_TEXT, "format": "uuid"},
    "amount": {"type": "number", "minimum": 0, "multipleOf": 0.01},
    "tax": {"type": "number", "minimum": 0, "multipleOf": 0.01},
    "discount": {"type": "number", "minimum": 0, "maximum": 1},
    "quantity": {"type": "integer", "exclusiveMinimum": 0},
    "duration_seconds": {"type": "integer", "minimum": 0},
    "score": {"type": "number", "minimum": 0, "maximum": 100},
    "latitude": {"type": "number", "minimum": -90, "maximum": 90},
    "longitude": {"type": "number", "minimum": -180, "maximum": 180},
    "is_test": {"type": "boolean"},
    "valid_from": {**_TEXT, "format": "date"},
    "processed_at": {**_TEXT, "format": "date-time"},
    "tags": {"type": "array", "items": _TEXT},
    "attributes": {"type": "object"},
    "address": {"type": "object", "properties": {"street": _TEXT, "city": _TEXT, "geo": {"type": "object"}}},
}
_PERSONAL = ("email", "phone", "firstName", "lastName", "address")
_BIGQUERY = {"string": "STRING", "number": "FLOAT64", "integer": "INT64", "boolean": "BOOL"}
_CHECKS = {"email": "valid_email", "amount": "positive_number", "quantity": "positive"}


def write_sources(root: Path, count: int, seed: int = 7) -> list[str]:
    """Writes the folders of `count` sources below `root`; returns their names in the order of writing."""
    return [_write_source(root, number, seed) for number in range(count)]


def _write_source(root: Path, number: int, seed: int) -> str:
    random = Random(f"{seed}/{number}")
    is_list = number % _EVERY == 0
    name = _name(number, seed)
    fields = random.sample(sorted(_FIELDS), random.randint(6, 16))
    key = "id" if is_list else "event_id"
    properties: dict[str, Any] = {key: {"type": "string", "minLength": 1}}
    if not is_list:
        properties |= {"occurred_at": {"type": "string", "format": "date-time"}, "owner_id": {"type": "string"}}
    properties |= {field: _FIELDS[field] for field in fields}
    required = list(properties)[: 1 if is_list else 3]
    short = number % _EVERY == 3  # the fourth of each five
    settings = _short_form(name) if short else _long_form(random, number, seed, name, fields)
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "source.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    schema = _field_list(properties, required) if short else _json_schema(properties, required)
    (folder / "schema.v1.json").write_text(json.dumps(schema, indent=2), encoding="utf-8")
    return name


def _name(number: int, seed: int) -> str:
    random = Random(f"{seed}/{number}/name")
    things = _LISTS if number % _EVERY == 0 else _EVENTS
    return f"{random.choice(_SYSTEMS)}_{random.choice(things)}_{number:04}"


def _short_form(name: str) -> dict[str, Any]:
    """Six lines, as in S1-39."""
    return {
        "source_id": name,
        "pattern": "batch_file",
        "schedule": "0 2 * * *",
        "location": f"gs://landing-zone/{name}/",
        "format": "csv",
        "schema_file": "schema.v1.json",
    }


def _long_form(random: Random, number: int, seed: int, name: str, fields: list[str]) -> dict[str, Any]:
    domain = DOMAINS[number % len(DOMAINS)]
    is_list = number % _EVERY == 0
    settings: dict[str, Any] = {
        "source_id": name,
        "display_name": name.replace("_", " ").capitalize(),
        "description": f"{name.replace('_', ' ').capitalize()}, as the system of record tells them.",
        "owner": f"team:{domain.replace('_', '-')}",
        "domain": domain,
        "ingestion": _ingestion(number, name),
        "schema": {"file": "schema.v1.json", "evolution": "additive"},
        "classification": {field: "pii" for field in fields if field in _PERSONAL},
        "quarantine": {"max_ratio": 0.1, "minimum_rows": 100},
        "monitoring": {"freshness": {"warn_minutes": random.choice((30, 60, 90)), "fail_minutes": 120}},
    }
    checked = [{"field": field, "check": _CHECKS[field]} for field in fields if field in _CHECKS]
    if checked and random.random() < 0.5:
        settings["processing"] = {
            "bronze_to_silver": [
                {"deduplication": {"key": ["id" if is_list else "event_id"]}},
                {"data_quality": {"rules": checked}},
            ]
        }
        if not is_list:
            settings["event_time"] = "occurred_at"
        return settings
    if is_list:
        return settings | {"silver": [{"table": name, "kind": "current_state", "key": ["id"]}]}
    table = {
        "table": name,
        "kind": "events",
        "key": ["event_id"],
        "ordering": ["occurred_at"],
        "partition_column": "event_date",
        "clustering": ["owner_id"],
        "references": {"owner_id": f"silver.{_name(number - number % _EVERY, seed)}.id"},
    }
    return settings | {"event_time": "occurred_at", "silver": [table]}


def _ingestion(number: int, name: str) -> dict[str, Any]:
    patterns: list[dict[str, Any]] = [
        {"pattern": "batch_file", "format": "json", "compression": "gzip", "schedule": "0 3 * * *"},
        {"pattern": "event_streaming", "topic": f"{name}-events"},
        {"pattern": "streaming_api", "api_endpoint": f"https://api.example.com/{name}", "poll_interval": "60s"},
        {"pattern": "batch_file", "format": "parquet"},
        {"pattern": "batch_file"},
    ]
    return patterns[number % _EVERY]


def _json_schema(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    described = {
        field: {**schema, "description": f"{field.replace('_', ' ').capitalize()} as the system of record has it."}
        for field, schema in properties.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": required,
        "properties": described,
    }


def _field_list(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """The same in the form of S1-88, which has neither arrays of free objects nor promises about values."""
    fields = []
    for field, schema in properties.items():
        kind = _BIGQUERY.get(schema["type"], "JSON")
        kind = {"date-time": "TIMESTAMP", "date": "DATE"}.get(schema.get("format", ""), kind)
        mode = "REQUIRED" if field in required else "NULLABLE"
        fields.append({"name": field, "type": kind, "mode": mode, "description": f"{field} of the export."})
    return {"version": "1.0", "fields": fields}

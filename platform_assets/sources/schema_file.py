"""Reads the schema of a record: JSON Schema (draft 7 or 2020-12), or the platform's `fields` form (S1-88)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from platform_assets.contracts.words import nearest
from platform_assets.sources.yaml_file import SourceError

if TYPE_CHECKING:
    from pathlib import Path

_VERSIONED = re.compile(r"schema\.v(\d+)\.json")
_MODES = ("REQUIRED", "NULLABLE", "REPEATED")
_NUMERIC_SCALE = {"NUMERIC": 9, "DECIMAL": 9, "BIGNUMERIC": 18, "BIGDECIMAL": 18}
_TYPES: Mapping[str, Mapping[str, Any]] = {
    "STRING": {"type": "string"},
    "BYTES": {"type": "string", "contentEncoding": "base64"},
    "INT64": {"type": "integer"},
    "INTEGER": {"type": "integer"},
    "FLOAT64": {"type": "number"},
    "FLOAT": {"type": "number"},
    "BOOL": {"type": "boolean"},
    "BOOLEAN": {"type": "boolean"},
    "TIMESTAMP": {"type": "string", "format": "date-time"},
    "DATETIME": {"type": "string", "format": "date-time"},
    "DATE": {"type": "string", "format": "date"},
    "TIME": {"type": "string", "format": "time"},
    "JSON": {"type": "object"},
    "GEOGRAPHY": {"type": "string"},
}
_RECORDS = ("RECORD", "STRUCT")


def find_schema(folder: Path, name: str) -> Path | None:
    """The schema file of a source that names none: the newest `schema.v<n>.json`, or `schemas/<name>.json`."""
    versions = {int(match[1]): path for path in folder.glob("*.json") if (match := _VERSIONED.fullmatch(path.name))}
    if versions:
        return versions[max(versions)]
    beside = folder / "schemas" / f"{name}.json"
    return beside if beside.is_file() else None


def schema_version(path: Path, schema: Mapping[str, Any]) -> int:
    """The number in `schema.v<n>.json`, or the whole number of the S1-88 form's `version`; 1 where neither stands."""
    if match := _VERSIONED.fullmatch(path.name):
        return int(match[1])
    stated = re.match(r"\d+", str(schema.get("version", "")))
    return max(1, int(stated[0])) if stated else 1


def read_schema(path: Path) -> dict[str, Any]:
    """The JSON Schema of one record, whichever form the file has.

    Raises:
        SourceError: the file is missing, is not JSON, or is neither form.
    """
    try:
        schema = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_refuse_doubles)
    except FileNotFoundError:
        raise SourceError(f"{path}: there is no such file; `schema.file` is relative to the source's folder") from None
    except json.JSONDecodeError as error:
        raise SourceError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: {error}") from None
    if not isinstance(schema, dict):
        raise SourceError(f"{path}: a schema is a JSON object")
    if "fields" in schema and "properties" not in schema:
        return _from_fields(path, schema)
    return schema


def _from_fields(path: Path, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"title": schema.get("source_id", path.stem), **_object(path, schema["fields"], "fields")}


def _object(path: Path, fields: object, where: str) -> dict[str, Any]:
    if not isinstance(fields, list) or not fields:
        raise SourceError(f"{path}: `{where}` is a list of at least one field")
    properties: dict[str, Any] = {}
    required = []
    for position, field in enumerate(fields):
        here = f"{where}[{position}]"
        if not isinstance(field, Mapping) or not isinstance(field.get("name"), str):
            raise SourceError(f"{path}: `{here}` needs a `name`")
        name = field["name"]
        if name in properties:
            raise SourceError(f"{path}: `{here}`: field {name!r} is declared twice")
        mode = _one_of(path, f"{here}.mode", str(field.get("mode", "NULLABLE")).upper(), _MODES)
        properties[name] = _property(path, field, here, mode)
        if mode == "REQUIRED":
            required.append(name)
    return {"type": "object", "required": required, "properties": properties}


def _property(path: Path, field: Mapping[str, Any], here: str, mode: str) -> dict[str, Any]:
    declared = str(field.get("type", "")).upper()
    kind = _one_of(path, f"{here}.type", declared, (*_TYPES, *_NUMERIC_SCALE, *_RECORDS))
    if kind in _RECORDS:
        value = _object(path, field.get("fields"), f"{here}.fields")
    elif kind in _NUMERIC_SCALE:
        value = {"type": "number", "multipleOf": float(f"1e-{field.get('scale', _NUMERIC_SCALE[kind])}")}
    else:
        value = dict(_TYPES[kind])
    if mode == "REPEATED":
        value = {"type": "array", "items": value}
    elif mode == "NULLABLE":
        value["type"] = [value["type"], "null"]
    if field.get("description"):
        value["description"] = field["description"]
    return value


def _one_of(path: Path, where: str, word: str, words: Sequence[str]) -> str:
    if word in words:
        return word
    raise SourceError(f"{path}: `{where}` is {word!r}, expected one of {', '.join(words)}{nearest(word, words)}")


def _refuse_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        doubled = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{doubled!r} stands twice in one object")
    return found

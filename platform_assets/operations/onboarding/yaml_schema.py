"""The JSON Schema of `source.yaml`, for editors: made from the models, so that it says what they say.

It accepts the long form and the short one (`sources.forms`). What needs the record's schema, another source or a
computation, such as whether a cron expression is one, is left to `platform-assets source validate`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from platform_assets.contracts.check_catalogue import CHECKS
from platform_assets.operations.onboarding.infer import DIALECT
from platform_assets.settings import CHECKOUT
from platform_assets.sources.forms import SHORT_FORM
from platform_assets.sources.ingestion_settings import CONNECTOR_TYPES, PARAMS, SETTINGS
from platform_assets.sources.model import Conforming, DataQuality, GoldStep, Kind, SilverTable, SourceFile
from platform_assets.sources.pattern import Pattern

EDITOR_SCHEMA = CHECKOUT / "docs" / "reference" / "source.schema.json"
COMMAND = "python -m platform_assets.operations.onboarding.yaml_schema"

Schema = dict[str, Any]
_DURATION = r"^\d+ *(s|m|h|d)$"
_TOLD_HOW = ("api_endpoint", "webhook_path", "connector")


def write_schema(path: Path = EDITOR_SCHEMA) -> Path:
    """Writes the schema where source files refer to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(source_schema(), indent=2) + "\n", encoding="utf-8")
    return path


def source_schema() -> Schema:
    """The JSON Schema (2020-12) of a source file in either form."""
    schema = _tidied(SourceFile.model_json_schema(by_alias=True))
    definitions = schema.pop("$defs")
    for step in (Conforming, GoldStep):
        definitions[step.__name__] |= {"minProperties": 1, "maxProperties": 1}
    definitions[SilverTable.__name__]["allOf"] = list(_of_a_table())
    for listed in (SilverTable, DataQuality):
        definitions[listed.__name__]["properties"]["rules"]["items"] = {"$ref": "#/$defs/Check"}
    definitions["Check"] = {"anyOf": [check.json_schema for check in CHECKS.values()]}
    parts = {
        part: definitions[schema["properties"][part]["$ref"].rsplit("/", 1)[-1]] for part, _ in SHORT_FORM.values()
    }
    short = {name: parts[part]["properties"][setting] for name, (part, setting) in SHORT_FORM.items()}
    for part in parts.values():  # what a part lacks may stand at the top
        part.pop("required", None)
    return {
        "$schema": DIALECT,
        "title": "Source of the data platform",
        "description": "One source: where its records come from, what they promise, and what becomes of them.",
        "type": "object",
        "required": ["source_id"],
        "properties": schema["properties"] | short,
        "additionalProperties": False,
        "allOf": [
            _has("pattern"),
            *_once(),
            *(_of_a_pattern(pattern) for pattern in Pattern),
            *(_of_a_connector(kind) for kind in CONNECTOR_TYPES),
            _with_secret(),
        ],
        "$defs": definitions,
    }


def _tidied(schema: Any) -> Any:  # noqa: ANN401 - a JSON value
    """Without what pydantic adds for nobody: titles, and `ge` beside a duration, which is no keyword."""
    if isinstance(schema, list):
        return [_tidied(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    tidied = {name: _tidied(value) for name, value in schema.items() if name != "title" or not isinstance(value, str)}
    if tidied.get("type") == "string" and tidied.pop("ge", None) is not None:
        tidied["pattern"] = _DURATION
        tidied.pop("default", None)  # it is in seconds, which nobody may write
    return tidied


def _names(setting: str) -> list[str]:
    """What a setting of `ingestion` is called at the top of the file."""
    return [name for name, place in SHORT_FORM.items() if place == ("ingestion", setting)]


def _inside(schema: Schema) -> Schema:
    return {"required": ["ingestion"], "properties": {"ingestion": schema}}


def _has(*settings: str) -> Schema:
    """At least one of these settings of `ingestion` is said, in either form."""
    above = [{"required": [name]} for setting in settings for name in _names(setting)]
    return {"anyOf": [*above, *(_inside({"required": [setting]}) for setting in settings)]}


def _says(setting: str, value: Schema) -> Schema:
    """A setting of `ingestion` is said, and its value is as told."""
    said = {"required": [setting], "properties": {setting: value}}
    return {"anyOf": [{"required": [name], "properties": {name: value}} for name in _names(setting)] + [_inside(said)]}


def _lacks(settings: Sequence[str]) -> Schema:
    """None of these settings of `ingestion` is said, in neither form."""
    above = {name: False for setting in settings for name in _names(setting)}
    return {"properties": {**above, "ingestion": {"properties": dict.fromkeys(settings, False)}}}


def _once() -> Iterator[Schema]:
    """What stands at the top stands nowhere else."""
    for name, (part, setting) in SHORT_FORM.items():
        yield {"not": {"required": [name, part], "properties": {part: {"required": [setting]}}}}


def _of_a_pattern(pattern: Pattern) -> Schema:
    needed, known = SETTINGS[pattern]
    all_settings = {setting for more, less in SETTINGS.values() for setting in (*more, *less)}
    foreign = sorted(all_settings - {*needed, *known})
    wanted = [_has(setting) for setting in needed]
    if pattern is Pattern.STREAMING_API:
        wanted.append(_has(*_TOLD_HOW))
    return {"if": _says("pattern", {"const": pattern.value}), "then": {"allOf": [*wanted, _lacks(foreign)]}}


def _of_a_connector(kind: str) -> Schema:
    patterns, needed = CONNECTOR_TYPES[kind]
    wanted = [_says("pattern", {"enum": [pattern.value for pattern in patterns]}), *map(_has, needed)]
    if kind in PARAMS:
        names, more = PARAMS[kind]
        known = {"properties": {key: {} for key in (*names, *more)}, "additionalProperties": False}
        wanted.append(_says("params", {"type": "object", "required": [*names], **known}))
    return {"if": _says("connector_type", {"const": kind}), "then": {"allOf": wanted}}


def _with_secret() -> Schema:
    return {"if": _says("auth_type", {"not": {"const": "none"}}), "then": _has("secret_name")}


def _of_a_table() -> Iterator[Schema]:
    """Events lie in partitions; what holds a state has a key."""
    events = {"properties": {"kind": {"const": Kind.EVENTS.value}}}
    yield {"if": events, "then": {"required": ["partition_column"]}, "else": {"required": ["key"]}}


if __name__ == "__main__":
    print(write_schema())  # noqa: T201 - it is a command

"""The published JSON Schema of `source.yaml`: it is current, accepts what loads, refuses what is typically wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from platform_assets.operations.onboarding.new import TEMPLATES, new_source
from platform_assets.operations.onboarding.yaml_schema import COMMAND, EDITOR_SCHEMA, source_schema
from platform_assets.settings import CHECKOUT
from platform_assets.sources.forms import SHORT_FORM
from platform_assets.sources.yaml_file import read_yaml
from platform_assets_tests.sources.documents import DOCUMENTS, write_document
from platform_assets_tests.sources.test_wrong_sources import RIGHT, SHORT

SCHEMA = source_schema()


def wrong(folder: Path, text: str) -> list[str]:
    """What the schema says against a source file."""
    path = folder / "source.yaml"
    path.write_text(text, encoding="utf-8")
    data: Any = read_yaml(path).data
    return [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(data)]


def test_the_published_schema_is_current() -> None:
    published = json.loads(EDITOR_SCHEMA.read_text(encoding="utf-8"))
    assert published == SCHEMA, f"the source file's model has changed; run `{COMMAND}`"


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", sorted((CHECKOUT / "platform_assets" / "sources").glob("*/source.yaml")), ids=str)
def test_every_source_of_the_platform_is_valid(tmp_path: Path, path: Path) -> None:
    assert wrong(tmp_path, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_source_of_the_requirement_document_is_valid(tmp_path: Path, name: str) -> None:
    folder = write_document(tmp_path, name)
    assert wrong(tmp_path, (folder / "source.yaml").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_is_valid(tmp_path: Path, name: str) -> None:
    pattern, connector_type = TEMPLATES[name]
    written = new_source(tmp_path / "sources", "returns", pattern, connector_type=connector_type)
    assert wrong(tmp_path, written.files[0].read_text(encoding="utf-8")) == []


def test_the_forms_may_be_mixed(tmp_path: Path) -> None:
    text = "source_id: a\ningestion: {pattern: event_streaming}\npubsub_topic: t\n"
    assert wrong(tmp_path, text) == []


@pytest.mark.parametrize(
    ("right", "old", "new"),
    [
        (RIGHT, "domain: commerce", "domian: commerce"),
        (RIGHT, "source_id: returns", "source_id: Returns"),
        (RIGHT, "source_id: returns\n", ""),
        (RIGHT, "owner: team:commerce", "owner: me"),
        (RIGHT, "description: Parcels that came back.", "description: [a, b]"),
        (RIGHT, "pattern: batch_file", "pattern: fax"),
        (RIGHT, "  pattern: batch_file\n", ""),
        (RIGHT, "format: csv", "format: xlsx"),
        (RIGHT, "format: csv", "formt: csv"),
        (RIGHT, "format: csv", "webhook_path: /returns"),
        (RIGHT, "format: csv", "connector_type: webhook"),
        (RIGHT, "format: csv", "connector_type: sftp\n  secret_name: s\n  params: {host: h, username: u}"),
        (RIGHT, "check: positive", "check: positiv"),
        (RIGHT, "check: positive", "check: between, from: 1"),
        (RIGHT, "format: csv", "csv: {delimeter: ';'}"),
        (RIGHT, "pattern: batch_file", "pattern: database_cdc"),
        (RIGHT, "validation: strict", "validation: strikt"),
        (RIGHT, "email: pii", "email: private"),
        (RIGHT, "kind: events", "kind: event"),
        (RIGHT, "    partition_column: return_date\n", ""),
        (RIGHT, "{max_ratio: 0.1}", "{max_ratio: 7}"),
        (RIGHT, "{fail_minutes: 1440}", "{fail_minutes: soon}"),
        (RIGHT, "source_id: returns", "source_id: returns\nformat: csv"),
        (SHORT, "poll_interval: 60s", "poll_interval: 60"),
        (SHORT, "poll_interval: 60s", "poll_interval: 60s\nauth_type: bearer_token"),
        (SHORT, "api_endpoint: https://returns.example.com/v1\n", ""),
        (SHORT, "pattern: streaming_api", "pattern: rest"),
        (SHORT, "pattern: streaming_api\n", ""),
        (SHORT, "poll_interval: 60s", "tables: [a]"),
    ],
)
def test_a_typical_mistake_is_not_valid(tmp_path: Path, right: str, old: str, new: str) -> None:
    assert wrong(tmp_path, right) == []
    assert old in right
    assert wrong(tmp_path, right.replace(old, new)) != []


def test_every_setting_of_the_short_form_is_completed() -> None:
    assert set(SHORT_FORM) <= set(SCHEMA["properties"])

"""Source folders: what is read, and how a wrong one is refused in words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from platform_assets.sources.contracts import bronze_fields, secret_paths, silver_contract
from platform_assets.sources.registry import load_source, load_sources
from platform_assets.sources.yaml_file import SourceError
from platform_assets_tests.lakehouse.bronze_rows import object_schema, write_source, write_source_files

NAME = {"type": "string"}
SCHEMA = object_schema(
    "id",
    id={"type": "integer"},
    at={"type": "string", "format": "date-time"},
    name=NAME,
    pin=NAME,
    items={"type": "array", "items": object_schema(sku=NAME)},
    words={"type": "array"},
)


def silver(**settings: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - as YAML has it
    table = {"table": "things", "kind": "current_state", "description": "Things.", "key": ["id"], **settings}
    return [{name: value for name, value in table.items() if value is not None}]


def refused(folder: Path, **settings: Any) -> str:  # noqa: ANN401 - as YAML has it
    """How a source with these settings is refused; the message starts with its file."""
    write_source_files(folder / "things", SCHEMA, **settings)
    with pytest.raises(SourceError) as caught:
        load_source(folder / "things")
    message = str(caught.value)
    assert message.startswith(str(folder / "things" / "source.yaml"))
    return message


def test_the_platform_s_own_sources_load() -> None:
    names = [source.name for source in load_sources()]
    assert {"fakestore_carts", "fakestore_products", "fakestore_users", "web_events"} <= set(names)
    assert names == sorted(names)


def test_a_source_is_its_file_its_schema_and_its_folder(tmp_path: Path) -> None:
    source = write_source(tmp_path / "things", SCHEMA)
    assert (source.name, source.folder) == ("things", tmp_path / "things")
    assert [column.name for column in source.record.columns] == ["id", "at", "name", "pin", "items", "words"]
    assert source.file.quarantine.max_ratio == 0.5
    assert source.file.freshness.fail_window.total_seconds() == 3600
    assert source.file.freshness.warn_window is None


def test_an_empty_folder_has_no_sources_and_files_beside_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("x", encoding="utf-8")
    (tmp_path / "draft").mkdir()
    assert load_sources(tmp_path) == ()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"silver": silver(key=[])}, "things: a table of kind `current_state` needs a `key`"),
        ({"silver": silver(explode="name")}, "things: `explode` names 'name', which is no array with `items`"),
        ({"silver": silver(explode="items", keep=["nothing"])}, "things: `keep` names 'nothing'"),
        ({"silver": silver(references={"nothing": "silver.things.id"})}, "silver.things: rule names 'nothing'"),
        ({"classification": {"pin": "secret"}, "silver": silver(ordering=["pin"])}, "ordering names 'pin'"),
        ({"classification": {"items": "secret"}, "silver": silver(explode="items", keep=["id"])}, "'items', a secret"),
    ],
)
def test_a_table_that_its_record_cannot_make_is_refused(
    tmp_path: Path, settings: dict[str, Any], expected: str
) -> None:
    assert expected in refused(tmp_path, **settings)


def test_a_missing_source_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere/source\.yaml: there is no such file"):
        load_source(tmp_path / "nowhere")


@pytest.mark.parametrize("target", ["silver.others.id", "silver.things.nothing", "things.id", "bronze.things.id"])
def test_a_reference_to_nothing_is_refused(tmp_path: Path, target: str) -> None:
    write_source(tmp_path / "things", SCHEMA, silver=silver(references={"name": target}))
    with pytest.raises(
        SourceError, match=f"things/source.yaml:16: things.name refers to '{target}', which no source has"
    ):
        load_sources(tmp_path)


def test_a_reference_across_sources_is_found(tmp_path: Path) -> None:
    write_source(tmp_path / "things", SCHEMA, silver=silver(references={"name": "silver.others.id"}))
    write_source(tmp_path / "others", object_schema("id", id=NAME))
    assert [source.name for source in load_sources(tmp_path)] == ["others", "things"]


def test_reading_the_sources_loads_no_engine() -> None:
    code = (
        "import sys; from platform_assets.sources.registry import load_sources; load_sources(); "
        "print({'duckdb', 'polars', 'pandera', 'pyiceberg', 'pyarrow', 'dagster', 'google.cloud'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_secret_that_only_a_later_version_has_never_gets_into_bronze(tmp_path: Path) -> None:
    person = object_schema(name=NAME)
    first = object_schema("id", id={"type": "integer"}, person=person)
    later = object_schema(
        "id", id={"type": "integer"}, person=object_schema(name=NAME, pin=NAME), token=NAME, mail=NAME
    )
    tables = [*silver(), {**silver()[0], "table": "things_v2", "schema": "schema.v2.json"}]
    classified = {"person.pin": "secret", "token": "secret", "mail": "pii"}
    write_source_files(
        tmp_path / "things", first, schema={"file": "schema.v1.json"}, silver=tables, classification=classified
    )
    (tmp_path / "things" / "schema.v2.json").write_text(json.dumps(later), encoding="utf-8")
    source = load_source(tmp_path / "things")
    kept = {field.source_name: field.dropped for field in bronze_fields(source)}
    assert kept == {"id": (), "person": (("pin",),), "mail": ()}
    assert set(secret_paths(source)) == {("person", "pin"), ("token",)}
    second = silver_contract(source, source.file.silver[1])
    assert second.pii == ("mail",)
    assert "token" not in [column.name for column in second.columns]


@pytest.mark.parametrize(
    "said", [{"classification": {"password": "secret"}}, {"event_time": "at"}, {"silver": silver()}]
)
def test_what_is_about_fields_is_refused_where_no_schema_has_any(tmp_path: Path, said: dict[str, Any]) -> None:
    write_source_files(tmp_path / "things", SCHEMA, **{"silver": None, **said})
    (tmp_path / "things" / "schema.v1.json").unlink()
    with pytest.raises(SourceError, match=f"`{next(iter(said))}` is about fields, and there is no schema"):
        load_source(tmp_path / "things")

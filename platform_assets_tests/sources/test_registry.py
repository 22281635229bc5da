"""Source folders: what is read, and how a wrong one is refused in words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from platform_assets.sources.registry import SourceError, load_source, load_sources
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
    assert source.file.monitoring.freshness.fail_window.total_seconds() == 3600
    assert source.file.monitoring.freshness.warn_window is None


def test_an_empty_folder_has_no_sources_and_files_beside_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("x", encoding="utf-8")
    (tmp_path / "draft").mkdir()
    assert load_sources(tmp_path) == ()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"quarantine": {"ratio": 1}}, "quarantine.ratio: Extra inputs"),
        ({"quarantine": {"max_ratio": 1.5}}, "quarantine.max_ratio: Input should be less than or equal to 1"),
        ({"quarantine": {"max_ratio": 0}}, "quarantine.max_ratio: Input should be greater than 0"),
        ({"ingestion": {"pattern": "fax"}}, "ingestion.pattern: Input should be 'batch_file', 'rest_snapshot'"),
        ({"ingestion": {"pattern": "rest_snapshot"}}, "ingestion.pattern rest_snapshot needs ingestion.path"),
        ({"ingestion": {"pattern": "event_streaming", "topic": "t"}}, "needs ingestion.subscription"),
        ({"owner": "me"}, "owner: String should match pattern"),
        ({"domain": "My Shop"}, "domain: String should match pattern"),
        ({"owner": None}, "owner: Field required"),
        ({"monitoring": {"freshness": {}}}, "monitoring.freshness.fail_minutes: Field required"),
        (
            {"monitoring": {"freshness": {"fail_minutes": 0}}},
            "fail_minutes: Input should be greater than or equal to 1",
        ),
        ({"classification": {"name": "private"}}, "classification.name: Input should be 'public', 'pii' or 'secret'"),
        ({"classification": {"nothing": "pii"}}, "classification names 'nothing', which the schema does not have"),
        ({"silver": []}, "silver: Tuple should have at least 1 item"),
        ({"silver": silver(kind="history")}, "silver.0.kind: Input should be 'events', 'current_state' or 'scd2'"),
        ({"silver": silver(key=[])}, "silver.0.key: Tuple should have at least 1 item"),
        ({"silver": silver(key=["nothing"])}, "silver.things: key names 'nothing', which is no column; columns: "),
        ({"silver": silver(ordering=["nothing"])}, "silver.things: ordering names 'nothing'"),
        ({"silver": silver(clustering=["nothing"])}, "silver.things: clustering names 'nothing'"),
        ({"silver": silver(clustering=list("abcde"))}, "silver.0.clustering: Tuple should have at most 4 items"),
        ({"silver": silver(explode="nothing")}, "things: `explode` names 'nothing', which is no array with `items`"),
        ({"silver": silver(explode="name")}, "things: `explode` names 'name', which is no array with `items`"),
        ({"silver": silver(explode="words")}, "things: `explode` names 'words', which is no array with `items`"),
        ({"silver": silver(explode="items", keep=["nothing"])}, "things: `keep` names 'nothing'"),
        ({"silver": silver(keep=["id"])}, "`keep` says what an exploded element keeps, but nothing is exploded"),
        ({"silver": silver(references={"nothing": "silver.things.id"})}, "silver.things: rule names 'nothing'"),
        ({"silver": silver(kind="events", partition_column="day")}, "needs `event_time`"),
        ({"silver": silver(kind="events"), "event_time": "at"}, "`partition_column` belongs to kind `events`"),
        ({"silver": silver(partition_column="day")}, "`partition_column` belongs to kind `events`"),
        ({"event_time": "nothing"}, "silver.things: event_time or partition_column names 'nothing'"),
        ({"source_id": "others"}, "source_id is 'others', but the folder is called 'things'"),
        ({"classification": {"pin": "secret"}, "silver": silver(ordering=["pin"])}, "ordering names 'pin'"),
        ({"classification": {"items": "secret"}, "silver": silver(explode="items", keep=["id"])}, "'items', a secret"),
    ],
)
def test_a_source_that_cannot_be_used_is_refused_with_what_was_expected(
    tmp_path: Path, settings: dict[str, Any], expected: str
) -> None:
    assert expected in refused(tmp_path, **settings)


def test_a_missing_schema_file_is_named(tmp_path: Path) -> None:
    write_source_files(tmp_path / "things", SCHEMA, schema={"file": "schema.v2.json"})
    with pytest.raises(SourceError, match=r"things/schema\.v2\.json: .*No such file"):
        load_source(tmp_path / "things")


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("source.yaml", "a: [", r"source\.yaml: "),
        ("source.yaml", "", r"source\.yaml: file: Input should be a valid dictionary"),
        ("schema.v1.json", "{", r"schema\.v1\.json: "),
        ("schema.v1.json", "[]", r"schema\.v1\.json: a JSON Schema is an object"),
        ("schema.v1.json", "{}", r"expected an object schema with `properties`"),
    ],
)
def test_a_file_that_says_nothing_is_named(tmp_path: Path, file: str, text: str, expected: str) -> None:
    write_source_files(tmp_path / "things", SCHEMA)
    (tmp_path / "things" / file).write_text(text, encoding="utf-8")
    with pytest.raises(SourceError, match=expected):
        load_source(tmp_path / "things")


def test_a_missing_source_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere/source\.yaml: .*No such file"):
        load_source(tmp_path / "nowhere")


@pytest.mark.parametrize("target", ["silver.others.id", "silver.things.nothing", "things.id", "bronze.things.id"])
def test_a_reference_to_nothing_is_refused(tmp_path: Path, target: str) -> None:
    write_source(tmp_path / "things", SCHEMA, silver=silver(references={"name": target}))
    with pytest.raises(SourceError, match=f"things/source.yaml: things.name refers to '{target}', which no source has"):
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

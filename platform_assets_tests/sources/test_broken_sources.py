"""One source folder that cannot be used: refused where a person waits for the answer, left out where others run on."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from benchmarks.generated_sources import write_sources
from platform_assets.definitions import build_definitions
from platform_assets.operations.doctor import diagnose
from platform_assets.settings import load_settings
from platform_assets.sources.registry import load_sources, read_sources
from platform_assets.sources.yaml_file import SourceError


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Six sources, of which the second and the fifth refer to the first."""
    monkeypatch.setenv("PLATFORM_SOURCES", str(tmp_path))
    return write_sources(tmp_path, 6)


@pytest.fixture
def left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform as it is deployed."""
    monkeypatch.setenv("PLATFORM_BROKEN_SOURCES", "leave_out")


def rewrite(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_all_that_is_broken_is_refused_at_once(tmp_path: Path, names: list[str]) -> None:
    rewrite(tmp_path / names[1] / "source.yaml", "domain:", "domian:")
    rewrite(tmp_path / names[4] / "schema.v1.json", "{", "[")
    with pytest.raises(SourceError) as caught:
        load_sources()
    message = str(caught.value)
    assert f"{names[1]}/source.yaml:5: unknown setting `domian`; did you mean `domain`?" in message
    assert f"{names[4]}/schema.v1.json:2: not JSON" in message


@pytest.mark.usefixtures("left_out")
def test_the_others_are_loaded_and_the_broken_one_is_told(tmp_path: Path, names: list[str]) -> None:
    rewrite(tmp_path / names[3] / "source.yaml", "batch_file", "batch_fiel")
    assert [source.name for source in load_sources()] == sorted(set(names) - {names[3]})
    ((folder, error),) = read_sources(tmp_path).broken.items()
    assert folder == tmp_path / names[3]
    assert f"{names[3]}/source.yaml:2: `ingestion.pattern` is 'batch_fiel', expected one of" in str(error)


@pytest.mark.usefixtures("left_out")
def test_what_refers_to_a_broken_source_runs_on(tmp_path: Path, names: list[str]) -> None:
    rewrite(tmp_path / names[0] / "source.yaml", "source_id", "sauce_id")
    assert [source.name for source in load_sources()] == sorted(names[1:])
    graph = build_definitions().resolve_asset_graph()
    assert dg.AssetKey(["silver", names[1]]) in graph.materializable_asset_keys
    assert dg.AssetKey(["silver", names[0]]) not in graph.materializable_asset_keys


@pytest.mark.usefixtures("left_out")
def test_a_reference_to_nothing_leaves_out_only_the_source_that_makes_it(tmp_path: Path, names: list[str]) -> None:
    rewrite(tmp_path / names[1] / "source.yaml", f"silver.{names[0]}.id", "silver.nobody.id")
    assert [source.name for source in load_sources()] == sorted({*names} - {names[1]})


@pytest.mark.usefixtures("left_out")
def test_of_two_sources_with_one_table_that_with_its_name_has_it(tmp_path: Path, names: list[str]) -> None:
    copied, owner = names[1], names[3]
    assert copied < owner
    rewrite(tmp_path / copied / "source.yaml", f"table: {copied}", f"table: {owner}")
    found = read_sources(tmp_path)
    assert [source.name for source in found.sources] == sorted(set(names) - {copied})
    assert f"silver.{owner} is a table of {tmp_path / owner / 'source.yaml'} already" in str(
        found.broken[tmp_path / copied]
    )


@pytest.mark.usefixtures("left_out")
def test_what_no_check_foresaw_stops_no_other_source(
    tmp_path: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from platform_assets.sources import registry

    load_folder = registry.load_folder

    def fails_once(folder: Path) -> object:
        if folder.name == names[2]:
            raise ZeroDivisionError("division by zero")
        return load_folder(folder)

    monkeypatch.setattr(registry, "load_folder", fails_once)
    found = read_sources(tmp_path)
    assert [source.name for source in found.sources] == sorted(set(names) - {names[2]})
    error = found.broken[tmp_path / names[2]]
    assert "ZeroDivisionError: division by zero" in str(error)
    assert isinstance(error.__cause__, ZeroDivisionError)


@pytest.mark.usefixtures("left_out")
def test_a_sensor_fails_with_the_reason_as_long_as_a_source_is_left_out(tmp_path: Path, names: list[str]) -> None:
    assert "broken_sources" not in {sensor.name for sensor in build_definitions().sensors or ()}
    (tmp_path / names[5] / "schema.v1.json").write_text(json.dumps([]), encoding="utf-8")
    read_sources.cache_clear()
    sensor = next(s for s in build_definitions().sensors or () if s.name == "broken_sources")
    assert isinstance(sensor, dg.SensorDefinition)
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    assert names[5] in str(sensor.description)
    with pytest.raises(SourceError, match=f"(?s)1 source folder.*{names[5]}/source.yaml:.*a schema is a JSON object"):
        sensor(dg.build_sensor_context())


@pytest.mark.usefixtures("left_out")
def test_the_doctor_names_every_broken_source(tmp_path: Path, names: list[str]) -> None:
    rewrite(tmp_path / names[1] / "source.yaml", "domain:", "domian:")
    findings = {finding.what: finding for finding in diagnose(load_settings()) if finding.what.startswith("source")}
    assert findings[f"source {names[1]}"].state == "broken"
    assert "did you mean `domain`?" in findings[f"source {names[1]}"].seen
    assert findings["sources"].seen == f"5 can be used in {tmp_path}"

"""What a thousand sources need: each adds the same work as the one before it, and changes nothing of the others."""

from __future__ import annotations

import cProfile
import gc
import json
import pstats
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster_shared.serdes import serialize_value

from benchmarks.automation_tick import measure
from benchmarks.definitions import exponent
from benchmarks.generated_sources import write_sources
from platform_assets.automation import conditions
from platform_assets.contracts.json_schema import SchemaColumns, read_json_schema
from platform_assets.contracts.model import Classification
from platform_assets.definitions import build_definitions
from platform_assets.loading import kept_for_good
from platform_assets.sources import contracts
from platform_assets.sources.registry import load_sources, read_sources


def load(root: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> dg.RepositoryDefinition:
    """All that happens when `count` generated sources are loaded."""
    folder = root / str(count)
    if not folder.exists():
        write_sources(folder, count)
    monkeypatch.setenv("PLATFORM_SOURCES", str(folder))
    read_sources.cache_clear()
    repository = build_definitions().get_repository_def()
    repository.load_all_definitions()
    return repository


def test_every_source_costs_the_same_number_of_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(tmp_path, 1, monkeypatch)  # what is done once

    def calls(count: int) -> int:
        write_sources(tmp_path / str(count), count)
        profile = cProfile.Profile()
        profile.runcall(load, tmp_path, count, monkeypatch)
        statistics: Any = pstats.Stats(profile)
        return int(statistics.total_calls)

    few, some, many = calls(5), calls(20), calls(80)
    first, later = (some - few) / 15, (many - some) / 60
    assert later <= 1.1 * first, f"{first:.0f} calls for a source among 20, {later:.0f} for one among 80"


def test_nothing_is_computed_twice_for_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    derived = (contracts.bronze_contract, contracts.silver_contract, contracts.quarantine_contract)
    for function in (*derived, conditions._condition):
        function.cache_clear()
    schemas = []

    def counted(schema: dict[str, Any], classification: dict[str, Classification]) -> SchemaColumns:
        schemas.append(schema)
        return read_json_schema(schema, classification)

    monkeypatch.setattr("platform_assets.sources.registry.read_json_schema", counted)
    load(tmp_path, 20, monkeypatch)
    assert len(schemas) == 20
    assert [function.cache_info().misses for function in derived] == [20, 20, 20]
    assert conditions._condition.cache_info().currsize < 20


def parts(repository: dg.RepositoryDefinition) -> dict[str, str]:
    """What Dagster's webserver and daemon are told of every asset, check and sensor.

    Without the sensors of all tables, of which they are told only the list of those, in any order.
    """
    snapshot = RepositorySnap.from_def(repository)
    nodes = {f"asset {node.asset_key.to_user_string()}": node for node in snapshot.asset_nodes}
    checks = {f"check {c.asset_key.to_user_string()}:{c.name}": c for c in snapshot.asset_check_nodes or ()}
    of_all = ("keep_up_to_date", "mend_failed")
    sensors = {f"sensor {sensor.name}": sensor for sensor in snapshot.sensors if not sensor.name.startswith(of_all)}
    return {name: serialize_value(part) for name, part in {**nodes, **checks, **sensors}.items()}


def describe_anew(folder: Path) -> None:
    edit_yaml(folder, lambda settings: settings.update(description="Something else."))


def promise_more(folder: Path) -> None:
    edit_yaml(folder, lambda settings: settings["monitoring"]["freshness"].update(fail_minutes=100))


def edit_yaml(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    file = folder / "source.yaml"
    settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    edit(settings)
    file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def add_a_field(folder: Path) -> None:
    file = folder / "schema.v1.json"
    schema = json.loads(file.read_text(encoding="utf-8"))
    schema["properties"]["one_more"] = {"type": "string", "description": "New."}
    file.write_text(json.dumps(schema), encoding="utf-8")


def break_it(folder: Path) -> None:
    (folder / "source.yaml").write_text("source_id: [", encoding="utf-8")


@pytest.mark.parametrize("number", [0, 1], ids=["one that others refer to", "one that refers to another"])
@pytest.mark.parametrize("edit", [describe_anew, promise_more, add_a_field, break_it])
def test_a_change_of_one_source_changes_nothing_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: Callable[[Path], None], number: int
) -> None:
    monkeypatch.setenv("PLATFORM_BROKEN_SOURCES", "leave_out")
    before = parts(load(tmp_path, 10, monkeypatch))
    name = sorted(load_sources(), key=lambda source: source.name.rsplit("_")[-1])[number].name
    edit(tmp_path / "10" / name)
    after = parts(load(tmp_path, 10, monkeypatch))
    changed = {part for part in before.keys() | after.keys() if before.get(part) != after.get(part)}
    assert changed
    others = {part for part in changed if name not in part} - {"sensor broken_sources"}
    if edit is break_it:  # what refers to it is told that it is not made any more
        others -= {part for part in others if name in before[part]}
    assert not others


def test_a_look_of_the_automation_costs_less_than_with_dagsters_own_condition() -> None:
    ours, eager = measure(120, arrivals=4)
    assert ours.tables == eager.tables >= 120
    assert ours.sensors > 4 * eager.sensors
    assert ours.requested > 0
    assert ours.idle < eager.idle
    assert ours.idle_slowest < 0.5 * eager.idle


def test_the_exponent_is_that_of_the_growth() -> None:
    assert exponent([(1, 0.09), (10, 0.1), (100, 1.0), (1_000, 10.0)]) == pytest.approx(1)
    assert exponent([(10, 0.1), (100, 10.0)]) == pytest.approx(2)
    assert exponent([(1, 0.01), (10, 1.0)]) is None


def test_what_is_kept_for_good_is_not_collected_and_the_collector_goes_on() -> None:
    frozen = gc.get_freeze_count()
    with kept_for_good():
        assert not gc.isenabled()
        graph: list[list[int]] = [[] for _ in range(1_000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= frozen + len(graph)


def test_the_same_seed_makes_the_same_sources_however_many(tmp_path: Path) -> None:
    few, many = write_sources(tmp_path / "few", 7), write_sources(tmp_path / "many", 12)
    assert many[:7] == few
    for name in few:
        for file in ("source.yaml", "schema.v1.json"):
            assert (tmp_path / "few" / name / file).read_bytes() == (tmp_path / "many" / name / file).read_bytes()
    other = write_sources(tmp_path / "other", 7, seed=8)
    assert other != few

"""Runs in forks of a warm process: isolated from one another, watched, ended, and never of an old graph."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
import yaml
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.launcher.base import WorkerStatus
from dagster._daemon.monitoring.run_monitoring import monitor_started_run

from platform_assets.runs import forking
from platform_assets.runs.forking import ForkingFailed
from platform_assets.runs.launcher import ForkingRunLauncher, process_of
from platform_assets.settings import CHECKOUT
from platform_assets_tests.runs import graph

PATIENCE = 120.0
CONFIGURED = yaml.safe_load((CHECKOUT / "dagster.yaml").read_text(encoding="utf-8"))["run_launcher"]


@dataclass(frozen=True)
class Runs:
    """An instance with the launcher, and where assets tell about their process."""

    instance: dg.DagsterInstance
    place: Path
    graph: ReconstructableRepository

    def launch(self, asset: str) -> str:
        """Launches a run of the asset; its id."""
        job = self.graph.get_reconstructable_job("__ASSET_JOB")
        run = self.instance.create_run_for_job(
            graph.defs.resolve_implicit_global_asset_job_def(),
            asset_selection={dg.AssetKey(asset)},
            job_code_origin=job.get_python_origin(),
        )
        (self.place / asset).unlink(missing_ok=True)
        self.instance.launch_run(run.run_id, workspace=None)  # type: ignore[arg-type]  # which only code servers need
        return run.run_id

    def told(self, asset: str) -> dict[str, Any]:
        """What the asset says about its process, as soon as it does."""
        until((self.place / asset).exists)
        said: dict[str, Any] = json.loads((self.place / asset).read_text(encoding="utf-8"))
        return said

    def ends(self, run_id: str) -> dg.DagsterRunStatus:
        """How the run ended, as soon as it has."""
        until(lambda: self.run(run_id).is_finished)
        return self.run(run_id).status

    def run(self, run_id: str) -> dg.DagsterRun:
        """The run as Dagster knows it."""
        found = self.instance.get_run_by_id(run_id)
        assert found is not None
        return found

    def health(self, run_id: str) -> WorkerStatus:
        """What the daemon is told about it."""
        return self.instance.run_launcher.check_run_worker_health(self.run(run_id)).status


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def started(tmp_path: Path, launcher: dict[str, Any]) -> dg.DagsterInstance:
    said = {"run_launcher": launcher, "telemetry": {"enabled": False}, "run_monitoring": {"enabled": True}}
    home = tmp_path / "dagster"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
    return dg.DagsterInstance.from_config(str(home))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where assets tell; the platform's sources are empty."""
    (tmp_path / "told").mkdir()
    (tmp_path / "sources").mkdir()
    monkeypatch.setenv(graph.PLACE, str(tmp_path / "told"))
    monkeypatch.setenv("PLATFORM_SOURCES", str(tmp_path / "sources"))
    monkeypatch.setenv("PYTHONPATH", f"{CHECKOUT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    return tmp_path / "told"


@pytest.fixture
def runs(tmp_path: Path, place: Path) -> Iterator[Runs]:
    """The launcher without imports beside the graph's; runs that go on when the test is over are killed."""
    repository = ReconstructableRepository.for_module(graph.__name__, "defs", working_directory=str(CHECKOUT))
    with started(tmp_path, {**CONFIGURED, "config": {}}) as instance:
        yield Runs(instance, place, repository)
        for run in instance.get_runs():
            if process := process_of(instance, run.run_id):
                process.kill()


def test_each_run_is_a_fork_of_one_process_that_loaded_the_graph(runs: Runs) -> None:
    assert runs.ends(runs.launch("quick")) is dg.DagsterRunStatus.SUCCESS
    first = runs.told("quick")
    assert runs.ends(runs.launch("quick")) is dg.DagsterRunStatus.SUCCESS
    second = runs.told("quick")
    assert first["pid"] != second["pid"]
    assert {first["parent"], second["parent"]} == {first["loaded"]} == {second["loaded"]}
    assert os.getpid() not in {first["pid"], first["parent"]}


def test_engines_compute_in_a_fork_of_what_is_configured(tmp_path: Path, place: Path) -> None:
    """Their threads do not survive a fork: none of them may have started before."""
    repository = ReconstructableRepository.for_module(graph.__name__, "defs", working_directory=str(CHECKOUT))
    with started(tmp_path, CONFIGURED) as instance:
        runs = Runs(instance, place, repository)
        assert runs.ends(runs.launch("engines")) is dg.DagsterRunStatus.SUCCESS
    told = runs.told("engines")
    assert set(CONFIGURED["config"]["imports"]) <= set(told["modules"])
    assert "polars" not in told["modules"]


def test_a_killed_run_is_known_to_be_dead_and_takes_no_other_with_it(runs: Runs) -> None:
    killed, other = runs.launch("slow"), runs.launch("slower")
    os.kill(runs.told("slow")["pid"], signal.SIGKILL)
    until(lambda: runs.health(killed) is WorkerStatus.FAILED)
    runs.told("slower")
    assert runs.health(other) is WorkerStatus.RUNNING
    for run_id in (killed, other):  # as the daemon does
        (record,) = runs.instance.get_run_records(dg.RunsFilter(run_ids=[run_id]))
        monitor_started_run(runs.instance, None, record, dg.get_dagster_logger())  # type: ignore[arg-type]  # to resume
    assert [runs.run(run_id).status.value for run_id in (killed, other)] == ["FAILURE", "STARTED"]


def test_runs_go_on_without_the_process_that_they_were_forked_from(runs: Runs) -> None:
    running = runs.launch("slow")
    parent = psutil.Process(runs.told("slow")["parent"])
    parent.kill()
    until(lambda: not parent.is_running() or parent.status() == psutil.STATUS_ZOMBIE)
    assert runs.health(running) is WorkerStatus.RUNNING
    assert runs.ends(runs.launch("quick")) is dg.DagsterRunStatus.SUCCESS
    assert runs.told("quick")["parent"] != parent.pid


def test_the_end_of_the_launcher_ends_the_warm_process_and_no_run(runs: Runs) -> None:
    running = runs.launch("slow")
    parent = psutil.Process(runs.told("slow")["parent"])
    runs.instance.run_launcher.dispose()
    assert not parent.is_running()
    assert runs.health(running) is WorkerStatus.RUNNING


def test_a_run_that_is_terminated_is_canceled(runs: Runs) -> None:
    running = runs.launch("slow")
    runs.told("slow")
    assert runs.instance.run_launcher.terminate(running)
    assert runs.ends(running) is dg.DagsterRunStatus.CANCELED
    until(lambda: process_of(runs.instance, running) is None)
    assert not runs.instance.run_launcher.terminate(running)  # it is over


def test_another_process_can_terminate_a_run(runs: Runs, tmp_path: Path) -> None:
    """The webserver's Terminate button, while the daemon launched it."""
    running = runs.launch("slow")
    runs.told("slow")
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as webserver:
        assert webserver.run_launcher.terminate(running)
    assert runs.ends(running) is dg.DagsterRunStatus.CANCELED


def test_ctrl_c_in_the_daemons_terminal_leaves_the_warm_process_to_the_daemon(runs: Runs) -> None:
    runs.ends(runs.launch("quick"))
    parent = psutil.Process(runs.told("quick")["parent"])
    parent.send_signal(signal.SIGINT)
    runs.ends(runs.launch("quick"))
    assert runs.told("quick")["parent"] == parent.pid


def test_a_changed_source_is_in_the_next_run(runs: Runs, tmp_path: Path) -> None:
    runs.ends(runs.launch("quick"))
    before = runs.told("quick")["loaded"]
    (tmp_path / "sources" / "new").mkdir()
    (tmp_path / "sources" / "new" / "source.yaml").write_text("source_id: new", encoding="utf-8")
    runs.ends(runs.launch("quick"))
    assert runs.told("quick")["loaded"] != before


def test_a_graph_that_does_not_load_is_told_and_does_once_it_is_mended(runs: Runs, tmp_path: Path) -> None:
    broken = tmp_path / "mended_later.py"
    broken.write_text("raise RuntimeError('no such thing')", encoding="utf-8")
    elsewhere = ReconstructableRepository.for_module("mended_later", "defs", working_directory=str(tmp_path))
    wrong = Runs(runs.instance, runs.place, elsewhere)
    with pytest.raises(ForkingFailed, match="no such thing"):
        wrong.launch("quick")
    broken.write_text(f"from {graph.__name__} import defs", encoding="utf-8")
    assert wrong.ends(wrong.launch("quick")) is dg.DagsterRunStatus.SUCCESS


def test_a_graph_that_never_loads_does_not_stop_later_runs(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "endless.py").write_text("import time; time.sleep(600)", encoding="utf-8")
    elsewhere = ReconstructableRepository.for_module("endless", "defs", working_directory=str(tmp_path))
    wrong = Runs(runs.instance, runs.place, elsewhere)
    monkeypatch.setattr(forking, "PATIENCE", 1)
    with pytest.raises(ForkingFailed, match="did not load within 1 seconds"):
        wrong.launch("quick")
    monkeypatch.setattr(forking, "PATIENCE", PATIENCE)
    assert runs.ends(runs.launch("quick")) is dg.DagsterRunStatus.SUCCESS


def test_another_process_with_the_number_of_a_dead_run_is_not_it(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    running = runs.launch("slow")
    runs.told("slow")
    assert process_of(runs.instance, running) is not None
    with monkeypatch.context() as later:
        later.setattr(psutil.Process, "create_time", lambda _: time.time() + 60)
        assert process_of(runs.instance, running) is None


def test_dagster_finds_the_launcher_in_the_projects_configuration(tmp_path: Path) -> None:
    with started(tmp_path, CONFIGURED) as instance:
        assert isinstance(instance.run_launcher, ForkingRunLauncher)
        assert instance.run_launcher.supports_check_run_worker_health

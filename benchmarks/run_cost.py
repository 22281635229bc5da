"""What a run costs beside its work: `python -m benchmarks.run_cost`, in the checkout.

One small partition of bronze, silver and gold is made in turns by three: a run as Dagster's own launcher starts it (a
new Python under the code server), a run as `dagster.yaml` says, and the same functions called in a process that has
imported all of it and done it once. What the clock showed when a run reached each of its stations is in Dagster's event
log; what its process used of the processor is read from the system until it ends. What a run takes in its step beyond
the functions is mostly what it imports there.

Also measured: what Dagster adds for each step of a run, with steps that do nothing.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import psutil
import typer
import yaml

from benchmarks.measure import Ratio
from benchmarks.verdicts import Verdict, tell
from benchmarks.work.events import FIRST_DAY, KEY, events
from benchmarks.work.platform_side import SOURCE

if TYPE_CHECKING:
    import dagster as dg
    from dagster._core.workspace.context import BaseWorkspaceRequestContext

    from platform_assets.settings import Settings

CHECKOUT = Path(__file__).resolve().parent.parent
_MODEL = "event_metrics"
LAYERS: Mapping[str, Sequence[str]] = {
    "bronze": (f"bronze/{SOURCE}",),
    "silver": ("silver/events_clean", "quarantine/events_clean"),
    "gold": (f"gold/{_MODEL}",),
}
GOAL_OF_A_STEP = 0.120  # seconds (performance.md)
_ROWS = 500
_STEPS = 20
_LOCATION = "platform_assets"
_STATIONS = ("process", "definitions", "first step", "steps", "end")
_LIMIT = 180  # seconds


@dataclass(frozen=True)
class Spent:
    """One making of a partition.

    Attributes:
        wall: seconds by the clock, of a run from its launch to its end.
        processor: seconds of the processor, of a run those of its process.
        stations: of a run, seconds until its process says that it is there, has the definitions, starts its first step,
            has ended the last one, has ended.
    """

    wall: float
    processor: float
    stations: Mapping[str, float]


@dataclass(frozen=True)
class Measured:
    """One layer: cold runs, runs as configured, and the plain functions, of turns that followed each other."""

    layer: str
    cold: Sequence[Spent]
    run: Sequence[Spent]
    plain: Sequence[Spent]

    def cheaper(self, what: Callable[[Spent], float]) -> Ratio:
        """Runs as configured by cold ones."""
        return Ratio.of([(what(run), what(cold)) for run, cold in zip(self.run, self.cold, strict=True)])

    def beside_the_work(self, what: Callable[[Spent], float]) -> float:
        """Median of what a run as configured takes beyond the functions, in seconds."""
        return statistics.median(what(run) - what(plain) for run, plain in zip(self.run, self.plain, strict=True))


def main(
    *,
    repeat: Annotated[int, typer.Option(help="Turns of each layer.", min=1)] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measures a run of each layer against its work."""
    with TemporaryDirectory() as scratch:
        measured = measure(Path(scratch), repeat)
    step = cost_of_a_step(_STEPS, repeat)
    goal = f"at most {GOAL_OF_A_STEP * 1e3:.0f} ms"
    tell(Verdict("a step that does nothing", f"{step.wall * 1e3:.0f} ms", goal, step.wall <= GOAL_OF_A_STEP))
    if as_json:
        rows = [
            {**asdict(found), "of_a_cold_run": asdict(found.cheaper(lambda spent: spent.wall))} for found in measured
        ]
        typer.echo(json.dumps({"layers": rows, "step": asdict(step), "goal_of_a_step": GOAL_OF_A_STEP}, indent=2))
    else:
        _print(measured, step)


def measure(scratch: Path, repeat: int) -> list[Measured]:
    """All layers, the lower first; a first turn of each is not counted."""
    found = []
    with ExitStack() as running:
        settings = running.enter_context(_landed(scratch))
        workspace, launchers = running.enter_context(_dagster(scratch))
        for layer in LAYERS:
            plain = _work(settings, layer)
            turns = [
                (*(_run(instance, workspace, layer) for instance in launchers), _timed(plain))
                for _ in range(repeat + 1)
            ]
            found.append(Measured(layer, *zip(*turns[1:], strict=True)))
    return found


@contextmanager
def _landed(scratch: Path) -> Iterator[Settings]:
    """A platform of its own, with one object of web events in its landing bucket."""
    from google.cloud import storage

    from platform_assets.local.servers import start_gcs
    from platform_assets.settings import load_settings

    with start_gcs(scratch / "gcs", scratch / "gcs.log") as server:
        os.environ |= {
            "PLATFORM_HOME": str(scratch / "home"),
            "PLATFORM_PII_KEY": KEY,
            "STORAGE_EMULATOR_HOST": server.url,
            "DAGSTER_HOME": str(scratch / "dagster"),
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONPYCACHEPREFIX": str(scratch / "bytecode"),
        }
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        settings = load_settings()
        bucket = storage.Client(project=settings.project).create_bucket(settings.landing_bucket)
        given = events(scratch / "events", _ROWS, days=1, objects=1).folder
        for path in given.rglob("*.jsonl"):
            bucket.blob(str(path.relative_to(given))).upload_from_filename(str(path))
        yield settings


@contextmanager
def _dagster(scratch: Path) -> Iterator[tuple[BaseWorkspaceRequestContext, list[dg.DagsterInstance]]]:
    """A code server, and two instances: with Dagster's own launcher, and as `dagster.yaml` says."""
    import dagster as dg
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import GrpcServerTarget

    from platform_assets.local.servers import HOST, accepts_connections, free_port, launch

    configured = yaml.safe_load((CHECKOUT / "dagster.yaml").read_text(encoding="utf-8"))
    default = {name: value for name, value in configured.items() if name != "run_launcher"}
    for name, said in (("dagster", configured), ("default", default)):
        (scratch / name).mkdir()
        (scratch / name / "dagster.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
    port = free_port()
    command = [str(Path(sys.executable).parent / "dagster"), "code-server", "start", "--host", HOST]
    command += ["--port", str(port), "--module-name", "platform_assets.definitions", "--location-name", _LOCATION]
    command += ["--working-directory", str(CHECKOUT)]
    log = scratch / "code_server.log"
    with ExitStack() as running:
        server = launch("code server", command, f"{HOST}:{port}", log, ready=accepts_connections, deadline_seconds=180)
        running.callback(server.stop)
        cold = running.enter_context(dg.DagsterInstance.from_config(str(scratch / "default")))
        warm = running.enter_context(dg.DagsterInstance.from_config(str(scratch / "dagster")))
        target = GrpcServerTarget(host=HOST, port=port, socket=None, location_name=_LOCATION)
        context = running.enter_context(WorkspaceProcessContext(cold, target))
        yield context.create_request_context(), [cold, warm]


def _run(instance: dg.DagsterInstance, workspace: BaseWorkspaceRequestContext, layer: str) -> Spent:
    """Launches a run of the layer's partition and waits for its end."""
    import dagster as dg

    from platform_assets.definitions import defs
    from platform_assets.runs.launcher import process_of

    (repository,) = workspace.get_code_location(_LOCATION).get_repositories().values()
    job = repository.get_full_job("__ASSET_JOB")
    run = instance.create_run_for_job(
        defs.resolve_implicit_global_asset_job_def(),
        asset_selection={dg.AssetKey.from_user_string(name) for name in LAYERS[layer]},
        tags={"dagster/partition": FIRST_DAY.isoformat()},
        remote_job_origin=job.get_remote_origin(),
        job_code_origin=job.get_python_origin(),
    )
    began = time.time()
    instance.launch_run(run.run_id, workspace)
    processor, deadline = 0.0, time.monotonic() + _LIMIT
    process: psutil.Process | None = None
    while time.monotonic() < deadline:
        if process is None:
            process = process_of(instance, run.run_id)
        else:
            try:
                used = process.cpu_times()
            except psutil.NoSuchProcess:
                break
            processor = max(processor, used.user + used.system)
        time.sleep(0.01)
    ended = instance.get_run_by_id(run.run_id)
    if ended is None or not ended.is_success:
        raise SystemExit(
            f"A run of {layer} did not succeed: {ended and ended.status}; {_failure(instance, run.run_id)}"
        )
    stations = _stations(instance, run.run_id, began)
    return Spent(stations["end"], processor, stations)


def _failure(instance: dg.DagsterInstance, run_id: str) -> str:
    said = [entry.dagster_event.event_specific_data for entry in instance.all_logs(run_id) if entry.dagster_event]
    return "\n".join(str(error) for data in said if (error := getattr(data, "error", None)))


def _stations(instance: dg.DagsterInstance, run_id: str, began: float) -> dict[str, float]:
    """Seconds from the launch until a run was at each station."""
    at: dict[str, float] = {}
    for entry in instance.all_logs(run_id):
        kind = entry.dagster_event.event_type_value if entry.dagster_event else ""
        since = entry.timestamp - began
        if kind == "ENGINE_EVENT" and entry.message.startswith("Started process"):
            at.setdefault("process", since)
        elif kind == "PIPELINE_START":
            at["definitions"] = since
        elif kind == "STEP_START":
            at.setdefault("first step", since)
        elif kind == "STEP_SUCCESS":
            at["steps"] = since
        elif kind == "PIPELINE_SUCCESS":
            at["end"] = since
    return {station: at[station] for station in _STATIONS}


def _work(settings: Settings, layer: str) -> Callable[[], object]:
    """The same partition by the functions that the assets call."""
    from platform_assets.ingestion.bronze import ingest
    from platform_assets.lakehouse import dbt_run
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.silver import rebuild
    from platform_assets.sources.registry import load_sources

    lakehouse, day = Lakehouse(settings), FIRST_DAY
    source = next(source for source in load_sources() if source.name == SOURCE)
    return {
        "bronze": lambda: ingest(settings, lakehouse, source, day, rebuild=True, run_id="benchmark"),
        "silver": lambda: rebuild(lakehouse, source, source.file.silver[0], partition=day, run_id="benchmark"),
        "gold": lambda: dbt_run.build(settings, [_MODEL], day, "benchmark"),
    }[layer]


def _timed(work: Callable[[], object]) -> Spent:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - processor, {})


def cost_of_a_step(steps: int, repeat: int) -> Spent:
    """What Dagster takes for each step, of so many that do nothing, in one process and with its databases on disk."""
    import dagster as dg

    def asset(number: int) -> dg.AssetsDefinition:
        @dg.asset(name=f"a{number}", deps=[f"a{number - 1}"] if number else [])
        def nothing() -> None: ...

        return nothing

    assets = [asset(number) for number in range(steps)]
    quiet = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
    with TemporaryDirectory() as home, dg.DagsterInstance.from_config(home) as instance:
        dg.materialize(assets[:1], instance=instance, run_config=quiet)  # what is done once
        runs = [_timed(lambda: dg.materialize(assets, instance=instance, run_config=quiet)) for _ in range(repeat)]
    wall, processor = statistics.median(run.wall for run in runs), statistics.median(run.processor for run in runs)
    return Spent(wall / steps, processor / steps, {})


def _print(measured: Sequence[Measured], step: Spent) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120)
    table = Table(title="One small partition: medians, seconds from the launch", box=SIMPLE)
    for heading in ("layer", "by", *_STATIONS, "of the processor"):
        table.add_column(heading, justify="left" if heading in {"layer", "by"} else "right")
    for found in measured:
        sides = {"a cold run": found.cold, "a run as configured": found.run, "plain functions": found.plain}
        for name, spent in sides.items():
            stations = [_median(spent, lambda one, at=at: one.stations.get(at)) for at in _STATIONS[:-1]]  # type: ignore[misc]
            table.add_row(found.layer, name, *stations, *(_median(spent, get) for get in (_wall, _processor)))
    console.print(table)
    for found in measured:
        console.print(
            f"{found.layer}: a run as configured takes {found.cheaper(_wall)} of a cold one's time, "
            f"{found.cheaper(_processor)} of its processor; beside the work {found.beside_the_work(_wall):.2f} s, "
            f"{found.beside_the_work(_processor):.2f} s of the processor"
        )
    reached = "reached" if step.wall <= GOAL_OF_A_STEP else "NOT reached"
    console.print(
        f"A step that does nothing: {step.wall * 1e3:.0f} ms, {step.processor * 1e3:.0f} ms of the processor, "
        f"goal {GOAL_OF_A_STEP * 1e3:.0f} ms: {reached}"
    )


def _wall(spent: Spent) -> float:
    return spent.wall


def _processor(spent: Spent) -> float:
    return spent.processor


def _median(spent: Sequence[Spent], what: Callable[[Spent], float | None]) -> str:
    values = [value for one in spent if (value := what(one)) is not None]
    return f"{statistics.median(values):.2f}" if values else ""


if __name__ == "__main__":
    atexit.register(gc.unfreeze)  # or DuckDB takes what the graph has frozen for leaks, and lists it
    typer.run(main)

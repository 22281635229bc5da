"""What a look of the automation costs, by the number of tables: `python -m benchmarks.automation_tick`.

Per size, the graph of generated sources with so many derived tables that have dates. Its sensors are evaluated one by
one, on an instance in SQLite: when nothing has happened, and when rows arrived for many tables. The same graph with
Dagster's own `AutomationCondition.eager()` on the same tables is what the seconds are compared with. Seconds are of the
processor, of a whole tick and of its slowest sensor.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.definitions import exponent
from benchmarks.generated_sources import write_sources
from benchmarks.verdicts import Verdict, tell

if TYPE_CHECKING:
    import dagster as dg

_SIZES = (100, 300, 1_000)
_MOST_ARRIVALS = 100
GOAL = 5.0  # seconds of a whole tick at 1,000 tables (performance.md)
_GOAL_AT = 1_000
_DAYS = [f"2026-03-{day:02}" for day in range(1, 21)]


@dataclass(frozen=True)
class Measured:
    """One number of tables, one set of conditions; seconds of the processor.

    Attributes:
        tables: derived tables that have dates.
        sensors: sensors that look after them.
        idle: a tick of all sensors when nothing has happened.
        idle_slowest: of which the slowest sensor's.
        arrivals: a tick of all when rows have arrived.
        arrivals_slowest: of which the slowest sensor's.
        requested: dates of tables that the latter asked for.
    """

    conditions: str
    tables: int
    sensors: int
    idle: float
    idle_slowest: float
    arrivals: float
    arrivals_slowest: float
    requested: int


@dataclass
class Sensors:
    """The automation sensors of a graph, evaluated by hand."""

    defs: dg.Definitions
    instance: dg.DagsterInstance
    selections: list[dg.AssetSelection]
    cursors: dict[int, Any] = field(default_factory=dict)

    def tick(self) -> tuple[list[float], int]:
        """One evaluation of each: their seconds, and how many dates of tables they ask for."""
        import dagster as dg

        seconds, requested = [], 0
        for number, selection in enumerate(self.selections):
            began = time.process_time()
            found = dg.evaluate_automation_conditions(
                self.defs, self.instance, selection, cursor=self.cursors.get(number)
            )
            seconds.append(time.process_time() - began)
            self.cursors[number] = found.cursor
            requested += found.total_requested
        return seconds, requested


def main(
    assets: Annotated[list[int] | None, typer.Option(help="How many tables with dates; may be given again.")] = None,
    *,
    repeat: Annotated[int, typer.Option(help="Idle ticks, of which the fastest counts.", min=1)] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measures ticks beside those of `eager()`, and by which power of the number of tables they grow."""
    measured = [found for count in assets or _SIZES for found in measure(count, repeat)]
    growth = {
        f"{name}, {what}": exponent([(m.tables, getattr(m, what)) for m in measured if m.conditions == name])
        for name in ("ours", "eager")
        for what in ("idle", "arrivals")
    }
    for name, found in goals(measured).items():
        goal = f"at most {GOAL:.0f} s of the processor"
        tell(
            Verdict(f"tick at {_GOAL_AT:,} tables, {name}", f"{found['measured']:.2f} s", goal, bool(found["reached"]))
        )
    if as_json:
        rows = [asdict(m) for m in measured]
        typer.echo(json.dumps({"measured": rows, "exponents": growth, "goals": goals(measured)}, indent=2))
    else:
        _print(measured, growth)


def goals(measured: list[Measured]) -> dict[str, dict[str, float | bool]]:
    """What a whole tick of ours took at the size of the goal, and whether that reaches it; nothing if not measured."""
    found = next((m for m in measured if m.conditions == "ours" and m.tables >= _GOAL_AT), None)
    if found is None:
        return {}
    ticks = {"idle": found.idle, "arrivals": found.arrivals}
    return {name: {"goal": GOAL, "measured": took, "reached": took <= GOAL} for name, took in ticks.items()}


def measure(tables: int, repeat: int = 1, arrivals: int = _MOST_ARRIVALS) -> tuple[Measured, Measured]:
    """The platform's conditions and sensors, and one sensor with `eager()`, on the same graph of so many tables."""
    import dagster as dg

    with TemporaryDirectory() as scratch:
        defs = _graph(Path(scratch) / "sources", tables)
        ours = [s.asset_selection for s in defs.sensors or () if isinstance(s, dg.AutomationConditionSensorDefinition)]
        keys = [key for selection in ours for key in selection.resolve(defs.resolve_asset_graph())]
        eager = _with_eager(defs, set(keys))
        return (
            _measure("ours", defs, ours, Path(scratch) / "ours", repeat, arrivals),
            _measure("eager", eager, [dg.AssetSelection.assets(*keys)], Path(scratch) / "eager", repeat, arrivals),
        )


def _measure(
    name: str, defs: dg.Definitions, selections: list[dg.AssetSelection], home: Path, repeat: int, most: int
) -> Measured:
    import dagster as dg

    graph = defs.resolve_asset_graph()
    derived = [key for selection in selections for key in selection.resolve(graph)]
    arrivals = sorted(key for key in graph.get_all_asset_keys() if key.path[0] == "arrival")[:most]
    home.mkdir()
    (home / "dagster.yaml").touch()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        sensors = Sensors(defs, instance, selections)
        sensors.tick()  # the first one has no cursor
        idle = min((sensors.tick()[0] for _ in range(repeat)), key=sum)
        for number, key in enumerate(arrivals):
            partition = _DAYS[number % len(_DAYS)]
            instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition))
        seconds, requested = sensors.tick()
    return Measured(
        name,
        tables=sum(graph.get(key).partitions_def is not None for key in derived),
        sensors=len(selections),
        idle=sum(idle),
        idle_slowest=max(idle),
        arrivals=sum(seconds),
        arrivals_slowest=max(seconds),
        requested=requested,
    )


def _graph(folder: Path, tables: int) -> dg.Definitions:
    """The platform's graph of generated sources: four in five have dates, a silver table and a quarantine each."""
    from platform_assets.definitions import build_definitions
    from platform_assets.sources.registry import read_sources

    write_sources(folder, max(1, round(tables / 2 * 5 / 4)))
    before = os.environ.get("PLATFORM_SOURCES")
    os.environ["PLATFORM_SOURCES"] = str(folder)
    read_sources.cache_clear()
    try:
        return build_definitions()
    finally:
        read_sources.cache_clear()
        if before is None:
            del os.environ["PLATFORM_SOURCES"]
        else:
            os.environ["PLATFORM_SOURCES"] = before


def _with_eager(defs: dg.Definitions, keys: set[dg.AssetKey]) -> dg.Definitions:
    """The same graph, of which the tables have Dagster's own condition."""
    import dagster as dg

    def eager(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.replace_attributes(
            automation_condition=dg.AutomationCondition.eager() if spec.key in keys else None
        )

    assets = [
        asset.map_asset_specs(eager) if isinstance(asset, dg.AssetsDefinition) else asset for asset in defs.assets or ()
    ]
    return dg.Definitions(assets=assets, executor=defs.executor)


def _print(measured: list[Measured], growth: dict[str, float | None]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(title="A tick of the automation, seconds of the processor", box=SIMPLE)
    for heading in ("conditions", "tables", "sensors", "idle", "slowest", "arrivals", "slowest", "asked for"):
        table.add_column(heading, justify="left" if heading == "conditions" else "right")
    for m in measured:
        seconds = (f"{s:.2f}" for s in (m.idle, m.idle_slowest, m.arrivals, m.arrivals_slowest))
        table.add_row(m.conditions, f"{m.tables:,}", str(m.sensors), *seconds, f"{m.requested:,}")
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    for ours, eager in zip(measured[::2], measured[1::2], strict=True):
        console.print(
            f"{ours.tables:,} tables against eager(): idle {ours.idle / eager.idle:.2f}, "
            f"slowest sensor {ours.idle_slowest / eager.idle:.2f}; arrivals {ours.arrivals / eager.arrivals:.2f}"
        )
    for name, found in goals(measured).items():
        reached = "reached" if found["reached"] else "NOT reached"
        console.print(f"{name}, a whole tick: {found['measured']:.2f} s, goal {found['goal']:.0f} s: {reached}")
    for name, power in growth.items():
        console.print(
            f"{name}: grows with the number of tables to the power {'?' if power is None else f'{power:.2f}'}"
        )


if __name__ == "__main__":
    gc.disable()
    typer.run(main)

"""How long the graph takes to load, by the number of sources: `python -m benchmarks.definitions`, in the checkout.

Each measurement is a process of its own, with compiled bytecode, as whoever runs the platform has it. Seconds are of
the processor, which a busy machine stretches less than those of the clock.
"""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from benchmarks.generated_sources import write_sources
from benchmarks.verdicts import Verdict, tell

CHECKOUT = Path(__file__).resolve().parent.parent
_SIZES = (1, 10, 100, 1_000)
_SHORTEST = 0.1  # seconds
# At 1,000 sources (performance.md): seconds of the processor of a whole `dagster definitions validate`, MB of snapshot.
GOALS = {"validate": 8.0, "megabytes": 25.0}
_GOALS_AT = 1_000

# What `platform_assets.definitions` does when it is imported, step by step; first without any source.
_LOAD = """
import json, os, sys, time
sources, os.environ["PLATFORM_SOURCES"] = os.environ["PLATFORM_SOURCES"], os.environ["NO_SOURCES"]
steps, began = {}, time.process_time()
def step(name):
    global began
    steps[name], began = time.process_time() - began, time.process_time()
import platform_assets.definitions as definitions
step("imports")
os.environ["PLATFORM_SOURCES"] = sources
with definitions.kept_for_good():
    defs = definitions.build_definitions()
step("load")
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster_shared.serdes import serialize_value
snapshot = serialize_value(RepositorySnap.from_def(defs.get_repository_def()))
step("snapshot")
assets = len(defs.resolve_asset_graph().get_all_asset_keys())
print(json.dumps({**steps, "assets": assets, "megabytes": len(snapshot) / 1e6}))
"""


@dataclass(frozen=True)
class Measured:
    """One number of sources.

    Attributes:
        imports: seconds to import Dagster and the platform.
        load: seconds to read the sources and make the definitions.
        snapshot: seconds in which Dagster makes of them what the webserver gets, `megabytes` long.
        validate: seconds of `dagster definitions validate`.
        validate_wall: the same by the clock.
        validate_nothing: the same without any source.
    """

    sources: int
    assets: int
    imports: float
    load: float
    snapshot: float
    megabytes: float
    validate: float
    validate_wall: float
    validate_nothing: float

    @property
    def share_of_imports(self) -> float:
        """Of `validate`."""
        return self.imports / self.validate


def main(
    sources: Annotated[list[int] | None, typer.Option(help="How many sources; may be given several times.")] = None,
    *,
    repeat: Annotated[int, typer.Option(help="Measure so many times and take the fastest.", min=1)] = 2,
    seed: Annotated[int, typer.Option(help="The same seed makes the same sources.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measures the load of generated sources, and by which power of their number it grows."""
    with TemporaryDirectory() as scratch:
        measured = [_measure(Path(scratch), count, seed, repeat) for count in sources or _SIZES]
    growth = {
        "load": exponent([(m.sources, m.load) for m in measured]),
        "snapshot": exponent([(m.sources, m.snapshot) for m in measured]),
        "validate, beyond that of no source": exponent(
            [(m.sources, m.validate - m.validate_nothing) for m in measured]
        ),
    }
    for name, found in goals(measured).items():
        unit = "MB" if name == "megabytes" else "s of the processor"
        goal = f"at most {found['goal']:.0f} {unit}"
        tell(
            Verdict(
                f"definitions of {_GOALS_AT:,} sources: {name}",
                f"{found['measured']:.1f} {unit}",
                goal,
                bool(found["reached"]),
            )
        )
    if as_json:
        rows = [{**asdict(m), "share_of_imports": m.share_of_imports} for m in measured]
        typer.echo(json.dumps({"measured": rows, "exponents": growth, "goals": goals(measured)}, indent=2))
    else:
        _print(measured, growth)


def goals(measured: list[Measured]) -> dict[str, dict[str, float | bool]]:
    """Each goal, what was measured, and whether that reaches it; nothing if so many sources were not measured."""
    found = next((m for m in measured if m.sources == _GOALS_AT), None)
    if found is None:
        return {}
    values = {name: getattr(found, name) for name in GOALS}
    return {
        name: {"goal": goal, "measured": values[name], "reached": values[name] <= goal} for name, goal in GOALS.items()
    }


def exponent(points: list[tuple[int, float]]) -> float | None:
    """The power of the count by which the time grows: the slope through the logarithms.

    Times below a tenth of a second are left out, as noise and what is the same for any number outweigh the rest. None
    for fewer than two points.
    """
    logs = [(math.log(count), math.log(seconds)) for count, seconds in points if seconds >= _SHORTEST]
    if len(logs) < 2:
        return None
    middle = [sum(values) / len(logs) for values in zip(*logs, strict=True)]
    spread = sum((x - middle[0]) ** 2.0 for x, _ in logs)
    return float(sum((x - middle[0]) * (y - middle[1]) for x, y in logs) / spread)


def _measure(scratch: Path, count: int, seed: int, repeat: int) -> Measured:
    folder, nothing = scratch / str(count), scratch / "none"
    write_sources(folder, count, seed)
    nothing.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {
        "PLATFORM_SOURCES": str(folder),
        "NO_SOURCES": str(nothing),
        "PYTHONPYCACHEPREFIX": str(scratch / "bytecode"),
        "PYTHONWARNINGS": "ignore",
        "DAGSTER_HOME": str(nothing),
    }
    validate = [str(Path(sys.executable).parent / "dagster"), "definitions", "validate"]
    validate += ["-m", "platform_assets.definitions", "-d", str(CHECKOUT)]
    empty = {**environment, "PLATFORM_SOURCES": str(nothing)}
    _run(validate, empty)  # which leaves the bytecode
    bare = min(_run(validate, empty)[1] for _ in range(repeat))
    steps: list[dict[str, Any]] = []
    times = []
    for _ in range(repeat):
        output, _, _ = _run([sys.executable, "-c", _LOAD], environment)
        steps.append(json.loads(output.splitlines()[-1]))
        times.append(_run(validate, environment)[1:])
    fastest = {name: min(step[name] for step in steps) for name in steps[0]}
    return Measured(
        sources=count,
        **fastest,
        validate=min(cpu for cpu, _ in times),
        validate_wall=min(wall for _, wall in times),
        validate_nothing=bare,
    )


def _run(command: list[str], environment: dict[str, str]) -> tuple[str, float, float]:
    """What it prints, and its seconds of the processor and by the clock."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=environment, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:3])} failed:\n{done.stderr}")
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def _print(measured: list[Measured], growth: dict[str, float | None]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Loading the definitions, seconds", box=SIMPLE)
    headings = ("sources", "assets", "imports", "load", "snapshot", "MB", "validate", "by the clock", "imports' share")
    for heading in headings:
        table.add_column(heading, justify="right")
    for m in measured:
        seconds = (f"{s:.2f}" for s in (m.imports, m.load, m.snapshot, m.megabytes, m.validate, m.validate_wall))
        table.add_row(f"{m.sources:,}", f"{m.assets:,}", *seconds, f"{m.share_of_imports:.0%}")
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    for name, found in goals(measured).items():
        reached = "reached" if found["reached"] else "NOT reached"
        console.print(f"{name} of {_GOALS_AT:,} sources: {found['measured']:.1f}, goal {found['goal']:.0f}: {reached}")
    for name, power in growth.items():
        console.print(
            f"{name}: grows with the number of sources to the power {'?' if power is None else f'{power:.2f}'}"
        )


if __name__ == "__main__":
    typer.run(main)

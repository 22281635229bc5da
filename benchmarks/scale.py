"""How time and memory of the work grow with the number of events, days and files: `python -m benchmarks.scale`.

Each size is a process of its own. The largest is 20 million events (7 GB of JSON), with what a machine of 2 GB has for
it: a process that holds more is ended.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.definitions import exponent
from benchmarks.measure import run
from benchmarks.verdicts import Verdict, tell
from benchmarks.work.events import events

_SIZES = (100_000, 1_000_000, 5_000_000, 20_000_000)
_ROWS_OF_A_FILE = 100_000
_SMALL_MACHINE = 2_000  # MB
_ABOVE = 10_000_000  # events; from here on the memory is that of the small machine
_STEEPEST = 1.1
_SIDE = [sys.executable, "-m", "benchmarks.work.platform_side"]
# 2 million events, spread otherwise: (days, files)
_SPREADS = ((2, 20), (10, 20), (2, 200))
_FLAT = 1.25


@dataclass(frozen=True)
class Measured:
    """One input: events, days and files; seconds by the clock and of the processor, most memory held in MB."""

    events: int
    days: int
    files: int
    seconds: float
    processor: float
    megabytes: float


def main(
    sizes: Annotated[list[int] | None, typer.Option(help="Events; may be given several times.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measures all layers at several sizes, and by which power of the events the time grows."""
    from platform_assets.settings import load_settings

    folder = load_settings().home.resolve() / "benchmarks" / "scale"
    measured = [_measure(folder, size, 2, max(2, size // _ROWS_OF_A_FILE)) for size in sizes or _SIZES]
    spread = [] if sizes else [_measure(folder, 2_000_000, days, files) for days, files in _SPREADS]
    growth = exponent([(m.events, m.processor) for m in measured])
    if growth is not None:
        most = f"{max(m.events for m in measured):,} events"
        told = f"power {growth:.2f}, up to {most}"
        tell(Verdict("time by the number of events", told, f"at most {_STEEPEST}", growth <= _STEEPEST))
    if spread:
        ratio = max(m.megabytes for m in spread[1:]) / spread[0].megabytes
        what = "peak memory of ten days, and of 200 files, beside two days of 20 files"
        tell(Verdict(what, f"{ratio:.2f} times", f"at most {_FLAT}", ratio <= _FLAT))
    if as_json:
        rows = [asdict(m) for m in (*measured, *spread)]
        typer.echo(json.dumps({"measured": rows, "exponent": growth}, indent=2))
    else:
        _print([*measured, *spread], growth)


def _measure(folder: Path, size: int, days: int, files: int) -> Measured:
    given, output = events(folder, size, days=days, objects=files), folder / "output"
    shutil.rmtree(output, ignore_errors=True)
    run([*_SIDE, "prepare", str(output)])
    command = [*_SIDE, "work", str(given.folder), str(output)]
    done = run(command, limit=7_200, most_megabytes=_SMALL_MACHINE if size >= _ABOVE else math.inf)
    shutil.rmtree(output)
    return Measured(size, days, files, done.seconds, done.processor_seconds, done.peak_megabytes)


def _print(measured: list[Measured], growth: float | None) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(title="All layers, by the size of the input", box=SIMPLE)
    for heading in ("events", "days", "files", "seconds", "of the processor", "per million", "peak MB"):
        table.add_column(heading, justify="right")
    for m in measured:
        each = m.processor / m.events * 1e6
        numbers = (f"{m.seconds:.1f}", f"{m.processor:.1f}", f"{each:.1f}", f"{m.megabytes:,.0f}")
        table.add_row(f"{m.events:,}", str(m.days), str(m.files), *numbers)
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    console.print(
        f"The processor's time grows with the events to the power {'?' if growth is None else f'{growth:.2f}'}"
    )


if __name__ == "__main__":
    typer.run(main)

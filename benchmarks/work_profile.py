"""Where the time of the work goes, beside raw DuckDB: `python -m benchmarks.work_profile`.

Both sides run once, each in a process of its own, in which every statement and the platform's own steps are timed by
the clock. What threads do at once is counted for each of them, so that the parts of bronze come to more than the whole.
"""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Self

import typer

from benchmarks.measure import Run, run
from benchmarks.work.events import events

_LAYERS = ("bronze", "silver", "gold")
_START = "start"  # of the process: Python, imports, definitions
_STATEMENTS = (
    (re.compile(r"COPY \(", re.IGNORECASE), "query into Parquet"),
    (re.compile(r"COPY rows"), "rows into Parquet"),
    (re.compile(r"TEMP TABLE rows"), "JSON into rows"),
    (re.compile(r"TEMP TABLE (staged|records)"), "types and rules"),
    (re.compile(r"TEMP TABLE (beaten|winners|versions)"), "duplicates"),
    (re.compile(r"TEMP TABLE tokens"), "tokens"),
    (re.compile(r"TEMP TABLE \"?computed"), "models"),
)
_OTHER = "other statements"
# Steps of the platform that are no statements: module, name, and what it is called here.
_STEPS = (
    ("platform_assets.ingestion.intake", "gather", "objects into one stream"),
    ("platform_assets.ingestion.clean_lines", "is_suspicious", "strict JSON"),
    ("platform_assets.lakehouse.publisher", "audit", "audit"),
    ("platform_assets.lakehouse.publisher", "_commit", "commit"),
    ("platform_assets.lakehouse.dbt_run", "compiled", "compiled models"),
)
Spent = dict[str, dict[str, float]]

app = typer.Typer()


class Stopwatch:
    """Seconds by layer and step, each without those of the steps within it."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        self.layer = _START
        self._within = threading.local()

    @contextmanager
    def timing(self, step: str) -> Iterator[None]:
        """Times the block."""
        outer = getattr(self._within, "seconds", 0.0)
        self._within.seconds = 0.0
        began = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - began
            self.spent[self.layer][step] += took - self._within.seconds
            self._within.seconds = outer + took

    def timed(self, call: Callable[..., Any], step: str) -> Callable[..., Any]:
        """The same function, timed."""

        def within(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the function takes and gives
            with self.timing(step):
                return call(*arguments, **named)

        return within


class Connection:
    """A DuckDB connection whose statements are timed."""

    def __init__(self, connection: Any, watch: Stopwatch) -> None:  # noqa: ANN401 - DuckDB's, which cannot be derived
        self._connection = connection
        self._watch = watch

    def execute(self, query: str, *arguments: Any) -> Any:  # noqa: ANN401 - as DuckDB's
        """As DuckDB's."""
        step = next((name for pattern, name in _STATEMENTS if pattern.search(query)), _OTHER)
        with self._watch.timing(step):
            return self._connection.execute(query, *arguments)

    def cursor(self) -> Connection:
        """As DuckDB's."""
        return Connection(self._connection.cursor(), self._watch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as DuckDB's
        return getattr(self._connection, name)


@app.command()
def side(name: str, given: Path, output: Path) -> None:
    """Does the work of a side once, and prints what its parts took."""
    import duckdb

    watch = Stopwatch()
    connect = duckdb.connect
    duckdb.connect = lambda *arguments, **named: Connection(connect(*arguments, **named), watch)  # type: ignore[assignment]
    work = importlib.import_module(f"benchmarks.work.{name}")
    if name == "platform_side":
        for module, function, step in _STEPS:
            found = importlib.import_module(module)
            setattr(found, function, watch.timed(getattr(found, function), step))
    totals: dict[str, float] = {}
    for layer in _LAYERS:
        watch.layer = layer
        totals |= work.once(given, output, [layer])
    typer.echo(json.dumps({"steps": watch.spent, "totals": totals}))


@app.callback(invoke_without_command=True)
def both(
    context: typer.Context,
    rows: Annotated[int, typer.Option(help="Events.")] = 2_000_000,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Profiles both sides."""
    if context.invoked_subcommand:
        return
    from platform_assets.settings import load_settings

    folder = load_settings().home.resolve() / "benchmarks" / "work_profile"
    given = events(folder, rows, days=2, objects=20).folder
    sides = {name: _profiled(name, given, folder / name) for name in ("platform_side", "raw_duckdb")}
    if as_json:
        typer.echo(json.dumps({name: {"seconds": done.seconds, **done.said} for name, done in sides.items()}, indent=2))
    else:
        _print(rows, sides["platform_side"], sides["raw_duckdb"])


def _profiled(name: str, given: Path, output: Path) -> Run:
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    if name == "platform_side":
        run([sys.executable, "-m", f"benchmarks.work.{name}", "prepare", str(output)])
    try:
        return run([sys.executable, "-m", "benchmarks.work_profile", "side", name, str(given), str(output)])
    finally:
        shutil.rmtree(output)


def _print(rows: int, platform: Run, raw: Run) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Seconds of the clock, {rows:,} events", box=SIMPLE)
    for heading, justify in (("layer", "left"), ("step", "left"), ("platform", "right"), ("raw DuckDB", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for layer in _LAYERS:
        ours, theirs = platform.said["totals"][layer], raw.said["totals"][layer]
        table.add_row(layer, "all", f"{ours:.2f}", f"{theirs:.2f}", style="bold")
        steps = [dict(side.said["steps"].get(layer, {})) for side in (platform, raw)]
        for step in sorted(steps[0] | steps[1], key=lambda step: -max(found.get(step, 0.0) for found in steps)):
            told = [f"{found[step]:.2f}" if step in found else "" for found in steps]
            if any(found.get(step, 0.0) >= 0.01 for found in steps):
                table.add_row("", step, *told)
    rest = [done.seconds - sum(done.said["totals"].values()) for done in (platform, raw)]
    table.add_row(_START, "Python and imports", *(f"{seconds:.2f}" for seconds in rest), style="bold")
    Console(width=None if sys.stdout.isatty() else 100).print(table)


if __name__ == "__main__":
    app()

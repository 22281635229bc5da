"""All benchmarks, one after the other: `python -m benchmarks` (`make benchmark`), with `--full` also the long ones.

Prints what each prints, then all goals in one table. `--write` puts both into a page (docs/reference/performance.md).
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import psutil
import typer

from benchmarks.verdicts import Verdict, collected_in, told

CHECKOUT = Path(__file__).resolve().parent.parent
_FINDINGS = Path(__file__).with_name("findings.md")  # what the numbers mean, which no program writes


_INTRODUCTION = """\
`make benchmark-page` runs all benchmarks and writes this page. Ratios are of runs in turns (median, least and most);
seconds are of this machine at that time, and only their ratio says something."""


@dataclass(frozen=True)
class Benchmark:
    """One command.

    Attributes:
        title: what it is about.
        command: module and arguments.
        full: whether it runs with `--full` only.
    """

    title: str
    command: tuple[str, ...]
    full: bool = False


BENCHMARKS = (
    Benchmark("Two million events beside raw DuckDB and Polars", ("compare", "raw-duckdb-cold", "polars-cold")),
    Benchmark("Where the time goes, beside raw DuckDB", ("work_profile",)),
    Benchmark("In a warm process", ("compare", "raw-duckdb-warm", "--pairs", "2")),
    Benchmark("Silver and gold beside dbt-duckdb and SQLMesh", ("compare", "dbt-duckdb", "sqlmesh", "--pairs", "2")),
    Benchmark("Bronze beside dlt fed Arrow", ("compare", "dlt-arrow", "--pairs", "2")),
    Benchmark("Beside dlt from JSON and PySpark", ("compare", "dlt-json", "pyspark", "--pairs", "1")),
    Benchmark("The contract beside Great Expectations", ("compare", "great-expectations", "--pairs", "2")),
    Benchmark("Start-up of the command line", ("start_up", "--repeat", "5")),
    Benchmark("What a run costs beside its work", ("run_cost", "--repeat", "3")),
    Benchmark("By the size of the input", ("scale",), full=True),
    Benchmark("A large table beside a small one", ("large_table",), full=True),
    Benchmark("What each snapshot adds to a commit", ("table_history",), full=True),
    Benchmark("Freshness of thousands of tables", ("freshness_look",), full=True),
    Benchmark("Maintenance", ("maintenance",), full=True),
    Benchmark("Definitions by the number of sources", ("definitions",), full=True),
    Benchmark("A tick of the automation", ("automation_tick",), full=True),
    Benchmark("A backlog of arrivals", ("backlog",), full=True),
)


@dataclass(frozen=True)
class Outcome:
    """What a benchmark printed, how long it took, and how it ended."""

    benchmark: Benchmark
    printed: str
    seconds: float
    code: int


def main(
    *,
    full: Annotated[bool, typer.Option(help="Also the long ones.")] = False,
    write: Annotated[Path | None, typer.Option(help="The page to write.")] = None,
) -> None:
    """Runs all benchmarks and prints the goals."""
    with TemporaryDirectory() as folder:
        verdicts = Path(folder) / "verdicts.jsonl"
        outcomes = [_run(benchmark, verdicts) for benchmark in BENCHMARKS if full or not benchmark.full]
        goals = told(verdicts)
    _print(goals)
    if write:
        write.write_text(page(outcomes, goals), encoding="utf-8")
        print(f"Written to {write}")
    if failed := [outcome.benchmark.title for outcome in outcomes if outcome.code]:
        print(f"Not measured: {'; '.join(failed)}")
        raise typer.Exit(1)


def _run(benchmark: Benchmark, verdicts: Path) -> Outcome:
    module, *arguments = benchmark.command
    print(f"\n== {benchmark.title}: python -m benchmarks.{' '.join(benchmark.command)}", flush=True)
    environment = {**os.environ, **collected_in(verdicts), "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(CHECKOUT)}
    began = time.monotonic()
    printed = []
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=CHECKOUT) as process:
        while process.stdout and (line := process.stdout.readline()):
            print(line, end="", flush=True)
            printed.append(line.rstrip())
    seconds = time.monotonic() - began
    print(f"({seconds:.0f} s)", flush=True)
    return Outcome(benchmark, "\n".join(printed).strip("\n"), seconds, process.returncode)


def _print(goals: Sequence[Verdict]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Goals", box=SIMPLE)
    for heading in ("", "measured", "goal", ""):
        table.add_column(heading)
    for verdict in goals:
        table.add_row(verdict.what, verdict.measured, verdict.goal, verdict.word)
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def page(outcomes: Sequence[Outcome], goals: Sequence[Verdict]) -> str:
    """The page, as Markdown."""
    rows = [f"| {v.what} | {v.measured} | {v.goal} | {v.word} |" for v in goals]
    parts = [
        "# Performance: measured against what a user would pick instead",
        _INTRODUCTION,
        _machine(),
        "\n".join(["| | measured | goal | |", "|---|---|---|---|", *rows]),
    ]
    parts.append(_FINDINGS.read_text(encoding="utf-8").strip())
    for outcome in outcomes:
        command = f"python -m benchmarks.{' '.join(outcome.benchmark.command)}"
        ended = "" if outcome.code == 0 else f" It ended with {outcome.code}."
        parts.append(f"## {outcome.benchmark.title}\n\n`{command}`, {outcome.seconds:.0f} s.{ended}")
        parts.append(f"```text\n{outcome.printed}\n```")
    return "\n\n".join(parts) + "\n"


def _machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "polars", "pyiceberg", "pandera", "dagster"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} processors ({platform.machine()}), {memory:.0f} GiB, Python "
        f"{platform.python_version()}, {packages}."
    )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    typer.run(main)

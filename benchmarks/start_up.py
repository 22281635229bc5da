"""How long a command takes as a person waits for it: `python -m benchmarks.start_up`, in the checkout.

Each command is a process of its own, with compiled bytecode, on a lakehouse of some 40 tables that is made for it (or,
with --home, on one that there is). What Python takes for nothing and for Dagster is measured in the same run: a machine
that is slow or busy is so for them, too.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, run
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks.generated_sources import write_sources
from benchmarks.verdicts import Verdict, tell

if TYPE_CHECKING:
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.declared import DeclaredTable

CHECKOUT = Path(__file__).resolve().parent.parent
_GENERATED = 5  # sources beside those of the checkout
_DAYS = 10
_PYTHON = [sys.executable, "-c"]
_PREPARE = """
import json, pathlib, sys
from benchmarks.start_up import prepare
print(json.dumps(prepare(pathlib.Path(sys.argv[1]))))
"""
_PLATFORM = [*_PYTHON, "from platform_assets.cli import app; app()"]


@dataclass(frozen=True)
class Command:
    """What is measured.

    Attributes:
        goal: seconds by the clock that it may take (issue 5), if it is not there for comparison.
    """

    name: str
    arguments: Sequence[str]
    goal: float | None = None


COMMANDS = (
    Command("python -c pass", [*_PYTHON, "pass"]),
    Command("python -c 'import dagster'", [*_PYTHON, "import dagster"]),
    Command("platform-assets --help", [*_PLATFORM, "--help"], 0.4),
    Command("platform-assets freshness", [*_PLATFORM, "freshness"], 2.0),
    Command("platform-assets freshness --json", [*_PLATFORM, "freshness", "--json"], 2.0),
    Command("platform-assets tables", [*_PLATFORM, "tables"]),
    Command("platform-assets source list", [*_PLATFORM, "source", "list"]),
)


@dataclass(frozen=True)
class Spent:
    """One process: seconds by the clock, seconds of the processor, the most memory that it held in MB."""

    wall: float
    processor: float
    megabytes: float


@dataclass(frozen=True)
class Measured:
    """One command, several times."""

    command: Command
    runs: Sequence[Spent]

    def of(self, what: Callable[[Spent], float]) -> tuple[float, float, float]:
        """Median, least and most."""
        values = [what(run) for run in self.runs]
        return statistics.median(values), min(values), max(values)

    @property
    def reached(self) -> bool | None:
        """Whether the median keeps to the goal, if there is one."""
        return None if self.command.goal is None else self.of(lambda run: run.wall)[0] <= self.command.goal


def main(
    *,
    repeat: Annotated[int, typer.Option(help="How often each command runs, in turns.", min=1)] = 7,
    home: Annotated[Path | None, typer.Option(help="An existing PLATFORM_HOME, instead of one made for this.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measures what a person waits for, against its goals."""
    with TemporaryDirectory() as scratch:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPATH": str(CHECKOUT), "PYTHONPYCACHEPREFIX": str(Path(scratch) / "bytecode")}
        if home is None:
            # In a process of its own: the peak that the system tells of a child is at least its parent's.
            environment |= _said([*_PYTHON, _PREPARE, scratch], environment)
        else:
            environment["PLATFORM_HOME"] = str(home.resolve())
        measured = measure(COMMANDS, repeat, environment)
    for found in measured:
        if found.command.goal is not None:
            middle, least, most = found.of(lambda run: run.wall)
            seconds = f"{middle:.2f} s [{least:.2f}-{most:.2f}]"
            tell(Verdict(found.command.name, seconds, f"at most {found.command.goal} s", found.reached))
    if as_json:
        typer.echo(json.dumps([{**asdict(found), "reached": found.reached} for found in measured], indent=2))
    else:
        _print(measured)


def measure(commands: Sequence[Command], repeat: int, environment: Mapping[str, str]) -> list[Measured]:
    """Runs all commands in turns, `repeat` times; a round before it leaves the bytecode and is not counted."""
    rounds = [[_run(command.arguments, environment) for command in commands] for _ in range(repeat + 1)]
    return [Measured(command, runs) for command, runs in zip(commands, zip(*rounds[1:], strict=True), strict=True)]


def _said(arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    done = run(arguments, env=dict(environment), cwd=CHECKOUT, stdout=PIPE, text=True, check=True)
    said: dict[str, str] = json.loads(done.stdout)
    return said


def _run(arguments: Sequence[str], environment: Mapping[str, str]) -> Spent:
    began = time.perf_counter()
    with Popen(arguments, env=dict(environment), cwd=CHECKOUT, stdout=DEVNULL, stderr=PIPE) as process:
        said = process.stderr.read() if process.stderr else b""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}:\n{said.decode(errors='replace')}")
    return Spent(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3)


def prepare(folder: Path) -> dict[str, str]:
    """Makes a lakehouse with rows in every table that is declared; the environment that commands see it in."""
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.declared import declared_tables
    from platform_assets.settings import load_settings

    sources = folder / "sources"
    shutil.copytree(load_settings().sources, sources)
    write_sources(sources, _GENERATED)
    environment = {"PLATFORM_HOME": str(folder / "home"), "PLATFORM_SOURCES": str(sources)}
    os.environ |= environment
    settings = load_settings()
    lakehouse = Lakehouse(settings)
    tables = declared_tables(settings.dbt_project)
    for table in tables:
        _fill(lakehouse, table)
    typer.echo(f"{len(tables)} tables with {_DAYS} commits each", err=True)
    return environment


def _fill(lakehouse: Lakehouse, declared: DeclaredTable) -> None:
    """One row of nulls a day, a commit each."""
    import pyarrow as pa

    contract, today = declared.contract, datetime.now(UTC).date()
    table = lakehouse.ensure(contract)
    schema = table.schema().as_arrow()
    dates = {field.name for field in schema if pa.types.is_date(field.type)}
    for age in reversed(range(_DAYS)):
        day = today - timedelta(days=age)
        rows = pa.Table.from_pylist([dict.fromkeys(dates, day)], schema=schema)
        said = {"platform.partition": day.isoformat()} if contract.partition_column else {}
        table.append(rows, snapshot_properties={**said, "platform.rows": "1", "platform.rows-in": "1"})


def _print(measured: Sequence[Measured]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(title="A command as a whole process: median [least-most]", box=SIMPLE)
    for heading in ("command", "seconds", "of the processor", "peak MB", "goal", "reached"):
        table.add_column(heading, justify="left" if heading == "command" else "right", no_wrap=True)
    for found in measured:
        wall, processor = found.of(lambda run: run.wall), found.of(lambda run: run.processor)
        cells = [f"{median:.2f} [{least:.2f}-{most:.2f}]" for median, least, most in (wall, processor)]
        goal = "" if found.command.goal is None else f"{found.command.goal:.1f} s"
        reached = {None: "", True: "yes", False: "NO"}[found.reached]
        table.add_row(found.command.name, *cells, f"{found.of(lambda run: run.megabytes)[0]:.0f}", goal, reached)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    typer.run(main)

"""The platform beside what a user would pick instead: `python -m benchmarks.compare NAME`, from the checkout.

Prints the seconds and the peak memory of both sides, the ratio (median, least and most of runs in turns) and the goal.
A goal that is missed is told, not an error; a side that cannot run, or finds something else, is one.
"""

from __future__ import annotations

import json
import signal
import statistics
import sys
from typing import Annotated

import typer

from benchmarks import verdicts
from benchmarks.comparisons import COMPARISONS, AnswersDiffer, Comparison, Measured, compare
from benchmarks.measure import SideFailed
from benchmarks.peers.environments import PeerUnavailable
from benchmarks.verdicts import Verdict

MOST_MEGABYTES = 1_000
_OF_MEMORY = "raw-duckdb-cold"  # whose run of the platform tells how much it holds


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Comparisons; --list tells which there are.")] = None,
    *,
    rows: Annotated[int, typer.Option(help="Web events of the input.", min=1_000)] = 2_000_000,
    pairs: Annotated[int, typer.Option(help="How often both sides run, in turns.", min=1)] = 3,
    as_list: Annotated[bool, typer.Option("--list", help="Print the comparisons and their goals.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Compares the platform with each of NAMES."""
    if as_list or not names:
        _print_list()
        return
    unknown = [name for name in names if name not in COMPARISONS]
    if unknown:
        raise typer.BadParameter(f"there is no {', '.join(unknown)}; there are {', '.join(COMPARISONS)}")
    outcomes = []
    for name in names:
        outcomes.append(measure_or_reason(COMPARISONS[name], rows, pairs))
        _tell(outcomes[-1], COMPARISONS[name])
        if not as_json:
            _print(outcomes[-1])  # each as soon as it is known: all of them take a while
    if as_json:
        found = [outcome.as_json() if isinstance(outcome, Measured) else outcome for outcome in outcomes]
        typer.echo(json.dumps(found, indent=2))
    if any(not isinstance(outcome, Measured) for outcome in outcomes):
        raise typer.Exit(1)


def measure_or_reason(comparison: Comparison, rows: int, pairs: int) -> Measured | dict[str, str]:
    """The outcome; or the comparison's name, its kind of failure (`unavailable` or `failed`) and the reason."""
    from platform_assets.settings import load_settings

    def tell(what: str) -> None:
        print(f"{comparison.name}: {what}", file=sys.stderr, flush=True)

    try:
        return compare(comparison, load_settings().home, rows=rows, pairs=pairs, tell=tell)
    except PeerUnavailable as reason:
        return {"name": comparison.name, "outcome": "unavailable", "reason": str(reason)}
    except (SideFailed, AnswersDiffer) as reason:
        return {"name": comparison.name, "outcome": "failed", "reason": str(reason)}


def _tell(outcome: Measured | dict[str, str], comparison: Comparison) -> None:
    what = f"{comparison.other.name}: {comparison.title}"
    if not isinstance(outcome, Measured):
        why = outcome["reason"].splitlines()[0]
        verdicts.tell(Verdict(what, f"{outcome['outcome']}: {why}", str(comparison.goal), None))
        return
    verdicts.tell(Verdict(what, str(outcome.ratio), str(comparison.goal), outcome.reached))
    if comparison.name == _OF_MEMORY:
        peak = max(outcome.platform.peak_megabytes)
        limit = f"at most {MOST_MEGABYTES:,} MB"
        verdicts.tell(Verdict("peak memory, all layers", f"{peak:,.0f} MB", limit, peak <= MOST_MEGABYTES))


def _print_list() -> None:
    width = max(map(len, COMPARISONS))
    for comparison in COMPARISONS.values():
        print(f"{comparison.name:{width}}  {comparison.other.name}, {comparison.title}: {comparison.goal}")


def _print(outcome: Measured | dict[str, str]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120)
    if not isinstance(outcome, Measured):
        console.print(f"{outcome['name']}: {outcome['outcome']}\n{outcome['reason']}", markup=False, highlight=False)
        return
    comparison, goal = outcome.comparison, outcome.comparison.goal
    table = Table(title=f"{comparison.name}: {comparison.title}; {outcome.rows:,} rows", box=SIMPLE)
    for heading in ("", "seconds, median", "least", "most", "of the processor", "peak MB"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, spent in (("platform", outcome.platform), (comparison.other.name, outcome.other)):
        seconds = (statistics.median(spent.seconds), min(spent.seconds), max(spent.seconds))
        numbers = (f"{number:.2f}" for number in (*seconds, statistics.median(spent.processor_seconds)))
        table.add_row(name, *numbers, f"{max(spent.peak_megabytes):,.0f}")
    console.print(table)
    told = "times faster" if goal.faster else "of its time"
    console.print(
        f"{outcome.ratio} {told}; goal: {goal}: {'reached' if outcome.reached else 'NOT reached'}", markup=False
    )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # which ends the sides, as Ctrl-C does
    typer.run(main)

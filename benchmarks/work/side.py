"""The command `work` of a side that runs in the platform's own environment: which layers, and how often."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

Once = Callable[[Path, Path, Sequence[str]], dict[str, float]]


def add_work(app: typer.Typer, once: Once, tables: str = ".") -> None:
    """Adds `work INPUT OUTPUT [--layers …] [--repeat N]`, which prints the seconds of each layer and repetition.

    Args:
        app: the side's commands.
        once: does the work from the input into the output, layer by layer; seconds by layer.
        tables: the folder of the output that is removed before bronze is made.
    """

    @app.command()
    def work(
        given: Path,
        output: Path,
        *,
        layers: Annotated[
            str, typer.Option(help="Which of bronze, silver and gold, in this order.")
        ] = "bronze,silver,gold",
        repeat: Annotated[int, typer.Option(help="So many times in this process.")] = 1,
    ) -> None:
        """Does the work and prints the seconds of each layer and repetition."""
        seconds = []
        for _ in range(repeat):
            if "bronze" in layers:
                shutil.rmtree(output / tables, ignore_errors=True)
            seconds.append(once(given, output, layers.split(",")))
        end(seconds)


def end(seconds: Sequence[dict[str, float]]) -> NoReturn:
    """Prints the seconds and ends as a run does (`runs.forking`): what was imported is not taken down."""
    typer.echo(json.dumps({"seconds": seconds}))
    sys.stdout.flush()
    os._exit(0)

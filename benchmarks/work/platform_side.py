"""The platform's side: landing objects to gold as its runs do it, with contracts, audits, accounting and commits.

    python -m benchmarks.work.platform_side prepare OUTPUT
    python -m benchmarks.work.platform_side work INPUT OUTPUT [--layers bronze,silver,gold] [--repeat N]
    python -m benchmarks.work.platform_side answer OUTPUT

`prepare` lets dbt compile the models, which happens once for each state of the project, not for each run. What is left
out is Dagster (`benchmarks.run_cost`) and the download: the objects are files already, as for all sides.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks.work.answer import Relations, answer, bronze_answer
from benchmarks.work.events import KEY
from benchmarks.work.side import add_work

if TYPE_CHECKING:
    from platform_assets.ingestion.dead_letters import DeadLetter
    from platform_assets.ingestion.landing import LandingObject
    from platform_assets.settings import Settings

SOURCE = "web_events"
MODELS = ("event_metrics", "user_metrics")

app = typer.Typer()


class Folder:
    """Files that are taken for landing objects, where they are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def objects(self, source: str, arrival_date: date) -> list[LandingObject]:
        """The files of a source and date."""
        from platform_assets.ingestion.landing import LandingObject

        found = sorted((self._folder / f"source={source}" / f"date={arrival_date}").glob("*.jsonl"))
        landed = datetime(arrival_date.year, arrival_date.month, arrival_date.day, 12, tzinfo=UTC)
        return [
            LandingObject(
                source, arrival_date, str(path.relative_to(self._folder)), 1, path.stat().st_size, landed, "local"
            )
            for path in found
        ]

    def download(self, objects: Sequence[LandingObject], directory: Path) -> list[Path]:  # noqa: ARG002 - `Arrivals`
        """The files themselves."""
        return [self._folder / found.name for found in objects]

    def put_dead_letters(self, letters: Iterable[DeadLetter], *, all_of: tuple[str, date] | None = None) -> list[str]:  # noqa: ARG002 - `Arrivals`
        """Refuses: the input has none.

        Raises:
            RuntimeError: there was one.
        """
        if found := list(letters):
            raise RuntimeError(f"{len(found)} dead letters in an input without any: {found[0].reason}")
        return []


@app.command()
def prepare(output: Path) -> None:
    """Makes the platform's home, without tables."""
    from platform_assets.lakehouse.dbt_compile import compiled

    compiled(settings_of(output), MODELS, None, MODELS)
    typer.echo("{}")


def settings_of(home: Path) -> Settings:
    """Settings of a lakehouse below `home`, here and for what is started from here."""
    from platform_assets.settings import load_settings

    os.environ |= {"PLATFORM_HOME": str(home.resolve()), "PLATFORM_PII_KEY": KEY}
    return load_settings()


def once(given: Path, output: Path, layers: Sequence[str]) -> dict[str, float]:
    """The work, layer by layer; seconds by layer."""
    from platform_assets.ingestion.bronze import ingest
    from platform_assets.lakehouse import dbt_run
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.silver import rebuild
    from platform_assets.sources.registry import load_sources

    settings = settings_of(output)
    lakehouse = Lakehouse(settings)
    source = next(source for source in load_sources() if source.name == SOURCE)
    days = sorted(date.fromisoformat(folder.name[5:]) for folder in given.glob("source=*/date=*"))
    seconds: dict[str, float] = {}
    for layer in layers:
        began = time.perf_counter()
        for day in days:
            if layer == "bronze":
                ingest(settings, lakehouse, source, day, rebuild=False, run_id="benchmark", landing=Folder(given))
            elif layer == "silver":
                rebuild(lakehouse, source, source.file.silver[0], partition=day, run_id="benchmark")
            else:
                bad = [node for node in dbt_run.build(settings, MODELS, day, "benchmark") if node.status != "success"]
                if bad:
                    raise RuntimeError(f"{bad[0].name}: {bad[0].message}")
        seconds[layer] = time.perf_counter() - began
    return seconds


@app.command("answer")
def print_answer(
    output: Path, *, layers: Annotated[str, typer.Option(help="Of which layers.")] = "bronze,silver,gold"
) -> None:
    """Prints what the lakehouse holds: of bronze if that is all, else of silver and gold."""
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.reader import relation

    lakehouse = Lakehouse(settings_of(output))
    names = ("silver.events_clean", "quarantine.events_clean", "gold.event_metrics", "gold.user_metrics")
    with lakehouse.connect() as connection:
        if layers == "bronze":
            typer.echo(json.dumps(bronze_answer(connection, str(relation(lakehouse, f"bronze.{SOURCE}")))))
            return
        held = Relations(*(str(relation(lakehouse, name)) for name in names))
        typer.echo(json.dumps(answer(connection, held)))


add_work(app, once, tables="lakehouse")

if __name__ == "__main__":
    app()

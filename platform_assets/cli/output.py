"""What all commands have in common: the settings they run with, tables beside JSON, errors in words."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from platform_assets.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def rich_table(title: str | None, rows: list[dict[str, object]], columns: list[str] | None = None) -> Table:
    """Rows as a table, one column for each of their keys."""
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(title=title, box=SIMPLE)
    for column in columns or (list(rows[0]) if rows else []):
        table.add_column(column)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    return table


def show(*tables: Table) -> None:
    """Prints tables; into a file or a pipe as wide as they are, so that nothing is cut."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=400)
    for table in tables:
        console.print(table)


def settings_here() -> Settings:
    """The settings, with the environment of a platform that runs on this machine filled in."""
    from platform_assets.local.home import running_environment
    from platform_assets.settings import load_settings

    for name, value in running_environment(load_settings().home).items():
        os.environ.setdefault(name, value)
    return load_settings()


def failure(message: str) -> typer.Exit:
    """Says what went wrong; raise what it returns."""
    typer.secho(message, err=True, fg=typer.colors.RED)
    return typer.Exit(1)

"""`platform-assets sla`: how well every table keeps its promises about time (S1-52 to S1-54)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from platform_assets.cli.output import AsJson, failure, settings_here, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from platform_assets.lakehouse.attainment import Attainment


def sla(
    *,
    table: Annotated[list[str] | None, typer.Option(help="Only this `layer.table`; may be given again.")] = None,
    domain: Annotated[str | None, typer.Option(help="Only the tables of this domain.")] = None,
    missed: Annotated[bool, typer.Option("--missed", help="Only promises that are kept too seldom.")] = False,
    days: Annotated[int, typer.Option(help="Over how many days.", min=1)] = 30,
    as_json: AsJson = False,
) -> None:
    """How well promises were kept: changes that are in a table within so long, dates that are ready by a time of day.

    Ends with 1 if one of those shown is kept less often than promised. What was promised by whom: docs/guides/sla.md.
    """
    from platform_assets.lakehouse.attainment import attainments
    from platform_assets.lakehouse.catalog import Lakehouse

    found = attainments(Lakehouse(settings_here()), datetime.now(UTC), days)
    chosen = _chosen(found, table or [], domain)
    shown = [one for one in chosen if one.met is False] if missed else chosen
    if as_json:
        typer.echo(json.dumps([one.as_json() for one in shown], indent=2))
    else:
        show(sla_table(shown, days))
    if any(one.met is False for one in shown):
        raise typer.Exit(1)


def _chosen(found: list[Attainment], names: Sequence[str], domain: str | None) -> list[Attainment]:
    """Those that were asked for.

    Raises:
        typer.Exit: a name or the domain is none that promises anything; the message lists those that do.
    """
    promising = list(dict.fromkeys(one.table.name for one in found))
    domains = sorted({one.table.domain for one in found})
    for name in names:
        if name not in promising:
            raise failure(f"{name} is no table with an SLA; expected one of {', '.join(promising)}")
    if domain is not None and domain not in domains:
        raise failure(f"{domain} is no domain with an SLA; expected one of {', '.join(domains)}")
    named = [one for one in found if not names or one.table.name in names]
    return [one for one in named if domain is None or one.table.domain == domain]


def sla_table(rows: Sequence[Attainment], days: int) -> Table:
    """Promises and how well they were kept as people read it."""
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(title=f"SLAs, last {days} days", box=SIMPLE)
    for heading in ("table", "promise", "met", "kept", "missed", "worst"):
        table.add_column(heading, justify="right" if heading == "missed" else "left")
    for row in rows:
        met = {True: "[green]yes", False: "[red]no", None: "[dim]-"}[row.met]
        ready = f"; {row.unready} is not ready" if row.unready else ""
        missed = f"{row.missed:,}" if row.missed else ""
        table.add_row(row.table.name, row.promise.in_words, met, row.in_words + ready, missed, row.worst_in_words)
    return table

"""`platform-assets quality`: what is unusual about the content of tables, and how far each can be trusted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from platform_assets.cli.output import AsJson, failure, rich_table, settings_here, show

if TYPE_CHECKING:
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.quality.store import Judgement

quality_app = typer.Typer(
    help="What is unusual about the content of tables, and how far each can be trusted.",
    invoke_without_command=True,
    pretty_exceptions_show_locals=False,
)
Tables = Annotated[list[str] | None, typer.Option("--table", help="Only this `layer.table`; may be given again.")]


@quality_app.callback()
def findings(
    context: typer.Context,
    *,
    table: Tables = None,
    unusual: Annotated[bool, typer.Option("--unusual", help="Only what is unusual.")] = False,
    history: Annotated[
        bool, typer.Option("--history", help="Every partition of the last 35 days, not the newest alone.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """The last judgement of every watch: rows, null rates, distributions, columns, figures that must agree."""
    if context.invoked_subcommand is not None:
        return
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.quality.store import current, latest

    lakehouse, now = Lakehouse(settings_here()), datetime.now(UTC)
    _require_declared(lakehouse, table or [])
    found = [
        judgement
        for judgement in (latest(lakehouse, now) if history else current(lakehouse, now))
        if (not table or judgement.finding.table in table) and (judgement.finding.unusual or not unusual)
    ]
    if as_json:
        typer.echo(json.dumps([judgement.as_json() for judgement in found], indent=2))
    elif found:
        show(rich_table("Quality", [_row(judgement) for judgement in found]))
    else:
        typer.echo("Nothing unusual." if unusual else "Nothing was judged yet: the sensor `quality` looks by itself.")


@quality_app.command()
def score(*, table: Tables = None, as_json: AsJson = False) -> None:
    """How far each table can be trusted, 0 to 100, and the points of each part (docs/guides/quality.md)."""
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.quality.score import scorecards

    lakehouse = Lakehouse(settings_here())
    _require_declared(lakehouse, table or [])
    cards = [card for card in scorecards(lakehouse, datetime.now(UTC)) if not table or card.table in table]
    if as_json:
        typer.echo(json.dumps([card.as_json() for card in cards], indent=2))
        return
    rows: list[dict[str, object]] = [
        {
            "table": card.table,
            "score": "-" if card.score is None else f"{card.score:.0f}",
            **{part.name: "-" if part.points is None else f"{part.points:.1f}/{part.out_of}" for part in card.parts},
            "why": "; ".join(
                part.reason for part in card.parts if part.points is not None and part.points < part.out_of
            ),
        }
        for card in cards
    ]
    show(rich_table("Quality scores", rows))


def _require_declared(lakehouse: Lakehouse, names: Sequence[str]) -> None:
    """Nothing, if all of them are tables.

    Raises:
        typer.Exit: one is not; the message lists those that are.
    """
    from platform_assets.lakehouse.declared import declared_tables

    declared = [table.name for table in declared_tables(lakehouse.settings.dbt_project)] if names else []
    for name in names:
        if name not in declared:
            raise failure(f"{name} is no table; expected one of {', '.join(declared)}")


def _row(judgement: Judgement) -> dict[str, object]:
    found = judgement.finding
    return {
        "table": found.table,
        "partition": found.partition or "",
        "watch": found.watch.value,
        "subject": found.subject,
        "judged": "unusual" if found.unusual else "usual",
        "why": found.reason,
        "at": f"{judgement.at:%Y-%m-%d %H:%M}",
    }

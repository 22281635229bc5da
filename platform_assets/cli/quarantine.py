"""`platform-assets quarantine`: what did not get through, and what is to become of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from platform_assets.cli.output import AsJson, settings_here
from platform_assets.cli.output import show as show_tables

if TYPE_CHECKING:
    from rich.table import Table

    from platform_assets.operations.quarantine import NotThrough
    from platform_assets.operations.quarantined_rows import OpenRows

quarantine_app = typer.Typer(
    help="Rows that broke their contract: look at them, mend them and let them through again, or discard them.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)

TableName = Annotated[str, typer.Argument(metavar="TABLE", help="Silver table, such as fakestore_carts.")]
RowIds = Annotated[list[str], typer.Argument(metavar="ROW...", help="Rows, as `quarantine show` names them.")]
By = Annotated[str | None, typer.Option(help="Who decides; by default the operating system's user.")]
Why = Annotated[str, typer.Option(help="The reason, which stays on record. No personal data.")]


@quarantine_app.command("list")
def list_all(*, as_json: AsJson = False) -> None:
    """Everything that did not get through: quarantined rows by table and partition, dead letters by source and date."""
    from platform_assets.ingestion.landing import Landing
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.operations.quarantine import not_through

    settings = settings_here()
    with _told():
        found = not_through(Lakehouse(settings), Landing(settings))
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2))
    else:
        show_tables(*_overview(found))


@quarantine_app.command()
def show(
    table: TableName,
    *,
    partition: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only rows of this partition.")
    ] = None,
    rule: Annotated[str | None, typer.Option(help="Only rows that break this rule.")] = None,
    limit: Annotated[int, typer.Option(help="How many rows at most.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """Open rows: where each came from, which rules it broke, its values (personal data as tokens)."""
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.operations.quarantined_rows import open_rows

    day = partition.date() if partition else None
    with _told():
        found = open_rows(Lakehouse(settings_here()), table, partition=day, rule=rule, limit=limit)
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2))
    else:
        show_tables(_open_rows(found))
        typer.echo(f"{len(found.rows)} of {found.total} open rows")


@quarantine_app.command()
def letters(
    source: Annotated[str, typer.Argument(help="Such as web_events.")],
    day: Annotated[datetime, typer.Argument(metavar="DATE", formats=["%Y-%m-%d"], help="Its arrival date.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Dead letters: which record of which object could not be read, and why; what it held stays in the bucket."""
    from platform_assets.ingestion.landing import Landing
    from platform_assets.operations.quarantine import unread_records

    with _told():
        found = unread_records(Landing(settings_here()), source, day.date())
    if as_json:
        typer.echo(json.dumps([letter.as_json() for letter in found], indent=2))
    elif found:
        rows = [
            (f"{letter.uri}#{letter.generation}", "" if letter.row_number is None else letter.row_number, letter.reason)
            for letter in found
        ]
        show_tables(_table(f"Dead letters of {source}, {day:%Y-%m-%d}", ("landing object", "record", "reason"), rows))
    else:
        typer.echo(f"{source} has no dead letters of {day:%Y-%m-%d}.")


@quarantine_app.command()
def release(
    table: TableName,
    rows: RowIds,
    *,
    why: Why,
    by: By = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="A change by the source's own names: `quantity=2`, `address.city=Bonn`, `products[0].quantity=2`.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="Instead of --set: the mended records as JSON lines, in the order of the rows.", exists=True),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Mend the records of rows and let them go through the pipeline again.

    The whole record lands once more, changed, and is taken like any other arrival. It must keep the contracts, or
    nothing lands. Personal data is better given with --file: a command line ends up in the shell's history.
    """
    from platform_assets.ingestion.landing import Landing
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.operations.fixed_record import parse_change
    from platform_assets.operations.quarantine import current_user
    from platform_assets.operations.release import read_records
    from platform_assets.operations.release import release as release_rows

    settings = settings_here()
    with _told():
        released = release_rows(
            Lakehouse(settings),
            Landing(settings),
            table,
            rows,
            changes=[parse_change(change) for change in changes or ()],
            records=read_records(file) if file else None,
            by=by or current_user(),
            why=why,
        )
    if as_json:
        typer.echo(json.dumps([one.as_json() for one in released], indent=2))
        return
    for one in released:
        done = "released" if one.new else "was released before"
        typer.echo(f"{', '.join(one.row_ids)}: {done}, landed as {one.landing_uri}")


@quarantine_app.command()
def discard(
    table: TableName,
    rows: Annotated[list[str] | None, typer.Argument(metavar="[ROW...]", help="Rows, or none with an option.")] = None,
    *,
    why: Why,
    by: By = None,
    partition: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="All open rows of this partition.")
    ] = None,
    rule: Annotated[str | None, typer.Option(help="All open rows that break this rule.")] = None,
    as_json: AsJson = False,
) -> None:
    """Decide that rows need no mending. They stay in quarantine, and are not open any more."""
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.operations.quarantine import current_user, discard_open
    from platform_assets.operations.quarantine import discard as discard_rows

    with _told():
        lakehouse, author = Lakehouse(settings_here()), by or current_user()
        if rows and (partition or rule):
            raise typer.BadParameter("name rows, or say --partition or --rule, not both")
        if rows:
            decisions = discard_rows(lakehouse, table, rows, by=author, why=why)
        else:
            day = partition.date() if partition else None
            decisions = discard_open(lakehouse, table, partition=day, rule=rule, by=author, why=why)
    if as_json:
        typer.echo(json.dumps([decision.as_json() for decision in decisions], indent=2))
    else:
        before = len(set(rows or ())) - len(decisions)
        typer.echo(f"{len(decisions)} rows discarded" + (f", {before} had been before" if before > 0 else ""))


def _overview(found: NotThrough) -> list[Table]:
    quarantined = [
        (
            row.table,
            row.partition or "",
            row.open_rows,
            row.released,
            row.discarded,
            ", ".join(f"{rule} {count:,}" for rule, count in row.broken_rules.items()),
            f"{row.oldest_arrival:%Y-%m-%d %H:%M}" if row.oldest_arrival else "",
        )
        for row in found.quarantined
    ]
    letters = [(row.source, row.arrival_date, row.objects, row.letters) for row in found.dead_letters]
    headings = ("table", "partition", "open", "released", "discarded", "broken rules of open rows", "oldest arrival")
    return [
        _table("Quarantined rows", headings, quarantined),
        _table("Dead letters", ("source", "arrival date", "objects", "letters"), letters),
    ]


def _open_rows(found: OpenRows) -> Table:
    rows = [
        (
            row.row_id,
            row.partition or "",
            ", ".join(row.broken_rules),
            f"{row.landing_uri}#{row.landing_generation}",
            row.row_number if row.line_number is None else f"{row.row_number}, line {row.line_number}",
            ", ".join(f"{name}={value}" for name, value in row.values.items() if value is not None),
        )
        for row in found.rows
    ]
    headings = ("row", "partition", "broken rules", "landing object", "record", "values")
    return _table(f"Open rows of quarantine.{found.table}", headings, rows)


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, box=SIMPLE)
    for number, heading in enumerate(headings):
        table.add_column(heading, no_wrap=number == 0)  # what people paste is never cut
    for row in rows:
        table.add_row(*(escape(str(value)) for value in row))
    return table


@contextmanager
def _told() -> Iterator[None]:
    """What cannot be done, as a message instead of a traceback."""
    from platform_assets.ingestion.landing import LandingError
    from platform_assets.lakehouse.catalog import LakehouseError
    from platform_assets.operations.quarantined_rows import QuarantineError
    from platform_assets.settings import SettingsError

    try:
        yield
    except (QuarantineError, LandingError, LakehouseError, SettingsError) as error:
        typer.secho(str(error), err=True, fg=typer.colors.RED)
        raise typer.Exit(1) from None

"""`platform-assets contract …`: what the tables promise, and what a change of it would break (S2-14 to S2-17)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from platform_assets.cli.output import AsJson, failure, settings_here

if TYPE_CHECKING:
    from platform_assets.operations.contract_check import TableDiff

contract_app = typer.Typer(help="What every table promises, and what a change would break.", no_args_is_help=True)
Against = Annotated[str, typer.Option(help="The commit, tag or branch to compare with.")]


@contract_app.command()
def show(
    table: Annotated[str, typer.Argument(help="Such as silver.events_clean.")],
    *,
    as_json: AsJson = False,
    bigquery: Annotated[bool, typer.Option("--bigquery", help="The BigQuery schema, as JSON.")] = False,
) -> None:
    """The contract of one table as a Markdown page: columns, rules in words, key, partitions."""
    from dataclasses import asdict

    from platform_assets.contracts.bigquery_schema import bigquery_schema
    from platform_assets.contracts.markdown import markdown_page
    from platform_assets.contracts.words import nearest
    from platform_assets.lakehouse.declared import declared_tables

    tables = {declared.name: declared for declared in declared_tables(settings_here().dbt_project)}
    if table not in tables:
        raise failure(f"no table is called {table!r}{nearest(table, sorted(tables))}")
    declared = tables[table]
    if bigquery:
        typer.echo(json.dumps(bigquery_schema(declared.contract), indent=2))
    elif as_json:
        typer.echo(json.dumps(asdict(declared.contract), indent=2, default=str))
    else:
        typer.echo(markdown_page(declared.contract, owner=declared.owner))


@contract_app.command()
def diff(*, against: Against = "HEAD", as_json: AsJson = False) -> None:
    """What the files of this checkout change about each table, column by column; says, and forbids nothing."""
    _report(_compared(against), as_json=as_json)


@contract_app.command()
def check(*, against: Against = "HEAD~1", as_json: AsJson = False) -> None:
    """As `diff`, and ends with 1 if a change breaks somebody who was not prepared for it (S2-17)."""
    found = _compared(against)
    _report(found, as_json=as_json)
    if not all(table.allowed for table in found):
        raise typer.Exit(1)


def _compared(against: str) -> list[TableDiff]:
    from platform_assets.contracts.model import ContractError
    from platform_assets.operations.checkout import CheckoutError
    from platform_assets.operations.contract_check import check_against
    from platform_assets.operations.removals import RemovalError
    from platform_assets.settings import CHECKOUT
    from platform_assets.sources.yaml_file import SourceError

    try:
        return check_against(against, CHECKOUT)
    except (CheckoutError, RemovalError, SourceError, ContractError) as error:
        raise failure(str(error)) from None


def _report(found: list[TableDiff], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([table.as_json() for table in found], indent=2))
        return
    for table in found:
        verdict, colour = ("allowed", typer.colors.GREEN) if table.allowed else ("refused", typer.colors.RED)
        typer.secho(f"{table.table}: {table.kind}, {verdict}", fg=colour)
        for change in table.changes:
            typer.echo(f"  {change.effect}: {change.sentence}")
        for reason in table.reasons:
            typer.echo(f"  because {reason}")
        if table.advice:
            typer.echo(f"  next: {table.advice}")
    typer.echo(f"{len(found)} tables differ, {sum(not table.allowed for table in found)} refused")

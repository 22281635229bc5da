"""The `platform-assets` command. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from platform_assets.cli.alerts import alerts_app
from platform_assets.cli.contract import contract_app
from platform_assets.cli.freshness import freshness, freshness_table
from platform_assets.cli.maintenance import maintenance_app
from platform_assets.cli.output import AsJson, failure, rich_table, settings_here, show
from platform_assets.cli.partitions import partitions_app
from platform_assets.cli.quality import quality_app
from platform_assets.cli.quarantine import quarantine_app
from platform_assets.cli.sla import sla
from platform_assets.cli.source import source_app

app = typer.Typer(
    help="A data platform as one asset graph: what arrives becomes bronze, silver, gold and marts by itself.\n\n"
    "Start with `platform-assets up`, then ask `platform-assets freshness` in a second terminal.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)
generate_app = typer.Typer(help="Make data to try the platform on.", no_args_is_help=True)
app.add_typer(source_app, name="source")
app.add_typer(alerts_app, name="alerts")
app.add_typer(contract_app, name="contract")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(partitions_app, name="partitions")
app.add_typer(quality_app, name="quality")
app.add_typer(maintenance_app, name="maintenance")
app.add_typer(generate_app, name="generate")


@app.command()
def up(
    *,
    until_fresh: Annotated[
        bool, typer.Option("--until-fresh", help="Stop again as soon as every gold and mart table is up to date.")
    ] = False,
    sample_events: Annotated[
        int, typer.Option(help="Web events to drop into landing on the first start; 0 for none.", min=0)
    ] = 10_000,
) -> None:
    """Start everything on this machine and let the data arrive; Ctrl-C stops it again.

    State lives under `$PLATFORM_HOME`, by default `.platform/` in the checkout. Run again, it goes on from there.
    """
    from platform_assets.local.up import run

    raise typer.Exit(run(settings_here(), until_fresh=until_fresh, sample_events=sample_events, show=freshness_table))


app.command()(freshness)
app.command()(sla)


@app.command()
def tables(*, as_json: AsJson = False) -> None:
    """Every table with its layer, rows, partitions, files and last arrival."""
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.freshness import table_freshness

    rows = [
        {
            "table": row.table.name,
            "layer": row.table.contract.layer,
            "domain": row.table.domain,
            "rows": row.statistics.rows if row.statistics else 0,
            "partitions": row.statistics.partitions if row.statistics else 0,
            "files": row.statistics.files if row.statistics else 0,
            "last_arrival": row.as_json()["last_materialized_at"],
        }
        for row in table_freshness(Lakehouse(settings_here()), datetime.now(UTC))
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        show(rich_table("Tables", rows))


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="One SELECT over `layer.table`, such as gold.fact_orders.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Ask the lakehouse in SQL (DuckDB), read-only, at the newest snapshot of every table."""
    from platform_assets.lakehouse.catalog import Lakehouse, LakehouseError
    from platform_assets.lakehouse.query import query as run_query

    try:
        columns, rows = run_query(Lakehouse(settings_here()), sql)
    except LakehouseError as error:
        raise failure(str(error)) from None
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    if as_json:
        typer.echo(json.dumps(found, indent=2, default=str))
    else:
        show(rich_table(None, found, columns))
        typer.echo(f"{len(found)} rows")


@app.command()
def doctor(*, as_json: AsJson = False) -> None:
    """What is installed, running, reachable or misconfigured, and what to do about it."""
    from platform_assets.operations.doctor import diagnose

    findings = diagnose(settings_here())
    if as_json:
        typer.echo(json.dumps([finding.as_json() for finding in findings], indent=2))
    else:
        show(rich_table("Doctor", [finding.as_json() for finding in findings]))
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)


@app.command()
def webhooks(
    *,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.", min=1, max=65535)] = 8080,
) -> None:
    """Receive the calls of sources with a `webhook_path`, and publish each to its source's topic."""
    from platform_assets.serving.webhooks import serve
    from platform_assets.sources.registry import load_sources
    from platform_assets.sources.yaml_file import SourceError

    settings = settings_here()
    try:
        serve(settings, load_sources(settings.sources), host=host, port=port)
    except SourceError as error:
        raise failure(str(error)) from None


@app.command()
def pages(
    *,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.", min=1, max=65535)] = 8090,
) -> None:
    """Serve the pages that analysts read: how fresh every table is, at `/freshness`; Ctrl-C stops it."""
    from platform_assets.serving.pages.app import serve

    typer.echo(f"Freshness: http://{host}:{port}/freshness")
    serve(settings_here(), host=host, port=port)


@generate_app.command("web-events")
def generate_web_events(
    *,
    to: Annotated[
        Path | None,
        typer.Option(help="Folder to write to; without it the objects are dropped into the landing bucket."),
    ] = None,
    events: Annotated[int, typer.Option(help="Rows to write, duplicates and bad ones included.", min=1)] = 100_000,
    days: Annotated[int, typer.Option(help="Days that the objects belong to.", min=1)] = 2,
    first_day: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="First of the days; by default the last one is yesterday."),
    ] = None,
    objects: Annotated[int, typer.Option(help="Files to spread them over.", min=1)] = 20,
    seed: Annotated[int, typer.Option(help="The same seed makes the same events.")] = 7,
    duplicates: Annotated[float, typer.Option(help="Share of repeated events.", min=0, max=1)] = 0.02,
    late: Annotated[float, typer.Option(help="Share of events that come days late.", min=0, max=1)] = 0.05,
    bad: Annotated[float, typer.Option(help="Share of events that break the contract.", min=0, max=1)] = 0.005,
) -> None:
    """Write web events as gzipped JSON lines and report exactly what silver must make of them."""
    from platform_assets.local.up import drop

    start = first_day.date() if first_day else None
    batch = drop(
        settings_here(),
        to,
        events=events,
        first_day=start,
        days=days,
        objects=objects,
        seed=seed,
        duplicate_share=duplicates,
        late_share=late,
        bad_share=bad,
    )
    typer.echo(batch.as_json())

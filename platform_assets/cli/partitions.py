"""`platform-assets partitions`: those that failed and are not tried again by themselves, and making any again."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from platform_assets.cli.output import AsJson, failure, rich_table, settings_here, show

partitions_app = typer.Typer(
    help="Parked partitions: what failed in a way that does not pass, why, letting it go; and making any again.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


@partitions_app.command()
def parked(*, as_json: AsJson = False) -> None:
    """What is not made again by itself: asset, partition, since when, why. New data lets a partition go, too."""
    from platform_assets.operations.parked import parked_partitions

    found = parked_partitions(settings_here())
    if as_json:
        typer.echo(json.dumps([one.as_json() for one in found], indent=2))
        return
    rows: list[dict[str, object]] = [
        {
            "asset": one.asset,
            "partition": one.partition or "-",
            "since": f"{one.since:%Y-%m-%d %H:%M}",
            "attempts": one.attempts,
            "run": one.run_id[:8],
            "released": f"by {one.released_by}: {one.released_why}" if one.released_at else "",
            "reason": _escaped(one.reason),
        }
        for one in found
    ]
    if rows:
        show(rich_table("Parked partitions", rows))
    waiting = sum(one.waits for one in found)
    typer.echo(
        f"{waiting} parked" + (f", {len(found) - waiting} released and not made yet" if waiting < len(found) else "")
    )


@partitions_app.command()
def release(
    asset: Annotated[str, typer.Argument(metavar="ASSET", help="As listed, such as silver/fakestore_carts.")],
    partition: Annotated[
        str, typer.Argument(metavar="PARTITION", help="Its date; - for a table that is made as a whole.")
    ],
    *,
    why: Annotated[str, typer.Option(help="What has changed, so that it will not fail again. It stays on record.")],
    by: Annotated[str | None, typer.Option(help="Who decides; by default the operating system's user.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let a parked partition be made again, within seconds."""
    from platform_assets.operations.parked import ParkedError
    from platform_assets.operations.parked import release as release_parked
    from platform_assets.operations.quarantine import current_user
    from platform_assets.operations.quarantined_rows import QuarantineError

    try:
        released = release_parked(settings_here(), asset, partition, by=by or current_user(), why=why)
    except (ParkedError, QuarantineError) as error:
        raise failure(str(error)) from None
    if as_json:
        typer.echo(json.dumps(released.as_json(), indent=2))
    else:
        day = f" {released.partition}" if released.partition else ""
        typer.echo(f"{released.asset}{day}: released by {released.released_by}")


@partitions_app.command()
def rebuild(
    asset: Annotated[str, typer.Argument(metavar="ASSET", help="Such as bronze/web_events.")],
    partitions: Annotated[
        str, typer.Argument(metavar="PARTITIONS", help="A date, FROM..TO, or - for a table that is made as a whole.")
    ],
    *,
    why: Annotated[str, typer.Option(help="What it is made again for. It stays on record.")],
    by: Annotated[str | None, typer.Option(help="Who asks; by default the operating system's user.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make partitions again, bronze from landing; live arrivals go first, and what is made of them follows by itself.

    It is a backfill of Dagster: its daemon takes it up within half a minute, or when it runs again.
    """
    from platform_assets.operations.quarantine import current_user
    from platform_assets.operations.quarantined_rows import QuarantineError
    from platform_assets.operations.rebuild import RebuildError
    from platform_assets.operations.rebuild import rebuild as ask_for

    settings = settings_here()
    if "DAGSTER_HOME" not in os.environ:
        raise failure("DAGSTER_HOME is not set: the folder of the instance whose daemon is to make them.")
    import dagster as dg

    from platform_assets import definitions

    try:
        with dg.DagsterInstance.get() as instance:
            graph = definitions.defs.resolve_asset_graph()
            asked = ask_for(instance, graph, asset, partitions, by=by or current_user(), why=why)
    except (RebuildError, QuarantineError) as error:
        raise failure(str(error)) from None
    if as_json:
        typer.echo(json.dumps(asked.as_json(), indent=2))
        return
    count = len(asked.partitions)
    what = f"{count} partition{'s' if count > 1 else ''} of " if count else ""
    typer.echo(f"Asked for {what}{', '.join(asked.assets)}: backfill {asked.backfill_id}")
    if settings.dagit_url:
        typer.echo(f"{settings.dagit_url.rstrip('/')}/runs/b/{asked.backfill_id}")


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)

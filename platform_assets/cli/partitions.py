"""`platform-assets partitions`: those that failed and are not tried again by themselves, and letting them go."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from platform_assets.cli.output import AsJson, failure, rich_table, settings_here, show

partitions_app = typer.Typer(
    help="Parked partitions: what failed in a way that does not pass, why, and letting it go.",
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


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)

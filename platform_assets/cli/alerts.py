"""`platform-assets alerts`: what is wrong, whether a route works, and the watch over the daemon itself."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from platform_assets.cli.output import AsJson, failure, rich_table, settings_here, show

if TYPE_CHECKING:
    from platform_assets.settings import Settings

alerts_app = typer.Typer(
    help="Trouble that is told: open incidents, the routes that it is told to, and a watch over the daemon.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


@alerts_app.command("list")
def list_incidents(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also what is over.")] = False,
    as_json: AsJson = False,
) -> None:
    """Open incidents, the newest first: severity, rule, subject, what, since when, who was told."""
    from platform_assets.automation.alerts.store import IncidentStore

    with IncidentStore(settings_here()) as store:
        found = [incident for incident in store.history() if everything or incident.open]
    rows: list[dict[str, object]] = [
        {
            "severity": incident.severity.value,
            "rule": incident.rule,
            "subject": incident.seen.subject,
            "what": incident.seen.what,
            "since": incident.since.isoformat(timespec="seconds"),
            "over": incident.recovered_at.isoformat(timespec="seconds") if incident.recovered_at else None,
            "told": ", ".join(name for name, notice in incident.notices.items() if notice.told_at) or None,
            "not reached": ", ".join(name for name, notice in incident.notices.items() if not notice.told_at) or None,
            "owner": incident.seen.owner,
        }
        for incident in found
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif rows:
        show(rich_table("Incidents", rows))
    else:
        typer.echo("No open incidents.")


@alerts_app.command()
def test(
    route: Annotated[str, typer.Argument(help="A route of PLATFORM_ALERT_ROUTES, or an e-mail address.")],
) -> None:
    """Send a test message to a route, and the message that it is over."""
    from platform_assets.automation.alerts.channels import DeliveryFailed, deliver
    from platform_assets.automation.alerts.messages import sample_messages
    from platform_assets.automation.alerts.rules import read_alert_settings

    settings = settings_here()
    with _told():
        alerts = read_alert_settings(settings.alert_routes)
        try:
            for message in sample_messages(datetime.now(UTC), settings.dagit_url):
                deliver(settings, alerts, route, message)
        except DeliveryFailed as error:
            raise failure(str(error)) from None
    typer.echo(f"{route} took a test message, and the message that it is over.")


@alerts_app.command()
def watch(
    *,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=1)] = 30,
    once: Annotated[bool, typer.Option("--once", help="Look once; fails while something is wrong.")] = False,
) -> None:
    """Tell when Dagster's daemon stops or its sensors fail: run it outside of the daemon, under a supervisor.

    A sensor cannot tell that the daemon which would run it has stopped. This does; it needs the instance's database
    (DAGSTER_HOME), the operations database, and nothing that the daemon runs.
    """
    settings = settings_here()
    while True:
        with _told():
            still_open = _look(settings)
        if once:
            raise typer.Exit(int(still_open > 0))
        time.sleep(every)


def _look(settings: Settings) -> int:
    """Number of open incidents after one look."""
    import dagster as dg

    from platform_assets.automation.alerts.evaluation import Scope, evaluate

    if "DAGSTER_HOME" not in os.environ:
        raise failure("DAGSTER_HOME is not set: the folder of the instance whose daemon is to be watched.")
    with dg.DagsterInstance.get() as instance:
        report = evaluate(settings, instance, datetime.now(UTC), Scope.DAEMON)
    typer.echo(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {report.in_words}")
    for why in report.failed.values():
        typer.secho(f"Not delivered, and tried again with the next look: {why}", err=True, fg=typer.colors.RED)
    return report.open


@contextmanager
def _told() -> Iterator[None]:
    from platform_assets.settings import SettingsError
    from platform_assets.sources.yaml_file import SourceError

    try:
        yield
    except (SettingsError, SourceError) as error:
        raise failure(str(error)) from None

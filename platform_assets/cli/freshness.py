"""`platform-assets freshness`: how fresh every table is, and whose fault it is if it is not."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from platform_assets.cli.output import AsJson, failure, settings_here, show

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.table import Table

    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.freshness import TableFreshness

_STATE_STYLES = {"PASS": "green", "WARN": "yellow", "FAIL": "red", "UNKNOWN": "dim"}
_REFRESH_SECONDS = 2.0


def freshness(
    *,
    table: Annotated[list[str] | None, typer.Option(help="Only this `layer.table`; may be given again.")] = None,
    domain: Annotated[str | None, typer.Option(help="Only the tables of this domain.")] = None,
    failing: Annotated[bool, typer.Option("--failing", help="Only tables that warn or fail.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every 2 seconds, until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """How fresh every table is: state and why, newest and expected partition, lag, completeness, whom to blame.

    A table is late if something that arrived is not processed, or something that was due has not arrived, for longer
    than its promise. When it was last materialised plays no part: making an old partition again turns nothing green.
    """
    from platform_assets.lakehouse.catalog import Lakehouse

    lakehouse = Lakehouse(settings_here())

    def look() -> list[TableFreshness]:
        return _chosen(_evaluate(lakehouse), table or [], domain, failing=failing)

    if watch:
        _watch(look, as_json=as_json)
    elif as_json:
        typer.echo(json.dumps([row.as_json() for row in look()], indent=2))
    else:
        show(freshness_table(look()))


def _evaluate(lakehouse: Lakehouse) -> list[TableFreshness]:
    from platform_assets.ingestion.waiting import landed_since
    from platform_assets.lakehouse.freshness import table_freshness

    return table_freshness(lakehouse, datetime.now(UTC), landed_since(lakehouse.settings))


def _chosen(
    rows: list[TableFreshness], names: Sequence[str], domain: str | None, *, failing: bool
) -> list[TableFreshness]:
    """Those that were asked for.

    Raises:
        typer.Exit: a name or the domain is none that is declared; the message lists those that are.
    """
    declared, domains = [row.table.name for row in rows], {row.table.domain for row in rows}
    for name in names:
        if name not in declared:
            raise failure(f"{name} is no table; expected one of {', '.join(declared)}")
    if domain is not None and domain not in domains:
        raise failure(f"{domain} is no domain; expected one of {', '.join(sorted(domains))}")
    return [
        row
        for row in rows
        if (not names or row.table.name in names)
        and (domain is None or row.table.domain == domain)
        and (not failing or row.state in {"WARN", "FAIL"})
    ]


def _watch(look: Callable[[], list[TableFreshness]], *, as_json: bool) -> None:
    """A table that renews itself; with JSON, or into a pipe, one object a line for every table that changed."""
    from rich.console import Console
    from rich.live import Live

    console = Console()
    try:
        if console.is_terminal and not as_json:
            with Live(freshness_table(look()), console=console, auto_refresh=False) as live:
                while True:
                    live.update(freshness_table(look()), refresh=True)
                    time.sleep(_REFRESH_SECONDS)
        told: dict[str, tuple[object, ...]] = {}
        while True:
            for row in look():
                now = (row.state, row.statistics and (row.statistics.rows, row.statistics.newest_partition))
                if told.get(row.table.name) != now:
                    told[row.table.name] = now
                    typer.echo(json.dumps(row.as_json()) if as_json else f"{row.table.name}: {row.state}, {row.reason}")
            time.sleep(_REFRESH_SECONDS)
    except KeyboardInterrupt:
        raise typer.Exit from None


def freshness_table(rows: list[TableFreshness]) -> Table:
    """The freshness of all tables as people read it."""
    from rich.box import SIMPLE
    from rich.table import Table

    from platform_assets.lakehouse.durations import in_words

    table = Table(title="Freshness", box=SIMPLE)
    for heading in ("table", "state", "partition", "expected", "rows", "complete", "lag", "why"):
        number = heading in {"rows", "complete"}
        table.add_column(heading, justify="right" if number else "left", no_wrap=heading != "why")
    for row in rows:
        found = row.as_json()
        table.add_row(
            found["table"],
            f"[{_STATE_STYLES[found['state']]}]{found['state']}",
            found["partition"] or "",
            found["expected_partition"] or "",
            f"{found['rows']:,}",
            f"{row.completeness.ratio:.0%}" if row.completeness else "",
            in_words(row.lag) if row.lag is not None else "",
            row.reason,
        )
    return table

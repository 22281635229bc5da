"""Makes HTML of what is known of tables: which template, and the words and figures that it may use."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from platform_assets.contracts.sla import percent
from platform_assets.lakehouse.durations import in_words
from platform_assets.quality.findings import Finding, Watch
from platform_assets.serving.pages import drawings
from platform_assets.serving.pages.evaluation import LINE_DAYS
from platform_assets.serving.pages.table import DAYS, neighbours
from platform_assets.serving.pages.view import LATE, STATES

if TYPE_CHECKING:
    from platform_assets.lakehouse.declared import Cadence
    from platform_assets.lakehouse.freshness import TableFreshness
    from platform_assets.serving.pages.evaluation import Evaluation, Evaluations
    from platform_assets.serving.pages.table import Past
    from platform_assets.serving.pages.view import Page, View

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_SPARK = (112, 22)
_CHART = (720, 160)
_SCORE_CHART = (720, 100)
# How each order is called, and which direction somebody who asks for it wants first.
ORDERS = {
    "state": ("State, worst first", "state"),
    "layer": ("Layer, then name", "layer"),
    "table": ("Name", "table"),
    "domain": ("Domain", "domain"),
    "owner": ("Owner", "owner"),
    "behind": ("Behind, longest first", "-behind"),
    "lag": ("Lag, longest first", "-lag"),
    "partition": ("Newest partition, oldest first", "partition"),
    "rows": ("Rows, most first", "-rows"),
    "completeness": ("Completeness, least first", "completeness"),
    "sla": ("SLA, missed first", "sla"),
    "score": ("Score, lowest first", "score"),
    "updated": ("Last update, oldest first", "updated"),
    "reason": ("Reason", "reason"),
}


def overview(found: Evaluation, view: View, page: Page, dagit: str, evaluations: Evaluations) -> str:
    """The page of all tables."""
    tables = [row.table for row in found.rows]
    return _TEMPLATES.get_template("overview.html").render(
        found=found,
        now=found.at,
        view=view,
        page=page,
        here={row.table.name for row in page.rows},
        domains=sorted({table.domain for table in tables}),
        layers=list(dict.fromkeys(table.contract.layer for table in tables)),
        states=STATES,
        late=LATE,
        orders=ORDERS,
        nothing_made=all(row.statistics is None for row in found.rows),
        line=lambda name: _spark(found, name),
        sorting=lambda key: _sorting(view, key),
        dagit=dagit,
        evaluations=evaluations,
    )


def table(found: Evaluation, row: TableFreshness, past: Past, dagit: str, evaluations: Evaluations) -> str:
    """The page of one table."""
    above, below = neighbours(row, found.rows)
    return _TEMPLATES.get_template("table.html").render(
        found=found,
        now=found.at,
        row=row,
        promises=found.standing.promises(row.table.name),
        card=found.standing.card(row.table.name),
        scores=drawings.score_line(past.scores, found.at.date(), DAYS, _SCORE_CHART),
        here=set(),
        past=past,
        days=DAYS,
        chart=drawings.lag_line(past.told, past.start, found.at, *_CHART),
        above=above,
        below=below,
        dagit=dagit,
        evaluations=evaluations,
    )


def error(status: int, message: str) -> str:
    """The page of what went wrong."""
    return _TEMPLATES.get_template("error.html").render(status=status, title=HTTPStatus(status).phrase, message=message)


def _spark(found: Evaluation, name: str) -> drawings.LagLine | None:
    told = found.lines.get(name)
    return drawings.lag_line(told, found.at - timedelta(days=LINE_DAYS), found.at, *_SPARK) if told else None


def _sorting(view: View, key: str) -> tuple[str, str | None]:
    """The query string that sorts by a column, the other way round if it is sorted so already; and how it is sorted."""
    if view.sort == key:
        return view.query(descending=not view.descending), "descending" if view.descending else "ascending"
    first = ORDERS[key][1]
    return view.query(sort=key, descending=first.startswith("-")), None


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _ago(moment: datetime, now: datetime) -> str:
    """From a minute on without seconds."""
    age = now - moment
    return f"{in_words(age - age % timedelta(minutes=1) if age >= timedelta(minutes=1) else age)} ago"


def _percent(share: float) -> str:
    """Never rounded up to all of it: 99.96 % of the time is not 100 %."""
    return f"{math.floor(round(share * 10_000, 6)) / 100:g} %"


def _cadence(cadence: Cadence) -> str:
    if cadence.schedule:
        return f"delivered at {cadence.schedule} (cron, UTC)"
    return "every day" if cadence.daily else "a stream: what comes is to be in time"


def _observed(finding: Finding) -> str:
    """What was measured, in the unit of the watch."""
    return _measure(finding.watch, finding.observed)


def _expected(finding: Finding) -> str:
    """`400 to 600`, `up to 0.12`; nothing if no bound is known."""
    low, high = (None if bound is None else _measure(finding.watch, bound) for bound in (finding.low, finding.high))
    if low is None or high is None:
        return f"up to {high}" if high is not None else f"from {low}" if low is not None else ""
    if finding.low == finding.high:
        return high
    return f"up to {high}" if finding.low == 0 else f"{low} to {high}"


def _measure(watch: Watch, value: float) -> str:
    match watch:
        case Watch.NULL_RATE:
            return f"{value:.2%}".replace("%", " %")
        case Watch.DISTRIBUTION:
            return f"{value:.2f}"
        case Watch.VOLUME:
            return f"{value:,.0f} rows"
        case Watch.SCHEMA:
            return "1 change" if value == 1 else f"{value:.0f} changes"
        case Watch.RECONCILIATION:
            return f"{value:,.2f}".removesuffix(".00")


_WATCHES = {
    Watch.VOLUME: "rows",
    Watch.NULL_RATE: "share of null",
    Watch.DISTRIBUTION: "distribution",
    Watch.SCHEMA: "columns",
    Watch.RECONCILIATION: "reconciliation",
}
_TEMPLATES.filters |= {"observed": _observed, "expected": _expected, "watched": _WATCHES.__getitem__}
_TEMPLATES.filters |= {
    "words": in_words,
    "moment": _moment,
    "ago": _ago,
    "percent": _percent,
    "cadence": _cadence,
    "kept": percent,
}
_TEMPLATES.globals |= {"promise": drawings.promise, "strip": drawings.strip}

"""`ops.quality`: what every watch found, so that one can see since when, and a score can count (S1-37).

Append-only, partitioned by day. A look adds, in one commit, what is judged for the first time and what is judged or
measured otherwise than before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from platform_assets.contracts.model import Column, Contract, Rule
from platform_assets.contracts.rules import literal
from platform_assets.lakehouse.append_only import Row, append_news
from platform_assets.lakehouse.reader import table_relation
from platform_assets.quality.findings import Finding, Watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyiceberg.table import Table

    from platform_assets.lakehouse.catalog import Lakehouse

REMEMBERED = timedelta(days=35)  # what is older is told again
RECONCILED_EVERY = timedelta(days=1)  # a judgement of figures is kept once a day, also if nothing changed

QUALITY = Contract(
    table="ops.quality",
    description="What every watch over the content of a table found: a row for each judgement that is new or changed.",
    columns=(
        Column("judged_at", "timestamp", nullable=False, description="When it was looked at."),
        Column("judged_on", "date", nullable=False, description="The date (UTC) of that."),
        Column("table_name", "string", nullable=False, description="`layer.table`."),
        Column("partition_date", "date", description="The partition; none for the table as a whole."),
        Column("watch", "string", nullable=False, description="What was looked at."),
        Column("subject", "string", nullable=False, description="A column, a reconciliation; empty for the table."),
        Column("observed", "double", nullable=False, description="What was measured, in the unit of the watch."),
        Column("low", "double", description="The least that would be usual."),
        Column("high", "double", description="The most that would be usual."),
        Column("unusual", "boolean", nullable=False, description="Whether it is told of."),
        Column("reason", "string", nullable=False, description="The judgement in words."),
    ),
    event_time="judged_at",
    partition_column="judged_on",
    rules=(Rule("one_of", "watch", tuple(watch.value for watch in Watch)),),
)
_COLUMNS = "judged_at, watch, table_name, partition_date, observed, unusual, reason, subject, low, high"
_SAME = "table_name, partition_date, watch, subject"


@dataclass(frozen=True)
class Judgement:
    """A finding and when it was made (UTC)."""

    at: datetime
    finding: Finding

    def as_json(self) -> dict[str, Any]:
        """One flat object; times in ISO 8601."""
        found = self.finding
        return {
            "table": found.table,
            "partition": found.partition.isoformat() if found.partition else None,
            "watch": found.watch.value,
            "subject": found.subject,
            "observed": found.observed,
            "low": found.low,
            "high": found.high,
            "unusual": found.unusual,
            "reason": found.reason,
            "judged_at": self.at.isoformat(),
        }


def record(lakehouse: Lakehouse, findings: Sequence[Finding], now: datetime) -> list[Finding]:
    """Appends what is new or changed, in one commit; returns what that was.

    Raises:
        ConcurrentPublish: others kept recording at the same time.
    """
    if not findings:
        return []

    def news(base: Table) -> list[Finding]:
        known = {_identity(last.finding): last for last in _latest(lakehouse, base, now, _SAME)}
        return [finding for finding in findings if _is_news(finding, known.get(_identity(finding)), now)]

    return append_news(lakehouse, QUALITY, news, lambda finding: _row(finding, now), now)


def latest(lakehouse: Lakehouse, now: datetime, *, of: str | None = None) -> list[Judgement]:
    """The last judgement of each partition of the last 35 days, of all tables or one, the newest partition first."""
    return _read_latest(lakehouse, now, _SAME, of)


def current(lakehouse: Lakehouse, now: datetime) -> list[Judgement]:
    """How things stand: of each watch and subject of a table, the last judgement of the newest partition."""
    return _read_latest(lakehouse, now, "table_name, watch, subject")


def judged_after(lakehouse: Lakehouse, moment: datetime) -> list[Judgement]:
    """What was judged after a moment, oldest first."""
    table = lakehouse.find(QUALITY.table)
    if table is None:
        return []
    source = table_relation(table, since={"judged_on": moment.date()})
    rows = _query(lakehouse, f"SELECT {_COLUMNS} FROM {source} ORDER BY judged_at, {_SAME}")
    return [judgement for judgement in rows if judgement.at > moment]


def _read_latest(lakehouse: Lakehouse, now: datetime, of_each: str, of: str | None = None) -> list[Judgement]:
    table = lakehouse.find(QUALITY.table)
    return [] if table is None else _latest(lakehouse, table, now, of_each, of)


def _latest(lakehouse: Lakehouse, table: Table, now: datetime, of_each: str, of: str | None = None) -> list[Judgement]:
    which = "TRUE" if of is None else f"table_name = {literal(of)}"
    source = table_relation(table, since={"judged_on": (now - REMEMBERED).date()})
    return _query(
        lakehouse,
        f"SELECT {_COLUMNS} FROM {source} WHERE {which} QUALIFY row_number() OVER (PARTITION BY {of_each} "
        "ORDER BY partition_date DESC NULLS LAST, judged_at DESC) = 1 "
        "ORDER BY partition_date DESC NULLS FIRST, table_name, watch, subject",
    )


def _query(lakehouse: Lakehouse, sql: str) -> list[Judgement]:
    rows = lakehouse.ask(sql)
    return [
        Judgement(at.astimezone(UTC), Finding(Watch(watch), table, day, observed, unusual, reason, subject, low, high))
        for at, watch, table, day, observed, unusual, reason, subject, low, high in rows
    ]


def _identity(finding: Finding) -> tuple[str, date | None, Watch, str]:
    return finding.table, finding.partition, finding.watch, finding.subject


def _is_news(finding: Finding, last: Judgement | None, now: datetime) -> bool:
    """What would be usual may shift by a trifle with every look; that alone is no news."""
    if last is None or (finding.watch is Watch.RECONCILIATION and now - last.at >= RECONCILED_EVERY):
        return True
    same = (last.finding.unusual, last.finding.observed) == (finding.unusual, finding.observed)
    return now > last.at and not same


def _row(finding: Finding, now: datetime) -> Row:
    return (
        now,
        now.date(),
        finding.table,
        finding.partition,
        finding.watch.value,
        finding.subject,
        float(finding.observed),
        None if finding.low is None else float(finding.low),
        None if finding.high is None else float(finding.high),
        finding.unusual,
        finding.reason,
    )

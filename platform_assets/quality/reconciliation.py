"""Whether figures that must agree do: counts and sums of different tables, date by date (S2-34)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from platform_assets.contracts.rules import quote
from platform_assets.contracts.sql_rule import read_expression
from platform_assets.lakehouse.progress import Progress, progress
from platform_assets.lakehouse.reader import table_relation
from platform_assets.lakehouse.remembered import last_published_at
from platform_assets.lakehouse.statistics import statistics
from platform_assets.quality.declarations import Figure, Measure, Reconciliation
from platform_assets.quality.findings import Finding, Watch
from platform_assets.quality.store import RECONCILED_EVERY

if TYPE_CHECKING:
    from pyiceberg.table import Table

    from platform_assets.contracts.model import Contract
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.quality.store import Judgement

_ROUNDING = 1e-9  # sums of binary fractions depend on their order
Amounts = Mapping[date | None, float]


@dataclass(frozen=True)
class _Measured:
    """A figure by date, how the table came to it, and the date column that it goes by."""

    figure: Figure
    amounts: Amounts
    progress: Progress
    dated_by: str | None
    partitioned_by: str | None


def is_due(declared: Reconciliation, last: Sequence[Judgement], lakehouse: Lakehouse, now: datetime) -> bool:
    """Whether it is to be judged: once a day, and when a table changed since; at once while figures do not agree."""
    mine = [found for found in last if found.finding.subject == declared.name]
    if not mine or any(found.finding.unusual for found in mine):
        return True
    judged = max(found.at for found in mine)
    settled = [
        published + timedelta(minutes=declared.settle_minutes)
        for figure in declared.figures
        if (table := lakehouse.find(figure.table)) is not None and (published := last_published_at(table)) is not None
    ]
    return now - judged >= RECONCILED_EVERY or any(judged < moment <= now for moment in settled)


def reconcile(
    lakehouse: Lakehouse, declared: Reconciliation, contracts: Mapping[str, Contract], now: datetime
) -> list[Finding]:
    """The judgement of each date: the actual figure beside the expected one.

    Nothing is said of today, of a date that changed within `settle_minutes`, and as long as a table was never published
    or no longer knows what it counted.
    """
    tables = {figure.table: lakehouse.find(figure.table) for figure in declared.figures}
    opened = {name: table for name, table in tables.items() if table is not None and table.current_snapshot()}
    if opened.keys() != tables.keys():
        return []
    first = _first_day(declared, opened, contracts, now)
    measured = {
        figure: _measure(lakehouse, opened[figure.table], contracts[figure.table], figure, first)
        for figure in dict.fromkeys(declared.figures)
    }
    days = sorted({day for found in measured.values() for day in found.amounts if day and day < now.date()})
    whole = any(found.dated_by is None for found in measured.values())
    settled = now - timedelta(minutes=declared.settle_minutes)
    found = []
    for day in [None] if whole else days[-declared.days :]:
        if all(_stands(figure, day, settled) for figure in measured.values()):
            expected, actual = (
                sum(measured[figure].amounts.get(day, 0.0) for figure in side)
                for side in (declared.expected, declared.actual)
            )
            found.append(_judged(declared, day, expected, actual))
    return found


def _first_day(
    declared: Reconciliation, opened: Mapping[str, Table], contracts: Mapping[str, Contract], now: datetime
) -> date | None:
    """The earliest date that is compared, by the partitions that there are; None where no figure goes by those."""
    days = {
        day
        for figure in declared.figures
        if figure.date in {None, contracts[figure.table].partition_column}
        for day in statistics(opened[figure.table], None).rows_by_partition
        if day < now.date()
    }
    return min(sorted(days)[-declared.days :], default=None)


def _stands(measured: _Measured, day: date | None, settled: datetime) -> bool:
    """Whether the figure of a date is known and has not just changed."""
    if measured.figure.measure is Measure.DUPLICATES and day not in measured.amounts:
        return measured.progress.made_at(day) is None and measured.progress.remembered_since is None
    by_partition = measured.dated_by == measured.partitioned_by or measured.figure.table.startswith("bronze.")
    changed = measured.progress.changed_at(day if by_partition else None)
    return changed is None or changed <= settled


def _measure(lakehouse: Lakehouse, table: Table, contract: Contract, figure: Figure, first: date | None) -> _Measured:
    so_far = progress(table)
    dated_by = figure.date or contract.partition_column
    if figure.measure is Measure.DUPLICATES:
        amounts: Amounts = {day: float(rows) for day, rows in so_far.rows_duplicate.items()}
    else:
        amount = f"sum({quote(figure.column)})" if figure.column else "count(*)"
        where = f" WHERE {read_expression(figure.where).sql}" if figure.where else ""
        day = quote(dated_by) if dated_by else "NULL::DATE"
        source = table_relation(table, since={dated_by: first} if dated_by and first else None)
        rows = lakehouse.ask(f"SELECT {day}, coalesce({amount}, 0) FROM {source}{where} GROUP BY 1")
        amounts = {day: float(number) for day, number in rows}
    return _Measured(figure, amounts, so_far, dated_by, contract.partition_column)


def _judged(declared: Reconciliation, day: date | None, expected: float, actual: float) -> Finding:
    allowed = declared.allowed(expected) + _ROUNDING * max(abs(expected), abs(actual))
    low, high = expected - allowed, expected + allowed
    unusual = not low <= actual <= high
    told = f"{_in_words(declared.actual)}: {actual:,.10g}, {_in_words(declared.expected)}: {expected:,.10g}"
    reason = f"{told}; they differ by {actual - expected:+,.10g}, allowed is {declared.tolerance}" if unusual else told
    table = declared.actual[0].table
    return Finding(Watch.RECONCILIATION, table, day, actual, unusual, reason, declared.name, low, high)


def _in_words(figures: Sequence[Figure]) -> str:
    return " + ".join(
        f"{figure.measure.value} of {figure.table}{f'.{figure.column}' if figure.column else ''}" for figure in figures
    )

"""How fresh every table is, from the tables' own metadata: the one answer that the CLI and every page show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from platform_assets.lakehouse.declared import DeclaredTable, declared_tables
from platform_assets.lakehouse.statistics import TableStatistics, statistics

if TYPE_CHECKING:
    from platform_assets.lakehouse.catalog import Lakehouse


class FreshnessState(StrEnum):
    """Dagster's words for the same."""

    PASS = "PASS"  # noqa: S105 - a state
    WARN = "WARN"
    FAIL = "FAIL"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class TableFreshness:
    """How fresh one table is.

    Attributes:
        statistics: what the table holds; None if it was never published.
        lag: time since the newest event in the table; None where there is none.
        reason: the state in words.
    """

    table: DeclaredTable
    statistics: TableStatistics | None
    state: FreshnessState
    lag: timedelta | None
    reason: str

    def as_json(self) -> dict[str, Any]:
        """One flat object; times in ISO 8601 (UTC), durations in seconds."""
        found = self.statistics
        newest = found.newest_partition if found else None
        return {
            "table": self.table.name,
            "layer": self.table.contract.layer,
            "domain": self.table.domain,
            "owner": self.table.owner,
            "partition": newest.isoformat() if newest else None,
            "rows": found.rows if found else 0,
            "last_materialized_at": _iso(found.last_published_at if found else None),
            "watermark": _iso(found.watermark if found else None),
            "lag_seconds": None if self.lag is None else round(self.lag.total_seconds(), 3),
            "state": self.state.value,
            "reason": self.reason,
            "policy": {
                "warn_seconds": self.table.warn_window.total_seconds() if self.table.warn_window else None,
                "fail_seconds": self.table.fail_window.total_seconds(),
            },
        }


def table_freshness(lakehouse: Lakehouse, now: datetime) -> list[TableFreshness]:
    """The freshness of every declared table at `now` (UTC)."""
    return [_judge(lakehouse, table, now) for table in declared_tables(lakehouse.settings.dbt_project)]


def _judge(lakehouse: Lakehouse, table: DeclaredTable, now: datetime) -> TableFreshness:
    found = lakehouse.find(table.name)
    known = None if found is None else statistics(found, table.contract)
    if known is None or known.last_published_at is None:
        return TableFreshness(table, known, FreshnessState.UNKNOWN, None, "never materialised")
    lag = None if known.watermark is None else now - known.watermark
    age = now - known.last_published_at
    if age > table.fail_window:
        state, limit = FreshnessState.FAIL, table.fail_window
    elif table.warn_window is not None and age > table.warn_window:
        state, limit = FreshnessState.WARN, table.warn_window
    else:
        return TableFreshness(table, known, FreshnessState.PASS, lag, f"materialised {in_words(age)} ago")
    reason = f"materialised {in_words(age)} ago, more than {in_words(limit)}"
    return TableFreshness(table, known, state, lag, reason)


def in_words(duration: timedelta) -> str:
    """A duration to two units: `3 d 4 h`, `5 min 2 s`, `12 s`."""
    seconds = max(0, int(duration.total_seconds()))
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    parts = []
    for name, size in units:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()

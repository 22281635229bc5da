"""The check `fresh` of every table: it holds all that it should, by `lakehouse.freshness`, not by Dagster's policy.

One operation per domain, of which every check can be executed alone; it looks at metadata only. What the sensor
`freshness` reports between such runs are results of the same checks (`automation.freshness_checks`).

No `from __future__ import annotations` here: Dagster does not resolve the annotation of a run's context then.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.assets.tables import check_spec
from platform_assets.settings import load_settings

if TYPE_CHECKING:
    from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

    from platform_assets.lakehouse.freshness import PartitionFreshness, TableFreshness

FRESH_CHECK = "fresh"
_DESCRIPTION = "It holds all that it should by now. Blocks nothing."


@dataclass(frozen=True)
class Verdict:
    """What a check `fresh` says.

    Attributes:
        numbers: what Dagit plots. A partition's have other names than the table's, so that each is a curve of its own.
    """

    passed: bool
    severity: dg.AssetCheckSeverity
    reason: str
    numbers: Mapping[str, float | int]


def freshness_checks(assets: Iterable[dg.AssetsDefinition]) -> list[dg.AssetChecksDefinition]:
    """The checks of all tables."""
    by_domain: defaultdict[str, list[dg.AssetSpec]] = defaultdict(list)
    for definition in assets:
        for spec in definition.specs:
            by_domain[str(spec.group_name)].append(spec)
    return [_checks_of(domain, specs) for domain, specs in sorted(by_domain.items())]


def checks_of_operations(graph: "AssetGraph", keys: Iterable[dg.AssetKey]) -> list[dg.AssetCheckKey]:
    """The checks that the operations of the tables make: what a run that the platform asks for makes beside them.

    Without the checks `fresh`, which would be a step more for what the sensor tells within a minute.
    """
    wanted = set(keys)
    return sorted(key for key in graph.asset_check_keys if key.asset_key in wanted and key.name != FRESH_CHECK)


def table_verdict(row: "TableFreshness", now: datetime) -> Verdict | None:
    """What is said of the table; None if nothing is known of it."""
    numbers: dict[str, float | int] = {"late_seconds": 0.0}
    if row.statistics is not None:
        numbers["rows"] = row.statistics.rows
    if row.lag is not None:
        numbers["lag_seconds"] = row.lag.total_seconds()
    if row.completeness is not None:
        numbers["completeness"] = row.completeness.ratio
    if row.lateness is not None:
        numbers["late_seconds"] = (now - row.lateness.since).total_seconds()
    return _verdict(row.state, row.reason, numbers)


def partition_verdict(partition: "PartitionFreshness", now: datetime) -> Verdict | None:
    """What is said of one date; None if nothing is due."""
    from platform_assets.lakehouse.durations import in_words

    numbers: dict[str, float | int] = {"partition_rows": partition.rows, "partition_waits_seconds": 0.0}
    reason = "all that arrived is processed"
    if partition.waiting_since is not None:
        waits = now - partition.waiting_since
        numbers["partition_waits_seconds"] = waits.total_seconds()
        reason = f"what it is made of changed {in_words(waits)} ago and is not processed"
    elif partition.state != "PASS":
        reason = "no rows, although the date should be there"
    return _verdict(partition.state, reason, numbers)


def _verdict(state: str, reason: str, numbers: Mapping[str, float | int]) -> Verdict | None:
    if state == "UNKNOWN":
        return None
    severity = dg.AssetCheckSeverity.WARN if state == "WARN" else dg.AssetCheckSeverity.ERROR
    return Verdict(state == "PASS", severity, reason, numbers)


def _checks_of(domain: str, specs: Iterable[dg.AssetSpec]) -> dg.AssetChecksDefinition:
    checks = [check_spec(spec, FRESH_CHECK, _DESCRIPTION, blocking=False) for spec in specs]

    @dg.multi_asset_check(name=f"fresh_{domain}", specs=checks, can_subset=True)
    def judge(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        from platform_assets.ingestion.waiting import landed_since
        from platform_assets.lakehouse.catalog import Lakehouse
        from platform_assets.lakehouse.freshness import table_freshness

        settings, now = load_settings(), datetime.now(UTC)
        keys = {".".join(key.asset_key.path): key for key in context.selected_asset_check_keys}
        day = date.fromisoformat(context.partition_key) if context.has_partition_key else None
        for row in table_freshness(Lakehouse(settings), now, landed_since(settings), keys):
            key = keys[row.table.name]
            verdict = table_verdict(row, now) if day is None else _of_day(row, day, now)
            if verdict is None:  # the check then counts as skipped
                context.log.info(
                    "%s %s: %s", row.table.name, day or "", row.reason if day is None else "nothing is due"
                )
                continue
            yield dg.AssetCheckResult(
                passed=verdict.passed,
                asset_key=key.asset_key,
                check_name=key.name,
                severity=verdict.severity,
                description=verdict.reason,
                metadata=verdict.numbers,
            )

    return judge


def _of_day(row: "TableFreshness", day: date, now: datetime) -> Verdict | None:
    found = row.partition(day)
    return None if found is None else partition_verdict(found, now)

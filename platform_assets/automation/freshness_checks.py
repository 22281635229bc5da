"""What Dagit is told of freshness: results of the checks `fresh`, where they differ from what it was told last.

What it was told, and of which materialisation, is read from Dagster's own records: a killed tick loses nothing, and a
backfill that makes many dates in one run is told date by date, because nothing here looks at runs. Like any check,
`fresh` counts in Dagit for the materialisation that it looked at, so that a date that is made again is told again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.events import DagsterEventType
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from platform_assets.assets.freshness import FRESH_CHECK, Verdict, partition_verdict, table_verdict
from platform_assets.assets.tables import asset_key

if TYPE_CHECKING:
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord, AssetCheckPartitionInfo

    from platform_assets.lakehouse.freshness import PartitionFreshness, TableFreshness

_AT_LEAST_EVERY = timedelta(hours=1)
_OUR_RUN = "freshness"
_ROOM = timedelta(minutes=2)  # between a commit and what Dagster records of it
_Made = Mapping[dg.AssetKey, dg.EventLogRecord]


@dataclass(frozen=True)
class _Table:
    """A table of which there is something to say, and what was said of it last."""

    key: dg.AssetCheckKey
    row: TableFreshness
    last: AssetCheckExecutionRecord | None


def tell(instance: dg.DagsterInstance, rows: Sequence[TableFreshness], now: datetime) -> list[dg.AssetCheckEvaluation]:
    """Reports the dates of which something new is to be said; returns what is to be said of whole tables, after them.

    Args:
        instance: which is told.
        rows: the freshness of the tables.
        now: when that was (UTC).
    """
    known = {dg.AssetCheckKey(asset_key(row.table.name), FRESH_CHECK): row for row in rows if row.state != "UNKNOWN"}
    last = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(known), PartitionKeyFilter(key=None))
    made = _last_made(instance, [key.asset_key for key in known])
    evaluations = []
    looked_at = []
    for key, row in known.items():
        table = _Table(key, row, last.get(key))
        news = _is_news(table, made.get(key.asset_key), now)
        if news or row.state != "PASS":
            looked_at.append(table)
        verdict = table_verdict(row, now)
        if news and verdict is not None:
            evaluations.append(_evaluation(key, verdict, made.get(key.asset_key)))
    _tell_partitions(instance, looked_at, now)
    return evaluations


def _last_made(instance: dg.DagsterInstance, keys: Sequence[dg.AssetKey]) -> _Made:
    records = instance.get_asset_records(keys) if keys else []
    found = {record.asset_entry.asset_key: record.asset_entry.last_materialization_record for record in records}
    return {key: record for key, record in found.items() if record is not None}


def _is_news(table: _Table, made: dg.EventLogRecord | None, now: datetime) -> bool:
    last, said = table.last, table.last.evaluation if table.last else None
    if last is None or said is None or now - _moment(last) >= _AT_LEAST_EVERY:
        return True
    target = said.target_materialization_data
    return _state(last) != table.row.state or (made is not None and (not target or target.storage_id < made.storage_id))


def _tell_partitions(instance: dg.DagsterInstance, tables: Sequence[_Table], now: datetime) -> None:
    severities = _Severities(instance)
    told: list[tuple[_Table, PartitionFreshness, AssetCheckPartitionInfo | None]] = []
    for table in tables:
        infos = {
            info.partition_key: info for info in instance.event_log_storage.get_asset_check_partition_info([table.key])
        }
        for day in _days(table.row, infos):
            info = infos.get(day.partition.isoformat())
            if _is_news_of_day(table, day, info):
                told.append((table, day, info))
            elif info is not None and day.state in {"WARN", "FAIL"}:
                severities.ask(table.key, info, (table, day, info))
    for table, day, info in [*told, *severities.changed()]:
        _report(instance, table.key, day, info, now)


def _days(row: TableFreshness, infos: Mapping[str | None, AssetCheckPartitionInfo]) -> Iterator[PartitionFreshness]:
    """Those that are looked at anyway, and those that were told to be late before."""
    yield from row.older
    yield from row.partitions
    seen = {day.partition.isoformat() for day in (*row.older, *row.partitions)}
    for partition, info in infos.items():
        if partition is not None and partition not in seen and _failed(info):
            day = row.partition(datetime.fromisoformat(partition).date())
            if day is not None:
                yield day


def _is_news_of_day(table: _Table, day: PartitionFreshness, info: AssetCheckPartitionInfo | None) -> bool:
    if day.state == "UNKNOWN":
        return False
    if info is not None:
        running = info.latest_execution_status is AssetCheckExecutionRecordStatus.PLANNED
        return not running and (not info.is_current or _failed(info) != (day.state != "PASS"))
    if day.state != "PASS" or table.last is None:
        newest = table.row.statistics.newest_partition if table.row.statistics else None
        return day.state != "PASS" or day.partition == newest
    return day.made_at is not None and day.made_at > _moment(table.last) - _ROOM


class _Severities:
    """Which of the dates that were told to be late, and are, were told with another severity; a query for each date."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._asked: defaultdict[str, dict[dg.AssetCheckKey, _Asked]] = defaultdict(dict)

    def ask(self, key: dg.AssetCheckKey, info: AssetCheckPartitionInfo, asked: _Asked) -> None:
        """Remembers a date of which only Dagster's full record tells the severity."""
        if _failed(info):
            self._asked[str(info.partition_key)][key] = asked

    def changed(self) -> Iterator[_Asked]:
        """Those of which the severity is another now."""
        storage = self._instance.event_log_storage
        for partition, asked in self._asked.items():
            records = storage.get_latest_asset_check_execution_by_key(list(asked), PartitionKeyFilter(key=partition))
            for key, record in records.items():
                if _state(record) != asked[key][1].state:
                    yield asked[key]


_Asked = tuple[_Table, "PartitionFreshness", "AssetCheckPartitionInfo | None"]


def _report(
    instance: dg.DagsterInstance,
    key: dg.AssetCheckKey,
    day: PartitionFreshness,
    info: AssetCheckPartitionInfo | None,
    now: datetime,
) -> None:
    """Records the result of a date.

    Dagster 1.13 records a result without a run only once for each partition, and fails the second time
    (`test_dagster_facts.py` tells when that has changed). With the name of a run that there is not, it is kept up to
    date; if a real run has executed the check since, under a new name, because the newest record counts.
    """
    verdict = partition_verdict(day, now)
    if verdict is None:
        return
    partition = day.partition.isoformat()
    where = dg.AssetRecordsFilter(key.asset_key, asset_partitions=[partition])
    made = next(iter(instance.fetch_materializations(where, limit=1).records), None)
    run = info.latest_planned_run_id if info is not None else _OUR_RUN
    event = dg.DagsterEvent(
        DagsterEventType.ASSET_CHECK_EVALUATION.value,
        _OUR_RUN,
        event_specific_data=_evaluation(key, verdict, made, partition),
    )
    instance.report_dagster_event(event, run if run.startswith(_OUR_RUN) else f"{_OUR_RUN}-after-{run}")


def _evaluation(
    key: dg.AssetCheckKey, verdict: Verdict, made: dg.EventLogRecord | None, partition: str | None = None
) -> dg.AssetCheckEvaluation:
    target = made and AssetCheckEvaluationTargetMaterializationData(
        storage_id=made.storage_id, run_id=made.run_id, timestamp=made.timestamp
    )
    return dg.AssetCheckEvaluation(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=verdict.passed,
        severity=verdict.severity,
        description=verdict.reason,
        metadata=verdict.numbers,
        target_materialization_data=target,
        blocking=False,
        partition=partition,
    )


def _state(record: AssetCheckExecutionRecord) -> str:
    said = record.evaluation
    if said is None or said.passed:
        return "PASS"
    return "WARN" if said.severity is dg.AssetCheckSeverity.WARN else "FAIL"


def _failed(info: AssetCheckPartitionInfo) -> bool:
    return info.latest_execution_status is AssetCheckExecutionRecordStatus.FAILED


def _moment(record: AssetCheckExecutionRecord) -> datetime:
    return datetime.fromtimestamp(record.create_timestamp, UTC)

"""What finished runs tell: which steps failed or succeeded, which checks of which partition passed. Read once each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.storage.tags import WILL_RETRY_TAG

from platform_assets.assets.freshness import FRESH_CHECK
from platform_assets.automation.alerts.incidents import Kind, Observation

if TYPE_CHECKING:
    from dagster import AssetCheckEvaluation, EventLogEntry, RunRecord

_PAGE = 200  # finished runs that one evaluation reads
_FIRST_LOOK = timedelta(hours=1)
_OVERLAP = timedelta(seconds=5)  # a run's end may be committed after a later one's
_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
_EVENTS = {
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
}
_KINDS = {
    "contract": Kind.CONTRACT_FAILED,
    "quarantine": Kind.QUARANTINE,
    "dead_letters": Kind.QUARANTINE,
    "drift": Kind.DRIFT,
}
_NUMBERS = (
    "rows_open",
    "rows_quarantined",
    "quarantine_ratio",
    "rows_in",
    "rows_out",
    "rows_duplicate",
    "dead_letters",
)


def run_facts(instance: dg.DagsterInstance, position: str | None, now: datetime) -> tuple[list[Observation], str]:
    """What runs that finished after `position` tell, in the order of their end, and the position after them."""
    after = datetime.fromisoformat(position) if position else now - _FIRST_LOOK
    records = instance.get_run_records(
        dg.RunsFilter(statuses=_FINISHED, updated_after=after),
        limit=_PAGE,
        order_by="update_timestamp",
        ascending=True,
    )
    found = [observation for record in records for observation in _of_run(instance, record)]
    if records:
        overlap = _OVERLAP if len(records) < _PAGE else timedelta()
        after = max(after, records[-1].update_timestamp.astimezone(UTC) - overlap)
    return found, after.isoformat()


def _of_run(instance: dg.DagsterInstance, record: RunRecord) -> Iterator[Observation]:
    run = record.dagster_run
    partition = run.tags.get("dagster/partition")
    ended = datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC)
    entries = [r.event_log_entry for r in instance.get_records_for_run(run.run_id, of_type=_EVENTS).records]
    told: set[str | None] = set()  # steps of which a check says what is wrong
    for entry in entries:
        # Late tables are told by what they are, whether somebody has executed the check by hand or not.
        if (evaluation := _evaluation(entry)) is not None and evaluation.check_name != FRESH_CHECK:
            yield _of_check(evaluation, evaluation.partition or partition, ended)
            if not evaluation.passed and evaluation.severity is dg.AssetCheckSeverity.ERROR:
                told.add(entry.step_key)
    steps = {dg.DagsterEventType.STEP_FAILURE: set(told), dg.DagsterEventType.STEP_SUCCESS: set[str | None]()}
    for entry in entries:
        if entry.dagster_event is not None and entry.dagster_event.event_type in steps:
            steps[entry.dagster_event.event_type].add(entry.step_key)
    failed, succeeded = steps.values()
    look, subjects = f"/runs/{run.run_id}", _subjects(entries, partition)
    for step in sorted(filter(None, succeeded)):
        yield Observation(
            Kind.RUN_FAILED, subjects.get(step, _dated(step, partition)), "", ended, failing=False, lasting=True
        )
    if run.status is not dg.DagsterRunStatus.FAILURE or run.tags.get(WILL_RETRY_TAG) == "true":
        return
    dead = _planned(instance, run) - succeeded if not failed else set()
    for step in sorted(filter(None, (failed - told) | dead)):
        what = "its run died before it" if step in dead else "its step failed"
        subject = subjects.get(step, _dated(step, partition))
        yield Observation(Kind.RUN_FAILED, subject, what, ended, lasting=True, look=look)


def _planned(instance: dg.DagsterInstance, run: dg.DagsterRun) -> set[str | None]:
    if run.execution_plan_snapshot_id is None:
        return {run.job_name}
    return set(instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id).step_keys_to_execute)


def _subjects(entries: Iterable[EventLogEntry], partition: str | None) -> dict[str, str]:
    """What a step is called like: `silver_orders` is `silver.orders 2026-11-20`."""
    events = [entry.dagster_event for entry in entries if entry.dagster_event is not None]
    keys = {event.asset_key for event in events if event.asset_key is not None}
    return {"_".join(key.path): _dated(".".join(key.path), partition) for key in keys}


def _dated(name: str, partition: str | None) -> str:
    return f"{name} {partition}" if partition else name


def _evaluation(entry: EventLogEntry) -> AssetCheckEvaluation | None:
    event = entry.dagster_event
    if event is None or event.event_type is not dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        return None
    return event.asset_check_evaluation_data


def _of_check(evaluation: AssetCheckEvaluation, partition: str | None, ended: datetime) -> Observation:
    warned = evaluation.severity is dg.AssetCheckSeverity.WARN
    kind = _KINDS.get(evaluation.check_name, Kind.CHECK_WARNED if warned else Kind.CHECK_FAILED)
    return Observation(
        kind,
        _dated(".".join(evaluation.asset_key.path), partition),
        _in_words(evaluation),
        ended,
        failing=not evaluation.passed,
        name=evaluation.check_name,
        lasting=True,
        look=f"/assets/{'/'.join(evaluation.asset_key.path)}?view=checks&checkDetail={evaluation.check_name}",
    )


def _in_words(evaluation: AssetCheckEvaluation) -> str:
    """The check's counts. Not its description, in which an error may have put what stood in a row (I7)."""
    numbers = {name: evaluation.metadata[name].value for name in _NUMBERS if name in evaluation.metadata}
    counted = ", ".join(f"{name} {_number(value)}" for name, value in numbers.items())
    said = f"the check `{evaluation.check_name}` {'passed' if evaluation.passed else 'failed'}"
    return f"{said}: {counted}" if counted else said


def _number(value: object) -> str:
    return f"{value:.2%}" if isinstance(value, float) else str(value)


def error_rates(instance: dg.DagsterInstance, tables: Mapping[str, Sequence[str]], now: datetime) -> dict[str, float]:
    """The share of failed runs in the last hour, by source; a source without a run has none.

    Args:
        instance: whose runs are counted.
        tables: by source, its tables as `layer.table`.
        now: end of the hour.
    """
    ended = dg.RunsFilter(statuses=_FINISHED, updated_after=now - timedelta(hours=1))
    counts = {source: [0, 0] for source in tables}
    for record in instance.get_run_records(ended, limit=2_000):
        run = record.dagster_run
        touched = {".".join(key.path) for key in run.asset_selection or ()}
        for source, names in tables.items():
            if touched.intersection(names):
                counts[source][0] += run.status is dg.DagsterRunStatus.FAILURE
                counts[source][1] += 1
    return {source: failed / runs for source, (failed, runs) in counts.items() if runs}

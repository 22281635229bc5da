"""What becomes of runs that failed which nobody started by hand: asked for again with patience, or parked.

A condition takes its request for an answer, so that a run which fails is not asked for again. `mend_failed` looks at
every failed run of the platform's own. What failed for a reason that passes (`assets.failures`) is asked for again,
ever later; what failed otherwise, or too often, is parked with its reason, until it is released, its definition or a
table that it refers to changes, or new data makes it again. Bronze is asked for by its arrival sensor, as long as it is
not parked.

The truth is in Dagster's run records and the operations database: a failure is settled when a later run makes the same
tables of the same partition, so that a killed tick does nothing twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
from dagster import DagsterEventType
from dagster import _check as check
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from platform_assets.assets.failures import PERMANENT
from platform_assets.assets.freshness import checks_of_operations
from platform_assets.assets.requests import ARRIVAL_TAG, MENDS_TAG, own
from platform_assets.automation.conditions import LIVE_TAGS, derived_tables
from platform_assets.ingestion.parked import Parked, ParkedPartitions, utc
from platform_assets.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

    from platform_assets.settings import Settings

ATTEMPT_TAG = "platform/attempt"
MOST_ATTEMPTS = 6
FIRST_DELAY, LONGEST_DELAY = timedelta(seconds=30), timedelta(minutes=15)
_PARTITION_TAG, _WILL_RETRY_TAG = "dagster/partition", "dagster/will_retry"
_STOPPED = {dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED}
_LOOK_BACK = timedelta(days=1)  # of the first tick
_RUNS_PER_TICK = 200
_LAYERS_OF_SQL = {"gold", "mart"}
_WRAPPERS = {"DagsterExecutionStepExecutionError", "RetryRequestedFromPolicy"}  # around what was raised
_MOST_TEXT = 2_000


def delay_after(attempt: int, first: timedelta = FIRST_DELAY) -> timedelta:
    """How long to wait after so many failures."""
    return min(first * 2.0 ** min(attempt - 1, 20), LONGEST_DELAY)


def mend_failed_sensor() -> dg.SensorDefinition:
    """The sensor `mend_failed`."""

    @dg.sensor(
        name="mend_failed",
        asset_selection=derived_tables(),
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks again for what failed for a passing reason, ever later; parks what failed otherwise.",
    )
    def mend_failed(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        settings, now = load_settings(), datetime.now(UTC)
        graph = check.not_none(context.repository_def).asset_graph
        with ParkedPartitions(settings) as parked:
            tick = _Tick(context.instance, graph, settings, parked, now)
            cursor = tick.settle(datetime.fromisoformat(context.cursor) if context.cursor else now - _LOOK_BACK)
            tick.look_at_parked()
        skipped = None if tick.requests else dg.SkipReason("No failed run is due to be tried again.")
        return dg.SensorResult(
            run_requests=tick.requests, skip_reason=skipped, asset_events=tick.events, cursor=cursor.isoformat()
        )

    return mend_failed


@dataclass
class _Tick:
    """One look at everything that failed.

    Attributes:
        versions: data versions of tables that parked ones refer to, as they were before a moment, or (None) are now.
    """

    instance: dg.DagsterInstance
    graph: AssetGraph
    settings: Settings
    parked: ParkedPartitions
    now: datetime
    requests: list[dg.RunRequest] = field(default_factory=list)
    events: list[dg.AssetObservation] = field(default_factory=list)
    versions: dict[tuple[dg.AssetKey, datetime | None], str] = field(default_factory=dict)

    def settle(self, since: datetime) -> datetime:
        """Looks at the runs that failed since then; returns the time before which all are settled."""
        failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since - timedelta(seconds=1))
        records = self.instance.get_run_records(
            failed, order_by="update_timestamp", ascending=True, limit=_RUNS_PER_TICK
        )
        all_settled = True
        for record in records:
            run = record.dagster_run
            looked_at = own(run) and run.tags.get(_WILL_RETRY_TAG) != "true"
            all_settled = (not looked_at or self._settled(record)) and all_settled
            if all_settled:
                since = max(since, utc(record.update_timestamp))
        return since

    def look_at_parked(self) -> None:
        """Asks for what was released, releases what is defined otherwise now, forgets what has been made."""
        for one in self.parked.all():
            key = dg.AssetKey.from_user_string(one.asset)
            if not self.graph.has(key) or self._made_since(key, one):
                self.parked.forget(one.asset, one.partition)
                continue
            changed = self._changed(key, one) if one.waits else None
            if changed:
                self.parked.release(one.asset, one.partition, by="mend_failed", why=changed)
            elif one.released_at is not None and key.path[0] != "bronze" and not self._later_run(key, one):
                released = f"{one.run_id}/{one.released_at.isoformat()}"
                self.requests.append(self._request([key], one.partition, one.run_id, attempt=1, run_key=released))

    def _settled(self, record: dg.RunRecord) -> bool:
        run = record.dagster_run
        partition = run.tags.get(_PARTITION_TAG, "")
        found = _Failed.of(self.instance, run)
        later, busy = self._later(utc(record.create_timestamp), partition, run.run_id)
        wanted = found.unmade - later
        attempt = int(run.tags.get(ATTEMPT_TAG, 1))
        too_often = attempt >= MOST_ATTEMPTS and ARRIVAL_TAG not in run.tags
        for step, reason in found.reasons.items():
            stays = found.permanent[step]
            if stays or too_often:
                first = next(key for key in found.planned[step] if key in found.unmade or not found.lost(step))
                if first not in later:
                    told = reason if stays else f"failed {attempt} times, and now with: {reason}"
                    self._park(first, record, told, attempt)
                wanted -= self._downstream(found.planned[step])
        wanted = {key for key in wanted if key.path[0] != "bronze" and self.graph.has(key)}
        if not wanted or too_often:
            return True
        ended = datetime.fromtimestamp(record.end_time, UTC) if record.end_time else utc(record.update_timestamp)
        if self.now < ended + delay_after(attempt) or wanted & busy:
            return False
        self.requests.append(self._request(wanted, partition, run.run_id, attempt + 1, run_key=run.run_id))
        return True

    def _park(self, key: dg.AssetKey, record: dg.RunRecord, reason: str, attempts: int) -> None:
        run, asset = record.dagster_run, key.to_user_string()
        partition = run.tags.get(_PARTITION_TAG, "")
        before = self.parked.find(asset, partition)
        if not self.graph.has(key) or (before is not None and before.run_id == run.run_id):
            return
        since = utc(record.create_timestamp)
        definition = f"{definition_of(self.graph, key, self.settings)}/{self._referred(key, partition, since)}"
        self.parked.park(Parked(asset, partition, reason[:_MOST_TEXT], since, attempts, run.run_id, definition))
        told: dict[str, str | int] = {"parked": reason[:_MOST_TEXT], "attempts": attempts, "run": run.run_id}
        self.events.append(dg.AssetObservation(key, partition=partition or None, metadata=told))

    def _request(
        self, keys: Iterable[dg.AssetKey], partition: str, mends: str, attempt: int, run_key: str
    ) -> dg.RunRequest:
        asked = sorted(dg.AssetSelection.assets(*keys).required_multi_asset_neighbors().resolve(self.graph))
        return dg.RunRequest(
            run_key=run_key,
            asset_selection=asked,
            asset_check_keys=checks_of_operations(self.graph, asked),
            partition_key=partition or None,
            tags={**LIVE_TAGS, MENDS_TAG: mends, ATTEMPT_TAG: str(attempt)},
        )

    def _later(self, moment: datetime, partition: str, besides: str) -> tuple[set[dg.AssetKey], set[dg.AssetKey]]:
        """The tables of the partition that runs asked for since then answer for, and those that others are making.

        A run answers for its tables if it went well, or is the platform's own: then its failure is looked at itself.
        A failed run that a person or a backfill started answers for nothing.
        """
        tags = {_PARTITION_TAG: partition} if partition else {}
        answered: set[dg.AssetKey] = set()
        busy: set[dg.AssetKey] = set()
        for run in self.instance.get_runs(dg.RunsFilter(tags=tags, created_after=moment)):
            if run.run_id == besides or run.tags.get(_PARTITION_TAG, "") != partition:
                continue
            if run.status is dg.DagsterRunStatus.SUCCESS or (own(run) and run.status not in _STOPPED):
                answered |= run.asset_selection or frozenset()
            elif not run.is_finished:
                busy |= run.asset_selection or frozenset()
        return answered, busy

    def _later_run(self, key: dg.AssetKey, one: Parked) -> bool:
        if one.released_at is None:
            return False
        answered, busy = self._later(one.released_at, one.partition, one.run_id)
        return key in answered | busy

    def _made_since(self, key: dg.AssetKey, one: Parked) -> bool:
        these = dg.AssetRecordsFilter(
            key, asset_partitions=[one.partition] if one.partition else None, after_timestamp=one.since.timestamp()
        )
        found = self.instance.fetch_materializations(these, limit=20).records
        return any(record.run_id != one.run_id for record in found)

    def _changed(self, key: dg.AssetKey, one: Parked) -> str | None:
        """What is otherwise than when it failed, so that it may be made now; what fires a condition is left to that."""
        definition, _, referred = one.definition.partition("/")
        if definition != definition_of(self.graph, key, self.settings):
            return "the table's definition changed"
        return "a table that it refers to changed" if referred != self._referred(key, one.partition) else None

    def _referred(self, key: dg.AssetKey, partition: str, before: datetime | None = None) -> str:
        """The data versions, in short, of the tables without dates that a dated one reads: now, or at a moment."""
        deps = sorted(self.graph.get(key).parent_keys) if partition else ()
        undated = [dep for dep in deps if self.graph.get(dep).partitions_def is None]
        versions = [self._version(dep, before) for dep in undated]
        return hashlib.sha256(" ".join(versions).encode()).hexdigest()[:16] if undated else ""

    def _version(self, key: dg.AssetKey, before: datetime | None) -> str:
        if (key, before) not in self.versions:
            these = dg.AssetRecordsFilter(key, before_timestamp=before.timestamp() if before else None)
            found = self.instance.fetch_materializations(these, limit=1).records
            made = found[0].asset_materialization if found else None
            self.versions[key, before] = ((made.tags or {}).get(DATA_VERSION_TAG) if made else None) or ""
        return self.versions[key, before]

    def _downstream(self, keys: Iterable[dg.AssetKey]) -> set[dg.AssetKey]:
        """The tables and all that is made of them."""
        known = [key for key in keys if self.graph.has(key)]
        return set(dg.AssetSelection.assets(*known).downstream().resolve(self.graph))


@dataclass(frozen=True)
class _Failed:
    """What the event log tells of a run that failed.

    Attributes:
        planned: the tables of each step.
        unmade: those that the run did not make.
        reasons: of each step that failed, why.
        permanent: of each step that failed, whether that stays so.
    """

    planned: dict[str, list[dg.AssetKey]]
    unmade: set[dg.AssetKey]
    reasons: dict[str, str]
    permanent: dict[str, bool]

    @classmethod
    def of(cls, instance: dg.DagsterInstance, run: dg.DagsterRun) -> _Failed:
        """What the instance recorded."""
        planned: dict[str, list[dg.AssetKey]] = {}
        made: set[dg.AssetKey] = set()
        reasons: dict[str, str] = {}
        permanent: dict[str, bool] = {}
        for event in _events(instance, run):
            key = event.asset_key
            if event.event_type is DagsterEventType.ASSET_MATERIALIZATION_PLANNED and key and event.step_key:
                planned.setdefault(event.step_key, []).append(key)
            elif event.event_type is DagsterEventType.ASSET_MATERIALIZATION and key:
                made.add(key)
            elif event.event_type is DagsterEventType.STEP_FAILURE and event.step_key:
                reasons[event.step_key], permanent[event.step_key] = _why(event)
        if not reasons:
            reasons = dict.fromkeys(planned, "the run ended before the step did")
            permanent = dict.fromkeys(planned, False)
        for keys in planned.values():
            keys.sort(key=lambda key: ("quarantine" in key.path, key))
        known = {key for keys in planned.values() for key in keys}
        failed = {step for step in reasons if step in planned}
        return cls(
            planned,
            known - made,
            {step: reasons[step] for step in sorted(failed)},
            {step: permanent[step] for step in sorted(failed)},
        )

    def lost(self, step: str) -> list[dg.AssetKey]:
        """The tables of the step that it did not make."""
        return [key for key in self.planned[step] if key in self.unmade]


def _events(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterator[dg.DagsterEvent]:
    kinds = {
        DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
        DagsterEventType.ASSET_MATERIALIZATION,
        DagsterEventType.STEP_FAILURE,
    }
    for entry in instance.all_logs(run.run_id, of_type=kinds):
        if entry.dagster_event is not None:
            yield entry.dagster_event


def _why(event: dg.DagsterEvent) -> tuple[str, bool]:
    """The reason of a step's failure, and whether it stays; a broken blocking check does."""
    data = event.step_failure_data
    told = data.user_failure_data
    if told is not None:
        return told.description or "no reason was given", PERMANENT in told.metadata
    error = data.error
    while error is not None and error.cause is not None and error.cls_name in _WRAPPERS:
        error = error.cause
    if error is None:
        return "no reason was given", False
    return error.message.strip(), error.cls_name == "DagsterAssetCheckFailedError"


def definition_of(graph: AssetGraph, key: dg.AssetKey, settings: Settings) -> str:
    """What a table is defined as, in short: it differs when its contract, its source's files or its SQL do."""
    metadata = graph.get(key).metadata
    digest = hashlib.sha256(f"{metadata.get('contract_version')} {metadata.get('dagster/column_schema')}".encode())
    for path in _files_of(key, settings):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _files_of(key: dg.AssetKey, settings: Settings) -> list[Path]:
    from platform_assets.sources.registry import load_sources

    layer, name = key.path[0], key.path[-1]
    if layer in _LAYERS_OF_SQL:
        return sorted(settings.dbt_project.glob(f"models/**/{name}.*"))
    for source in load_sources():
        if source.name == name or any(table.table == name for table in source.file.silver):
            return sorted(path for path in source.folder.iterdir() if path.is_file())
    return []

"""Arrival sensors, one per source, so that each can be switched off alone.

A tick lets the connector land what is new, finds objects in landing that bronze has not taken, and asks for one
run per arrival date. The truth is in landing, in the ledger and in Dagster's run records; the sensor itself remembers
nothing, and how far its sweep over old objects has come is in the ledger. Whatever is killed, the next tick finds the
same work again.

A connector that fails does not hold back what has landed already. Dagster drops what a failed tick asks for, so the
tick fails with the error of its connector only when there is nothing that it could lose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
from dagster import _check as check

from platform_assets.assets.freshness import checks_of_operations
from platform_assets.assets.landing import landing_key
from platform_assets.assets.requests import ARRIVAL_TAG
from platform_assets.assets.tables import daily_partitions
from platform_assets.automation.conditions import LIVE_TAGS
from platform_assets.automation.failures import delay_after
from platform_assets.ingestion.connectors import ConnectorError, Context, collect
from platform_assets.ingestion.connectors.polling import poll
from platform_assets.ingestion.landing import Landing
from platform_assets.ingestion.ledger import Ledger
from platform_assets.ingestion.parked import ParkedPartitions
from platform_assets.settings import load_settings
from platform_assets.sources.model import Source

if TYPE_CHECKING:
    from platform_assets.ingestion.landing import LandingObject

_PAGE = 1_000  # objects of the sweep that one tick looks at
_DAYS_PAGE = 5_000  # of today, and of yesterday
_RUNS_PER_TICK = 10
_FIRST_DELAY = timedelta(seconds=10)
_IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def arrival_sensor(source: Source) -> dg.SensorDefinition:
    """The sensor `arrivals_<source>`: from what has landed to a run of bronze."""

    @dg.sensor(
        name=f"arrivals_{source.name}",
        # Not `target`: that would be a job per source, each of which Dagster makes from the whole graph.
        asset_selection=dg.AssetSelection.assets(["bronze", source.name]),
        minimum_interval_seconds=source.file.ingestion.arrival_interval,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"{source.file.display_name}: takes what has arrived into bronze.",
    )
    def arrivals(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        tick = _tick(context)
        failed: ConnectorError | None = None
        collected: Sequence[LandingObject] = ()
        try:
            collected = collect(source, tick).objects
        except ConnectorError as error:
            failed = error
        new = _look(context, tick, source, collected)
        requests = _requests(context, tick, source)
        events: list[dg.AssetMaterialization | dg.AssetObservation] = [*_recorded(source, new)]
        if failed is not None:
            if not requests and not new:
                raise failed
            context.log.error("%s What has landed already is taken nevertheless.", failed)
            events.append(dg.AssetObservation(landing_key(source), metadata={"connector_failed": str(failed)}))
        skipped = None if requests else dg.SkipReason("Nothing has arrived that is not in bronze or on its way.")
        return dg.SensorResult(run_requests=requests, skip_reason=skipped, asset_events=events)

    return arrivals


def poll_sensor(source: Source) -> dg.SensorDefinition:
    """The sensor `poll_<source>`: asks the API behind a topic and publishes what is new to it (S3-04 to S3-06)."""

    @dg.sensor(
        name=f"poll_{source.name}",
        minimum_interval_seconds=source.file.ingestion.poll_interval,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"{source.file.display_name}: polls the API and publishes new events to the topic.",
    )
    def poll_source(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        published = poll(source, _tick(context))
        return dg.SkipReason(f"Published {published} new events to {source.file.ingestion.topic}.")

    return poll_source


def arrival_sensors(sources: Sequence[Source]) -> list[dg.SensorDefinition]:
    """Every sensor of the sources."""
    polled = [source for source in sources if source.file.ingestion.polled]
    return [*map(arrival_sensor, sources), *map(poll_sensor, polled)]


def _tick(context: dg.SensorEvaluationContext) -> Context:
    settings = load_settings()
    return Context(settings, Landing(settings), Ledger(settings), context.log, datetime.now(UTC))


def _look(
    context: dg.SensorEvaluationContext, tick: Context, source: Source, collected: Sequence[LandingObject]
) -> list[LandingObject]:
    """New objects: what was just collected, those of today and yesterday, and the next page of a sweep over everything.

    The sweep finds what was dropped, or overwritten, under an older date; it starts over when it has seen all.
    """
    landing, today = tick.landing, tick.now.date()
    memory = f"{source.name}/sweep"
    progress = tick.ledger.progress(memory)
    swept = landing.objects(source.name, after=progress.position.get("after"), limit=_PAGE)
    found = {(o.name, o.generation): o for o in [*swept, *collected]}
    found.update({(o.name, o.generation): o for o in _of_days(tick, source, (today - timedelta(days=1), today))})
    new = []
    dates = {arrival.arrival_date for arrival in found.values()}  # Dagster takes its time for each answer
    ours = {day for day in dates if daily_partitions().has_partition_key(day.isoformat())}
    for arrival in found.values():
        if arrival.arrival_date in ours:
            new.append(arrival)
        else:
            context.log.warning("%s is dated outside of the partitions and is not ingested", arrival.uri)
    unknown = tick.ledger.record_seen(new)
    position = {"after": swept[-1].name} if len(swept) == _PAGE else {}
    if position != progress.position:
        tick.ledger.save_progress(memory, replace(progress, position=position))
    return unknown


def _of_days(tick: Context, source: Source, days: Sequence[date]) -> list[LandingObject]:
    """All objects of the dates; of one with more than a page of them, the next page and what sorts after all seen.

    So a tick is bounded however many there are, what comes with a growing name is found at once, and what is dropped
    between, or overwritten, within as many ticks as the date has pages.
    """
    memory = f"{source.name}/days"
    progress = tick.ledger.progress(memory)
    found: list[LandingObject] = []
    position: dict[str, dict[str, str | None]] = {}
    for day in days:
        known = progress.position.get(day.isoformat(), {})
        page = tick.landing.objects(source.name, day, after=known.get("after"), limit=_DAYS_PAGE)
        found += page
        full = len(page) == _DAYS_PAGE
        last = max([known.get("last") or "", *(o.name for o in page)])
        if known or full:
            end = tick.landing.objects(source.name, day, after=last, limit=_DAYS_PAGE)
            found += end
            last = max([last, *(o.name for o in end)])
            position[day.isoformat()] = {"after": page[-1].name if full else None, "last": last}
    if position != progress.position:
        tick.ledger.save_progress(memory, replace(progress, position=position))
    return found


def _requests(context: dg.SensorEvaluationContext, tick: Context, source: Source) -> list[dg.RunRequest]:
    """One run per arrival date that has something, unless one is on its way or the last failures ask for patience."""
    requests: list[dg.RunRequest] = []
    graph = check.not_none(context.repository_def).asset_graph
    with ParkedPartitions(tick.settings) as memory:
        parked = {one.partition: one for one in memory.all() if one.asset == f"bronze/{source.name}"}
    for day, waiting in sorted(tick.ledger.waiting(source.name).items(), reverse=True):
        waiting_since = waiting.first_landed_at
        held = parked.get(day.isoformat())
        if held is not None:  # what has arrived since lets it go
            if held.waits and waiting.last_landed_at <= held.since:
                continue
            waiting_since = max(waiting_since, held.released_at or held.since)
        if _may_start(context.instance, f"{source.name}/{day}", waiting_since):
            requests.append(
                dg.RunRequest(
                    partition_key=day.isoformat(),
                    asset_check_keys=checks_of_operations(graph, [dg.AssetKey(["bronze", source.name])]),
                    run_config={"ops": {f"bronze_{source.name}": {"config": {"new_arrivals_only": True}}}},
                    tags={**LIVE_TAGS, ARRIVAL_TAG: f"{source.name}/{day}"},
                )
            )
        if len(requests) == _RUNS_PER_TICK:
            break
    return requests


def _may_start(instance: dg.DagsterInstance, arrival: str, waiting_since: datetime) -> bool:
    tags = {ARRIVAL_TAG: arrival}
    if instance.get_runs(dg.RunsFilter(tags=tags, statuses=_IN_FLIGHT), limit=1):
        return False
    failed = dg.RunsFilter(tags=tags, statuses=[dg.DagsterRunStatus.FAILURE], created_after=waiting_since)
    failures = instance.get_run_records(failed, limit=10)
    if not failures:
        return True
    delay = delay_after(len(failures), _FIRST_DELAY)
    ended = failures[0].end_time or failures[0].create_timestamp.timestamp()
    return bool(datetime.now(UTC) >= datetime.fromtimestamp(ended, UTC) + delay)


def _recorded(source: Source, new: Sequence[LandingObject]) -> list[dg.AssetMaterialization]:
    """What Dagit shows of the arrivals: one materialisation of landing per date."""
    by_date: dict[date, list[LandingObject]] = {}
    for arrival in new:
        by_date.setdefault(arrival.arrival_date, []).append(arrival)
    return [
        dg.AssetMaterialization(
            landing_key(source),
            partition=day.isoformat(),
            metadata={"objects": len(arrivals), "bytes": sum(arrival.size for arrival in arrivals)},
        )
        for day, arrivals in sorted(by_date.items())
    ]

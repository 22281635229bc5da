"""What a person sees of `platform-assets up`: every step as it is taken, then freshness, live."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.live import Live

from platform_assets.local.stack import LocalStack, StackError
from platform_assets.local.web_events import EventBatch, generate, upload

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.freshness import TableFreshness
    from platform_assets.settings import Settings

_REFRESH_SECONDS = 2.0
_SERVING_LAYERS = {"gold", "mart"}
_SAMPLE_DAYS = 1
_SAMPLE_OBJECTS = 2
_SAMPLE_SEED = 7
# A sensor that looks less often than this is not waited for again after every run.
_SLOW_SECONDS = 30
_LAST_TICKS = """
query LastTicks($since: Float) {
  repositoriesOrError {
    ... on RepositoryConnection {
      nodes {
        sensors {
          minIntervalSeconds
          sensorState {
            status
            ticks(limit: 1, afterTimestamp: $since, statuses: [SUCCESS, SKIPPED, FAILURE]) {
              status timestamp endTimestamp
            }
          }
        }
      }
    }
  }
}
"""

Show = Callable[["list[TableFreshness]"], RenderableType]


def run(settings: Settings, *, until_fresh: bool, sample_events: int, show: Show) -> int:
    """Runs the local stack until it is interrupted, or until gold is up to date; the exit code."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=240)  # into a file or a pipe nothing is cut
    try:
        with LocalStack(settings, console.print, lambda: _mend_broker(settings)) as stack:
            started = time.time()
            stack.start()
            if sample_events and not _has_events(settings):
                batch = _drop_sample(settings, sample_events)
                console.print(f"{batch.events:,} web events dropped into landing in {len(batch.objects)} objects")
            _watch(console, settings, stack, show, started, until_fresh=until_fresh)
    except KeyboardInterrupt:
        console.print("Stopped. Run it again to go on from here.")
    except StackError as error:
        console.print(f"[red]{error}")
        return 1
    return 0


def drop(settings: Settings, folder: Path | None, *, first_day: date | None, days: int, **numbers: float) -> EventBatch:
    """Generates web events into a folder, or drops them into the landing bucket as somebody else would."""
    start = first_day or datetime.now(UTC).date() - timedelta(days=days)  # whole days only
    if folder is not None:
        return generate(folder, first_day=start, days=days, **numbers)  # type: ignore[arg-type]
    with TemporaryDirectory() as scratch:
        batch = generate(Path(scratch), first_day=start, days=days, **numbers)  # type: ignore[arg-type]
        bucket = _bucket(settings)
        upload(Path(scratch), lambda name, content: bucket.blob(name).upload_from_string(content))
    return batch


def _bucket(settings: Settings) -> Bucket:
    from google.cloud import storage

    return storage.Client(project=settings.project).bucket(settings.landing_bucket)


def _watch(
    console: Console, settings: Settings, stack: LocalStack, show: Show, started: float, *, until_fresh: bool
) -> None:
    """Shows freshness as it changes: a live table on a terminal, elsewhere a line for each table that changed."""
    from platform_assets.ingestion.waiting import landed_since
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.freshness import table_freshness

    lakehouse = Lakehouse(settings)
    announced, watched = False, time.time()
    rows = table_freshness(lakehouse, datetime.now(UTC), landed_since(settings))
    with Live(show(rows), console=console, auto_refresh=False, transient=not console.is_terminal) as live:
        while not (announced and until_fresh):
            stack.wait(_REFRESH_SECONDS)
            before, rows = rows, table_freshness(lakehouse, datetime.now(UTC), landed_since(settings))
            if console.is_terminal:
                live.update(show(rows), refresh=True)
            else:
                _tell_changes(console, before, rows)
            if not announced and _up_to_date(lakehouse, rows, stack.dagit_url, started, watched):
                announced = True
                if not console.is_terminal:
                    console.print(show(rows))
                where = f"Dagit: {stack.dagit_url} Freshness: {stack.freshness_url}"
                live.console.print(f"[green]Gold is up to date.[/] {where} (Ctrl-C stops everything)")


def _tell_changes(console: Console, before: list[TableFreshness], after: list[TableFreshness]) -> None:
    for old, new in zip(before, after, strict=True):
        rows = new.statistics.rows if new.statistics else 0
        if (old.state, old.statistics and old.statistics.rows) != (new.state, new.statistics and rows):
            console.print(f"{new.table.name}: {new.state}, {rows:,} rows, {new.reason}")


def _up_to_date(
    lakehouse: Lakehouse, rows: list[TableFreshness], dagit_url: str, started: float, watched: float
) -> bool:
    """Whether every gold and mart table was built and Dagster has nothing to do.

    Args:
        lakehouse: the tables.
        rows: their freshness.
        dagit_url: where Dagster is asked about its sensors.
        started: when this platform was started, in seconds since 1970.
        watched: since when nothing has been put into landing from here.
    """
    from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

    from platform_assets.ingestion.ledger import Ledger
    from platform_assets.sources.registry import load_sources

    built = all(row.statistics for row in rows if row.table.contract.layer in _SERVING_LAYERS)
    if not built or any(Ledger(lakehouse.settings).pending(source.name) for source in load_sources()):
        return False
    busy = [
        DagsterRunStatus.QUEUED,
        DagsterRunStatus.NOT_STARTED,
        DagsterRunStatus.STARTING,
        DagsterRunStatus.STARTED,
    ]
    with DagsterInstance.get() as instance:
        if instance.get_runs(RunsFilter(statuses=busy), limit=1):
            return False
        ended = max((record.end_time or 0.0 for record in instance.get_run_records(limit=20)), default=0.0)
    return _sensors_want_nothing(dagit_url, started, max(ended, watched))


def _sensors_want_nothing(dagit_url: str, started: float, changed: float) -> bool:
    """Whether every sensor has looked since the start and, but for slow ones, since something changed, in vain.

    What a slow one (a poll) found has to have been seen by the others.
    """
    import httpx

    try:
        question = {"query": _LAST_TICKS, "variables": {"since": started}}
        answer = httpx.post(f"{dagit_url}/graphql", json=question, timeout=10)
        repositories = answer.raise_for_status().json()["data"]["repositoriesOrError"]["nodes"]
    except (httpx.HTTPError, KeyError, TypeError):  # it is not up yet, or busy: ask again
        return False
    begun, polled = [], [changed]
    for sensor in (sensor for repository in repositories for sensor in repository["sensors"]):
        ticks = sensor["sensorState"]["ticks"]
        if sensor["sensorState"]["status"] == "STOPPED":
            continue
        if not ticks or ticks[0]["status"] != "SKIPPED":
            return False
        if sensor["minIntervalSeconds"] > _SLOW_SECONDS:
            polled.append(ticks[0]["endTimestamp"])
        else:
            begun.append(ticks[0]["timestamp"])
    return min(begun, default=changed) > max(polled)


def _has_events(settings: Settings) -> bool:
    from platform_assets.ingestion.landing import Landing

    return bool(Landing(settings).objects("web_events", limit=1))


def _drop_sample(settings: Settings, events: int) -> EventBatch:
    return drop(
        settings,
        None,
        first_day=None,
        days=_SAMPLE_DAYS,
        events=events,
        objects=min(_SAMPLE_OBJECTS, events),
        seed=_SAMPLE_SEED,
    )


def _mend_broker(settings: Settings) -> None:
    """The emulator keeps nothing when it stops: what was published and never landed has to be published again."""
    from platform_assets.ingestion.ledger import Ledger
    from platform_assets.sources.registry import load_sources

    logger = logging.getLogger(__name__)
    for source in load_sources():
        if source.file.ingestion.streams:
            forgotten = Ledger(settings).forget_unlanded(source.name)
            logger.info("%s: %d published events had not landed and are published again", source.name, forgotten)

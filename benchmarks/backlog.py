"""What a tick of an arrival sensor costs while it works off a backlog: `python -m benchmarks.backlog`, in the checkout.

So many objects have landed, half of them today and half over the year before, and none is known. The sensor ticks until
it has found them all, and what it asks for counts as ingested at once. The bucket is a sorted list in memory, which
answers pages as a bucket does: what is measured is the platform's own work and memory, not a server's.
"""

from __future__ import annotations

import json
import os
import resource
import time
from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from platform_assets.ingestion.landing import LandingObject

_SOURCE = "web_events"
_MOST_TICKS = 10_000


class Bucket:
    """The objects of one source in the order of their names; pages as `Landing.objects` gives them."""

    def __init__(self, objects: list[LandingObject]) -> None:
        self._objects = sorted(objects, key=lambda found: found.name)
        self._names = [found.name for found in self._objects]

    def objects(
        self, source: str, arrival_date: date | None = None, *, after: str | None = None, limit: int | None = None
    ) -> list[LandingObject]:
        """Those of a source or of one of its dates, after a name."""
        prefix = f"source={source}/" if arrival_date is None else f"source={source}/date={arrival_date}/"
        start = bisect_right(self._names, max(prefix, after or ""))
        end = bisect_right(self._names, f"{prefix}\U0010ffff")
        return self._objects[start : end if limit is None else min(end, start + limit)]


def main(
    objects: Annotated[int, typer.Option(help="How many have landed.", min=1)] = 100_000,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of words.")] = False,
) -> None:
    """Measures every tick until the backlog is worked off."""
    with TemporaryDirectory() as home:
        os.environ["PLATFORM_HOME"] = home
        found = measure(objects, Path(home))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        for name, value in found.items():
            typer.echo(
                f"{name.replace('_', ' '):>32}  {value:,.3f}" if isinstance(value, float) else f"{name}: {value}"
            )


def measure(count: int, home: Path) -> dict[str, float | int]:
    """Seconds of the processor of the ticks, and the most memory that they took beside what was there before."""
    import dagster as dg

    from platform_assets.automation import arrival_sensors
    from platform_assets.definitions import build_definitions
    from platform_assets.ingestion.connectors import Context
    from platform_assets.ingestion.ledger import Ledger
    from platform_assets.settings import load_settings
    from platform_assets.sources.registry import load_sources

    settings = load_settings()
    bucket, ledger, defs = Bucket(_landed(count)), Ledger(settings), build_definitions()
    source = next(source for source in load_sources() if source.name == _SOURCE)
    seconds: list[float] = []
    asked = 0
    with dg.DagsterInstance.ephemeral(str(home)) as instance:
        context = dg.build_sensor_context(instance=instance, definitions=defs)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(_MOST_TICKS):
            began = time.process_time()
            tick = Context(settings, bucket, ledger, context.log, datetime.now(UTC))  # type: ignore[arg-type]
            new = arrival_sensors._look(context, tick, source, [])  # noqa: SLF001 - a tick without its server
            requests = arrival_sensors._requests(context, tick, source)  # noqa: SLF001
            seconds.append(time.process_time() - began)
            asked += len(requests)
            if not new and not requests and not ledger.progress(f"{_SOURCE}/sweep").position:
                break
            for request in requests:  # a run of the date takes all that waits
                day = date.fromisoformat(str(request.partition_key))
                taken = ledger.pending(_SOURCE, day).get(day, [])
                ledger.mark_ingested(_SOURCE, [(found.name, found.generation) for found in taken])
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "objects": count,
        "ticks": len(seconds),
        "runs": asked,
        "median_seconds_of_a_tick": median(seconds),
        "longest_seconds_of_a_tick": max(seconds),
        "more_megabytes": (most - before) / 1e3,
        "left": sum(day.objects for day in ledger.waiting(_SOURCE).values()),
    }


def _landed(count: int) -> list[LandingObject]:
    from platform_assets.ingestion.landing import LandingObject

    now = datetime.now(UTC)
    found = []
    for number in range(count):
        day = now.date() if number % 2 else now.date() - timedelta(days=1 + number // 2 % 365)
        name = f"source={_SOURCE}/date={day}/{number:07}.jsonl"
        found.append(LandingObject(_SOURCE, day, name, 1, 100, now, "landing"))
    return found


if __name__ == "__main__":
    typer.run(main)

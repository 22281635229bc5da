"""The simulated day from its first to its last step: what arrives, what the platform makes of it, what was seen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import dagster as dg
import yaml

from platform_assets.loading import kept_for_good
from platform_assets.local.fakestore import write_sample
from platform_assets.local.servers import start_fakestore, start_gcs, start_pubsub
from platform_assets.operations.onboarding.new import new_source
from platform_assets.settings import CHECKOUT, Settings, load_settings
from platform_assets.sources.pattern import Pattern
from platform_assets_tests.arrivals import landing_bucket
from platform_assets_tests.broker import create_subscription, publish
from platform_assets_tests.simulated_day import events
from platform_assets_tests.simulated_day.clock import Clock
from platform_assets_tests.simulated_day.daemon import Daemon
from platform_assets_tests.simulated_day.plan import EVENTS, HALF_STEP, HOURLY, SNAPSHOTS, Step, sample, text_of
from platform_assets_tests.simulated_day.store import dated_store

if TYPE_CHECKING:
    from collections.abc import MutableMapping

# Gold and mart of the web events are promised within a day; on a simulated day that would never be late.
_PROMISE = "freshness: {warn_minutes: 30, fail_minutes: 60}"
_KILL_EVERY = 3  # steps
_PATIENCE = timedelta(minutes=1)
_ROUNDS = 15


@dataclass
class Day:
    """What happened.

    Attributes:
        steps: as planned.
        looked_at: the moments at which freshness was judged.
        least: the fewest runs that could have done it.
        rounds: how many rounds each step took until the platform was at rest.
        disagreements: what the page, Dagit and the command line did not say alike.
    """

    settings: Settings
    daemon: Daemon
    steps: list[Step]
    looked_at: list[datetime] = field(default_factory=list)
    least: int = 0
    rounds: list[int] = field(default_factory=list)
    disagreements: list[str] = field(default_factory=list)


class Seen(Protocol):
    """Is called whenever freshness has been judged: after a step, and half a step later."""

    def __call__(self, day: Day, step: Step, *, later: bool) -> None:
        """Looks at the platform."""


@contextmanager
def platform(home: Path, environment: MutableMapping[str, str], clock: Clock) -> Iterator[Settings]:
    """The stand-ins and an empty platform of its own in `home`: the project's sources, and some that are onboarded.

    The stand-ins live in real time: the store is dated by `dated_store`, the broker keeps nothing that is dated.
    """
    below = environment.pop("LD_PRELOAD")
    shop = home / "shop"
    write_sample(shop)
    with (
        start_gcs(home / "buckets", home / "gcs.log") as gcs,
        start_pubsub(home / "pubsub.log") as pubsub,
        start_fakestore(shop, home / "fakestore.log") as api,
        dated_store(gcs, clock, home / "store.log") as store,
    ):
        environment.update(
            {
                "LD_PRELOAD": below,
                "PYTHONPATH": str(CHECKOUT),  # where Dagit finds the storage of events
                "PLATFORM_HOME": str(home / "platform"),
                "PLATFORM_SOURCES": str(home / "sources"),
                "PLATFORM_DBT_PROJECT": str(home / "dbt_project"),
                "PLATFORM_PII_KEY": "0123456789abcdef" * 4,
                "DAGSTER_HOME": str(home / "dagster"),
                "STORAGE_EMULATOR_HOST": store,
                "PUBSUB_EMULATOR_HOST": pubsub.address,
                "FAKESTORE_URL": api.url,
            }
        )
        settings = load_settings()
        _write_definitions(home)
        _write_instance(home / "dagster")
        landing_bucket(settings).create()
        create_subscription(settings, "carts-events", "carts-events-sub")
        yield settings


def live(settings: Settings, clock: Clock, steps: list[Step], seen: Seen) -> Day:
    """Lives through the steps.

    Args:
        settings: of the platform.
        clock: which is set to each step.
        steps: what arrives.
        seen: is called whenever freshness has been judged: after each step, and half a step later.
    """
    clock.set(steps[0].at - timedelta(minutes=1))
    with dg.DagsterInstance.get() as instance:
        with kept_for_good():
            daemon = Daemon(settings, instance)
        day = Day(settings, daemon, steps)
        for number, step in enumerate(steps):
            clock.set(step.at)
            _arrive(settings, step)
            day.daemon.kill_next = number % _KILL_EVERY == _KILL_EVERY - 1
            day.rounds.append(_settle(day, clock))
            day.least += _least(day, number)
            _judge(day)
            seen(day, step, later=False)
            clock.set(step.at + HALF_STEP)
            _judge(day)
            seen(day, step, later=True)
        return day


def _arrive(settings: Settings, step: Step) -> None:
    landing = landing_bucket(settings)
    for name, content in step.objects:
        landing.blob(name).upload_from_string(content)
    publish(settings, "carts-events", step.messages)


def _settle(day: Day, clock: Clock) -> int:
    """Rounds until nothing is asked for; while something has failed, with time between them for patience to end."""
    for number in range(1, _ROUNDS + 1):
        before = len(day.daemon.runs)
        asked = day.daemon.round()
        failed = any(not run.success for run in day.daemon.runs[before:])
        if failed:
            clock.advance(_PATIENCE)
        elif not asked:
            return number
    raise AssertionError(f"the platform did not come to rest in {_ROUNDS} rounds: {day.daemon.runs[-5:]}")


def _judge(day: Day) -> None:
    day.daemon.look("freshness")
    day.looked_at.append(datetime.now(UTC))


def _least(day: Day, number: int) -> int:
    """The fewest runs for a step.

    One of bronze for each source and date of arrival; and for each automation sensor one for each date of which an
    event came, which makes silver, gold and mart of it, and one for tables without dates.
    """
    step = day.steps[number]
    first_of_date = number == 0 or day.steps[number - 1].at.date() != step.at.date()
    sources = {*step.touched, *(SNAPSHOTS if first_of_date else ())}
    dates = {(day.daemon.automated_by(source), date) for source, touched in step.touched.items() for date in touched}
    undated = {day.daemon.automated_by(source) for source in sources.intersection(SNAPSHOTS)}
    return len(sources) + len(dates) + len(undated)


def _write_definitions(home: Path) -> None:
    sources, dbt = home / "sources", home / "dbt_project"
    shutil.copytree(
        CHECKOUT / "platform_assets" / "sources", sources, ignore=shutil.ignore_patterns("*.py", "__pycache__")
    )
    for own in (CHECKOUT / "platform_assets" / "sources").glob("*/*.py"):
        shutil.copy(own, sources / own.parent.name)
    shutil.copytree(CHECKOUT / "dbt_project", dbt, ignore=shutil.ignore_patterns("target", "logs"))
    for number, (name, file_format) in enumerate(HOURLY.items()):
        example = home / f"{number}.{file_format}"
        example.write_bytes(text_of(sample(), file_format))
        new_source(sources, name, Pattern.BATCH_FILE, sample=example, owner="team:iot", domain="iot")
        _promise_hourly(sources / name / "source.yaml")
    _promise_hourly(sources / EVENTS / "source.yaml")
    for models in dbt.glob("models/*/*.yml"):
        text = models.read_text(encoding="utf-8")
        models.write_text(text.replace("freshness: {fail_minutes: 1440}", _PROMISE), encoding="utf-8")


def _promise_hourly(source_file: Path) -> None:
    """What the comments of the template ask its user to decide."""
    settings = yaml.safe_load(source_file.read_text(encoding="utf-8"))
    settings["ingestion"]["schedule"] = "0 * * * *"
    settings["monitoring"] = yaml.safe_load(f"{{{_PROMISE}}}")
    source_file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def _write_instance(folder: Path) -> None:
    """The project's instance, but for two things.

    Dead runs are not retried, which is the work of a daemon that is not there: what becomes of a killed run is left to
    the platform's own sensors alone. And events are stored faster.
    """
    folder.mkdir()
    settings = yaml.safe_load((CHECKOUT / "dagster.yaml").read_text(encoding="utf-8"))
    settings["run_retries"] = {"enabled": False}
    settings["event_log_storage"] = {
        "module": events.__name__,
        "class": events.Events.__name__,
        "config": {"base_dir": str(folder / "history")},
    }
    (folder / "dagster.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")

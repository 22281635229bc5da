"""Arrival sensors tick by tick: what they find, what they ask for, how they wait, and what they survive."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, ClassVar, Self

import dagster as dg
import httpx
import pytest
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from platform_assets.assets.requests import ARRIVAL_TAG
from platform_assets.automation import arrival_sensors
from platform_assets.automation.arrival_sensors import arrival_sensor
from platform_assets.definitions import build_definitions
from platform_assets.ingestion import rest
from platform_assets.ingestion.connectors import ConnectorError
from platform_assets.ingestion.landing import Landing
from platform_assets.ingestion.ledger import Ledger
from platform_assets.ingestion.parked import Parked, ParkedPartitions
from platform_assets.local.fakestore import write_sample
from platform_assets.local.servers import start_fakestore
from platform_assets.settings import CHECKOUT, Settings
from platform_assets.sources.registry import load_sources, read_sources
from platform_assets_tests.arrivals import drop, drop_at, json_lines, web_event
from platform_assets_tests.broker import create_subscription
from platform_assets_tests.ingestion.connectors.ticks import write_source

SOURCE = "web_events"
DAY = "2026-03-10"
TICK_BUDGET_SECONDS = 10.0  # of processor time, so that a busy machine does not count


class Ticks:
    """The sensor of one source, as the daemon ticks it; nothing that it asks for runs."""

    def __init__(self, instance: dg.DagsterInstance, source: str = SOURCE) -> None:
        self.instance = instance
        self.cursor: str | None = None
        self.sensor = arrival_sensor(next(found for found in load_sources() if found.name == source))
        self.defs = build_definitions()

    def __call__(self) -> dg.SensorResult:
        """One tick."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, definitions=self.defs)
        result = self.sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return result

    def asked(self) -> list[str | None]:
        """The dates that one tick asks runs for."""
        return [request.partition_key for request in self().run_requests or ()]

    def run(self, status: dg.DagsterRunStatus, source: str = SOURCE, day: str = DAY) -> dg.DagsterRun:
        """A run as the daemon makes it of a request."""
        run = self.instance.create_run_for_job(
            self.defs.resolve_implicit_global_asset_job_def(),
            tags={ARRIVAL_TAG: f"{source}/{day}"},
            status=dg.DagsterRunStatus.STARTED,
        )
        if status == dg.DagsterRunStatus.FAILURE:
            self.instance.report_run_failed(run)
        elif status == dg.DagsterRunStatus.CANCELED:
            self.instance.report_run_canceled(run)
        return run


@pytest.fixture
def tick(settings: Settings, tmp_path: Path) -> Ticks:
    assert settings.home == tmp_path
    return Ticks(dg.DagsterInstance.ephemeral(str(tmp_path)))


class _Clock(datetime):
    """The time that the sensor sees."""

    ahead: ClassVar[timedelta] = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        """Now, or later."""
        return super().now(tz) + cls.ahead


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Moves the sensor's clock to so many seconds from now."""
    monkeypatch.setattr(arrival_sensors, "datetime", _Clock)

    def wait_until(seconds: float) -> None:
        _Clock.ahead = timedelta(seconds=seconds)

    yield wait_until
    _Clock.ahead = timedelta()


def test_every_source_has_its_own_sensor_that_can_be_switched_off_alone() -> None:
    sensors = {sensor.name: sensor for sensor in build_definitions().sensors or () if "arrivals" in sensor.name}
    assert sensors.keys() == {f"arrivals_{source.name}" for source in load_sources()}
    for source in load_sources():
        interval = sensors[f"arrivals_{source.name}"].minimum_interval_seconds
        assert interval == source.file.ingestion.arrival_interval


def test_an_arrival_is_recorded_once_and_asked_for_until_a_run_takes_it(settings: Settings, tick: Ticks) -> None:
    drop(settings, SOURCE, DAY, "a.jsonl", b"{}\n")
    drop(settings, SOURCE, DAY, "b.jsonl", b"{}\n")
    first = tick()
    (request,) = first.run_requests or ()
    assert request.partition_key == DAY
    assert request.tags[ARRIVAL_TAG] == f"{SOURCE}/{DAY}"
    assert request.run_config == {"ops": {"bronze_web_events": {"config": {"new_arrivals_only": True}}}}
    assert {check.name for check in request.asset_check_keys or ()} == {"contract", "dead_letters", "drift"}
    (event,) = first.asset_events
    assert isinstance(event, dg.AssetMaterialization)
    assert (event.asset_key.path, event.partition) == (["landing", SOURCE], DAY)
    assert event.metadata["objects"].value == 2

    second = tick()  # the daemon was killed before it made a run of the request

    assert second.asset_events == []
    assert [request.partition_key for request in second.run_requests or ()] == [DAY]


def test_nothing_new_asks_for_nothing_and_says_so(settings: Settings, tick: Ticks) -> None:
    drop(settings, SOURCE, DAY, "a.jsonl", b"{}\n")
    tick()
    Ledger(settings).mark_ingested(SOURCE, [(o.name, o.generation) for o in Landing(settings).objects(SOURCE)])
    result = tick()
    assert not result.run_requests
    assert result.skip_reason is not None


def test_a_new_generation_of_an_object_is_a_new_arrival(settings: Settings, tick: Ticks) -> None:
    drop(settings, SOURCE, DAY, "a.jsonl", b"{}\n")
    tick()
    Ledger(settings).mark_ingested(SOURCE, [(o.name, o.generation) for o in Landing(settings).objects(SOURCE)])
    assert tick.asked() == []
    drop(settings, SOURCE, DAY, "a.jsonl", b"{}\n{}\n")
    again = tick()
    assert [request.partition_key for request in again.run_requests or ()] == [DAY]
    assert len(again.asset_events) == 1


def test_dates_are_asked_for_newest_first_and_not_all_at_once(settings: Settings, tick: Ticks) -> None:
    days = [(date(2026, 3, 1) + timedelta(days=number)).isoformat() for number in range(12)]
    for day in days:
        drop(settings, SOURCE, day, "a.jsonl", b"{}\n")
    assert tick.asked() == days[::-1][:10]
    for day in days[2:]:
        tick.run(dg.DagsterRunStatus.STARTED, day=day)
    assert tick.asked() == days[1::-1]


def test_a_date_is_not_asked_for_while_a_run_of_it_is_on_its_way(settings: Settings, tick: Ticks) -> None:
    drop(settings, SOURCE, DAY, "a.jsonl", b"{}\n")
    run = tick.run(dg.DagsterRunStatus.STARTED)
    tick.run(dg.DagsterRunStatus.STARTED, source="fakestore_users")
    assert tick.asked() == []
    drop(settings, SOURCE, DAY, "b.jsonl", b"{}\n")
    drop(settings, SOURCE, "2026-03-11", "c.jsonl", b"{}\n")
    assert tick.asked() == ["2026-03-11"]
    tick.instance.report_run_canceled(run)
    assert tick.asked() == ["2026-03-11", DAY]


def test_a_date_that_keeps_failing_is_asked_for_ever_more_seldom_and_never_given_up(
    settings: Settings, tick: Ticks, wait: Callable[[float], None]
) -> None:
    drop(settings, SOURCE, DAY, "a.jsonl", b"{}\n")
    assert tick.asked() == [DAY]
    for delay in [10, 20, 40, 80, 160, 320, 640, *[900] * 5]:
        tick.run(dg.DagsterRunStatus.FAILURE)
        wait(delay - 2)
        assert tick.asked() == []
        wait(delay + 2)
        assert tick.asked() == [DAY]
        wait(0)


def test_one_date_that_fails_does_not_keep_another_waiting_and_a_new_object_does_not_wait_for_old_failures(
    settings: Settings, tick: Ticks
) -> None:
    drop(settings, SOURCE, DAY, "a.jsonl", b"{}\n")
    tick()
    for _ in range(3):
        tick.run(dg.DagsterRunStatus.FAILURE)
    drop(settings, SOURCE, "2026-03-11", "a.jsonl", b"{}\n")
    assert tick.asked() == ["2026-03-11"]
    # Ingested after all, for instance by hand: what comes next starts afresh.
    Ledger(settings).mark_ingested(SOURCE, [(o.name, o.generation) for o in Landing(settings).objects(SOURCE)])
    drop(settings, SOURCE, DAY, "b.jsonl", b"{}\n")
    assert tick.asked() == [DAY]


def test_thousands_of_objects_are_found_by_a_sweep_whose_ticks_are_bounded(settings: Settings, tick: Ticks) -> None:
    names = [f"source={SOURCE}/date=2025-{1 + n % 12:02}-{1 + n % 28:02}/{n:05}.jsonl" for n in range(2_500)]
    _upload(settings, [*names, *(f"source={SOURCE}/odd/{n}" for n in range(20))])
    found, ticks = 0, 0
    while True:
        began = time.process_time()
        result = tick()
        assert time.process_time() - began < TICK_BUDGET_SECONDS
        assert len(result.run_requests or ()) <= 10
        seen = sum(int(str(event.metadata["objects"].value)) for event in result.asset_events)
        assert seen <= 1_000
        found, ticks = found + seen, ticks + 1
        if not Ledger(settings).progress(f"{SOURCE}/sweep").position:
            break
    assert (found, ticks) == (len(names), 3)
    pending = Ledger(settings).pending(SOURCE)
    assert sorted(arrival.name for arrivals in pending.values() for arrival in arrivals) == sorted(names)

    # What comes later under an old date is found by the next sweep, wherever it sorts.
    late = drop(settings, SOURCE, "2021-01-01", "late.jsonl", b"{}\n")
    _upload(settings, [names[1_200]])
    events = [event for _ in range(3) for event in tick().asset_events]
    assert sorted(str(event.partition) for event in events) == sorted(
        ["2021-01-01", names[1_200].split("date=")[1][:10]]
    )
    assert late.endswith(Ledger(settings).pending(SOURCE)[date(2021, 1, 1)][0].name)


def test_what_lands_today_is_found_at_once_wherever_the_sweep_is(
    settings: Settings, tick: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival_sensors, "_PAGE", 2)
    for number in range(6):
        drop(settings, SOURCE, "2025-01-01", f"{number}.jsonl", b"{}\n")
    today = datetime.now(UTC).date()
    drop(settings, SOURCE, today, "a.jsonl", b"{}\n")
    drop(settings, SOURCE, today - timedelta(days=1), "a.jsonl", b"{}\n")
    assert tick.asked()[:2] == [today.isoformat(), (today - timedelta(days=1)).isoformat()]


def test_a_day_of_many_objects_does_not_lengthen_its_ticks_and_none_is_missed(
    settings: Settings, tick: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival_sensors, "_PAGE", 1)  # the sweep over everything is not what finds them
    monkeypatch.setattr(arrival_sensors, "_DAYS_PAGE", 4)
    today = datetime.now(UTC).date()
    for number in range(10, 35):
        drop(settings, SOURCE, today, f"{number}.jsonl", b"{}\n")

    def found() -> int:
        return sum(int(str(event.metadata["objects"].value)) for event in tick().asset_events)

    seen = [found() for _ in range(6)]
    assert max(seen) <= 2 * 4 + 1
    assert sum(seen) == 25
    drop(settings, SOURCE, today, "99.jsonl", b"{}\n")
    assert found() == 1  # at once: it sorts after all others
    drop(settings, SOURCE, today, "15a.jsonl", b"{}\n")
    drop(settings, SOURCE, today, "20.jsonl", b"{}\n{}\n")  # overwritten
    assert sum(found() for _ in range(27 // 4 + 2)) == 2
    assert found() == 0


@pytest.mark.parametrize(
    "name",
    [
        f"source={SOURCE}/readme.txt",
        f"source={SOURCE}/date=2026-02-30/a.jsonl",
        f"source={SOURCE}/date=10.03.2026/a.jsonl",
        f"source={SOURCE}/date=1999-01-01/a.jsonl",
        f"source={SOURCE}/date={DAY}/",
        f"source={SOURCE}_old/date={DAY}/a.jsonl",
        f"source={SOURCE}/date={DAY}T00/ü \n?#%2F.jsonl",
    ],
)
def test_an_odd_name_or_date_does_not_stop_its_source(settings: Settings, tick: Ticks, name: str) -> None:
    drop_at(settings, name, json_lines([web_event(1, DAY)]))
    drop(settings, SOURCE, DAY, "a.jsonl", b"{}\n")
    assert tick.asked() == [DAY]
    assert [len(arrivals) for arrivals in Ledger(settings).pending(SOURCE).values()] == [1]


def test_an_api_is_polled_once_a_day(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = tmp_path / "shop"
    write_sample(shop)
    tick = Ticks(dg.DagsterInstance.ephemeral(str(tmp_path)), "fakestore_users")
    today = datetime.now(UTC).date()
    with start_fakestore(shop, tmp_path / "fakestore.log") as server:
        monkeypatch.setenv("FAKESTORE_URL", server.url)
        assert tick.asked() == [today.isoformat()]
        (shop / "users.json").write_text("[]", encoding="utf-8")  # another answer would be another object
        tick()
    tick()  # nobody is asked: the server has gone
    assert len(Landing(settings).objects("fakestore_users")) == 1


def test_a_broken_api_is_a_clear_error_of_its_tick_alone(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait: Callable[[float], None]
) -> None:
    monkeypatch.setattr(rest, "FIRST_WAIT_SECONDS", 0)
    shop = tmp_path / "shop"
    write_sample(shop)
    tick = Ticks(dg.DagsterInstance.ephemeral(str(tmp_path)), "fakestore_users")
    with start_fakestore(shop, tmp_path / "fakestore.log") as server:
        monkeypatch.setenv("FAKESTORE_URL", server.url)
        (shop / "users.json").write_text("<html>sorry</html>", encoding="utf-8")
        with pytest.raises(ConnectorError, match=r"fakestore_users: http.*/users answered .* asked again in 10 s"):
            tick()
        drop(settings, "fakestore_users", DAY, "a.jsonl", b"{}\n")
        assert tick.asked() == [DAY]
        assert Landing(settings).objects("fakestore_users", datetime.now(UTC).date()) == []
        (shop / "users.json").write_text('[{"id": 1}]', encoding="utf-8")
        wait(11)
        assert tick.asked() == [datetime.now(UTC).date().isoformat(), DAY]


def test_what_has_landed_does_not_wait_for_a_broken_api_and_the_failure_is_seen(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait: Callable[[float], None]
) -> None:
    monkeypatch.setattr(rest, "FIRST_WAIT_SECONDS", 0)
    monkeypatch.setenv("FAKESTORE_URL", "http://127.0.0.1:1")
    tick = Ticks(dg.DagsterInstance.ephemeral(str(tmp_path)), "fakestore_users")
    drop(settings, "fakestore_users", DAY, "a.jsonl", b"{}\n")
    first = tick()
    assert [request.partition_key for request in first.run_requests or ()] == [DAY]
    landed, told = first.asset_events
    assert isinstance(landed, dg.AssetMaterialization)
    assert isinstance(told, dg.AssetObservation)
    assert "fakestore_users: http://127.0.0.1:1" in str(told.metadata["connector_failed"].value)
    tick.run(dg.DagsterRunStatus.STARTED, "fakestore_users")
    wait(60)
    with pytest.raises(ConnectorError, match="fakestore_users"):  # nothing is lost by failing now
        tick()


def test_a_parked_date_is_asked_for_again_when_it_is_released_or_something_new_arrives(
    settings: Settings, tick: Ticks
) -> None:
    drop(settings, SOURCE, DAY, "a.jsonl", b"{}\n")
    assert tick.asked() == [DAY]
    failed = tick.run(dg.DagsterRunStatus.FAILURE)
    parked = ParkedPartitions(settings)
    one = Parked(f"bronze/{SOURCE}", DAY, "why", datetime.now(UTC), 1, failed.run_id, "")
    parked.park(one)
    assert tick.asked() == []
    assert parked.release(one.asset, DAY, by="me", why="mended")
    assert tick.asked() == [DAY]  # at once: the failures before do not count
    parked.park(one)
    assert tick.asked() == []
    drop(settings, SOURCE, DAY, "b.jsonl", b"{}\n")
    assert tick.asked() == [DAY]


def test_a_live_arrival_waits_for_a_running_run_of_a_backfill_and_not_for_the_year_behind_it(
    settings: Settings, tick: Ticks, tmp_path: Path
) -> None:
    """As Dagster's own coordinator takes runs out of the queue, with the instance's real settings."""
    drop(settings, SOURCE, DAY, "a.jsonl", b"{}\n")
    (request,) = tick().run_requests or ()
    automation = [s for s in tick.defs.sensors or () if isinstance(s, dg.AutomationConditionSensorDefinition)]
    assert {sensor.run_tags["dagster/priority"] for sensor in automation} == {request.tags["dagster/priority"]}
    location = GrpcServerCodeLocationOrigin(host="localhost", port=1)
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "repository"), "backfill")
    home = tmp_path / "dagster"
    home.mkdir()
    shutil.copy(CHECKOUT / "dagster.yaml", home)
    with dg.DagsterInstance.from_config(str(home)) as instance, QueuedRunCoordinatorDaemon(1) as daemon:

        def queue(tags: Mapping[str, str]) -> str:
            queued = dg.DagsterRunStatus.QUEUED
            run = dg.DagsterRun("backfill", tags=dict(tags), status=queued, remote_job_origin=origin)
            return instance.add_run(run).run_id

        def dequeued() -> list[str]:
            runs = daemon._get_runs_to_dequeue(instance, instance.get_concurrency_config(), None)
            for run in runs:
                instance.run_storage.handle_run_event(run.run_id, _event(dg.DagsterEventType.RUN_START), datetime.now())  # noqa: DTZ005
            return [run.run_id for run in runs]

        year = [queue({"dagster/backfill": "a-year", "day": str(day)}) for day in range(365)]
        running = dequeued()
        assert running == year[: len(running)]
        assert 0 < len(running) < 10
        live = queue(request.tags)
        assert dequeued() == []
        for place, ended in enumerate(running):
            instance.run_storage.handle_run_event(ended, _event(dg.DagsterEventType.RUN_SUCCESS), datetime.now())  # noqa: DTZ005
            (begun,) = dequeued()
            assert begun == (live if place == 0 else year[len(running) + place - 1])


def _event(kind: dg.DagsterEventType) -> dg.DagsterEvent:
    return dg.DagsterEvent(kind.value, "backfill")


def test_a_source_that_is_asked_for_records_has_a_sensor_that_polls(tmp_path: Path) -> None:
    said: dict[str, dict[str, Any]] = {
        "api": {"pattern": "streaming_api", "api_endpoint": "http://127.0.0.1:1/x", "poll_interval": "5m"},
        "own": {"pattern": "streaming_api", "connector": "mine.py:Mine"},
        "called": {"pattern": "streaming_api", "webhook_path": "/webhooks/called"},
        "sent": {"pattern": "event_streaming", "topic": "sent"},
        "dropped": {"pattern": "batch_file"},
        "fetched": {"pattern": "batch_file", "connector": "mine.py:Mine"},
    }
    sources = [write_source(tmp_path, name, **settings) for name, settings in said.items()]
    polls = {s.name: s.minimum_interval_seconds for s in arrival_sensors.arrival_sensors(sources) if "poll_" in s.name}
    assert polls == {"poll_api": 300, "poll_own": 60}


def test_a_poll_publishes_what_is_new_and_says_how_much(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = tmp_path / "shop"
    write_sample(shop)
    create_subscription(settings, "carts-events", "carts-events-sub")
    source = next(source for source in load_sources() if source.name == "fakestore_carts")
    poll = arrival_sensors.poll_sensor(source)
    with start_fakestore(shop, tmp_path / "fakestore.log") as server:
        monkeypatch.setenv("FAKESTORE_URL", server.url)
        said = [poll(dg.build_sensor_context(instance=dg.DagsterInstance.ephemeral())) for _ in range(2)]
    assert [answer.skip_message for answer in said if isinstance(answer, dg.SkipReason)] == [
        "Published 7 new events to carts-events.",
        "Published 0 new events to carts-events.",
    ]


def test_what_a_connector_has_just_landed_is_asked_for_in_the_same_tick(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "class Mine:\n    def fetch(self, since):\n        yield {'id': 1}\n"
    write_source(tmp_path / "sources", "mine", code=code, pattern="batch_file", connector="mine.py:Mine")
    monkeypatch.setenv("PLATFORM_SOURCES", str(tmp_path / "sources"))
    read_sources.cache_clear()
    try:
        tick = Ticks(dg.DagsterInstance.ephemeral(str(tmp_path)), "mine")
        today = datetime.now(UTC).date().isoformat()
        first = tick()
    finally:
        read_sources.cache_clear()
    assert [request.partition_key for request in first.run_requests or ()] == [today]
    assert [event.partition for event in first.asset_events] == [today]
    assert [o.name for o in Landing(settings).objects("mine")] == [
        o.name for o in Ledger(settings).pending("mine")[date.fromisoformat(today)]
    ]


def test_a_connector_is_not_loaded_before_its_tick(tmp_path: Path) -> None:
    """Code that cannot even be read disturbs neither the graph nor another source (I6)."""
    source = write_source(tmp_path, "mine", code="1 +", pattern="batch_file", connector="mine.py:Mine")
    assert [sensor.name for sensor in arrival_sensors.arrival_sensors([source])] == ["arrivals_mine"]


def _upload(settings: Settings, names: list[str]) -> None:
    """Many small objects, on one connection."""
    import os

    url = f"{os.environ['STORAGE_EMULATOR_HOST']}/upload/storage/v1/b/{settings.landing_bucket}/o"
    with httpx.Client() as client:
        for name in names:
            client.post(url, params={"uploadType": "media", "name": name}, content=b"{}\n").raise_for_status()

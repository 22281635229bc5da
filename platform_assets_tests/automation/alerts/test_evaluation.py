"""From what really happened in a Dagster instance to what really arrives at a route."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData, TickData
from dagster._core.scheduler.instigation import TickStatus as Status
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster_shared.error import SerializableErrorInfo

from platform_assets.automation.alerts.evaluation import Report, Scope, evaluate
from platform_assets.automation.alerts.platform_facts import daemon_facts, sensor_facts
from platform_assets.automation.alerts.sensor import alerts_sensor
from platform_assets.automation.alerts.store import IncidentStore
from platform_assets.settings import Settings
from platform_assets.sources.registry import read_sources
from platform_assets_tests.automation.alerts.conftest import Receiver, beat

DAYS = dg.DailyPartitionsDefinition("2026-11-01", end_date="2026-11-30")
HOUR = timedelta(hours=1)


class Platform:
    """An instance, its table `silver.orders`, and the one that evaluates the alerts at a time of its own."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.settings, self.instance, self.now = settings, instance, datetime.now(UTC)
        self.daemon_runs = True

    def run(
        self, day: str, *, retried: bool = False, fails: bool = False, breaks: bool = False, quarantines: int = 0
    ) -> None:
        """A run of one partition: it succeeds, fails, breaks its contract, or quarantines rows."""
        specs = [
            dg.AssetCheckSpec(name, asset=dg.AssetKey(["silver", "orders"]), blocking=name == "contract")
            for name in ("contract", "quarantine")
        ]

        @dg.multi_asset(
            name="silver_orders",
            specs=[dg.AssetSpec(["silver", "orders"], partitions_def=DAYS)],
            check_specs=specs,
        )
        def orders() -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
            if fails:
                raise ValueError("the row of jane@example.com")
            yield dg.AssetCheckResult(passed=not breaks, check_name="contract", description="jane@example.com")
            if breaks:
                raise dg.Failure("jane@example.com", allow_retries=False)
            yield dg.MaterializeResult(["silver", "orders"])
            yield dg.AssetCheckResult(
                passed=not quarantines,
                check_name="quarantine",
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"rows_open": quarantines, "quarantine_ratio": 0.25},
            )

        dg.materialize(
            [orders],
            partition_key=day,
            instance=self.instance,
            selection=[dg.AssetKey(["silver", "orders"])],
            tags={"dagster/will_retry": "true"} if retried else {},
            raise_on_error=False,
        )

    def evaluate(self, times: int = 1, *, after: timedelta = timedelta(seconds=30)) -> Report:
        """So many evaluations, `after` one another."""
        for _ in range(times):
            self.now += after
            if self.daemon_runs:
                beat(self.instance, self.now)
            report = evaluate(self.settings, self.instance, self.now)
        return report


@pytest.fixture
def platform(here: Settings, instance: dg.DagsterInstance, receiver: Receiver) -> Platform:
    write_routes(here, receiver.url)
    return Platform(here, instance)


def write_routes(settings: Settings, *urls: str, more: str = "") -> None:
    routes = "\n".join(f"  route{n}: {{kind: webhook, url: '{url}'}}" for n, url in enumerate(urls))
    rules = "\n".join(
        f"  - {{name: {kind}, when: {kind}, severity: {severity}}}"
        for kind, severity in (
            ("run_failed", "critical"),
            ("contract_failed", "critical"),
            ("quarantine", "warning"),
            ("sensor_failed", "critical"),
            ("source_broken", "critical"),
            ("daemon_stopped", "critical"),
        )
    )
    names = ", ".join(f"route{n}" for n in range(len(urls)))
    settings.alert_routes.write_text(f"notify: [{names}]\nroutes:\n{routes}\nrules:\n{rules}\n{textwrap.dedent(more)}")


class Heard(NamedTuple):
    """What a route was told of an incident."""

    status: str
    rule: str
    subject: str


def heard(receiver: Receiver) -> list[list[Heard]]:
    """Of each message."""
    return [
        [Heard(one["status"], one["rule"], one["subject"]) for one in call.said["incidents"]] for call in receiver.calls
    ]


def test_a_failed_run_is_told_once_and_its_recovery_once(platform: Platform, receiver: Receiver) -> None:
    platform.run("2026-11-20", fails=True)
    platform.evaluate(5)
    assert heard(receiver) == [[Heard("firing", "run_failed", "silver.orders 2026-11-20")]]
    platform.run("2026-11-19")  # another partition mends nothing
    platform.evaluate(3)
    assert len(receiver.calls) == 1
    platform.run("2026-11-20")
    platform.evaluate(5)
    assert heard(receiver)[1:] == [[Heard("recovered", "run_failed", "silver.orders 2026-11-20")]]


def test_a_run_that_will_be_started_again_is_not_told(platform: Platform, receiver: Receiver) -> None:
    platform.run("2026-11-20", fails=True, retried=True)
    platform.evaluate(2)
    assert receiver.calls == []


def test_a_broken_contract_is_told_as_that_and_not_as_a_failed_run_too(platform: Platform, receiver: Receiver) -> None:
    platform.run("2026-11-20", breaks=True)
    platform.evaluate(2)
    (told,) = heard(receiver)
    assert [(one.status, one.rule) for one in told] == [("firing", "contract_failed")]
    platform.run("2026-11-20")
    platform.evaluate(3)
    assert [[one.status for one in told] for told in heard(receiver)] == [["firing"], ["recovered"]]


def test_what_is_told_counts_rows_and_holds_none_of_their_values(platform: Platform, receiver: Receiver) -> None:
    platform.run("2026-11-20", fails=True)
    platform.run("2026-11-18", breaks=True)
    platform.run("2026-11-19", quarantines=3)
    platform.evaluate()
    (call,) = receiver.calls
    assert b"jane" not in call.body
    by_rule = {one["rule"]: one for one in call.said["incidents"]}
    assert by_rule.keys() == {"run_failed", "contract_failed", "quarantine"}
    assert by_rule["quarantine"]["what"] == "the check `quarantine` failed: rows_open 3, quarantine_ratio 25.00%"
    assert by_rule["run_failed"]["link"].startswith("https://dagit.example.com/runs/")


def test_a_route_out_of_reach_stops_no_other_and_is_told_when_it_is_back(
    platform: Platform, receiver: Receiver
) -> None:
    write_routes(platform.settings, "http://127.0.0.1:1/", receiver.url)
    platform.run("2026-11-20", fails=True)
    report = platform.evaluate()
    assert (report.told, list(report.failed)) == (["route1"], ["route0"])
    assert "does not answer" in report.failed["route0"]
    write_routes(platform.settings, f"{receiver.url}/back", receiver.url)
    assert platform.evaluate().told == ["route0"]
    assert platform.evaluate().told == []
    assert [call.path for call in receiver.calls] == ["/", "/back"]


def test_a_lasting_incident_is_repeated_after_four_hours(platform: Platform, receiver: Receiver) -> None:
    platform.run("2026-11-20", fails=True)
    platform.evaluate()
    platform.evaluate(3, after=HOUR)
    assert len(receiver.calls) == 1
    platform.evaluate(1, after=HOUR)
    assert len(receiver.calls) == 2


def test_declared_maintenance_is_silent_for_its_subjects_only(platform: Platform, receiver: Receiver) -> None:
    begin, end = (f"{platform.now + shift:%Y-%m-%dT%H:%M:%SZ}" for shift in (-HOUR, HOUR))
    window = f"maintenance:\n  - {{from: {begin}, to: {end}, subjects: [silver.*], reason: the shop moves}}\n"
    write_routes(platform.settings, receiver.url, more=window)
    platform.run("2026-11-20", fails=True)
    platform.daemon_runs = False
    beat(platform.instance, platform.now - HOUR)
    platform.evaluate(2)
    assert {one.rule for (told) in heard(receiver) for one in told} == {"daemon_stopped"}
    platform.evaluate(after=2 * HOUR)
    assert Heard("firing", "run_failed", "silver.orders 2026-11-20") in [
        one for told in heard(receiver) for one in told
    ]


def test_two_who_evaluate_at_once_tell_once(platform: Platform, receiver: Receiver) -> None:
    platform.run("2026-11-20", fails=True)
    with IncidentStore(platform.settings) as store, store.lease(platform.now, HOUR) as mine:
        assert mine
        assert platform.evaluate().busy
    assert receiver.calls == []
    assert not platform.evaluate().busy
    assert len(receiver.calls) == 1


def test_a_lease_of_one_that_was_killed_ends(platform: Platform) -> None:
    with IncidentStore(platform.settings) as store:
        killed = store.lease(platform.now, timedelta(minutes=2))
        assert killed.__enter__()
        assert platform.evaluate().busy
        assert not platform.evaluate(after=timedelta(minutes=2)).busy


def test_a_daemon_that_no_longer_reports_is_told_by_the_watch(platform: Platform, receiver: Receiver) -> None:
    now = datetime.now(UTC)
    beat(platform.instance, now - timedelta(minutes=6), ["SENSOR"])
    for minute in range(2):
        evaluate(platform.settings, platform.instance, now + timedelta(seconds=minute), Scope.DAEMON)
    assert heard(receiver) == [[Heard("firing", "daemon_stopped", "SENSOR")]]
    beat(platform.instance, now)
    for second in range(10, 13):
        evaluate(platform.settings, platform.instance, now + timedelta(seconds=second), Scope.DAEMON)
    assert heard(receiver)[1:] == [[Heard("recovered", "daemon_stopped", "SENSOR")]]


def test_an_instance_of_which_no_daemon_ever_reported_has_none(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path), {"telemetry": {"enabled": False}}) as never_run:
        stopped = daemon_facts(never_run, datetime.now(UTC))
        assert {one.subject for one in stopped} == set(never_run.get_required_daemon_types())


def tick(instance: dg.DagsterInstance, name: str, status: Status, at: datetime) -> None:
    """What the daemon records of a sensor's evaluation."""
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(), location_name="platform_assets")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
    state = InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, SensorInstigatorData())
    if not instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
        instance.add_instigator_state(state)
    raised = SerializableErrorInfo("jane@example.com", [], "ConnectError")
    wrapped = SerializableErrorInfo("in the sensor", [], "SensorExecutionError", cause=raised)
    error = wrapped if status is Status.FAILURE else None
    instance.create_tick(
        TickData(
            instigator_origin_id=state.instigator_origin_id,
            instigator_name=name,
            instigator_type=InstigatorType.SENSOR,
            status=status,
            timestamp=at.timestamp(),
            selector_id=state.selector_id,
            error=error,
            run_ids=[] if status is Status.SUCCESS else None,
            skip_reason="nothing new" if status is Status.SKIPPED else None,
        )
    )


def test_a_sensor_is_failing_from_its_last_tick_until_a_good_one_or_until_it_is_gone(
    instance: dg.DagsterInstance,
) -> None:
    now = datetime.now(UTC)
    tick(instance, "arrivals_carts", Status.SKIPPED, now - timedelta(minutes=3))
    assert sensor_facts(instance, now) == []
    tick(instance, "arrivals_carts", Status.FAILURE, now - timedelta(minutes=2))
    tick(instance, "arrivals_carts", Status.STARTED, now - timedelta(minutes=1))
    (seen,) = sensor_facts(instance, now)
    assert (seen.subject, seen.what) == ("arrivals_carts", "its last evaluation failed: ConnectError")
    assert seen.look == "/locations/platform_assets/sensors/arrivals_carts"
    assert sensor_facts(instance, now + HOUR) == []
    tick(instance, "arrivals_carts", Status.SUCCESS, now)
    assert sensor_facts(instance, now) == []


def test_a_source_that_cannot_be_used_is_told_until_it_can(
    platform: Platform, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_BROKEN_SOURCES", "leave_out")
    folder = platform.settings.sources / "returns"
    folder.mkdir()
    (folder / "source.yaml").write_text("source_id: other\n")
    read_sources.cache_clear()
    platform.evaluate(2)
    assert heard(receiver) == [[Heard("firing", "source_broken", "returns")]]
    (folder / "source.yaml").unlink()
    read_sources.cache_clear()
    platform.evaluate(3)
    assert heard(receiver)[1:] == [[Heard("recovered", "source_broken", "returns")]]


def test_the_sensor_says_in_dagit_what_it_did_and_what_it_could_not(platform: Platform, receiver: Receiver) -> None:
    write_routes(platform.settings, receiver.url, "http://127.0.0.1:1/")
    platform.run("2026-11-20", fails=True)
    sensor = alerts_sensor()
    assert (sensor.default_status, sensor.minimum_interval_seconds) == (dg.DefaultSensorStatus.RUNNING, 30)
    result = sensor(dg.build_sensor_context(instance=platform.instance))
    assert isinstance(result, dg.SkipReason)
    assert result.skip_message == "1 open incidents; told route0; not reached: route1"
    assert len(receiver.calls) == 1

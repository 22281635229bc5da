"""What becomes of failed runs: real runs fail on a small graph, and the sensor ticks over a real instance."""

# No `from __future__ import annotations`: Dagster does not resolve the annotation of a run's context then.

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, ClassVar, Self

import dagster as dg
import pytest

from platform_assets.assets.failures import PermanentFailure, told_apart
from platform_assets.assets.requests import ARRIVAL_TAG
from platform_assets.automation import failures
from platform_assets.automation.conditions import on_arrival, on_update
from platform_assets.automation.failures import ATTEMPT_TAG, MOST_ATTEMPTS, mend_failed_sensor
from platform_assets.definitions import build_definitions
from platform_assets.ingestion.parked import ParkedPartitions
from platform_assets.lakehouse.publisher import ConcurrentPublish
from platform_assets.settings import load_settings
from platform_assets_tests.automation.evaluations import Evaluations

DAILY = dg.DailyPartitionsDefinition("2026-01-01", end_offset=2)
DAY, OTHER_DAY = "2026-03-10", "2026-03-11"
CONFLICT = ConcurrentPublish("another run published")
BROKEN = PermanentFailure("3 rows break the rule not_null")


class _Clock(datetime):
    """The time that the sensor sees."""

    ahead: ClassVar[timedelta] = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        """Now, or later."""
        return super().now(tz) + cls.ahead


@dataclass
class Platform:
    """arrival → silver/t (with its quarantine) → gold/t → mart/t, of which each may fail; the test is the daemon.

    Silver also refers to a dimension, which has no dates.
    """

    instance: dg.DagsterInstance
    fails: dict[str, Exception] = field(default_factory=dict)
    version: int = 1
    cursor: str | None = None
    keys: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.evaluations = Evaluations(self.defs(), self.instance)
        assert self.evaluations.tick() == {}

    def defs(self) -> dg.Definitions:
        """The graph as it is defined now."""
        return dg.Definitions(
            assets=[
                dg.AssetSpec("arrival", partitions_def=DAILY),
                dg.AssetSpec("dimension"),
                self._operation("bronze", "arrival"),
                self._operation("silver", "arrival", "quarantine", refers_to=["dimension"]),
                self._operation("gold", "silver/t"),
                self._operation("mart", "gold/t"),
            ],
            sensors=[mend_failed_sensor()],
            executor=dg.in_process_executor,
        )

    def _operation(self, layer: str, dep: str, *others: str, refers_to: Iterable[str] = ()) -> dg.AssetsDefinition:
        ignored = dg.AssetSelection.assets(*refers_to)
        condition = {"bronze": None, "silver": on_arrival(ignored)}.get(layer, on_update())
        specs = [
            dg.AssetSpec(
                [name, "t"],
                deps=[dg.AssetKey.from_user_string(name) for name in (dep, *refers_to)],
                partitions_def=DAILY,
                automation_condition=condition,
                tags={"layer": name},
                metadata={"contract_version": self.version},
            )
            for name in (layer, *others)
        ]

        @dg.multi_asset(name=f"{layer}_t", specs=specs)
        @told_apart
        def make(_context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
            if layer in self.fails:
                raise self.fails[layer]
            yield from (dg.MaterializeResult(spec.key) for spec in specs)

        return make

    def arrive(self, day: str = DAY) -> None:
        """Something arrives; the conditions ask for a run, which runs."""
        self.evaluations.update("arrival", day)
        requested = self.evaluations.tick()
        assert requested.keys() == {day}, requested
        self.run(requested[day], day, {"dagster/from_automation_condition": "true"})
        assert self.evaluations.tick() == {}  # the conditions take their request for an answer, even if the run failed

    def run(self, assets: set[str], day: str, tags: dict[str, str]) -> dg.ExecuteInProcessResult:
        """A run as the daemon makes it of a request."""
        return (
            self.defs()
            .resolve_implicit_global_asset_job_def()
            .execute_in_process(
                asset_selection=sorted(map(dg.AssetKey.from_user_string, assets)),
                partition_key=day,
                instance=self.instance,
                tags=tags,
                raise_on_error=False,
            )
        )

    def mend(self) -> list[tuple[str | None, set[str]]]:
        """One tick; what it asks for, which then runs, as the daemon would: once for each run key."""
        defs = self.defs()
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, definitions=defs)
        result = defs.get_repository_def().get_sensor_def("mend_failed").evaluate_tick(context)
        self.cursor = result.cursor
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        asked = []
        for request in result.run_requests or ():
            assert request.run_key is not None
            assert request.run_key not in self.keys
            self.keys.add(request.run_key)
            assets = {key.to_user_string() for key in request.asset_selection or ()}
            asked.append((request.partition_key, assets))
            self.run(assets, str(request.partition_key), dict(request.tags))
        return asked

    def parked(self) -> list[tuple[str, str, str]]:
        """What is parked and waits: asset, partition, reason."""
        with ParkedPartitions(load_settings()) as parked:
            return [(one.asset, one.partition, one.reason) for one in parked.all() if one.waits]


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path))
    return Platform(dg.DagsterInstance.ephemeral(str(tmp_path)))


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Moves the sensor's clock to so many seconds from now."""
    monkeypatch.setattr(failures, "datetime", _Clock)

    def wait_until(seconds: float) -> None:
        _Clock.ahead = timedelta(seconds=seconds)

    yield wait_until
    _Clock.ahead = timedelta()


Wait = Callable[[float], None]


def test_the_platform_has_the_sensor() -> None:
    assert "mend_failed" in {sensor.name for sensor in build_definitions().sensors or ()}


def test_what_failed_for_a_passing_reason_is_asked_for_again_with_all_that_was_skipped(
    platform: Platform, wait: Wait
) -> None:
    platform.fails["gold"] = CONFLICT
    platform.arrive()
    assert platform.mend() == []  # patience first
    platform.fails.clear()
    wait(31)
    assert platform.mend() == [(DAY, {"gold/t", "mart/t"})]
    assert platform.mend() == []
    assert platform.evaluations.tick() == {}
    assert platform.parked() == []


def test_patience_grows_and_ends_in_parking(platform: Platform, wait: Wait) -> None:
    platform.fails["silver"] = CONFLICT
    platform.arrive()
    later, everything = 0.0, {"silver/t", "quarantine/t", "gold/t", "mart/t"}
    for attempt in range(1, MOST_ATTEMPTS):
        delay = min(30 * 2 ** (attempt - 1), 15 * 60)
        wait(later + delay - 5)
        assert platform.mend() == []
        wait(later + delay + 5)
        assert platform.mend() == [(DAY, everything)]
        newest = platform.instance.get_runs(limit=1)[0]
        assert newest.tags[ATTEMPT_TAG] == str(attempt + 1)
        later = 0.0  # runs end by the true clock
    wait(24 * 3600)
    assert platform.mend() == []
    ((asset, day, reason),) = platform.parked()
    assert (asset, day) == ("silver/t", DAY)
    assert reason.startswith("failed 6 times, and now with: ")
    assert "another run published" in reason


def test_what_fails_for_good_is_parked_with_its_reason_and_not_tried_again(platform: Platform, wait: Wait) -> None:
    platform.fails["silver"] = BROKEN
    platform.arrive()
    assert platform.mend() == []
    assert platform.parked() == [("silver/t", DAY, "3 rows break the rule not_null")]
    wait(24 * 3600)
    assert platform.mend() == []
    key = dg.AssetKey(["silver", "t"])
    (told,) = platform.instance.fetch_observations(dg.AssetRecordsFilter(key), limit=5).records
    assert told.asset_observation is not None
    assert told.asset_observation.metadata["parked"].value == "3 rows break the rule not_null"
    assert platform.evaluations.tick() == {}  # that it was told is no update
    (run,) = platform.instance.get_runs()
    assert run.tags["dagster/retry_on_asset_or_op_failure"] == "false"  # nor does Dagster start it again


def test_a_parked_date_holds_back_no_other(platform: Platform) -> None:
    platform.fails["gold"] = BROKEN
    platform.arrive()
    platform.mend()
    platform.fails.clear()
    platform.arrive(OTHER_DAY)
    assert platform.mend() == []
    assert [(asset, day) for asset, day, _ in platform.parked()] == [("gold/t", DAY)]


def test_new_data_lets_a_parked_date_go(platform: Platform) -> None:
    platform.fails["silver"] = BROKEN
    platform.arrive()
    platform.mend()
    assert platform.parked()
    platform.fails.clear()
    platform.arrive()
    assert platform.mend() == []
    assert platform.parked() == []


def test_new_data_that_fails_as_well_parks_it_anew(platform: Platform) -> None:
    platform.fails["silver"] = BROKEN
    platform.arrive()
    platform.mend()
    platform.fails["silver"] = PermanentFailure("4 rows break the rule")
    platform.arrive()
    assert platform.mend() == []
    assert platform.parked() == [("silver/t", DAY, "4 rows break the rule")]


def test_a_new_version_of_the_contract_lets_it_go(platform: Platform) -> None:
    platform.fails["gold"] = BROKEN
    platform.arrive()
    assert platform.mend() == []
    assert platform.mend() == []
    platform.fails.clear()
    platform.version = 2
    assert platform.mend() == []  # released, and asked for by the next tick
    assert platform.mend() == [(DAY, {"gold/t"})]
    assert platform.mend() == []
    with ParkedPartitions(load_settings()) as parked:
        assert parked.all() == []
    assert platform.evaluations.tick() == {DAY: {"mart/t"}}  # what waits for it follows by itself


def test_rows_that_it_refers_to_let_it_go_and_the_same_rows_again_do_not(platform: Platform) -> None:
    """Else a date that came before its dimension, and was blocked for that, would wait for a person."""

    def refresh(version: str) -> None:
        made = dg.AssetMaterialization("dimension", tags={"dagster/data_version": version})
        platform.instance.report_runless_asset_event(made)

    refresh("1")
    platform.fails["silver"] = BROKEN
    platform.arrive()
    assert platform.mend() == []
    refresh("1")
    assert platform.mend() == []
    assert platform.mend() == []
    assert platform.parked()
    platform.fails.clear()
    refresh("2")
    assert platform.mend() == []  # released, and asked for by the next tick
    assert platform.mend() == [(DAY, {"silver/t", "quarantine/t"})]
    assert platform.mend() == []
    assert platform.parked() == []


def test_a_released_date_is_made_once_and_parked_again_if_it_fails_again(platform: Platform) -> None:
    platform.fails["gold"] = BROKEN
    platform.arrive()
    platform.mend()
    with ParkedPartitions(load_settings()) as parked:
        assert parked.release("gold/t", DAY, by="me", why="mended by hand")
        assert not parked.release("gold/t", DAY, by="me", why="twice")
    assert platform.parked() == []
    assert platform.mend() == [(DAY, {"gold/t"})]
    assert platform.mend() == []
    assert platform.parked() == [("gold/t", DAY, "3 rows break the rule not_null")]


def test_a_run_that_came_later_settles_the_failure(platform: Platform, wait: Wait) -> None:
    platform.fails["gold"] = CONFLICT
    platform.arrive()
    platform.fails.clear()
    platform.arrive()  # something new arrives meanwhile, and all is rebuilt
    wait(3600)
    assert platform.mend() == []


def test_a_run_that_a_person_started_is_left_to_that_person(platform: Platform, wait: Wait) -> None:
    platform.fails["silver"] = CONFLICT
    platform.run({"silver/t", "quarantine/t"}, DAY, {})
    wait(3600)
    assert platform.mend() == []
    assert platform.parked() == []


def test_a_failed_run_of_a_person_answers_for_nothing_and_one_that_goes_on_is_waited_for(
    platform: Platform, wait: Wait
) -> None:
    platform.fails["gold"] = CONFLICT
    platform.arrive()
    platform.run({"gold/t"}, DAY, {})
    by_hand = platform.evaluations.start(["gold/t"], DAY)
    wait(3600)
    assert platform.mend() == []
    platform.instance.report_run_failed(by_hand)
    platform.fails.clear()
    assert platform.mend() == [(DAY, {"gold/t", "mart/t"})]


def test_bronze_is_parked_but_asked_for_by_its_arrival_sensor_alone(platform: Platform, wait: Wait) -> None:
    tags = {ARRIVAL_TAG: f"t/{DAY}"}
    platform.fails["bronze"] = CONFLICT
    for _ in range(MOST_ATTEMPTS + 1):
        platform.run({"bronze/t"}, DAY, tags)
    wait(3600)
    assert platform.mend() == []
    assert platform.parked() == []
    platform.fails["bronze"] = BROKEN
    platform.run({"bronze/t"}, DAY, tags)
    assert platform.mend() == []
    assert platform.parked() == [("bronze/t", DAY, "3 rows break the rule not_null")]
    platform.fails.clear()
    platform.run({"bronze/t"}, DAY, tags)
    assert platform.mend() == []
    assert platform.parked() == []


def test_a_run_whose_process_died_is_asked_for_again_unless_dagster_does_so(platform: Platform, wait: Wait) -> None:
    for day, tags in ((DAY, {}), (OTHER_DAY, {"dagster/will_retry": "true"})):
        run = platform.instance.create_run_for_job(
            platform.defs()
            .resolve_implicit_global_asset_job_def()
            .get_subset(asset_selection={dg.AssetKey(["gold", "t"])}),
            asset_selection=frozenset({dg.AssetKey(["gold", "t"])}),
            tags={"dagster/partition": day, "dagster/from_automation_condition": "true", **tags},
            status=dg.DagsterRunStatus.STARTED,
        )
        platform.instance.report_run_failed(run)
    wait(31)
    assert platform.mend() == [(DAY, {"gold/t"})]

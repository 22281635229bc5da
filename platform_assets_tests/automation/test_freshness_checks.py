"""What Dagit is told by the checks `fresh`: by table and date, only what is new, of the right materialisation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionResolvedStatus,
)
from dagster._core.storage.asset_check_state import AssetCheckState

from platform_assets.assets import freshness as freshness_assets
from platform_assets.assets.freshness import FRESH_CHECK, checks_of_operations, freshness_checks
from platform_assets.assets.tables import check_spec, daily_partitions
from platform_assets.automation.freshness_checks import tell
from platform_assets.contracts.model import Column, Contract
from platform_assets.definitions import build_definitions
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.completeness import Completeness
from platform_assets.lakehouse.declared import DeclaredTable
from platform_assets.lakehouse.freshness import FreshnessState, PartitionFreshness, TableFreshness
from platform_assets.lakehouse.lateness import Lateness
from platform_assets.lakehouse.statistics import TableStatistics
from platform_assets.settings import load_settings
from platform_assets_tests.lakehouse.test_freshness import declare, publish

KEY = dg.AssetKey(["silver", "orders"])
CHECK = dg.AssetCheckKey(KEY, FRESH_CHECK)
CONTRACT = Contract("silver.orders", (Column("day", "date"),), partition_column="day")
ORDERS = DeclaredTable(CONTRACT, "commerce", "team:test", timedelta(minutes=2), timedelta(minutes=5))
DAY, NEXT_DAY, OLD_DAY = date(2026, 11, 20), date(2026, 11, 21), date(2024, 1, 5)
PASS, WARN, FAIL, UNKNOWN = FreshnessState


@dataclass
class Dagit:
    """An instance that is told, as the daemon tells it."""

    instance: dg.DagsterInstance

    def tell(self, row: TableFreshness, now: datetime | None = None) -> int:
        """One evaluation; returns how many results were recorded."""
        before = len(self.history())
        for evaluation in tell(self.instance, [row], now or datetime.now(UTC)):
            self.instance.report_runless_asset_event(evaluation)
        return len(self.history()) - before

    def history(self) -> list[AssetCheckExecutionRecord]:
        """All results, newest first."""
        return list(self.instance.event_log_storage.get_asset_check_execution_history(CHECK, limit=100))

    def latest(self, partition: date | None = None) -> dg.AssetCheckEvaluation:
        """The newest result of the table or of a date."""
        wanted = None if partition is None else partition.isoformat()
        found = next(record for record in self.history() if record.partition == wanted).evaluation
        assert found is not None
        return found

    def shown(self) -> dict[str, set[str]]:
        """What Dagit's page of the check shows, by status."""
        pair = (CHECK, daily_partitions())
        state = self.instance.event_log_storage.get_asset_check_state([pair]).get(CHECK, AssetCheckState.empty())
        found = {status.name: set(subset.subset_value.get_partition_keys()) for status, subset in state.subsets.items()}
        assert not found.get(AssetCheckExecutionResolvedStatus.IN_PROGRESS.name)
        return {status: partitions for status, partitions in found.items() if partitions}

    def made(self, *partitions: date) -> None:
        """The dates were made, in one run."""
        for partition in partitions:
            self.instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition=partition.isoformat()))


@pytest.fixture
def dagit(tmp_path: Path) -> Iterator[Dagit]:
    with dg.DagsterInstance.ephemeral(str(tmp_path)) as instance:
        yield Dagit(instance)


def day(partition: date, state: FreshnessState = PASS, made_at: datetime | None = None) -> PartitionFreshness:
    waits = datetime.now(UTC) - timedelta(minutes=10) if state in {WARN, FAIL} else None
    return PartitionFreshness(partition, 7, state, made_at, waits)


def row(state: FreshnessState = PASS, *partitions: PartitionFreshness, reason: str = "why") -> TableFreshness:
    days = partitions or (day(DAY), day(NEXT_DAY))
    rows = {one.partition: one.rows for one in days}
    late = Lateness("bronze.orders", datetime.now(UTC) - timedelta(minutes=10), reason)
    return TableFreshness(
        ORDERS,
        TableStatistics("silver.orders", 14, 2, 2, max(rows), datetime.now(UTC), None, rows),
        state,
        timedelta(seconds=30),
        reason,
        completeness=Completeness(DAY, 7, 14.0, "usual"),
        lateness=late if state in {WARN, FAIL} else None,
        partitions=tuple(days),
    )


def test_a_table_is_told_with_what_dagit_plots_and_then_only_when_something_changes(dagit: Dagit) -> None:
    assert dagit.tell(row()) == 2  # the table and its newest date
    told = dagit.latest()
    assert (told.passed, told.blocking, told.description) == (True, False, "why")
    numbers = {name: value.value for name, value in told.metadata.items()}
    assert numbers == {"rows": 14, "lag_seconds": 30.0, "completeness": 0.5, "late_seconds": 0.0}
    assert dagit.tell(row()) == 0
    assert dagit.tell(row(WARN)) == 1
    assert (dagit.latest().passed, dagit.latest().severity) == (False, dg.AssetCheckSeverity.WARN)
    assert dagit.latest().metadata["late_seconds"].value == pytest.approx(600, abs=5)
    assert dagit.tell(row(WARN)) == 0
    assert dagit.tell(row(FAIL)) == 1
    assert dagit.latest().severity == dg.AssetCheckSeverity.ERROR
    assert dagit.tell(row()) == 1
    assert dagit.latest().passed


def test_an_hour_without_news_is_told_too_so_that_the_curve_goes_on(dagit: Dagit) -> None:
    dagit.tell(row())
    now = datetime.now(UTC)
    assert dagit.tell(row(), now + timedelta(minutes=59)) == 0
    assert dagit.tell(row(), now + timedelta(minutes=61)) == 1


def test_a_table_of_which_nothing_is_known_is_not_told(dagit: Dagit) -> None:
    assert dagit.tell(replace(row(), state=UNKNOWN)) == 0


def test_the_date_that_is_late_is_told_and_told_again_when_it_is_not(dagit: Dagit) -> None:
    dagit.made(DAY, NEXT_DAY)
    dagit.tell(row())
    assert dagit.shown() == {"SUCCEEDED": {"2026-11-21"}}
    dagit.tell(row(WARN, day(DAY, WARN), day(NEXT_DAY)))
    assert dagit.shown() == {"SUCCEEDED": {"2026-11-21"}, "FAILED": {"2026-11-20"}}
    assert dagit.latest(DAY).severity == dg.AssetCheckSeverity.WARN
    assert dagit.latest(DAY).metadata["partition_waits_seconds"].value == pytest.approx(600, abs=5)
    assert "changed 10 min" in str(dagit.latest(DAY).description)
    dagit.tell(row(FAIL, day(DAY, FAIL), day(NEXT_DAY)))
    assert dagit.latest(DAY).severity == dg.AssetCheckSeverity.ERROR
    dagit.made(DAY)
    dagit.tell(row(PASS, day(DAY), day(NEXT_DAY)))
    assert dagit.shown() == {"SUCCEEDED": {"2026-11-20", "2026-11-21"}}


def test_a_date_of_long_ago_that_is_late_is_told_too_and_its_recovery(dagit: Dagit) -> None:
    dagit.made(OLD_DAY, NEXT_DAY)
    late = replace(row(FAIL), older=(day(OLD_DAY, FAIL),))
    dagit.tell(late)
    assert dagit.shown()["FAILED"] == {"2024-01-05"}
    assert late.statistics is not None
    dagit.made(OLD_DAY)
    statistics = replace(late.statistics, rows_by_partition={OLD_DAY: 7, **late.statistics.rows_by_partition})
    dagit.tell(replace(row(), statistics=statistics))
    assert dagit.shown() == {"SUCCEEDED": {"2024-01-05", "2026-11-21"}}


def test_all_dates_that_one_run_made_are_told(dagit: Dagit) -> None:
    """Dagster itself records one result without a date for a backfill in a single run."""
    dagit.tell(row())
    days = [NEXT_DAY - timedelta(days=number) for number in range(5)]
    dagit.made(*days)
    made = datetime.now(UTC)
    dagit.tell(row(PASS, *(day(one, PASS, made) for one in days)))
    assert dagit.shown() == {"SUCCEEDED": {one.isoformat() for one in days}}


def test_what_is_made_again_is_told_again_because_dagit_forgets_what_was_told_before(dagit: Dagit) -> None:
    dagit.made(NEXT_DAY)
    dagit.tell(row())
    dagit.made(NEXT_DAY)
    assert dagit.shown() == {}
    assert dagit.tell(row()) == 1  # the date's result is kept up to date, the table's is added
    assert dagit.shown() == {"SUCCEEDED": {"2026-11-21"}}


def test_a_tick_that_was_killed_before_it_told_the_table_loses_nothing(dagit: Dagit) -> None:
    tell(dagit.instance, [row(FAIL, day(DAY, FAIL))], datetime.now(UTC))
    assert dagit.tell(row(FAIL, day(DAY, FAIL))) == 1
    assert dagit.shown() == {"FAILED": {"2026-11-20"}}


# By hand, in Dagit.


@dg.asset(key=KEY, partitions_def=daily_partitions(), group_name="commerce")
def orders() -> None: ...


CHECKS = freshness_checks([orders])


def execute(
    dagit: Dagit, monkeypatch: pytest.MonkeyPatch, found: TableFreshness, day: date | None = None
) -> dg.ExecuteInProcessResult:
    """As `by_hand`, when this is what there is to be seen."""
    monkeypatch.setattr("platform_assets.lakehouse.freshness.table_freshness", lambda *_: [found])
    monkeypatch.setattr("platform_assets.ingestion.waiting.landed_since", lambda _: {})
    return by_hand(dagit, day)


def by_hand(dagit: Dagit, day: date | None = None) -> dg.ExecuteInProcessResult:
    """A person executes the check, of a date or of the table."""
    job = dg.Definitions(assets=[orders], asset_checks=CHECKS).resolve_implicit_global_asset_job_def()
    return job.get_subset(asset_selection=set(), asset_check_selection={CHECK}).execute_in_process(
        instance=dagit.instance, partition_key=None if day is None else day.isoformat()
    )


def test_a_date_can_be_judged_by_hand_and_is_kept_up_to_date_afterwards(
    dagit: Dagit, monkeypatch: pytest.MonkeyPatch
) -> None:
    dagit.made(DAY)
    late = row(FAIL, day(DAY, FAIL), day(NEXT_DAY))
    (told,) = execute(dagit, monkeypatch, late, DAY).get_asset_check_evaluations()
    assert (told.passed, told.partition, told.severity) == (False, "2026-11-20", dg.AssetCheckSeverity.ERROR)
    assert dagit.shown() == {"FAILED": {"2026-11-20"}}
    dagit.made(DAY)
    dagit.tell(row(PASS, day(DAY), day(NEXT_DAY)))
    assert dagit.shown() == {"SUCCEEDED": {"2026-11-20", "2026-11-21"}}
    dagit.tell(row(WARN, day(DAY, WARN), day(NEXT_DAY)))
    assert dagit.shown() == {"SUCCEEDED": {"2026-11-21"}, "FAILED": {"2026-11-20"}}


def test_a_whole_table_can_be_judged_by_hand(dagit: Dagit, monkeypatch: pytest.MonkeyPatch) -> None:
    (told,) = execute(dagit, monkeypatch, row(WARN)).get_asset_check_evaluations()
    assert (told.partition, told.severity) == (None, dg.AssetCheckSeverity.WARN)


def test_a_check_of_a_table_of_which_nothing_is_known_is_skipped(dagit: Dagit, monkeypatch: pytest.MonkeyPatch) -> None:
    result = execute(dagit, monkeypatch, replace(row(), state=UNKNOWN))
    assert result.success
    assert result.get_asset_check_evaluations() == []


def test_a_check_by_hand_looks_at_the_lakehouse_alone(
    dagit: Dagit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path))
    monkeypatch.setattr("platform_assets.ingestion.waiting.landed_since", lambda _: {})
    declare(monkeypatch)
    publish(Lakehouse(load_settings()), [DAY, NEXT_DAY])
    (told,) = by_hand(dagit).get_asset_check_evaluations()
    assert (told.passed, told.metadata["rows"].value) == (True, 4)
    (told,) = by_hand(dagit, DAY).get_asset_check_evaluations()
    assert (told.passed, told.metadata["partition_rows"].value) == (True, 2)
    assert by_hand(dagit, OLD_DAY).get_asset_check_evaluations() == []  # the table has no such date


# In the graph.


def test_every_table_has_a_check_that_blocks_nothing_and_can_be_executed_alone() -> None:
    graph = build_definitions().resolve_asset_graph()
    tables = {
        key for key in graph.materializable_asset_keys if graph.get(key).tags.get("layer") not in {None, "landing"}
    }
    assert {key.asset_key for key in graph.asset_check_keys if key.name == FRESH_CHECK} == tables
    for key in tables:
        check = graph.get(dg.AssetCheckKey(key, FRESH_CHECK))
        assert not check.blocking
        assert check.partitions_def == graph.get(key).partitions_def
        assert graph.get_execution_set_asset_and_check_keys(check.key) == {check.key}


def test_runs_of_the_platforms_own_make_every_check_but_freshness() -> None:
    graph = build_definitions().resolve_asset_graph()
    keys = [dg.AssetKey(["bronze", "web_events"]), dg.AssetKey(["silver", "events_clean"])]
    made = checks_of_operations(graph, keys)
    every = {key for key in graph.asset_check_keys if key.asset_key in keys}
    assert set(made) == {key for key in every if key.name != FRESH_CHECK}
    assert {key.name for key in made} >= {"contract", "dead_letters", "row_accounting"}


def test_the_check_has_the_partitions_of_its_table() -> None:
    (check,) = CHECKS[0].check_specs
    assert check == check_spec(orders.get_asset_spec(), FRESH_CHECK, freshness_assets._DESCRIPTION, blocking=False)

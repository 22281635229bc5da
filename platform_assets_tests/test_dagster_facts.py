"""What the platform relies on in Dagster: a test for each fact that an upgrade could change, and what then may go.

No `from __future__ import annotations` here: that it breaks a run's config is one of the facts.
"""

import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.errors import DagsterInvalidPythonicConfigDefinitionError
from dagster_shared.utils.warnings import PreviewWarning
from sqlalchemy.exc import IntegrityError

DAILY = dg.DailyPartitionsDefinition("2026-01-01", end_offset=2)
DAY, OTHER_DAY = "2026-03-10", "2026-03-11"
Condition = dg.AutomationCondition[Any]


@pytest.fixture
def instance(tmp_path: Path) -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral(str(tmp_path))


class Ticks:
    """Evaluations of a small graph's conditions."""

    def __init__(self, instance: dg.DagsterInstance, *assets: dg.AssetsDefinition | dg.AssetSpec) -> None:
        self.instance = instance
        self.defs = dg.Definitions(assets=assets)
        self.cursor: Any = None

    def __call__(self) -> dict[str, set[str | None]]:
        """One evaluation: the partitions that it asks for, by asset."""
        found = dg.evaluate_automation_conditions(self.defs, self.instance, cursor=self.cursor)
        self.cursor = found.cursor
        keys = self.defs.resolve_asset_graph().get_all_asset_keys()
        wanted = {key.to_user_string(): set(found.get_requested_partitions(key)) for key in keys}
        return {key: partitions for key, partitions in wanted.items() if partitions}

    def run(self, *assets: str, partition: str | None = None) -> dg.ExecuteInProcessResult:
        """A run of assets."""
        job = self.defs.resolve_implicit_global_asset_job_def()
        keys = [dg.AssetKey.from_user_string(asset) for asset in assets]
        return job.execute_in_process(
            instance=self.instance, asset_selection=keys, partition_key=partition, raise_on_error=False
        )


def _asset(
    name: str,
    condition: Condition | None = None,
    *deps: str,
    partitions_def: dg.PartitionsDefinition[str] | None = None,
) -> dg.AssetsDefinition:
    @dg.asset(name=name, deps=list(deps), automation_condition=condition, partitions_def=partitions_def)
    def nothing() -> None: ...

    return nothing


def _checked(name: str, condition: Condition | None = None, *deps: str, can_subset: bool) -> dg.AssetsDefinition:
    spec = dg.AssetSpec(name, deps=list(deps), automation_condition=condition)
    check = dg.AssetCheckSpec("contract", asset=name, blocking=True)

    @dg.multi_asset(name=f"make_{name}", specs=[spec], check_specs=[check], can_subset=can_subset)
    def make() -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        yield dg.MaterializeResult(asset_key=name)
        yield dg.AssetCheckResult(passed=True, asset_key=name, check_name="contract")

    return make


def test_partitions_of_a_check_are_a_preview() -> None:
    """When this fails, the exception in pyproject.toml's `filterwarnings` may go."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dg.AssetCheckSpec("contract", asset="table", partitions_def=DAILY)
    assert [warning.category for warning in caught] == [PreviewWarning]


def test_a_check_has_a_result_for_each_partition(instance: dg.DagsterInstance) -> None:
    """`assets.tables.check_spec` gives every check the partitions of its table for this."""

    @dg.multi_asset(
        specs=[dg.AssetSpec("table", partitions_def=DAILY)],
        check_specs=[dg.AssetCheckSpec("contract", asset="table", blocking=True, partitions_def=DAILY)],
    )
    def make() -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        yield dg.MaterializeResult(asset_key="table")
        yield dg.AssetCheckResult(passed=True, asset_key="table", check_name="contract")

    dg.materialize([make], instance=instance, partition_key=DAY)
    (found,) = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey("table"), "contract"), limit=10
    )
    assert found.partition == DAY


def test_a_result_without_a_run_is_recorded_once_for_each_partition(instance: dg.DagsterInstance) -> None:
    """Why `automation.freshness_checks` names a run that there is not; when this fails, it need not any more."""
    key = dg.AssetKey("table")
    dated = dg.AssetCheckEvaluation(asset_key=key, check_name="fresh", passed=True, partition=DAY)
    instance.report_runless_asset_event(dated)
    with pytest.raises(IntegrityError, match="asset_check_executions"):
        instance.report_runless_asset_event(dated)
    for _ in range(2):
        instance.report_runless_asset_event(dg.AssetCheckEvaluation(asset_key=key, check_name="fresh", passed=True))


def test_a_failed_check_is_kept_when_its_operation_fails_next(instance: dg.DagsterInstance) -> None:
    """`assets.silver` reports the broken contract and then fails, so that nothing counts as materialised."""

    @dg.multi_asset(
        specs=[dg.AssetSpec("table")], check_specs=[dg.AssetCheckSpec("contract", asset="table", blocking=True)]
    )
    def make() -> Iterator[dg.AssetCheckResult]:
        yield dg.AssetCheckResult(passed=False, asset_key="table", check_name="contract")
        raise dg.Failure("broken", allow_retries=False)

    result = dg.materialize([make], instance=instance, raise_on_error=False)

    assert not result.success
    (found,) = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey("table"), "contract"), limit=10
    )
    assert found.status.value == "FAILED"
    assert instance.get_latest_materialization_event(dg.AssetKey("table")) is None


def test_an_operation_that_fails_stops_what_is_downstream_in_its_run(instance: dg.DagsterInstance) -> None:
    """Silver, gold and mart of one date are one run: gold must not run on silver that was not published."""
    ran = []

    @dg.asset
    def silver() -> None:
        raise dg.Failure("broken", allow_retries=False)

    @dg.asset(deps=[silver])
    def gold() -> None:
        ran.append("gold")

    assert not dg.materialize([silver, gold], instance=instance, raise_on_error=False).success
    assert ran == []


def test_a_check_reported_before_its_materialisation_says_nothing_of_it(instance: dg.DagsterInstance) -> None:
    """Why every operation of `assets` reports the materialisation first: what reads a date would wait for ever."""
    passed = dg.AutomationCondition.all_deps_blocking_checks_passed()
    spec = dg.AssetSpec("up", partitions_def=DAILY)
    check = dg.AssetCheckSpec("contract", asset="up", blocking=True, partitions_def=DAILY)

    @dg.multi_asset(specs=[spec], check_specs=[check])
    def make() -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        yield dg.AssetCheckResult(passed=True, asset_key="up", check_name="contract")
        yield dg.MaterializeResult(asset_key="up")

    updated = dg.AutomationCondition.any_deps_updated()
    tick = Ticks(instance, make, _asset("down", updated & passed, "up", partitions_def=DAILY))
    tick()
    tick.run("up", partition=DAY)
    assert tick() == {}


def test_a_materialisation_without_a_run_fires_conditions(instance: dg.DagsterInstance) -> None:
    """`arrival/<table>` is recorded by `assets.bronze.announce`, not computed."""
    condition = dg.AutomationCondition.any_deps_updated()
    tick = Ticks(
        instance,
        dg.AssetSpec("arrival", partitions_def=DAILY),
        _asset("silver", condition, "arrival", partitions_def=DAILY),
    )
    tick()
    for day in (DAY, OTHER_DAY):
        instance.report_runless_asset_event(dg.AssetMaterialization("arrival", partition=day))
    assert tick() == {"silver": {DAY, OTHER_DAY}}


def test_eager_looks_at_the_latest_partition_only_and_not_at_checks(instance: dg.DagsterInstance) -> None:
    """Why `automation.conditions` has conditions of its own."""
    tick = Ticks(
        instance,
        dg.AssetSpec("arrival", partitions_def=DAILY),
        _asset("silver", dg.AutomationCondition.eager(), "arrival", partitions_def=DAILY),
    )
    tick()
    instance.report_runless_asset_event(dg.AssetMaterialization("arrival", partition=DAY))
    assert tick() == {}
    assert "blocking" not in str(dg.AutomationCondition.eager())


@pytest.mark.parametrize(("can_subset", "together"), [(False, True), (True, False)])
def test_dagsters_own_condition_does_not_see_checks_of_subsettable_operations_that_will_run(
    instance: dg.DagsterInstance, can_subset: bool, together: bool
) -> None:
    """Why `automation.conditions._deps_good` exists; when this fails, Dagster's own may take its place."""
    updated = dg.AutomationCondition.any_deps_updated()
    guarded = updated & dg.AutomationCondition.all_deps_blocking_checks_passed()
    tick = Ticks(
        instance,
        dg.AssetSpec("arrival"),
        _checked("silver", updated, "arrival", can_subset=can_subset),
        _asset("gold", guarded, "silver"),
    )
    tick()
    instance.report_runless_asset_event(dg.AssetMaterialization("arrival"))
    assert ("gold" in tick()) == together


@pytest.mark.parametrize("ticks_between", [0, 1], ids=["before the next tick", "later"])
def test_since_last_handled_forgets_what_came_while_a_run_was_in_progress(
    instance: dg.DagsterInstance, ticks_between: int
) -> None:
    """Why `automation.conditions._unanswered` exists; when this fails, `since_last_handled()` may take its place."""
    condition = dg.AutomationCondition.any_deps_updated().since_last_handled()
    at_rest = condition & ~dg.AutomationCondition.in_progress()
    tick = Ticks(instance, dg.AssetSpec("arrival"), _asset("silver", at_rest, "arrival"))
    tick()
    arrival = dg.AssetMaterialization("arrival")
    instance.report_runless_asset_event(arrival)
    assert tick() == {"silver": {None}}
    job = tick.defs.resolve_implicit_global_asset_job_def()
    silver = frozenset([dg.AssetKey("silver")])
    run = instance.create_run_for_job(job, asset_selection=silver, status=dg.DagsterRunStatus.STARTED)
    for _ in range(ticks_between):
        assert tick() == {}
    instance.report_runless_asset_event(arrival)  # the run has read its input by now
    assert tick() == {}
    tick.run("silver")
    instance.report_run_canceled(run)
    assert tick() == {}


def test_that_a_run_made_both_is_known_of_the_latest_partition_only(instance: dg.DagsterInstance) -> None:
    """Why gold may not use `_unanswered`: it would be made twice for every date but the last of a backfill."""
    update = dg.AutomationCondition.any_deps_updated()
    tick = Ticks(
        instance,
        _asset("silver", partitions_def=DAILY),
        _asset("gold", update, "silver", partitions_def=DAILY),
    )
    tick()
    for day in (DAY, OTHER_DAY):
        tick.run("silver", "gold", partition=day)
    assert tick() == {"gold": {DAY}}


def test_an_unchanged_data_version_is_no_change(instance: dg.DagsterInstance) -> None:
    """`publisher.Publication.data_version` keeps facts from being rebuilt by an unchanged dimension."""
    versions = ["1", "1", "2"]

    @dg.asset
    def dimension() -> dg.MaterializeResult[Any]:
        return dg.MaterializeResult(data_version=dg.DataVersion(versions.pop(0)))

    changed = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed())
    tick = Ticks(instance, dimension, _asset("facts", changed, "dimension"))
    tick()
    asked = []
    for _ in range(3):
        tick.run("dimension")
        asked.append(bool(tick()))
    assert asked == [True, False, True]


def test_a_check_result_without_a_run_can_be_reported_once_only(instance: dg.DagsterInstance) -> None:
    """Why checks are results of runs here, and `reopen` and `announce` report materialisations alone."""
    found = dg.AssetCheckEvaluation(dg.AssetKey("table"), "contract", passed=True, metadata={}, partition=DAY)
    instance.report_runless_asset_event(found)
    with pytest.raises(IntegrityError):
        instance.report_runless_asset_event(found)


def test_postponed_annotations_break_the_config_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why `assets.bronze` and `assets.silver` have no `from __future__ import annotations`."""
    source = textwrap.dedent("""
        import dagster as dg
        class Config(dg.Config):
            rebuild: bool = False
        def make():
            @dg.asset
            def table(config: Config) -> None: ...
            return table
    """)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "plain_annotations.py").write_text(source, encoding="utf-8")
    postponed = f"from __future__ import annotations\n{source}"
    (tmp_path / "postponed_annotations.py").write_text(postponed, encoding="utf-8")
    import importlib

    make: Callable[[], dg.AssetsDefinition] = importlib.import_module("plain_annotations").make
    assert make().node_def.has_config_field
    with pytest.raises(DagsterInvalidPythonicConfigDefinitionError):
        importlib.import_module("postponed_annotations").make()


def test_freshness_looks_at_materialisations_and_not_at_observations(instance: dg.DagsterInstance) -> None:
    """Why arrivals are recorded as materialisations."""
    instance.report_runless_asset_event(dg.AssetObservation("observed"))
    instance.report_runless_asset_event(dg.AssetMaterialization("materialised"))
    records = instance.get_asset_records([dg.AssetKey("observed"), dg.AssetKey("materialised")])
    made = {record.asset_entry.asset_key.path[0]: record.asset_entry.last_materialization for record in records}
    assert made["observed"] is None
    assert made["materialised"] is not None

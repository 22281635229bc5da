"""Named automation conditions, each with when it fires and which failure it avoids; and which asset has which."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import dagster as dg
from dagster._core.definitions.declarative_automation.automation_condition import BuiltinAutomationCondition
from dagster._core.definitions.declarative_automation.operators.dep_operators import DepsAutomationCondition

# What Dagster's own constructors return; it exports only their base, which can neither be labelled nor restricted.
# Any: its own signatures do not agree on the kind of key.
Condition = BuiltinAutomationCondition[Any]
DepsCondition = DepsAutomationCondition[Any]

_DERIVED_LAYERS = {"silver", "quarantine", "gold", "mart"}


def on_update(ignored: dg.AssetSelection | None = None) -> Condition:
    """Fires for exactly those partitions of which a dependency was updated, however old they are.

    Unlike `eager()` it is not limited to the latest partition, so that an event that comes days late reaches every
    mart, and it waits for blocking checks, so that data that broke its contract stops where it broke it.

    Args:
        ignored: dependencies that neither fire nor block: the tables that a foreign key of silver refers to. Their
            arrival reopens just the dates that waited for them (`assets.silver.reopen`), and when they stop coming,
            orders must not stop.
    """
    updated, good, busy = dg.AutomationCondition.any_deps_updated(), _deps_good(), _deps_busy()
    if ignored is not None:
        updated, good, busy = updated.ignore(ignored), good.ignore(ignored), busy.ignore(ignored)
    return _when_at_rest(updated.since_last_handled() & good & ~busy).with_label("on_update")


def on_update_of_dated(undated: dg.AssetSelection) -> Condition:
    """As `on_update` for a dated table that also reads undated ones, such as a dimension.

    A refreshed dimension fires only if its rows changed, and then for the dates that exist. Without that, the daily
    poll of 20 unchanged products would rebuild every order of every day there ever was.
    """
    dated: Condition = dg.AutomationCondition.any_deps_updated().ignore(undated)
    data_changed: DepsCondition = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed())
    changed: Condition = data_changed.allow(undated) & ~dg.AutomationCondition.missing()
    fires: Condition = dated | changed
    return _when_at_rest(fires.since_last_handled() & _deps_good() & ~_deps_busy()).with_label("on_update_of_dated")


def _deps_good() -> DepsCondition:
    """Every dependency keeps its blocking checks, or is rebuilt in the same run, which stops if it does not.

    Dagster's `all_deps_blocking_checks_passed` does not see that the checks of a subsettable operation, such as dbt's,
    run with their assets; a mart would then wait for another tick and another run.
    """
    kept = dg.AutomationCondition.all_checks_match(
        dg.AutomationCondition.check_passed() | dg.AutomationCondition.will_be_requested(), blocking_only=True
    )
    return dg.AutomationCondition.all_deps_match(dg.AutomationCondition.will_be_requested() | kept)


def _deps_busy() -> DepsCondition:
    """A dependency is being rebuilt right now: one run can follow both."""
    return dg.AutomationCondition.any_deps_match(dg.AutomationCondition.in_progress())


def _when_at_rest(condition: Condition) -> Condition:
    return condition & ~dg.AutomationCondition.in_progress()


def with_conditions(assets: Iterable[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """The same assets with the condition of their layer and dependencies."""
    found = list(assets)
    undated = {spec.key for definition in found for spec in definition.specs if spec.partitions_def is None}

    def conditioned(spec: dg.AssetSpec) -> dg.AssetSpec:
        layer = spec.tags.get("layer")
        if layer not in _DERIVED_LAYERS:
            return spec
        read = [dep.asset_key for dep in spec.deps if dep.asset_key in undated]
        condition = on_update()
        if spec.partitions_def is not None and read:
            selection = dg.AssetSelection.assets(*read)
            foreign = layer in {"silver", "quarantine"}
            condition = on_update(ignored=selection) if foreign else on_update_of_dated(selection)
        return spec.replace_attributes(automation_condition=condition)

    return [definition.map_asset_specs(conditioned) for definition in found]


def automation_sensors() -> list[dg.AutomationConditionSensorDefinition]:
    """One sensor for all derived tables: silver, gold and mart of one date are one run."""
    derived = dg.AssetSelection.tag("layer", "silver")
    for layer in sorted(_DERIVED_LAYERS - {"silver"}):
        derived = derived | dg.AssetSelection.tag("layer", layer)
    return [
        dg.AutomationConditionSensorDefinition(
            "keep_up_to_date",
            target=derived,
            description="Rebuilds every partition of silver, gold and mart whose upstream was updated.",
            default_status=dg.DefaultSensorStatus.RUNNING,
            minimum_interval_seconds=5,
            emit_backfills=False,
        )
    ]

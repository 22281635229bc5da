"""Named automation conditions, each with when it fires and which failure it avoids; and which asset has which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import dagster as dg
from dagster._core.definitions.declarative_automation.automation_condition import BuiltinAutomationCondition
from dagster._core.definitions.declarative_automation.operators.dep_operators import DepsAutomationCondition

# What Dagster's own constructors return; it exports only their base, which can neither be labelled nor restricted.
# Any: its own signatures do not agree on the kind of key.
Condition = BuiltinAutomationCondition[Any]
DepsCondition = DepsAutomationCondition[Any]

# A backfill has priority 0: a year of it in the queue does not hold back what has just arrived.
LIVE_TAGS = {"dagster/priority": "10"}
_DERIVED_LAYERS = {"silver", "quarantine", "gold", "mart"}


def on_arrival(ignored: dg.AssetSelection | None = None, readers: Iterable[dg.AssetKey] = ()) -> Condition:
    """For silver: fires for exactly those partitions at which something arrived, once more if it did meanwhile.

    Args:
        ignored: dependencies that neither fire nor block: the tables that a foreign key of silver refers to. Their
            arrival reopens just the dates that waited for them (`assets.silver.reopen`), and when they stop coming,
            orders must not stop.
        readers: what is made of the table. While a run makes it, the table waits, and both are rebuilt together: a
            reader that ended after its table had changed below it would count as up to date.
    """
    updated, good, busy = dg.AutomationCondition.any_deps_updated(), _deps_good(), _deps_busy()
    if ignored is not None:
        updated, good, busy = updated.ignore(ignored), good.ignore(ignored), busy.ignore(ignored)
    condition: Condition = _unanswered(updated) & good & ~busy
    for reader in readers:
        condition = condition & ~dg.AutomationCondition.asset_matches(reader, dg.AutomationCondition.in_progress())
    return _when_at_rest(condition).with_label("on_arrival")


def on_update(elsewhere: dg.AssetSelection | None = None) -> Condition:
    """For gold and mart: fires for exactly those partitions of which a dependency was updated, however old they are.

    Unlike `eager()` it is not limited to the latest partition, so that an event that comes days late reaches every
    mart, and it waits for blocking checks, so that data that broke its contract stops where it broke it.

    Args:
        elsewhere: dependencies that another sensor keeps up to date. That sensor may ask for them at the very moment at
            which this one asks for the table, so that the end of the table's run is no answer to their update.
    """
    return _when_at_rest(_fires(None, elsewhere) & _deps_good() & ~_deps_busy()).with_label("on_update")


def on_update_of_dated(undated: dg.AssetSelection, elsewhere: dg.AssetSelection | None = None) -> Condition:
    """As `on_update` for a dated table that also reads undated ones, such as a dimension.

    A refreshed dimension fires only if its rows changed, and then for the dates that exist. Without that, the daily
    poll of 20 unchanged products would rebuild every order of every day there ever was.
    """
    data_changed: DepsCondition = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed())
    changed: Condition = data_changed.allow(undated) & ~dg.AutomationCondition.missing()
    fires: Condition = _fires(undated, elsewhere) | _unanswered(changed)
    return _when_at_rest(fires & _deps_good() & ~_deps_busy()).with_label("on_update_of_dated")


def _fires(ignored: dg.AssetSelection | None, elsewhere: dg.AssetSelection | None) -> Condition:
    if elsewhere is None:
        return _updated_since_made(ignored)
    others: Condition = dg.AutomationCondition.any_deps_updated().allow(elsewhere)
    made_here: Condition = _updated_since_made(elsewhere if ignored is None else ignored | elsewhere)
    return made_here | _unanswered(others)


def _updated_since_made(ignored: dg.AssetSelection | None = None) -> Condition:
    """A dependency was updated since the table was made, or will be by the run that this evaluation asks for.

    The end of a run may be taken for an answer here, because no dependency changes while this table is made: silver
    waits for its readers (`on_arrival`), and what else it is made of is rebuilt in the same run.
    """
    updated, comes = dg.AutomationCondition.any_deps_updated(), dg.AutomationCondition.will_be_requested()
    coming: DepsCondition = dg.AutomationCondition.any_deps_match(comes)
    if ignored is not None:
        updated, coming = updated.ignore(ignored), coming.ignore(ignored)
    since: Condition = updated.since_last_handled()
    return since | coming


def _unanswered(update: Condition) -> Condition:
    """From an update on until a run has been asked for because of it.

    `since_last_handled()` would lose updates by runs that do not make this table as well, in two ways. It takes the end
    of a run for an answer, although that run may have read its input before the update. And it takes an update between
    a request and the next tick for answered by that request, although its run may have begun by then.
    """
    asked = dg.AutomationCondition.newly_requested() & ~update
    answered: Condition = asked | dg.AutomationCondition.initial_evaluation()
    return update.since(answered)


def _deps_good() -> DepsCondition:
    """Every dependency keeps its blocking checks, or is rebuilt in the same run, which stops if it does not.

    Dagster's `all_deps_blocking_checks_passed` does not see that the checks of a subsettable operation
    run with their assets: what reads them would wait for another tick and another run.
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
    """The same assets with the condition of their layer and dependencies.

    A quarantine has none of its own: the operation that makes it makes its silver table as well, and is asked for with
    that. To evaluate the same twice would double what a tick costs.
    """
    found = list(assets)
    sensors = sensor_names(found)
    specs = [spec for definition in found for spec in definition.specs]
    undated = {spec.key for spec in specs if spec.partitions_def is None}
    made_of: defaultdict[dg.AssetKey, list[dg.AssetSpec]] = defaultdict(list)
    for spec in specs:
        for dep in spec.deps:
            made_of[dep.asset_key].append(spec)

    def conditioned(spec: dg.AssetSpec) -> dg.AssetSpec:
        read = [dep.asset_key for dep in spec.deps if dep.asset_key in undated] if spec.partitions_def else []
        elsewhere = [
            dep.asset_key
            for dep in spec.deps
            if dep.asset_key not in read and sensors.get(dep.asset_key, sensors[spec.key]) != sensors[spec.key]
        ]
        condition = _condition(spec.tags["layer"], tuple(read), tuple(_readers(spec, made_of)), tuple(elsewhere))
        return spec.replace_attributes(automation_condition=condition)

    return [definition.map_asset_specs(conditioned) if _is_derived(definition) else definition for definition in found]


def _is_derived(definition: dg.AssetsDefinition) -> bool:
    return any(spec.tags.get("layer") in _DERIVED_LAYERS for spec in definition.specs)


@cache  # most tables have the same one
def _condition(
    layer: str,
    undated: tuple[dg.AssetKey, ...],
    readers: tuple[dg.AssetKey, ...],
    elsewhere: tuple[dg.AssetKey, ...],
) -> Condition | None:
    """The condition of a table of the layer.

    Args:
        layer: of the table.
        undated: tables without dates that it reads, if it has dates.
        readers: what reads it.
        elsewhere: further tables that it reads, which another sensor keeps up to date.
    """
    selection = dg.AssetSelection.assets(*undated) if undated else None
    others = dg.AssetSelection.assets(*elsewhere) if elsewhere else None
    if layer == "quarantine":
        return None
    if layer == "silver":
        return on_arrival(selection, readers)
    return on_update(others) if selection is None else on_update_of_dated(selection, others)


def _readers(spec: dg.AssetSpec, made_of: Mapping[dg.AssetKey, Sequence[dg.AssetSpec]]) -> list[dg.AssetKey]:
    """What is made, by day or as a whole like the table itself, of the silver table or of that beside a quarantine."""
    reached: dict[dg.AssetKey, dg.AssetSpec] = {}
    follow = [dg.AssetKey(["silver", *spec.key.path[1:]])]
    while follow:
        made = [reader for reader in made_of.get(follow.pop(), ()) if reader.key not in reached]
        reached.update((reader.key, reader) for reader in made)
        follow += [reader.key for reader in made]
    alike = [reader for reader in reached.values() if reader.partitions_def == spec.partitions_def]
    return sorted(reader.key for reader in alike if reader.tags.get("layer") in {"gold", "mart"})


def derived_tables() -> dg.AssetSelection:
    """What is made of bronze, directly or not."""
    derived = dg.AssetSelection.tag("layer", "silver")
    for layer in sorted(_DERIVED_LAYERS - {"silver"}):
        derived = derived | dg.AssetSelection.tag("layer", layer)
    return derived


def sensor_names(assets: Iterable[dg.AssetsDefinition]) -> dict[dg.AssetKey, str]:
    """By derived table, the sensor that keeps it up to date: that of its domain.

    Domains of which one operation makes tables together have one sensor, named after the first of them.
    """
    derived = [definition for definition in assets if _is_derived(definition)]
    first: dict[str, str] = {}

    def leader(domain: str) -> str:
        while first.setdefault(domain, domain) != domain:
            domain = first[domain]
        return domain

    for definition in derived:
        leaders = sorted({leader(str(spec.group_name)) for spec in definition.specs})
        first.update(dict.fromkeys(leaders, leaders[0]))
    return {
        spec.key: f"keep_up_to_date_{leader(str(spec.group_name))}"
        for definition in derived
        for spec in definition.specs
    }


def automation_sensors(assets: Iterable[dg.AssetsDefinition]) -> list[dg.AutomationConditionSensorDefinition]:
    """One sensor for the derived tables of a domain: silver, gold and mart of one date are one run.

    What is read from another domain is rebuilt by a run of its own, and fires when that has ended.
    """
    found = list(assets)
    names = sensor_names(found)
    tables: defaultdict[str, list[dg.AssetSpec]] = defaultdict(list)
    for spec in (spec for definition in found for spec in definition.specs if spec.key in names):
        tables[names[spec.key]].append(spec)
    return [
        dg.AutomationConditionSensorDefinition(
            name,
            # By their keys: Dagster looks up a selection by tags among all tables, for each sensor again.
            target=dg.AssetSelection.assets(*(spec.key for spec in together)),
            description=f"Rebuilds what is made of the sources of {_domains(together)}, date by date.",
            default_status=dg.DefaultSensorStatus.RUNNING,
            run_tags=LIVE_TAGS,
            minimum_interval_seconds=4,  # the daemon looks every 5 s, and would miss every other tick of 5
            emit_backfills=False,
        )
        for name, together in sorted(tables.items())
    ]


def _domains(tables: Iterable[dg.AssetSpec]) -> str:
    return ", ".join(sorted({str(spec.group_name) for spec in tables}))

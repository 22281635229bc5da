"""Evaluates automation conditions tick by tick, on graphs whose operations do nothing but be recorded.

No `from __future__ import annotations` here: Dagster does not resolve the annotation of a run's context then.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster._core.definitions.automation_tick_evaluation_context import build_run_requests
from dagster._core.events import DagsterEventType

VERSION, BROKEN = "test/version", "test/broken"  # tags of a run: its data version, and that contracts are broken
Requested = dict[str | None, set[str]]


@dataclass
class Evaluations:
    """A graph whose conditions are evaluated by hand.

    Attributes:
        selection: what the sensor looks after, if that is not all.
    """

    defs: dg.Definitions
    instance: dg.DagsterInstance
    selection: dg.AssetSelection | None = None
    cursor: object = None
    requests: list[dg.RunRequest] = field(default_factory=list)

    def tick(self) -> Requested:
        """One evaluation: partition by partition, the assets that it asks for."""
        selection = self.selection or dg.AssetSelection.all()
        found = dg.evaluate_automation_conditions(self.defs, self.instance, selection, cursor=self.cursor)  # type: ignore[arg-type]
        self.cursor = found.cursor
        graph = self.defs.resolve_asset_graph()
        self.requests = list(build_run_requests(list(found._requested_subsets), graph, {}, emit_backfills=False))
        requested: Requested = {}
        for key in graph.get_all_asset_keys():
            for partition in found.get_requested_partitions(key):
                requested.setdefault(partition, set()).add(key.to_user_string())
        return requested

    def update(self, asset: str, partition: str | None = None, version: str = "1") -> None:
        """An asset is materialised and keeps its contract, in a run of its own if it is not external."""
        key = dg.AssetKey.from_user_string(asset)
        if key in self.defs.resolve_asset_graph().executable_asset_keys:
            self._run([asset], partition, {VERSION: version})
        else:
            self.instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition))

    def break_contract(self, asset: str, partition: str | None = None) -> None:
        """A run of the asset ends with a failed check, and without a materialisation."""
        self._run([asset], partition, {BROKEN: "yes"})

    def start(self, assets: Iterable[str], partition: str | None) -> dg.DagsterRun:
        """A run of the assets that goes on until it is finished."""
        keys = self._with_neighbours(assets)
        return self.instance.create_run_for_job(
            self.defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection=set(keys)),
            asset_selection=keys,
            tags={"dagster/partition": partition} if partition else {},
            status=dg.DagsterRunStatus.STARTED,
        )

    def finish(self, run: dg.DagsterRun) -> None:
        """The run ends well: all its assets are materialised and keep their contracts."""
        assets = [key.to_user_string() for key in run.asset_selection or ()]
        self._run(assets, run.tags.get("dagster/partition"), {})
        ended = dg.DagsterEvent(event_type_value=DagsterEventType.RUN_SUCCESS.value, job_name=run.job_name)
        self.instance.report_dagster_event(ended, run.run_id)

    def _run(self, assets: Iterable[str], partition: str | None, tags: Mapping[str, str]) -> None:
        self.defs.resolve_implicit_global_asset_job_def().execute_in_process(
            asset_selection=sorted(self._with_neighbours(assets)),
            partition_key=partition,
            instance=self.instance,
            tags=tags,
            raise_on_error=False,
        )

    def _with_neighbours(self, assets: Iterable[str]) -> frozenset[dg.AssetKey]:
        """The assets, and those that are made by the same operation or not at all."""
        asked = dg.AssetSelection.assets(*map(dg.AssetKey.from_user_string, assets))
        return frozenset(asked.required_multi_asset_neighbors().resolve(self.defs.resolve_asset_graph()))


def operation(
    name: str, specs: Sequence[dg.AssetSpec], checks: Sequence[dg.AssetCheckSpec], *, can_subset: bool
) -> dg.AssetsDefinition:
    """Assets that are recorded as made, and do nothing; the run's tags say what becomes of their contracts."""

    @dg.multi_asset(name=name, specs=specs, check_specs=checks, can_subset=can_subset)
    def make(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        if BROKEN in context.run.tags:
            for check in sorted(context.selected_asset_check_keys):
                yield dg.AssetCheckResult(passed=False, asset_key=check.asset_key, check_name=check.name)
            raise dg.Failure("the contract is broken", allow_retries=False)
        for key in sorted(context.selected_asset_keys):
            yield dg.MaterializeResult(asset_key=key, data_version=dg.DataVersion(context.run.tags.get(VERSION, "1")))
        for check in sorted(context.selected_asset_check_keys):
            yield dg.AssetCheckResult(passed=True, asset_key=check.asset_key, check_name=check.name)

    return make


def emptied(definitions: dg.Definitions) -> dg.Definitions:
    """The same graph, of operations that do nothing."""
    assets = [
        operation(asset.op.name, list(asset.specs), list(asset.check_specs), can_subset=asset.can_subset)
        if isinstance(asset, dg.AssetsDefinition)
        else asset
        for asset in definitions.assets or ()
    ]
    return dg.Definitions(assets=assets, executor=dg.in_process_executor)

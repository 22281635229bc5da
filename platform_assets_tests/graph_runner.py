"""Runs the graph as the daemon would, in this process: sensors tick, requested runs run, automation follows.

Everything else is real: the emulators, landing, Iceberg, dbt, Dagster's own evaluation of conditions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import dagster as dg
from dagster._core.definitions.automation_tick_evaluation_context import build_run_requests

from platform_assets.automation.arrival_sensors import arrival_sensor
from platform_assets.definitions import build_definitions
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.query import query
from platform_assets.settings import Settings
from platform_assets.sources.model import Source
from platform_assets.sources.registry import load_sources

_ROUNDS = 20
_AUTOMATED = {"dagster/from_automation_condition": "true"}
AUTOMATION = {"dagster/from_automation_condition": "true"}  # as the daemon tags what conditions ask for


@dataclass(frozen=True)
class Ran:
    """One run: what it selected, for which partition, and why it failed, if it did."""

    assets: frozenset[str]
    partition: str | None
    failure: str | None

    @property
    def success(self) -> bool:
        """Whether every step succeeded."""
        return self.failure is None


@dataclass
class GraphRunner:
    """A platform whose daemon is the test."""

    settings: Settings
    instance: dg.DagsterInstance
    defs: dg.Definitions = field(default_factory=build_definitions)
    cursors: dict[str, Any] = field(
        default_factory=dict
    )  # of the automation sensors; Dagster does not export their type
    sensor_cursors: dict[str, str | None] = field(default_factory=dict)
    runs: list[Ran] = field(default_factory=list)

    def source(self, name: str) -> Source:
        """A source by name."""
        return next(source for source in load_sources() if source.name == name)

    def tick(self, source_name: str) -> dg.SensorResult:
        """One tick of a source's arrival sensor; its runs run at once."""
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.sensor_cursors.get(source_name), definitions=self.defs
        )
        result = arrival_sensor(self.source(source_name))(context)
        assert isinstance(result, dg.SensorResult)
        self.sensor_cursors[source_name] = result.cursor
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        for request in result.run_requests or ():
            self.run(
                [f"bronze/{source_name}"], request.partition_key, run_config=dict(request.run_config), tags=request.tags
            )
        return result

    def run(
        self,
        assets: Iterable[str],
        partition: str | None = None,
        *,
        run_config: dict[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Materialises assets in one run, as from Dagit."""
        keys = [dg.AssetKey.from_user_string(asset) for asset in assets]
        result = self.defs.resolve_implicit_global_asset_job_def().execute_in_process(
            run_config=run_config,
            instance=self.instance,
            partition_key=partition,
            raise_on_error=False,
            asset_selection=keys,
            tags=tags,
        )
        failures = [str(event.step_failure_data.error) for event in result.all_events if event.is_step_failure]
        self.runs.append(Ran(frozenset(assets), partition, None if result.success else "\n".join(failures)))
        return result

    def automate(self) -> int:
        """One evaluation of each automation sensor; the number of runs that they asked for, and that then ran."""
        graph = self.defs.resolve_asset_graph()
        requests: list[dg.RunRequest] = []
        for sensor in self.conditions:
            evaluated = dg.evaluate_automation_conditions(
                self.defs,
                self.instance,
                asset_selection=sensor.asset_selection,
                cursor=self.cursors.get(sensor.name),
            )
            self.cursors[sensor.name] = evaluated.cursor
            wanted = build_run_requests(list(evaluated._requested_subsets), graph, {}, emit_backfills=False)
            requests += sorted(wanted, key=lambda request: request.partition_key or "")
        for request in requests:
            assets = [key.to_user_string() for key in request.asset_selection or ()]
            self.run(assets, request.partition_key, tags={**request.tags, **_AUTOMATED})
        return len(requests)

    @cached_property
    def conditions(self) -> list[dg.AutomationConditionSensorDefinition]:
        """The automation sensors."""
        sensors = self.defs.get_repository_def().sensor_defs
        return [sensor for sensor in sensors if isinstance(sensor, dg.AutomationConditionSensorDefinition)]

    def settle(self, *source_names: str) -> list[Ran]:
        """Ticks and automates until nothing more is asked for; what ran."""
        before = len(self.runs)
        if not self.cursors:
            self.automate()  # the daemon's conditions have been evaluated before anything arrives
        for _ in range(_ROUNDS):
            for name in source_names:
                self.tick(name)
            if not self.automate():
                return self.runs[before:]
        raise AssertionError(f"the graph did not come to rest in {_ROUNDS} rounds: {self.runs[before:]}")

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        """Rows of a query over the lakehouse."""
        return query(Lakehouse(self.settings), sql)[1]

"""Runs the graph as the daemon would, in this process: sensors tick, requested runs run, automation follows.

Everything else is real: the emulators, landing, Iceberg, dbt, Dagster's own evaluation of conditions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import dagster as dg

from platform_assets.automation.arrival_sensors import arrival_sensor
from platform_assets.definitions import build_definitions
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.query import query
from platform_assets.settings import Settings
from platform_assets.sources.model import Source
from platform_assets.sources.registry import load_sources

_ROUNDS = 20
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
    cursor: object = None
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
        """One evaluation of all automation conditions; the number of runs that it asked for, and that then ran."""
        evaluated = dg.evaluate_automation_conditions(self.defs, self.instance, cursor=self.cursor)  # type: ignore[arg-type]
        self.cursor = evaluated.cursor
        wanted: dict[str | None, set[str]] = defaultdict(set)
        for key in self.defs.resolve_asset_graph().get_all_asset_keys():
            for partition in evaluated.get_requested_partitions(key):
                wanted[partition].add(key.to_user_string())
        for partition, assets in sorted(wanted.items(), key=lambda item: item[0] or ""):
            self.run(assets, partition, tags=AUTOMATION)
        return len(wanted)

    def settle(self, *source_names: str) -> list[Ran]:
        """Ticks and automates until nothing more is asked for; what ran."""
        before = len(self.runs)
        if self.cursor is None:
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

"""The loop of Dagster's daemon, a round at a time: every sensor looks, what it asks for runs, some of it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random

import dagster as dg

from platform_assets.settings import CHECKOUT
from platform_assets.sources.registry import load_sources
from platform_assets_tests.graph_runner import GraphRunner, Ran
from platform_assets_tests.simulated_day import killed_run

_BRONZE_MOMENTS = (
    "during the Parquet write",
    "before the Iceberg commit",
    "after the commit, before it is announced",
    "after the announcement, before the ledger knows",
)
_SILVER_MOMENTS = ("during the Parquet write", "between silver and quarantine")


@dataclass
class Daemon(GraphRunner):
    """A platform whose daemon is this.

    Attributes:
        kill_next: whether the next run ends with SIGKILL in the middle of its work.
        killed: the moments at which runs were.
    """

    random: Random = field(default_factory=lambda: Random(3))  # noqa: S311 - a day that can be repeated
    kill_next: bool = False
    killed: list[str] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.names = [source.name for source in load_sources()]
        self.repository = self.defs.get_repository_def()
        self.automate()  # the conditions have been evaluated before anything arrives

    def round(self) -> int:
        """Every sensor that may ask for something looks once; the number of runs that were asked for."""
        before = len(self.runs)
        for name in self.names:
            self.tick(name)
        self.automate()
        self.look("mend_failed")
        return len(self.runs) - before

    def automated_by(self, source: str) -> str:
        """The automation sensor that keeps the silver tables of a source up to date."""
        table = dg.AssetKey(["silver", self.source(source).file.silver[0].table])
        graph = self.defs.resolve_asset_graph()
        return next(sensor.name for sensor in self.conditions if table in sensor.asset_selection.resolve(graph))

    def look(self, name: str) -> str:
        """One tick of a sensor that is neither an arrival's nor an automation's; what it said."""
        sensor = self.repository.get_sensor_def(name)
        cursor = self.sensor_cursors.get(name)
        with dg.build_sensor_context(instance=self.instance, cursor=cursor, definitions=self.defs) as context:
            result = sensor.evaluate_tick(context)
        self.sensor_cursors[name] = result.cursor
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        for request in result.run_requests or ():
            if request.run_key is None or request.run_key not in self.keys:
                self.keys.add(request.run_key or "")
                assets = [key.to_user_string() for key in request.asset_selection or ()]
                self.run(assets, request.partition_key, tags=request.tags)
        return result.skip_message or ""

    def run(  # type: ignore[override]  # a killed run has no result
        self,
        assets: Iterable[str],
        partition: str | None = None,
        *,
        run_config: dict[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> dg.ExecuteInProcessResult | None:
        """As from Dagit; or in a process that is killed at its work, if that is due."""
        chosen = sorted(assets)
        layers = {asset.split("/")[0] for asset in chosen}
        moments = (
            _BRONZE_MOMENTS if layers == {"bronze"} else _SILVER_MOMENTS if {"silver", "quarantine"} <= layers else ()
        )
        if not self.kill_next or not moments:
            return super().run(chosen, partition, run_config=run_config, tags=tags)
        self.kill_next = False
        self._kill(self.random.choice(moments), chosen, partition, run_config, tags)
        return None

    def _kill(
        self,
        moment: str,
        assets: list[str],
        partition: str | None,
        run_config: dict[str, object] | None,
        tags: Mapping[str, str] | None,
    ) -> None:
        """Runs in a process of its own until the moment comes; then what run monitoring does about a dead run."""
        request = json.dumps(
            {"assets": assets, "partition": partition, "run_config": run_config, "tags": dict(tags or {})}
        )
        script = [sys.executable, "-m", killed_run.__name__, moment, request]
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
        if done.returncode == -signal.SIGKILL:
            self.killed.append(f"{moment}: {', '.join(assets)} {partition or ''}".strip())
            failure = f"killed {moment}"
        elif done.returncode == 0:  # nothing was to do when the moment would have come
            failure = None
        else:
            raise RuntimeError(f"a run that was to be killed ended with {done.returncode}: {done.stderr[-2000:]}")
        for dead in self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            self.instance.report_run_failed(dead)
        self.runs.append(Ran(frozenset(assets), partition, failure))

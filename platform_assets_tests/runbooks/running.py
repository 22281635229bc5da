"""A platform in this process that goes on by itself: what a runbook's commands meet, without a server of Dagster.

Sensors tick, runs run, failures are mended or parked, backfills are worked off, alerts reach a real receiver.
"""

from __future__ import annotations

import html
import importlib
import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Self

import dagster as dg
import pytest
from click.testing import CliRunner as DagsterRunner
from dagster._cli import cli as dagster_commands
from dagster._core.execution.backfill import BulkActionStatus
from typer.testing import CliRunner

from platform_assets import definitions
from platform_assets import settings as platform_settings
from platform_assets.automation.alerts.evaluation import evaluate
from platform_assets.cli import app
from platform_assets.definitions import build_definitions
from platform_assets.settings import load_settings
from platform_assets.sources.registry import read_sources
from platform_assets_tests.automation.alerts.conftest import Receiver, beat
from platform_assets_tests.graph_runner import GraphRunner

_LOOKS = (
    "list",
    "show",
    "letters",
    "parked",
    "query",
    "freshness",
    "tables",
    "doctor",
    "diff",
    "check",
    "cat",
    "export",
)
_ROUNDS = 10


def paragraphs(receiver: Receiver) -> list[str]:
    """The paragraphs of every alert that a Slack channel took, one for each incident."""
    texts = [html.unescape(str(call.said["text"])) for call in receiver.calls]
    return [paragraph for text in texts for paragraph in text.split("\n\n")[1:]]


@dataclass
class Running:
    """The platform of a test.

    Attributes:
        graph: whose daemon is the test.
        receiver: what a Slack channel is.
        sources: those that something arrives from.
        busy: whether nothing goes on, because there is too much to do before.
        pace: time between two evaluations of the alerts; they look at the tables every two minutes.
    """

    graph: GraphRunner
    receiver: Receiver
    monkeypatch: pytest.MonkeyPatch
    sources: Sequence[str]
    busy: bool = False
    pace: timedelta = timedelta(seconds=30)
    _mended: str | None = None
    _keys: set[str] = field(default_factory=set)
    _evaluations: int = 0
    _ahead: timedelta = timedelta()
    _reported: datetime | None = None

    def command(self, line: str) -> str:
        """Runs a command as a person types it, and lets the platform go on if it may have changed something."""
        line = os.path.expandvars(line)
        words = shlex.split(line)
        read_sources.cache_clear()  # each command is a process of its own
        if words[0] == "dagster":
            printed = DagsterRunner().invoke(dagster_commands, words[1:]).output
        elif words[0] == "platform-assets":
            done = CliRunner().invoke(app, words[1:])
            assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
            printed = done.output
        elif words[0] == "export":
            name, _, value = words[1].partition("=")
            self.monkeypatch.setenv(name, value)
            printed = ""
        else:
            ran = subprocess.run(
                ["/bin/bash", "-c", line], cwd=platform_settings.CHECKOUT, capture_output=True, text=True, check=False
            )
            printed = ran.stdout + ran.stderr
        if not {*words[1:3]} & {*_LOOKS}:
            self.goes_on()
        return printed

    def goes_on(self) -> None:
        """Everything that a minute would bring."""
        for _ in range(_ROUNDS if not self.busy else 0):
            self._backfills()
            self.graph.settle(*self.sources)
            if not self._mend():
                break
        for _ in range(2):  # what is over is over when two evaluations in a row find nothing
            self.looks()

    def looks(self) -> None:
        """One evaluation of the alerts."""
        now = datetime.now(UTC) + self._ahead + self.pace * self._evaluations
        if self._reported is None or now - self._reported > timedelta(minutes=2):  # the daemons do
            beat(self.graph.instance, now)
            self._reported = now
        self._evaluations += 1
        evaluate(load_settings(), self.graph.instance, now)

    def later(self, ahead: timedelta) -> None:
        """The time of alerts and of `platform-assets freshness`, as if so much had gone by."""

        class Clock(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Self:
                return super().now(tz) + ahead

        self._ahead = ahead
        self.monkeypatch.setattr(importlib.import_module("platform_assets.cli.freshness"), "datetime", Clock)

    def reload(self) -> None:
        """The code location is loaded again, as after a deployment."""
        read_sources.cache_clear()
        self.graph.defs = build_definitions()
        self.monkeypatch.setattr(definitions, "defs", self.graph.defs)

    def sensors(self) -> dict[str, str]:
        """Every sensor, as Dagit would tell."""
        return {sensor.name: "RUNNING" for sensor in self.graph.defs.sensors or ()}

    def told(self) -> list[str]:
        """The paragraphs of every alert that the channel took."""
        return paragraphs(self.receiver)

    def _mend(self) -> bool:
        """What the sensor asks for; whether it asked for something."""
        context = dg.build_sensor_context(
            instance=self.graph.instance, cursor=self._mended, definitions=self.graph.defs
        )
        sensor = self.graph.defs.get_repository_def().get_sensor_def("mend_failed")
        result = sensor.evaluate_tick(context)
        self._mended = result.cursor
        for event in result.asset_events:
            self.graph.instance.report_runless_asset_event(event)
        for request in result.run_requests or ():
            if str(request.run_key) not in self._keys:
                self._keys.add(str(request.run_key))
                assets = [key.to_user_string() for key in request.asset_selection or ()]
                self.graph.run(assets, request.partition_key, tags=dict(request.tags))
        return bool(result.run_requests)

    def _backfills(self) -> None:
        """What the daemon makes of a backfill: a run for each partition, in the order of the graph."""
        for backfill in self.graph.instance.get_backfills():
            if backfill.status is not BulkActionStatus.REQUESTED:
                continue
            assert backfill.asset_backfill_data is not None
            targets = backfill.asset_backfill_data.target_subset
            assets = [key.to_user_string() for key in targets.asset_keys]
            partitions = sorted({str(one.partition_key) for one in targets.iterate_asset_partitions()})
            for partition in partitions:
                self.graph.run(assets, None if partition == "None" else partition, tags=backfill.tags)
            done = backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS)  # type: ignore[no-untyped-call]
            self.graph.instance.update_backfill(done)

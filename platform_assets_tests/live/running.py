"""The platform as a person has it: `platform-assets up` in a process of its own, and what can be asked of it.

Tests wait for what they expect with `until`; nothing here sleeps for a fixed time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import psutil
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.storage.dagster_run import RunRecord

from platform_assets.ingestion.ledger import Ledger
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.query import query
from platform_assets.local.home import running_state
from platform_assets.settings import CHECKOUT, load_settings
from platform_assets.sources.registry import load_sources

PROGRAM = Path(sys.executable).with_name("platform-assets")
START_SECONDS = 480
STOP_SECONDS = 60
UP_TO_DATE = re.compile(r"Gold is up to date\. Dagit: (?P<url>http://[\w.:]+)")
_POLL_SECONDS = 0.25
_OURS = ("PLATFORM_", "FAKESTORE_", "DAGSTER_", "STORAGE_EMULATOR", "PUBSUB_EMULATOR", "GOOGLE_CLOUD_PROJECT")
_UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]
_FINISHED = [TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE]

Found = TypeVar("Found")


@dataclass(frozen=True)
class Stopped:
    """How a platform ended: its exit code, and which of its processes were still there afterwards."""

    code: int
    survivors: list[str]


@dataclass
class Platform:
    """One `platform-assets up` on a home, without a terminal, and its output line by line."""

    home: Path
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    _said: threading.Condition = field(default_factory=threading.Condition)
    _reader: threading.Thread | None = None
    _known: dict[int, psutil.Process] = field(default_factory=dict)

    @classmethod
    def start(cls, home: Path, shop: Path, *arguments: str) -> Platform:
        """Runs `platform-assets up` on `home`, with the shop's files in `shop`."""
        process = subprocess.Popen(
            [*_ended_with_us(), str(PROGRAM), "up", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            start_new_session=True,
            env=environment(home, FAKESTORE_DATA_DIR=str(shop), PLATFORM_SOURCES=str(_own_sources(home))),
        )
        platform = cls(home, process)
        platform._reader = threading.Thread(target=platform._read, name="output of up", daemon=True)
        platform._reader.start()
        return platform

    @property
    def output(self) -> str:
        """What it has said so far."""
        with self._said:
            return "\n".join(self.lines)

    def says(self, pattern: re.Pattern[str], seconds: float = START_SECONDS) -> re.Match[str]:
        """Waits until a line matches."""

        def found() -> re.Match[str] | None:
            return next((match for line in self.lines if (match := pattern.search(line))), None)

        with self._said:
            self._said.wait_for(lambda: found() or self._ended(), seconds)
            match = found()
        if match is None:
            waited = f"no line {pattern.pattern!r} within {seconds:.0f} s or until the end:"
            raise AssertionError(f"{waited}\n{self.output}\n{self._latest_runs()}")
        return match

    @property
    def dagit_url(self) -> str:
        """Dagit's address as `up` says it."""
        return self.says(UP_TO_DATE)["url"]

    @property
    def state(self) -> dict[str, Any]:
        """What it tells other processes about itself (`run.json`)."""
        state = running_state(self.home)
        assert state is not None, f"nothing runs on {self.home}"
        return state

    def processes(self) -> list[psutil.Process]:
        """Every process of it, now or when this was asked before: `up`, its servers, and whatever they started."""
        roots = [self.process.pid]
        if self.process.poll() is None:
            roots += self.state["pids"].values()
        for pid in roots:
            with suppress(psutil.NoSuchProcess):
                root = psutil.Process(pid)
                self._known.update({p.pid: p for p in [root, *root.children(recursive=True)]})
        return list(self._known.values())

    def stop(self, number: signal.Signals = signal.SIGINT) -> Stopped:
        """Asks it to stop as Ctrl-C does; whatever does not end is killed, and named. Again is harmless."""
        with suppress(AssertionError):  # it may not have come so far as to tell what runs
            self.processes()
        if not self._ended():
            self.process.send_signal(number)
        return self.end()

    def end(self) -> Stopped:
        """Waits until it has ended."""
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            code = -1
        named = []
        for process in psutil.wait_procs(self._known.values(), timeout=5)[1]:
            with suppress(psutil.NoSuchProcess):
                named.append(f"{process.pid} {' '.join(process.cmdline())}")
                process.kill()
        self.process.wait(STOP_SECONDS)
        self._close()
        return Stopped(code, named)

    def run(self, *arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Another `platform-assets` command on the same home, as from a second terminal."""
        return subprocess.run(
            [str(PROGRAM), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=seconds,
            check=False,
            env=environment(self.home),
        )

    def run_json(self, *arguments: str) -> Any:  # noqa: ANN401 - JSON
        """What another command answers with `--json`."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query over the lakehouse."""
        return query(Lakehouse(load_settings()), sql)[1]

    def counts(self, *layers: str) -> dict[str, int]:
        """Rows of every table of the layers."""
        lakehouse = Lakehouse(load_settings())
        names = [name for name in lakehouse.tables() if name.partition(".")[0] in layers]
        return {name: int(query(lakehouse, f"select count(*) from {name}")[1][0][0]) for name in names}  # type: ignore[call-overload]

    def partition_files(self, *layers: str) -> dict[tuple[str, date], frozenset[str]]:
        """The data files of every partition of the layers' dated tables: rebuilding one gives it other files."""
        lakehouse = Lakehouse(load_settings())
        found: dict[tuple[str, date], set[str]] = {}
        for name in lakehouse.tables():
            table = lakehouse.catalog.load_table(name)
            if name.partition(".")[0] in layers and table.spec().fields:
                for task in table.scan().plan_files():
                    day = task.file.partition[0]
                    day = date(1970, 1, 1) + timedelta(days=day) if isinstance(day, int) else day
                    found.setdefault((name, day), set()).add(task.file.file_path)
        return {key: frozenset(paths) for key, paths in found.items()}

    def instance(self) -> DagsterInstance:
        """The Dagster instance of the platform, to be closed by the caller."""
        return DagsterInstance.from_config(str(self.home / "dagster"))

    def until(self, condition: Callable[[], Found | None], seconds: float, what: str) -> Found:
        """The first true answer of `condition`, asked again and again while the platform lives."""
        deadline = time.monotonic() + seconds
        pause = threading.Event()
        while not (found := condition()):
            assert not self._ended(), f"the platform ended while waiting until {what}:\n{self.output}"
            if time.monotonic() > deadline:
                raise AssertionError(f"{seconds:.0f} s were not enough until {what}\n{self._latest_runs()}")
            pause.wait(_POLL_SECONDS)
        return found

    def at_rest(self, instance: DagsterInstance) -> bool:
        """Whether nothing runs, nothing waits, and the automation has looked since the last run and wants nothing."""
        settings = load_settings()
        if any(Ledger(settings).pending(source.name) for source in load_sources()):
            return False
        if instance.get_runs(RunsFilter(statuses=_UNFINISHED), limit=1):
            return False
        ended = max((record.end_time or 0.0 for record in instance.get_run_records(limit=20)), default=0.0)
        automation = [s for s in instance.all_instigator_state() if "keep_up_to_date" in s.instigator_name]
        ticks = [
            tick
            for s in automation
            for tick in instance.get_ticks(s.instigator_origin_id, s.selector_id, limit=1, statuses=_FINISHED)
        ]
        return bool(ticks) and all(tick.status == TickStatus.SKIPPED and tick.timestamp > ended for tick in ticks)

    def rest(self, instance: DagsterInstance, seconds: float = 120) -> None:
        """Waits until the platform is at rest."""
        self.until(lambda: self.at_rest(instance), seconds, "the platform is at rest")

    def runs_since(self, instance: DagsterInstance, moment: float) -> list[RunRecord]:
        """Runs created after a moment (seconds since 1970), oldest first."""
        records = instance.get_run_records(limit=100)
        return [record for record in reversed(records) if record.create_timestamp.timestamp() >= moment]

    def _latest_runs(self) -> str:
        if not (self.home / "dagster" / "dagster.yaml").exists():
            return "Dagster was never started"
        with self.instance() as instance:
            return "\n".join(timeline(instance, record) for record in reversed(instance.get_run_records(limit=40)))

    def _ended(self) -> bool:
        return self.process.poll() is not None

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._said:
                self.lines.append(line.rstrip("\n"))
                self._said.notify_all()
        self.process.wait()
        with self._said:
            self._said.notify_all()

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.join(10)
        if self.process.stdout is not None:
            self.process.stdout.close()


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a person who has set nothing but PLATFORM_HOME (and `more`)."""
    kept: Mapping[str, str] = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return {**kept, "PLATFORM_HOME": str(home), **more}


def _own_sources(home: Path) -> Path:
    """The project's sources, where a test may add some."""
    folder = home.parent / "sources"
    if not folder.exists():
        for source in (CHECKOUT / "platform_assets" / "sources").glob("*/source.yaml"):
            shutil.copytree(source.parent, folder / source.parent.name)
    return folder


def materialized_partitions(
    instance: DagsterInstance, keys: Sequence[dg.AssetKey], after: float
) -> dict[str, set[str | None]]:
    """For each asset, the partitions that were materialised after a moment (seconds since 1970)."""
    found: dict[str, set[str | None]] = {}
    for key in keys:
        records = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=key, after_timestamp=after), limit=1000
        ).records
        if records:
            found[key.to_user_string()] = {record.partition_key for record in records}
    return found


def timeline(instance: DagsterInstance, record: RunRecord) -> str:
    """One line about a run: when it was requested, left the queue, started and ended (in seconds since), for what."""
    run = record.dagster_run
    starting = instance.all_logs(run.run_id, of_type=DagsterEventType.RUN_STARTING)
    created = record.create_timestamp.timestamp()
    waited, started, ended = (
        max(0.0, (moment or created) - created)
        for moment in (starting[0].timestamp if starting else None, record.start_time, record.end_time)
    )
    clock = record.create_timestamp.strftime("%H:%M:%S.%f")[:-4]
    partition = run.tags.get("dagster/partition", "-")
    assets = ", ".join(sorted(key.to_user_string() for key in run.asset_selection or ())) or run.job_name
    return (
        f"{clock} {run.run_id[:8]} {run.status.value:8} {partition:10} queued {waited:4.1f} s, "
        f"started +{started:4.1f} s, ended +{ended:4.1f} s: {assets}"
    )


def _ended_with_us() -> list[str]:
    """On Linux, a wrapper that has the program interrupted when the test process is killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "INT"] if setpriv and sys.platform == "linux" else []

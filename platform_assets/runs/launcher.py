"""Dagster's side of a run's process: launches it, tells whether it is alive, ends it.

Dagster's default launcher starts a Python for each run, which imports Dagster, PyIceberg, DuckDB, Polars, Pandera and
dbt and loads every source before it reads the first row: more than the work itself of most runs (docs/adr/0018). Here a
run is the same command that Dagster's other launchers start in a container, `dagster api execute_run`, in a fork of a
process that has done all that once (`runs.forking`).

Each run is a process of its own as before: whatever becomes of it, of the daemon or of the process that it was forked
from, the others run on. Its process is known by what it wrote into Dagster's event log itself.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from dagster import Array, DagsterEventType, DagsterInstance, Field
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._serdes import ConfigurableClass, ConfigurableClassData, serialize_value

from platform_assets.runs.forking import Forking, ForkingFailed

if TYPE_CHECKING:
    import psutil
    from dagster import DagsterRun


class ForkingRunLauncher(RunLauncher[DagsterInstance], ConfigurableClass):
    """Runs as forks of a warm process on this machine, which is started with the first of them.

    Args:
        imports: modules that the warm process imports beside the definitions: what runs import in their steps.
        inst_data: the entry in `dagster.yaml` that this was made from.
    """

    def __init__(self, imports: Sequence[str] = (), inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._imports = imports
        self._inst_data = inst_data
        self._forking: Forking | None = None
        self._one_at_a_time = threading.Lock()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """The entry in `dagster.yaml`."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """What can be said in `dagster.yaml`."""
        return {"imports": Field(Array(str), is_required=False, default_value=[])}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """As `dagster.yaml` says it."""
        return cls(**config_value, inst_data=inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Forks the run's process.

        Raises:
            ForkingFailed: the definitions do not load, or the system has no process to give.
        """
        from dagster._grpc.types import ExecuteRunArgs

        run = context.dagster_run
        if context.job_code_origin is None:
            raise ForkingFailed(f"Run {run.run_id} does not say where its definitions are.")
        arguments = serialize_value(ExecuteRunArgs(context.job_code_origin, run.run_id, self._instance.get_ref()))
        with self._one_at_a_time:
            try:
                self._fork(arguments)
            except ForkingFailed:
                self.dispose()
                raise

    def _fork(self, arguments: str) -> None:
        """From the process that there is, if it still has what the files say, or else from a new one."""
        if self._forking is not None and self._forking.fork(arguments):
            return
        self.dispose()
        self._forking = Forking(self._imports)
        if not self._forking.fork(arguments):
            raise ForkingFailed("The process that runs are forked from has ended; its log says why.")

    def terminate(self, run_id: str) -> bool:
        """Asks the run to end, as Ctrl-C would; False if it has no process (any more)."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        process = process_of(self._instance, run_id)
        if process is None:
            return False
        process.terminate()  # which Dagster takes for an interrupt, to report what became of the run
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Whether a run that Dagster takes for running has a process."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a run that has started is there."""
        if process_of(self._instance, run.run_id) is None:
            return CheckRunHealthResult(WorkerStatus.FAILED, "the process of the run has ended")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def dispose(self) -> None:
        """Ends the warm process; runs go on."""
        if self._forking is not None:
            self._forking.end()
            self._forking = None


def process_of(instance: DagsterInstance, run_id: str) -> psutil.Process | None:
    """The process that executes a run, as the run itself said when it started; None if there is none, or no more."""
    import psutil

    for entry in instance.all_logs(run_id, of_type=DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        pid = event.engine_event_data.metadata.get("pid") if event else None
        if pid is None:
            continue
        try:
            process = psutil.Process(int(str(pid.value)))
            # A process that is younger than what the run's said has only been given its number.
            alive = process.create_time() <= entry.timestamp and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if alive else None
    return None

"""The local stack as a whole: one at a time, found by other commands, resumed with its state, gone when stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import httpx
import psutil
import pytest
from google.cloud import pubsub_v1, storage

from platform_assets.local import servers, stack
from platform_assets.local.stack import LocalStack, StackError, running_environment
from platform_assets.settings import CHECKOUT, Settings, load_settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, the stack's environment variables put back afterwards, ports that no other test takes."""
    for name in ("PLATFORM_PII_KEY", "PLATFORM_PII_KEY_FILE", "FAKESTORE_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(stack, "PREFERRED_PORTS", {name: servers.free_port() for name in stack.PREFERRED_PORTS})
    return tmp_path / "home"


@pytest.fixture
def running(home: Path) -> Iterator[LocalStack]:
    """The stand-ins of a stack on `home`."""
    with LocalStack(load_settings(), lambda _: None) as local:
        local.start_stand_ins()
        assert local.home == home
        yield local


def test_stand_ins_are_ready_for_official_clients(running: LocalStack) -> None:
    project = running.settings.project
    assert storage.Client(project=project).bucket(running.settings.landing_bucket).exists()
    with pubsub_v1.SubscriberClient() as subscriber:
        path = subscriber.subscription_path(project, "carts-events-sub")
        subscription = subscriber.get_subscription(subscription=path)
    assert subscription.topic == f"projects/{project}/topics/carts-events"
    assert subscription.ack_deadline_seconds == 60


def test_key_is_secret_and_stays_the_same(home: Path) -> None:
    keys = set()
    for _ in range(2):
        with LocalStack(load_settings(), lambda _: None) as local:
            local.start_stand_ins()
            keys.add(load_settings().require_pii_key())
    assert len(keys) == 1
    assert stat.S_IMODE((home / "secrets" / "pii.key").stat().st_mode) == 0o600


def test_other_commands_find_the_running_stack_and_only_then(running: LocalStack) -> None:
    environment = running_environment(running.home)
    assert environment == running.environment
    assert os.environ["STORAGE_EMULATOR_HOST"] == environment["STORAGE_EMULATOR_HOST"] == running.servers[0].url
    state_file = running.home / "run.json"
    state = json.loads(state_file.read_text())
    assert load_settings().require_pii_key().decode() not in json.dumps(state)
    state_file.write_text(json.dumps(state | {"process_started_at": 1.0}))
    assert running_environment(running.home) == {}, "another process with the same number is not the stack"
    running.stop()
    assert not state_file.exists()
    assert running_environment(running.home) == {}


def test_second_stack_on_the_same_home_is_refused(running: LocalStack) -> None:
    said: list[str] = []
    with (
        LocalStack(running.settings, said.append) as second,
        pytest.raises(StackError, match=rf"already runs on .*: process {os.getpid()}, Dagit not up yet"),
    ):
        second.start()
    running.check()
    assert said == []
    assert running_environment(running.home)


def test_taken_port_is_chosen_anew_and_said(home: Path) -> None:
    said: list[str] = []
    port = stack.PREFERRED_PORTS["gcs"]
    with socket.create_server((servers.HOST, port)), LocalStack(load_settings(), said.append) as local:
        local.start_stand_ins()
        assert local.servers[0].port != port
        assert local.home == home
    assert [line for line in said if f"port {port} was taken" in line]


def test_stop_puts_the_environment_back_and_ends_every_process(running: LocalStack) -> None:
    processes = [psutil.Process(server.process.pid) for server in running.servers]
    processes += [child for process in processes for child in process.children(recursive=True)]
    assert len(processes) >= 6
    running.stop()
    assert psutil.wait_procs(processes, timeout=10)[1] == []
    assert "STORAGE_EMULATOR_HOST" not in os.environ


def test_pages_are_started_with_the_stack_and_stop_with_it(running: LocalStack) -> None:
    with pytest.raises(StackError, match=r"Pages: not running\."):
        _ = running.freshness_url
    running._step("pages", "Pages", running._start_pages)
    answer = httpx.get(running.freshness_url.removesuffix("freshness") + "freshness.json", timeout=30)
    assert {row["state"] for row in answer.raise_for_status().json()} == {"UNKNOWN"}
    assert "Nothing has been materialised yet" in httpx.get(running.freshness_url, timeout=30).text
    pages = running.servers[-1]
    running.stop()
    assert pages.process.poll() is not None
    assert "Traceback" not in pages.log.read_text()


def test_dead_stand_in_is_reported_with_its_log(running: LocalStack) -> None:
    fakestore = running.servers[-1]
    fakestore.process.kill()
    fakestore.process.wait()
    with pytest.raises(StackError, match=r"The FakeStore API ended with status -9. The end of .*fakestore.log"):
        running.wait(60)


def test_incomplete_fakestore_folder_is_refused(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "products.json").write_text("[]")
    monkeypatch.setenv("FAKESTORE_DATA_DIR", str(tmp_path))
    with (
        LocalStack(load_settings(), lambda _: None) as local,
        pytest.raises(StackError, match=r"which has no users\.json, carts\.json"),
    ):
        local.start()
    assert not (home / "run.json").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_end_of_the_supervisor_ends_its_servers(home: Path, number: signal.Signals) -> None:
    script = """
import signal
from platform_assets.local.stack import LocalStack
from platform_assets.settings import load_settings
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in `make up &`
with LocalStack(load_settings(), lambda _: None) as local:
    local.start_stand_ins()
    print("up", flush=True)
    local.wait(600)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"up\n"
        assert running_environment(home)
        children = psutil.Process(supervisor.pid).children(recursive=True)
        assert len(children) >= 6
        supervisor.send_signal(number)
        assert psutil.wait_procs(children, timeout=20)[1] == []
        supervisor.communicate()
    assert running_environment(home) == {}
    assert (home / "run.json").exists() == (number == signal.SIGKILL)


def test_start_after_kill_9_waits_for_what_was_left_behind(home: Path) -> None:
    script = """
import os, signal
from platform_assets.local.stack import LocalStack
from platform_assets.settings import load_settings
local = LocalStack(load_settings(), lambda _: None)
local.start_stand_ins()
print(local.servers[0].process.pid, flush=True)
os.kill(local.servers[0].process.pid, signal.SIGSTOP)  # this one is slow to notice
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=False)
    assert killed.returncode == -signal.SIGKILL
    keeper = psutil.Process(int(killed.stdout))
    assert running_environment(home) == {}
    with LocalStack(load_settings(), lambda _: None) as local:
        threading.Timer(0.5, keeper.resume).start()
        local.start_stand_ins()
        assert not keeper.is_running() or keeper.status() == psutil.STATUS_ZOMBIE


def test_runs_cut_off_by_a_kill_are_recorded_as_failed_and_retried(home: Path) -> None:
    dagster_home = home / "dagster"
    dagster_home.mkdir(parents=True)
    (dagster_home / "dagster.yaml").write_text((CHECKOUT / "dagster.yaml").read_text())

    @dg.job
    def arrival() -> None: ...

    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        runs = {
            status: instance.create_run_for_job(arrival, status=status).run_id
            for status in (
                dg.DagsterRunStatus.STARTED,
                dg.DagsterRunStatus.CANCELING,
                dg.DagsterRunStatus.NOT_STARTED,
                dg.DagsterRunStatus.SUCCESS,
            )
        }
        LocalStack(load_settings(), lambda _: None)._prepare_instance(dagster_home)
        after = {status: instance.get_run_by_id(run_id) for status, run_id in runs.items()}
        assert {status.value: run.status.value for status, run in after.items() if run} == {
            "STARTED": "FAILURE",
            "CANCELING": "CANCELED",
            "NOT_STARTED": "NOT_STARTED",
            "SUCCESS": "SUCCESS",
        }
        failed = after[dg.DagsterRunStatus.STARTED]
        assert failed is not None
        assert failed.tags["dagster/will_retry"] == "true"


def test_dagster_yaml_means_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text((CHECKOUT / "dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        concurrency = instance.get_concurrency_config()
        assert concurrency.run_queue_config is not None
        assert concurrency.run_queue_config.max_concurrent_runs == 3
        assert concurrency.pool_config.default_pool_limit == 1
        assert concurrency.pool_config.pool_granularity is not None
        assert concurrency.pool_config.pool_granularity.value == "run"
        assert getattr(instance.run_coordinator, "dequeue_interval_seconds", None) == 1
        assert instance.run_retries_enabled
        assert instance.run_retries_max_retries == 2
        assert not instance.run_retries_retry_on_asset_or_op_failure
        assert instance.run_monitoring_enabled
        assert instance.run_launcher.supports_check_run_worker_health  # or a killed run counts as running for hours
        assert not instance.telemetry_enabled
        assert instance.get_settings("freshness") == {"enabled": False}  # ours is told instead
        assert instance.get_settings("sensors")["use_threads"]


def test_settings_of_the_tests_are_their_own(settings: Settings, tmp_path: Path) -> None:
    assert settings.home == tmp_path
    assert settings.landing_bucket == load_settings().landing_bucket

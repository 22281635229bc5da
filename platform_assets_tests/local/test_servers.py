"""The stand-in servers as processes: they start, keep what they should, stop, and never outlive their parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from google.api_core.exceptions import AlreadyExists, PreconditionFailed
from google.cloud import pubsub_v1, storage

from platform_assets.local import servers
from platform_assets.local.servers import Server, ServerError, free_port, start_gcs, start_pubsub
from platform_assets.settings import Settings

SLEEPER = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)"]


def test_objects_survive_a_restart_of_the_gcs_emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with start_gcs(tmp_path / "buckets", tmp_path / "gcs.log") as first:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", first.url)
        blob = storage.Client(project="restart").create_bucket("restarted").blob("source=a/date=2026-01-02/b c.jsonl")
        blob.upload_from_string(b"{}\n", if_generation_match=0)
    with start_gcs(tmp_path / "buckets", tmp_path / "gcs.log", first.port) as second:
        assert second.address == first.address, "the port of a stopped server is free again at once"
        bucket = storage.Client(project="restart").bucket("restarted")
        again = bucket.get_blob(blob.name)
        assert (again.generation, again.time_created) == (blob.generation, blob.time_created)
        assert again.download_as_bytes() == b"{}\n"
        with pytest.raises(PreconditionFailed):
            bucket.blob(blob.name).upload_from_string(b"other", if_generation_match=0)


def test_pubsub_emulator_delivers_what_was_published(settings: Settings) -> None:
    _publish_and_pull_one(settings.project)


def test_drongo_is_used_with_a_warning_where_googles_emulator_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(servers, "find_pubsub_jar", lambda: None)
    with start_pubsub(tmp_path / "pubsub.log") as server:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.address)
        assert server.flavour == "drongo"
        assert "neither redelivers" in caplog.text
        _publish_and_pull_one("project-drongo")


def test_jar_is_found_beside_a_gcloud_that_is_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = tmp_path / "sdk/platform/pubsub-emulator/lib/cloud-pubsub-emulator-0.8.20-all.jar"
    gcloud = tmp_path / "sdk/bin/gcloud"
    for file in (jar, gcloud):
        file.parent.mkdir(parents=True)
        file.touch(mode=0o755)
    (tmp_path / "path").mkdir()
    (tmp_path / "path/gcloud").symlink_to(gcloud)
    for name in ("CLOUDSDK_ROOT", "CLOUDSDK_ROOT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert servers.find_pubsub_jar(folders=()) == jar
    monkeypatch.setenv("PATH", str(tmp_path))
    assert servers.find_pubsub_jar(folders=()) is None
    monkeypatch.setenv("CLOUDSDK_ROOT", str(tmp_path / "sdk"))
    assert servers.find_pubsub_jar(folders=()) == jar


def test_taken_port_is_chosen_anew() -> None:
    with socket.create_server((servers.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port(port) != port
    assert free_port(port) == port


def test_server_that_dies_at_start_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no such bucket'); raise SystemExit(3)"]
    with pytest.raises(ServerError, match=r"ended with status 3(.|\n)*no such bucket"):
        servers.launch("broken", command, "127.0.0.1:1", tmp_path / "log", ready=lambda _: False)


def test_server_that_never_answers_is_an_error_and_is_stopped(tmp_path: Path) -> None:
    processes: list[psutil.Process] = []

    def never(_: str) -> bool:
        processes[:] = processes or [child for child in psutil.Process().children() if SLEEPER[2] in child.cmdline()]
        return False

    with pytest.raises(ServerError, match=r"did not answer at 127\.0\.0\.1:1 within 0 seconds"):
        servers.launch("mute", SLEEPER, "127.0.0.1:1", tmp_path / "log", ready=never, deadline_seconds=0.1)
    assert processes
    assert psutil.wait_procs(processes, timeout=10)[1] == []


def test_stopping_ends_what_the_server_started_as_well(tmp_path: Path) -> None:
    tree = f"import subprocess; subprocess.Popen({SLEEPER!r}); subprocess.run({SLEEPER!r})"
    server = _launch(tmp_path, [sys.executable, "-c", tree], lines=2)
    processes = psutil.Process(server.process.pid).children(recursive=True)
    assert len(processes) == 3
    server.stop()
    server.stop()
    assert psutil.wait_procs(processes, timeout=10)[1] == []


def test_server_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)"
    server = _launch(tmp_path, [sys.executable, "-c", f"{deaf}; time.sleep(600)"])
    processes = psutil.Process(server.process.pid).children()
    server.stop(timeout=0.2)
    assert psutil.wait_procs(processes, timeout=10)[1] == []


@pytest.mark.parametrize("victim", ["supervisor", "keeper"])
def test_kill_9_leaves_no_orphan(tmp_path: Path, victim: str) -> None:
    script = f"""
from pathlib import Path
from platform_assets.local import servers
server = servers.launch("s", {SLEEPER!r}, "-", Path({str(tmp_path / "log")!r}), ready=None)
print(server.process.pid, flush=True)
server.process.wait()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        keeper = psutil.Process(int(supervisor.stdout.readline()))
        _wait_for_lines(tmp_path / "log", keeper, 1)
        processes = [keeper, *keeper.children(recursive=True)]
        assert len(processes) == 2
        os.kill({"supervisor": supervisor.pid, "keeper": keeper.pid}[victim], signal.SIGKILL)
        assert psutil.wait_procs(processes, timeout=20)[1] == []


def _launch(tmp_path: Path, command: list[str], lines: int = 1) -> Server:
    log = tmp_path / "log"
    return servers.launch(
        "server", command, "-", log, ready=lambda _: len(log.read_text().splitlines()) >= lines, deadline_seconds=20
    )


def _wait_for_lines(log: Path, process: psutil.Process, lines: int) -> None:
    while len(log.read_text().splitlines()) < lines:
        assert process.is_running()


def _publish_and_pull_one(project: str) -> None:
    publisher = pubsub_v1.PublisherClient()
    topic = publisher.topic_path(project, "carts-events")
    publisher.create_topic(name=topic)
    with pytest.raises(AlreadyExists):
        publisher.create_topic(name=topic)
    with pubsub_v1.SubscriberClient() as subscriber:
        subscription = subscriber.subscription_path(project, "carts-events-sub")
        subscriber.create_subscription(name=subscription, topic=topic, ack_deadline_seconds=60)
        publisher.publish(topic, b"cart", event_id="1").result(timeout=10)
        (received,) = subscriber.pull(subscription=subscription, max_messages=10).received_messages
        assert (received.message.data, dict(received.message.attributes)) == (b"cart", {"event_id": "1"})
        subscriber.acknowledge(subscription=subscription, ack_ids=[received.ack_id])

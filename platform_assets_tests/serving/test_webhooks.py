"""Webhooks at a real server in front of a real broker: what is accepted has landed by the next tick (S1-70)."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import uvicorn

from platform_assets.ingestion.pubsub import open_publisher, topic_path
from platform_assets.serving import webhooks
from platform_assets.settings import Settings
from platform_assets.sources.model import Source
from platform_assets.sources.yaml_file import SourceError
from platform_assets_tests.broker import create_subscription
from platform_assets_tests.ingestion.connectors.ticks import Ticks, write_source

SECRET = "whsec_hunter2"
Post = Callable[..., httpx.Response]


@contextmanager
def serving(settings: Settings, *sources: Source) -> Iterator[str]:
    """The receiver on a port of its own."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(webhooks.app(settings, sources), log_level="warning", lifespan="on")
        server = uvicorn.Server(config)
        thread = Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
            assert thread.is_alive()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def source(root: Path, name: str, **said: Any) -> Source:  # noqa: ANN401 - as YAML has it
    given = {"pattern": "streaming_api", "webhook_path": f"/webhooks/{name}", **said}
    return write_source(root, name, **given)


@pytest.fixture
def events(settings: Settings, tmp_path: Path) -> Ticks:
    create_subscription(settings, "events", "events-sub")
    return Ticks(settings, source(tmp_path, "events"))


@pytest.fixture
def post(settings: Settings, events: Ticks) -> Iterator[Post]:
    with serving(settings, events.source) as url, httpx.Client() as client:
        yield lambda content, **headers: client.post(
            f"{url}/webhooks/events",
            content=content,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )


def messages(tick: Ticks) -> list[dict[str, Any]]:
    tick()
    return tick.records()


def test_a_call_lands_as_it_came(post: Post, events: Ticks) -> None:
    body = '{"id": "evt_1",  "type": "charge.created", "text": "ü"}'.encode()
    answer = post(body)
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
    (message,) = messages(events)
    assert message["data"].encode() == body
    assert message["attributes"]["event_type"] == "charge.created"


def test_a_call_that_is_sent_again_has_the_same_event_id_and_another_has_another(post: Post, events: Ticks) -> None:
    for body, delivery in [(b'{"id": 1}', ""), (b'{"id": 1, "try": 2}', ""), (b'{"id": 2}', ""), (b'{"id": 2}', "d-1")]:
        assert post(body, **({"X_GitHub_Delivery": delivery} if delivery else {})).status_code == 202
    ids = [message["attributes"]["event_id"] for message in messages(events)]
    assert len(ids) == 4
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b"", 400, "no JSON"),
        (b"a=1&b=2", 400, "no JSON"),
        (b"[1]", 400, "no object"),
        (b"\xff", 400, "no JSON"),
        (b"[" * 100_000, 400, "no JSON"),
    ],
)
def test_a_call_that_is_no_object_is_refused_and_lands_nothing(
    post: Post, events: Ticks, body: bytes, status: int, why: str
) -> None:
    answer = post(body)
    assert answer.status_code == status
    assert why in answer.json()["error"]
    assert messages(events) == []


def test_a_body_that_is_too_large_is_refused_however_it_is_sent(
    post: Post, events: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MAX_BODY_BYTES", 1_000)
    large = json.dumps({"text": "x" * 2_000}).encode()
    assert post(large).status_code == 413
    assert post(iter([large[:900], large[900:]])).status_code == 413  # chunks tell no length
    assert messages(events) == []


def test_only_a_post_at_a_source_s_path_is_received(settings: Settings, events: Ticks) -> None:
    with serving(settings, events.source) as url:
        assert httpx.get(f"{url}/webhooks/events").status_code == 405
        assert httpx.post(f"{url}/webhooks/others", content=b"{}").status_code == 404
        assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}


def test_what_the_broker_has_not_confirmed_is_asked_for_again(settings: Settings, tmp_path: Path) -> None:
    orders = Ticks(settings, source(tmp_path, "orders"))
    with serving(settings, orders.source) as url:
        answer = httpx.post(f"{url}/webhooks/orders", content=b'{"id": 1}')
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
        create_subscription(settings, "orders", "orders-sub")
        assert httpx.post(f"{url}/webhooks/orders", content=b'{"id": 1}').status_code == 202
    assert len(messages(orders)) == 1


def test_a_broker_that_is_away_is_not_waited_for_too_long(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
    monkeypatch.setattr(webhooks, "CONFIRM_SECONDS", 0.5)
    with serving(settings, source(tmp_path, "orders")) as url:
        answer = httpx.post(f"{url}/webhooks/orders", content=b'{"id": 1}', timeout=10)
    assert (answer.status_code, answer.json()["error"]) == (503, "the message could not be stored: RetryError")


def test_two_sources_may_not_have_one_path(settings: Settings, tmp_path: Path) -> None:
    first, second = source(tmp_path, "one"), source(tmp_path, "two", webhook_path="/webhooks/one")
    with pytest.raises(SourceError, match=r"two: ingestion\.webhook_path /webhooks/one is that of one already"):
        webhooks.app(settings, [first, second])


# Signatures


def stripe(body: bytes, *, at: float | None = None, secret: str = SECRET) -> dict[str, str]:
    """The header as Stripe makes it."""
    moment = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Stripe_Signature": f"t={moment},v1={'0' * 64},v1={digest},v0=ignored"}


def github(body: bytes, *, secret: str = SECRET) -> dict[str, str]:
    """The header as GitHub makes it."""
    return {"X_Hub_Signature_256": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"}


@pytest.fixture(params=["stripe", "github"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def signed(settings: Settings, tmp_path: Path, scheme: str) -> Ticks:
    create_subscription(settings, "signed", "signed-sub")
    secret = {"webhook_signature": scheme, "webhook_secret_name": "signing"}
    return Ticks(settings, source(tmp_path, "signed", **secret))


def test_a_right_signature_is_accepted_and_any_other_is_not(
    settings: Settings, signed: Ticks, scheme: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sign = stripe if scheme == "stripe" else github
    body = b'{"id": "evt_1"}'
    wrong = {**sign(body, secret="another")}
    with serving(settings, signed.source) as url, httpx.Client(base_url=url) as client:

        def call(content: bytes, headers: dict[str, str]) -> int:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return client.post("/webhooks/signed", content=content, headers=named).status_code

        assert call(body, sign(body)) == 503  # the receiver has no secret: the sender is to come again
        monkeypatch.setenv("PLATFORM_SECRET_SIGNING", SECRET)
        refused = [call(body, {}), call(body, wrong), call(b'{"id": "evt_2"}', sign(body))]
        refused += [
            call(body, dict.fromkeys(sign(body), value)) for value in ("t=1,v1=\\xfc", "sha256=", "sha1=0", ",")
        ]
        if scheme == "stripe":
            refused += [call(body, stripe(body, at=time.time() - 400)), call(body, stripe(body, at=time.time() + 400))]
            refused += [call(body, {"Stripe_Signature": "t=x,v1=0"}), call(body, {"Stripe_Signature": "v1=0"})]
        assert set(refused) == {401}
        assert call(body, sign(body)) == 202
    assert [message["data"] for message in messages(signed)] == [body.decode()]
    assert SECRET not in caplog.text


def test_every_event_of_stripe_and_github_themselves_arrives(
    settings: Settings, tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_SECRET_SIGNING", SECRET)
    fixtures = json.loads((real_data / "stripe_fixtures" / "fixtures3.json").read_text(encoding="utf-8"))
    payloads = sorted((real_data / "octokit_webhooks").rglob("*.json"))
    assert len(payloads) > 50
    bodies = {
        "stripe": [json.dumps(fixtures["resources"]["event"]).encode()],
        "github": [path.read_bytes() for path in payloads],
    }
    for scheme, sent in bodies.items():
        create_subscription(settings, scheme, f"{scheme}-sub")
        tick = Ticks(settings, source(tmp_path, scheme, webhook_signature=scheme, webhook_secret_name="signing"))
        with serving(settings, tick.source) as url, httpx.Client(base_url=url) as client:
            for body in sent:
                signature = (stripe if scheme == "stripe" else github)(body)
                headers = {name.replace("_", "-"): value for name, value in signature.items()}
                assert client.post(f"/webhooks/{scheme}", content=body, headers=headers).status_code == 202
        assert sorted(message["data"].encode() for message in messages(tick)) == sorted(sent)


def test_the_server_runs_as_a_process_of_its_own(settings: Settings, events: Ticks) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = (
        "from pathlib import Path\n"
        "from platform_assets.serving.webhooks import serve\n"
        "from platform_assets.settings import load_settings\n"
        "from platform_assets.sources.registry import load_source\n"
        f"serve(load_settings(), [load_source(Path({str(events.source.folder)!r}))], port={port})\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = httpx.post(f"http://127.0.0.1:{port}/webhooks/events", content=b'{"id": 7}', timeout=20)
                break
            except httpx.ConnectError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
    finally:
        process.terminate()
        process.wait(30)
    assert answer.status_code == 202
    assert [json.loads(message["data"]) for message in messages(events)] == [{"id": 7}]
    with open_publisher() as publisher:
        assert publisher.get_topic(topic=topic_path(settings, "events")).name

"""Publishing and draining on a real Pub/Sub emulator, and being killed in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from platform_assets.ingestion import pubsub
from platform_assets.ingestion.connectors.polling import event_of, publish_records
from platform_assets.ingestion.landing import Landing, LandingObject
from platform_assets.ingestion.ledger import Ledger
from platform_assets.ingestion.pubsub import BrokerError, DrainResult, drain
from platform_assets.settings import Settings
from platform_assets.sources.fakestore_carts.carts import CartCreated
from platform_assets.sources.model import Source
from platform_assets.sources.registry import load_sources

SOURCE = "fakestore_carts"
SUBSCRIPTION = "carts-events-sub"
CARTS: list[dict[str, object]] = [
    {"id": 1, "userId": 3, "date": "2020-03-02T00:00:00.000Z", "products": [{"productId": 1, "quantity": 4}]},
    {"id": 2, "userId": 1, "date": "2020-01-02T00:00:00.000Z", "products": []},
    {"id": 3},
    {"userId": 5, "products": "none"},
]


class Broker:
    """A topic with a subscription, and clients that speak to them directly."""

    def __init__(self, project: str) -> None:
        from google.cloud import pubsub_v1

        self.publisher = pubsub_v1.PublisherClient()
        self.subscriber = pubsub_v1.SubscriberClient()
        self.topic = self.publisher.topic_path(project, "carts-events")
        self.subscription = self.subscriber.subscription_path(project, SUBSCRIPTION)
        self.publisher.create_topic(name=self.topic)
        self.subscriber.create_subscription(name=self.subscription, topic=self.topic)

    def send(self, *messages: bytes, **attributes: str) -> None:
        """Publish and wait for confirmation."""
        for future in [self.publisher.publish(self.topic, message, **attributes) for message in messages]:
            future.result(timeout=30)

    def receive(self) -> list[Any]:
        """Pull what waits, without acknowledging it."""
        received: list[Any] = []
        while found := self.subscriber.pull(
            subscription=self.subscription, max_messages=100, timeout=1.0
        ).received_messages:
            received += found
        return received

    def expire(self, ack_ids: list[str]) -> None:
        """What the end of their leases does to messages, without waiting for it."""
        self.subscriber.modify_ack_deadline(subscription=self.subscription, ack_ids=ack_ids, ack_deadline_seconds=0)

    def close(self) -> None:
        """Close the clients' connections."""
        self.publisher.stop()
        self.publisher.transport.close()
        self.subscriber.close()


@pytest.fixture
def broker(settings: Settings) -> Iterator[Broker]:
    opened = Broker(settings.project)
    yield opened
    opened.close()


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        yield opened


@pytest.fixture
def landing(settings: Settings) -> Landing:
    return Landing(settings)


def read(landing: Landing, folder: Path, objects: tuple[LandingObject, ...] | list[LandingObject]) -> list[Any]:
    return [json.loads(line) for path in landing.download(objects, folder) for line in path.read_bytes().splitlines()]


def drained(settings: Settings, landing: Landing, ledger: Ledger | None = None, **limits: Any) -> DrainResult:  # noqa: ANN401
    return drain(settings, landing, SOURCE, SUBSCRIPTION, ledger=ledger, **limits)


def carts_source() -> Source:
    return next(source for source in load_sources() if source.name == SOURCE)


def publish_carts(settings: Settings, ledger: Ledger, carts: list[dict[str, object]]) -> int:
    return publish_records(settings, ledger, carts_source(), [CartCreated().transform(cart) for cart in carts])


def test_carts_are_published_with_their_lines(settings: Settings, broker: Broker, ledger: Ledger) -> None:
    assert publish_carts(settings, ledger, CARTS) == 4
    messages = [received.message for received in broker.receive()]
    events = {event["cart_id"]: event for event in (json.loads(message.data) for message in messages)}
    assert {message.attributes["event_id"] for message in messages} == {e["event_id"] for e in events.values()}
    assert {message.attributes["event_type"] for message in messages} == {"cart_created"}
    first = events[1]
    assert datetime.fromisoformat(first.pop("extracted_at")) <= datetime.fromisoformat(first.pop("published_at"))
    assert first == {
        "event_id": first["event_id"],
        "event_type": "cart_created",
        "cart_id": 1,
        "user_id": 3,
        "cart_date": "2020-03-02T00:00:00.000Z",
        "products": [{"product_id": 1, "quantity": 4}],
    }
    assert (events[3]["user_id"], events[3]["cart_date"], events[3]["products"]) == (None, None, None)
    assert (events[None]["user_id"], events[None]["products"]) == (5, "none")


def test_restart_publishes_no_cart_twice(settings: Settings, broker: Broker) -> None:
    with Ledger(settings) as before:
        assert publish_carts(settings, before, CARTS[:2]) == 2
        assert publish_carts(settings, before, CARTS[:2]) == 0
    with Ledger(settings) as after:
        assert publish_carts(settings, after, CARTS) == 2
        assert publish_carts(settings, after, [*CARTS, *CARTS]) == 0
    assert len(broker.receive()) == 4


def test_cart_published_again_after_a_crash_keeps_its_event_id(
    settings: Settings, broker: Broker, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "record_published", crash)
        with pytest.raises(KeyboardInterrupt):
            publish_carts(settings, ledger, CARTS[:1])
    assert publish_carts(settings, ledger, CARTS[:1]) == 1
    first, again = (json.loads(received.message.data) for received in broker.receive())
    assert first["event_id"] == again["event_id"]


def test_drain_lands_what_was_published_and_leaves_nothing(
    settings: Settings, broker: Broker, landing: Landing, ledger: Ledger, tmp_path: Path
) -> None:
    publish_carts(settings, ledger, CARTS)
    broker.send(b"not JSON", b"\xff\xfe", "ü".encode(), other="x")
    result = drained(settings, landing, ledger)
    assert (result.messages, len(result.objects)) == (7, 1)
    (arrival,) = result.objects
    assert arrival.name.startswith(f"source={SOURCE}/date={datetime.now(UTC).date()}/{SOURCE}-")
    lines = read(landing, tmp_path, result.objects)
    assert sorted(line["data"] for line in lines if line["attributes"] == {"other": "x"} and "data" in line) == [
        "not JSON",
        "ü",
    ]
    assert [line["data_base64"] for line in lines if "data_base64" in line] == ["//4="]
    assert {tuple(line)[:4] for line in lines} == {("message_id", "publish_time", "attributes", "ordering_key")}
    assert datetime.fromisoformat(lines[0]["publish_time"]).tzinfo
    assert drained(settings, landing, ledger) == DrainResult(0, ())
    assert ledger.forget_unlanded(SOURCE) == 0


def test_large_backlog_lands_in_few_objects_and_within_the_limit(
    settings: Settings, broker: Broker, landing: Landing, tmp_path: Path
) -> None:
    broker.send(*(b"%d" % number for number in range(450)))
    first = drained(settings, landing, max_messages=250)
    rest = drained(settings, landing)
    assert (first.messages, rest.messages) == (250, 200)
    assert (len(first.objects), len(rest.objects)) == (1, 1)
    lines = read(landing, tmp_path, first.objects + rest.objects)
    assert {line["data"] for line in lines} == {str(number) for number in range(450)}


def test_batch_is_closed_when_its_bytes_are_enough(
    settings: Settings, broker: Broker, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pubsub, "BATCH_BYTES", 1)
    broker.send(*(b"%d" % number for number in range(150)))
    result = drained(settings, landing)
    assert result.messages == 150
    assert len(result.objects) > 1


def test_batch_that_is_delivered_again_lands_once(settings: Settings, broker: Broker, landing: Landing) -> None:
    broker.send(b"a", b"b")
    batch = broker.receive()
    first = pubsub.land_batch(landing, SOURCE, batch)
    broker.expire([received.ack_id for received in batch])
    assert drained(settings, landing).objects == (first,)
    assert landing.objects(SOURCE) == [first]


KILLED = """
import os, signal, sys
from platform_assets.ingestion import pubsub
from platform_assets.ingestion.connectors.polling import event_of, publish_records
from platform_assets.ingestion.landing import Landing
from platform_assets.ingestion.ledger import Ledger
from platform_assets.settings import load_settings

def killed(*arguments):
    batch = next(part for part in arguments if isinstance(part, list))
    print(*(received.ack_id for received in batch), sep="\\n", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(pubsub, sys.argv[1], killed)
settings = load_settings()
pubsub.drain(settings, Landing(settings), "fakestore_carts", "carts-events-sub", ledger=Ledger(settings))
"""


@pytest.mark.parametrize(
    ("killed_at", "objects_left"), [pytest.param("land_batch", 0, id="after pull"), ("acknowledge", 1)]
)
def test_process_killed_between_pull_and_acknowledgement_loses_no_message(  # noqa: PLR0917
    settings: Settings,
    broker: Broker,
    landing: Landing,
    ledger: Ledger,
    tmp_path: Path,
    killed_at: str,
    objects_left: int,
) -> None:
    publish_carts(settings, ledger, CARTS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.run(
        [sys.executable, "-c", KILLED, killed_at], env=environment, capture_output=True, text=True, check=False
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert len(landing.objects(SOURCE)) == objects_left
    broker.expire(process.stdout.split())
    assert drained(settings, landing, ledger).messages == 4
    lines = read(landing, tmp_path, landing.objects(SOURCE))
    assert {line["attributes"]["event_id"] for line in lines} == {
        event_of(carts_source(), CartCreated().transform(cart), datetime.now(UTC)).event_id for cart in CARTS
    }
    assert len(lines) == 4  # the same messages have the same name, so that not even landing holds them twice
    assert ledger.forget_unlanded(SOURCE) == 0
    assert drained(settings, landing, ledger).messages == 0


def test_a_topic_or_a_subscription_that_does_not_exist_is_named(
    settings: Settings, landing: Landing, ledger: Ledger
) -> None:
    with pytest.raises(BrokerError, match=f"no topic projects/{settings.project}/topics/carts-events. Create it"):
        publish_carts(settings, ledger, CARTS)
    with pytest.raises(BrokerError, match=f"no subscription projects/{settings.project}/subscriptions/{SUBSCRIPTION}"):
        drained(settings, landing)


def test_a_topic_and_a_subscription_may_be_of_another_project(settings: Settings, landing: Landing) -> None:
    other = Broker(f"{settings.project}-other")
    event = pubsub.Event("1", "event-1", "thing", {"id": 1})
    with Ledger(settings) as ledger:
        assert pubsub.publish_new(settings, ledger, SOURCE, other.topic, [event]) == 1
        assert drain(settings, landing, SOURCE, other.subscription, ledger=ledger).messages == 1
    other.close()

"""Pub/Sub on both sides: new records of a polled source are published, and a subscription is drained into landing.

A message is acknowledged only after the landing object that holds it is durable (S1-25); whatever dies in between is
delivered again and told by its key. The steps are separate functions in the order in which they must happen.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from platform_assets.ingestion.ledger import Ledger, Published

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
    from google.pubsub_v1.types import ReceivedMessage

    from platform_assets.ingestion.landing import Landing, LandingObject
    from platform_assets.settings import Settings

EVENT_ID = "event_id"  # attribute that names the event of a message
BATCH_BYTES = 32 * 2**20  # of message data in one landing object
LEASE_SECONDS = 60
_CONFIRM_SECONDS = 30.0
_FIRST_PULL_SECONDS = 2.0  # how long an empty subscription may keep a pull waiting
_NEXT_PULL_SECONDS = 1.0  # the same when there is something to land already
_MESSAGES_PER_REQUEST = 1000
_PUBLISHED_AT_ONCE = 1000

Record = dict[str, object]


class BrokerError(RuntimeError):
    """A topic or a subscription cannot be used; the message says which one and what to do."""


@dataclass(frozen=True)
class Event:
    """What is published for a record.

    Attributes:
        key: what identifies the record in its source.
        event_id: made from source and key alone, so that publishing again after a crash is told by its key.
        payload: the members of the message's JSON; `published_at` is added unless it is one of them.
    """

    key: str
    event_id: str
    event_type: str
    payload: Record


@dataclass(frozen=True)
class DrainResult:
    """How many messages were landed and acknowledged, and the objects that hold them."""

    messages: int
    objects: tuple[LandingObject, ...]


def publish_new(settings: Settings, ledger: Ledger, source: str, topic: str, events: Iterable[Event]) -> int:
    """Publish those events whose key the ledger does not know, each key once; returns how many.

    A key is remembered only after the broker has confirmed its message: a crash in between publishes it again, under
    the same event id.
    """
    by_key = {event.key: event for event in reversed(list(events))}
    wanted = ledger.unpublished(source, by_key)
    new = iter([event for key, event in reversed(by_key.items()) if key in wanted])
    published = 0
    if wanted:
        with open_publisher() as publisher:
            path = topic_path(settings, topic)
            while chunk := list(islice(new, _PUBLISHED_AT_ONCE)):
                ledger.record_published(source, publish(publisher, path, chunk))
                published += len(chunk)
    return published


def topic_path(settings: Settings, topic: str) -> str:
    """The full name of a topic; a short one is of the settings' project."""
    return topic if "/" in topic else f"projects/{settings.project}/topics/{topic}"


def subscription_path(settings: Settings, subscription: str) -> str:
    """The full name of a subscription; a short one is of the settings' project."""
    return subscription if "/" in subscription else f"projects/{settings.project}/subscriptions/{subscription}"


def publish(publisher: PublisherClient, topic: str, events: Sequence[Event]) -> list[Published]:
    """Send events to a topic, given by its full name, and wait until the broker has confirmed each of them.

    Raises:
        BrokerError: there is no such topic.
    """
    from google.api_core.exceptions import NotFound

    sent = []
    for event in events:
        published_at = datetime.now(UTC)
        payload = {**event.payload}
        payload.setdefault("published_at", iso(published_at))
        data = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
        future = publisher.publish(topic, data, event_id=event.event_id, event_type=event.event_type)
        sent.append((future, Published(event.key, event.event_id, published_at)))
    try:
        for future, _ in sent:
            future.result(timeout=_CONFIRM_SECONDS)
    except NotFound as error:
        raise BrokerError(f"There is no topic {topic}. Create it, or correct ingestion.topic.") from error
    return [published for _, published in sent]


def drain(
    settings: Settings,
    landing: Landing,
    source: str,
    subscription: str,
    *,
    ledger: Ledger | None = None,
    max_messages: int = 10_000,
    budget_seconds: float = 20.0,
) -> DrainResult:
    """Land what waits in a subscription, until it is empty or a limit is reached.

    Args:
        settings: the project.
        landing: where the messages go, in batches: one object `<source>-<hash of the message ids>.jsonl` for each.
        source: whose landing prefix.
        subscription: short name of the subscription.
        ledger: where the source's own publisher remembers its events, if there is one.
        max_messages: how many at most.
        budget_seconds: when to stop pulling.

    Raises:
        BrokerError: there is no such subscription.
    """
    deadline = time.monotonic() + budget_seconds
    messages, objects = 0, []
    with _subscriber() as subscriber:
        path = subscription_path(settings, subscription)
        while messages < max_messages and (batch := pull_batch(subscriber, path, max_messages - messages, deadline)):
            objects.append(land_batch(landing, source, batch))
            if ledger is not None:
                ledger.mark_landed(event_ids(batch))
            acknowledge(subscriber, path, batch)
            messages += len(batch)
    return DrainResult(messages, tuple(objects))


def pull_batch(
    subscriber: SubscriberClient, subscription: str, max_messages: int, deadline: float
) -> list[ReceivedMessage]:
    """Pull again and again until nothing waits, the batch is full or the deadline has passed. Nothing is acknowledged.

    Args:
        subscriber: the client.
        subscription: its full name.
        max_messages: how many at most.
        deadline: on the monotonic clock, in seconds.
    """
    batch: list[ReceivedMessage] = []
    size = 0
    while len(batch) < max_messages and size < BATCH_BYTES and (left := deadline - time.monotonic()) > 0:
        patience = min(left, _NEXT_PULL_SECONDS if batch else _FIRST_PULL_SECONDS)
        pulled = _pull(subscriber, subscription, max_messages - len(batch), patience)
        if not pulled:
            break
        # The subscription's own lease may be shorter than filling and landing a batch takes.
        for chunk in _chunks([message.ack_id for message in pulled]):
            subscriber.modify_ack_deadline(
                request={"subscription": subscription, "ack_ids": chunk, "ack_deadline_seconds": LEASE_SECONDS}
            )
        batch += pulled
        size += sum(len(message.message.data) for message in pulled)
    return batch


def land_batch(landing: Landing, source: str, batch: Sequence[ReceivedMessage]) -> LandingObject:
    """Write a batch as one landing object of today (UTC); a batch that has landed before is left as it is."""
    messages = sorted(batch, key=lambda received: received.message.message_id)
    ids = "\n".join(received.message.message_id for received in messages)
    content = "".join(f"{envelope_line(received)}\n" for received in messages).encode()
    name = f"{source}-{hashlib.sha256(ids.encode()).hexdigest()[:16]}.jsonl"
    return landing.put(source, datetime.now(UTC).date(), name, content)


def envelope_line(received: ReceivedMessage) -> str:
    """A message as one line of JSON: what was published as text, or in base64 if it is no UTF-8."""
    message = received.message
    line: Record = {
        "message_id": message.message_id,
        "publish_time": iso(message.publish_time),
        "attributes": dict(message.attributes),
        "ordering_key": message.ordering_key,
    }
    try:
        line["data"] = message.data.decode()
    except UnicodeDecodeError:
        line["data_base64"] = base64.b64encode(message.data).decode()
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def event_ids(batch: Iterable[ReceivedMessage]) -> list[str]:
    """The ids of events that the messages name in their attributes."""
    named = (received.message.attributes.get(EVENT_ID) for received in batch)
    return [event_id for event_id in named if event_id]


def acknowledge(subscriber: SubscriberClient, subscription: str, batch: Iterable[ReceivedMessage]) -> None:
    """Tell the broker that the messages are safe. One whose lease has expired comes again, as a duplicate."""
    for chunk in _chunks([received.ack_id for received in batch]):
        subscriber.acknowledge(request={"subscription": subscription, "ack_ids": chunk})


def iso(moment: datetime) -> str:
    """A moment as messages tell it: UTC, with microseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _pull(subscriber: SubscriberClient, subscription: str, max_messages: int, timeout: float) -> list[ReceivedMessage]:
    from google.api_core.exceptions import DeadlineExceeded, NotFound

    wanted = min(max_messages, _MESSAGES_PER_REQUEST)
    try:
        response = subscriber.pull(request={"subscription": subscription, "max_messages": wanted}, timeout=timeout)
    except DeadlineExceeded:  # how an empty subscription answers
        return []
    except NotFound as error:
        raise BrokerError(
            f"There is no subscription {subscription}. Create it for the source's topic, or correct "
            "ingestion.subscription."
        ) from error
    return list(response.received_messages)


@contextmanager
def open_publisher() -> Iterator[PublisherClient]:
    """A client that is stopped, with its connection, at the end of the block."""
    from google.cloud.pubsub_v1 import PublisherClient

    publisher = PublisherClient()
    try:
        yield publisher
    finally:
        publisher.stop()
        publisher.transport.close()


@contextmanager
def _subscriber() -> Iterator[SubscriberClient]:
    from google.cloud.pubsub_v1 import SubscriberClient

    with SubscriberClient() as subscriber:
        yield subscriber


def _chunks(ack_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ack_ids), _MESSAGES_PER_REQUEST):
        yield ack_ids[start : start + _MESSAGES_PER_REQUEST]

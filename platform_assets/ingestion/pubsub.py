"""Pub/Sub on both sides: new records of a polled source are published, and a subscription is drained into landing.

A message is acknowledged only after the landing object that holds it is durable (S1-25); whatever dies in between is
delivered again and told by its key. The steps are separate functions in the order in which they must happen.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
import uuid
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
CART_CREATED = "cart_created"
BATCH_BYTES = 32 * 2**20  # of message data in one landing object
LEASE_SECONDS = 60
_EVENT_NAMESPACE = uuid.UUID("5f0c4a52-6a0b-5b0e-9d1c-3a7d0a4d4c11")
_CONFIRM_SECONDS = 30.0
_FIRST_PULL_SECONDS = 2.0  # how long an empty subscription may keep a pull waiting
_NEXT_PULL_SECONDS = 1.0  # the same when there is something to land already
_MESSAGES_PER_REQUEST = 1000
_PUBLISHED_AT_ONCE = 1000

Record = dict[str, object]


@dataclass(frozen=True)
class Event:
    """What is published for a record.

    Attributes:
        key: what identifies the record in its source.
        event_id: made from source and key alone, so that publishing again after a crash is told by its key.
        payload: the members of the message's JSON, but for `published_at`.
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


def publish_new_carts(
    settings: Settings,
    ledger: Ledger,
    carts: Sequence[Record],
    *,
    source: str,
    topic: str,
) -> int:
    """Publish those carts of the FakeStore API that have not been published yet (S3-04 to S3-06); returns how many.

    Args:
        settings: the project.
        ledger: remembers what has been published, across restarts.
        carts: all that the API tells.
        source: the source's name in the ledger.
        topic: short name of the topic.
    """
    extracted_at = datetime.now(UTC)
    return publish_new(settings, ledger, source, topic, [cart_created(source, cart, extracted_at) for cart in carts])


def cart_created(source: str, cart: Record, extracted_at: datetime) -> Event:
    """The event of a cart. What a cart lacks is null: the contract judges it downstream."""
    lines = cart.get("products")
    key = str(cart["id"]) if cart.get("id") is not None else _content_key(cart)
    event_id = str(uuid.uuid5(_EVENT_NAMESPACE, f"{source}/{key}"))
    payload: Record = {
        "event_id": event_id,
        "event_type": CART_CREATED,
        "extracted_at": _iso(extracted_at),
        "cart_id": cart.get("id"),
        "user_id": cart.get("userId"),
        "cart_date": cart.get("date"),
        "products": [_cart_line(line) for line in lines] if isinstance(lines, list) else lines,
    }
    return Event(key, event_id, CART_CREATED, payload)


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
        with _publisher() as publisher:
            path = publisher.topic_path(settings.project, topic)
            while chunk := list(islice(new, _PUBLISHED_AT_ONCE)):
                ledger.record_published(source, publish(publisher, path, chunk))
                published += len(chunk)
    return published


def publish(publisher: PublisherClient, topic_path: str, events: Sequence[Event]) -> list[Published]:
    """Send events and wait until the broker has confirmed each of them."""
    sent = []
    for event in events:
        published_at = datetime.now(UTC)
        payload = {**event.payload, "published_at": _iso(published_at)}
        data = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
        future = publisher.publish(topic_path, data, event_id=event.event_id, event_type=event.event_type)
        sent.append((future, Published(event.key, event.event_id, published_at)))
    for future, _ in sent:
        future.result(timeout=_CONFIRM_SECONDS)
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
    """
    deadline = time.monotonic() + budget_seconds
    messages, objects = 0, []
    with _subscriber() as subscriber:
        path = subscriber.subscription_path(settings.project, subscription)
        while messages < max_messages and (batch := pull_batch(subscriber, path, max_messages - messages, deadline)):
            objects.append(land_batch(landing, source, batch))
            if ledger is not None:
                ledger.mark_landed(event_ids(batch))
            acknowledge(subscriber, path, batch)
            messages += len(batch)
    return DrainResult(messages, tuple(objects))


def pull_batch(
    subscriber: SubscriberClient, subscription_path: str, max_messages: int, deadline: float
) -> list[ReceivedMessage]:
    """Pull again and again until nothing waits, the batch is full or the deadline has passed. Nothing is acknowledged.

    Args:
        subscriber: the client.
        subscription_path: full name of the subscription.
        max_messages: how many at most.
        deadline: on the monotonic clock, in seconds.
    """
    batch: list[ReceivedMessage] = []
    size = 0
    while len(batch) < max_messages and size < BATCH_BYTES and (left := deadline - time.monotonic()) > 0:
        patience = min(left, _NEXT_PULL_SECONDS if batch else _FIRST_PULL_SECONDS)
        pulled = _pull(subscriber, subscription_path, max_messages - len(batch), patience)
        if not pulled:
            break
        # The subscription's own lease may be shorter than filling and landing a batch takes.
        for chunk in _chunks([message.ack_id for message in pulled]):
            subscriber.modify_ack_deadline(
                request={"subscription": subscription_path, "ack_ids": chunk, "ack_deadline_seconds": LEASE_SECONDS}
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
        "publish_time": _iso(message.publish_time),
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


def acknowledge(subscriber: SubscriberClient, subscription_path: str, batch: Iterable[ReceivedMessage]) -> None:
    """Tell the broker that the messages are safe. One whose lease has expired comes again, as a duplicate."""
    for chunk in _chunks([received.ack_id for received in batch]):
        subscriber.acknowledge(request={"subscription": subscription_path, "ack_ids": chunk})


def _pull(
    subscriber: SubscriberClient, subscription_path: str, max_messages: int, timeout: float
) -> list[ReceivedMessage]:
    from google.api_core.exceptions import DeadlineExceeded

    wanted = min(max_messages, _MESSAGES_PER_REQUEST)
    try:
        response = subscriber.pull(request={"subscription": subscription_path, "max_messages": wanted}, timeout=timeout)
    except DeadlineExceeded:  # how an empty subscription answers
        return []
    return list(response.received_messages)


@contextmanager
def _publisher() -> Iterator[PublisherClient]:
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


def _cart_line(line: object) -> Record | None:
    return {"product_id": line.get("productId"), "quantity": line.get("quantity")} if isinstance(line, dict) else None


def _content_key(record: Record) -> str:
    return "sha256:" + hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _chunks(ack_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ack_ids), _MESSAGES_PER_REQUEST):
        yield ack_ids[start : start + _MESSAGES_PER_REQUEST]

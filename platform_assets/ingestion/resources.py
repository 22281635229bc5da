"""What a source needs in the cloud project before anything can arrive: a bucket, a topic, a subscription (S1-68)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from platform_assets.ingestion.pubsub import open_publisher, subscription_path, topic_path

if TYPE_CHECKING:
    from platform_assets.settings import Settings
    from platform_assets.sources.model import Source

ACK_DEADLINE_SECONDS = 60


def ensure_bucket(settings: Settings, name: str) -> bool:
    """Creates a bucket unless it exists; returns whether it is new."""
    from google.api_core.exceptions import Conflict
    from google.cloud import storage

    client = storage.Client(project=settings.project)
    if client.bucket(name).exists():
        return False
    try:
        client.create_bucket(name)
    except Conflict:  # somebody was quicker
        return False
    return True


def ensure_topic(settings: Settings, topic: str, subscription: str) -> bool:
    """Creates a topic and its subscription unless they exist; returns whether either is new.

    Args:
        settings: the project, for short names.
        topic: short name, or `projects/<project>/topics/<name>`.
        subscription: as `topic`.
    """
    from google.api_core.exceptions import AlreadyExists
    from google.cloud import pubsub_v1

    new = False
    with open_publisher() as publisher, pubsub_v1.SubscriberClient() as subscriber:
        with suppress(AlreadyExists):
            publisher.create_topic(name=topic_path(settings, topic))
            new = True
        with suppress(AlreadyExists):
            subscriber.create_subscription(
                name=subscription_path(settings, subscription),
                topic=topic_path(settings, topic),
                ack_deadline_seconds=ACK_DEADLINE_SECONDS,
            )
            new = True
    return new


def ensure_for(settings: Settings, source: Source) -> list[str]:
    """Creates what the source needs; returns the names of what is new."""
    ingestion = source.file.ingestion
    watched = [ingestion.watched.removeprefix("gs://").split("/", 1)[0]] if ingestion.watched else []
    buckets = [settings.landing_bucket, *watched]
    new = [f"gs://{bucket}" for bucket in buckets if ensure_bucket(settings, bucket)]
    if ingestion.topic and ingestion.subscription and ensure_topic(settings, ingestion.topic, ingestion.subscription):
        new.append(f"{ingestion.topic} → {ingestion.subscription}")
    return new

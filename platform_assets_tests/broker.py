"""Topics and messages for tests, on the real emulator."""

from __future__ import annotations

from collections.abc import Sequence

from platform_assets.settings import Settings


def create_subscription(settings: Settings, topic: str, subscription: str) -> None:
    """Makes a topic with one subscription."""
    from google.cloud import pubsub_v1

    publisher = pubsub_v1.PublisherClient()
    path = publisher.topic_path(settings.project, topic)
    publisher.create_topic(name=path)
    with pubsub_v1.SubscriberClient() as subscriber:
        name = subscriber.subscription_path(settings.project, subscription)
        subscriber.create_subscription(name=name, topic=path, ack_deadline_seconds=10)
    publisher.stop()
    publisher.transport.close()


def publish(settings: Settings, topic: str, messages: Sequence[bytes]) -> None:
    """Publishes messages and waits until the broker has them."""
    from google.cloud import pubsub_v1

    publisher = pubsub_v1.PublisherClient()
    path = publisher.topic_path(settings.project, topic)
    for future in [publisher.publish(path, message) for message in messages]:
        future.result(timeout=30)
    publisher.stop()
    publisher.transport.close()

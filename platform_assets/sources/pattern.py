"""The ways in which a source arrives. Apart from their settings, so that the command line names them without those."""

from __future__ import annotations

from enum import StrEnum


class Pattern(StrEnum):
    """How a source arrives."""

    BATCH_FILE = "batch_file"  # somebody drops objects into the landing bucket, or at `location`
    STREAMING_API = "streaming_api"  # an API is polled, or calls back; its records go through a topic
    DATABASE_CDC = "database_cdc"  # a replication service drops the changes of tables
    CLOUD_TRANSFER = "cloud_transfer"  # a transfer service copies objects to `destination`
    EVENT_STREAMING = "event_streaming"  # messages of a Pub/Sub subscription
    REST_SNAPSHOT = "rest_snapshot"  # an API tells its whole state once a day (S3-03)

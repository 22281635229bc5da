"""What a source needs in the project is made once, on real servers."""

from __future__ import annotations

from pathlib import Path

from platform_assets.ingestion.landing import Landing
from platform_assets.ingestion.resources import ensure_bucket, ensure_for, ensure_topic
from platform_assets.settings import Settings
from platform_assets.sources.registry import load_folder
from platform_assets_tests.broker import publish
from platform_assets_tests.sources.documents import write_document


def test_a_bucket_is_made_once_and_then_left_alone(settings: Settings) -> None:
    assert ensure_bucket(settings, "a-new-bucket")
    assert not ensure_bucket(settings, "a-new-bucket")
    assert Landing(settings.model_copy(update={"landing_bucket": "a-new-bucket"})).objects("shop") == []


def test_a_topic_and_its_subscription_are_made_once_and_deliver(settings: Settings) -> None:
    assert ensure_topic(settings, "returns", "returns-sub")
    assert not ensure_topic(settings, "returns", "returns-sub")
    publish(settings, "returns", [b"{}"])


def test_a_source_gets_the_bucket_that_is_watched_for_it(settings: Settings, tmp_path: Path) -> None:
    (source,) = load_folder(write_document(tmp_path, "example_source"))
    assert "gs://landing-zone" in ensure_for(settings, source)
    assert ensure_for(settings, source) == []


def test_a_topic_named_in_full_is_made_in_its_own_project(settings: Settings, tmp_path: Path) -> None:
    (source,) = load_folder(write_document(tmp_path, "iot_sensors"))
    assert ensure_for(settings, source) == ["projects/my-project/topics/iot-events → iot-events-sub"]
    assert ensure_for(settings, source) == []

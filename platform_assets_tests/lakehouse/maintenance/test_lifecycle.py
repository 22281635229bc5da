"""Storage classes by age: what the documents say, given to a bucket by the official client."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from platform_assets.lakehouse.maintenance.lifecycle import apply_storage_rules, as_gcs, storage_rules
from platform_assets.settings import Settings

OTHER = {"action": {"type": "Delete"}, "condition": {"age": 1, "matchesPrefix": ["tmp/"]}}


class Bucket(BaseHTTPRequestHandler):
    """A bucket that keeps its lifecycle, as Cloud Storage's JSON API has it."""

    state: dict[str, Any]

    def do_GET(self) -> None:
        """The bucket."""
        self._answer()

    def do_PATCH(self) -> None:
        """A change of it."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.state.update(json.loads(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body))
        self._answer()

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def _answer(self) -> None:
        body = json.dumps(self.state).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What a bucket says of itself, served where the client looks."""
    state: dict[str, Any] = {"name": "lake", "lifecycle": {"rule": [OTHER]}}
    handler = type("Served", (Bucket,), {"state": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        yield state
        server.shutdown()


def of(settings: Settings) -> set[tuple[str, str, str | None, str, int]]:
    return {(r.bucket, r.prefix, r.suffix, r.storage_class, r.age) for r in storage_rules(settings)}


def test_classes_are_those_of_the_documents() -> None:
    """S1-49, S1-50, S1-114, S1-115; the last day of a class still belongs to it (decisions.md, 7)."""
    assert of(Settings(landing_bucket="raw", warehouse="gs://lake/tables")) == {
        ("raw", "source=", None, "NEARLINE", 91),
        ("raw", "source=", None, "COLDLINE", 366),
        ("lake", "tables/bronze/", ".parquet", "NEARLINE", 91),
        ("lake", "tables/bronze/", ".parquet", "COLDLINE", 366),
        ("lake", "tables/silver/", ".parquet", "NEARLINE", 181),
        ("lake", "tables/silver/", ".parquet", "COLDLINE", 731),
        ("lake", "tables/quarantine/", ".parquet", "NEARLINE", 181),
        ("lake", "tables/quarantine/", ".parquet", "COLDLINE", 731),
    }


def test_gold_stays_hot_and_a_disk_has_no_classes() -> None:
    assert not any(
        "gold" in rule.prefix or "mart" in rule.prefix for rule in storage_rules(Settings(warehouse="gs://x"))
    )
    assert {rule.bucket for rule in storage_rules(Settings(landing_bucket="raw"))} == {"raw"}


def test_a_bucket_is_given_the_rules_once_and_keeps_its_own(bucket: dict[str, Any]) -> None:
    settings = Settings(landing_bucket="lake", warehouse="gs://lake/tables")
    wanted = storage_rules(settings)
    assert apply_storage_rules(settings) == wanted
    told = bucket["lifecycle"]["rule"]
    assert told == [OTHER, *(as_gcs(rule) for rule in wanted)]
    assert apply_storage_rules(settings) == wanted
    assert bucket["lifecycle"]["rule"] == told


def test_no_rule_of_ours_deletes() -> None:
    rules = storage_rules(Settings(warehouse="gs://lake"))
    assert {str(as_gcs(rule)["action"]["type"]) for rule in rules} == {"SetStorageClass"}  # type: ignore[index]


def test_the_emulator_takes_no_rules_and_that_is_told(settings: Settings) -> None:
    """If this fails, the emulator has learned it: prove the rules against it then."""
    assert apply_storage_rules(settings) == []

"""Landing on a real object store emulator."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from platform_assets.ingestion.dead_letters import DeadLetter, KeptLetter
from platform_assets.ingestion.landing import ArrivalVanished, Landing, LandingError
from platform_assets.settings import Settings

DAY = date(2026, 1, 2)


@pytest.fixture
def landing(settings: Settings) -> Landing:
    return Landing(settings)


@pytest.fixture
def bucket(settings: Settings) -> Any:  # noqa: ANN401 - the client library ships no types
    from google.cloud import storage

    return storage.Client(project=settings.project).bucket(settings.landing_bucket)


def test_object_lands_under_its_source_and_date(landing: Landing, settings: Settings) -> None:
    before = datetime.now(UTC)
    arrival = landing.put("shop", DAY, "a.jsonl", b'{"a":1}\n')
    assert arrival.uri == f"gs://{settings.landing_bucket}/source=shop/date=2026-01-02/a.jsonl"
    assert (arrival.source, arrival.arrival_date, arrival.size) == ("shop", DAY, 8)
    assert abs(arrival.landed_at - before) < timedelta(minutes=1)
    assert landing.objects("shop") == [arrival]


def test_object_that_exists_is_never_replaced(landing: Landing, tmp_path: Path) -> None:
    first = landing.put("shop", DAY, "a.jsonl", b"first")
    assert landing.put("shop", DAY, "a.jsonl", b"second") == first
    assert landing.download([first], tmp_path)[0].read_bytes() == b"first"


def test_overwritten_object_is_a_new_arrival(landing: Landing, bucket: Any) -> None:  # noqa: ANN401
    first = landing.put("shop", DAY, "a.jsonl", b"first")
    bucket.blob(first.name).upload_from_string(b"second")
    (second,) = landing.objects("shop")
    assert second.name == first.name
    assert second.generation != first.generation


def test_objects_are_listed_by_date_in_pages(landing: Landing) -> None:
    names = [landing.put("shop", DAY, f"{number}.jsonl", b"x").name for number in range(5)]
    other = landing.put("shop", DAY + timedelta(days=1), "z.jsonl", b"x")
    landing.put("shopping", DAY, "z.jsonl", b"x")
    first = landing.objects("shop", DAY, limit=2)
    second = landing.objects("shop", DAY, after=first[-1].name, limit=2)
    rest = landing.objects("shop", after=second[-1].name)
    assert [arrival.name for arrival in first + second + rest] == [*names, other.name]
    assert landing.dates("shop") == [DAY, DAY + timedelta(days=1)]


def test_odd_names_are_told_and_stop_nothing(landing: Landing, bucket: Any) -> None:  # noqa: ANN401
    odd = ["source=shop/date=2026-13-01/a.jsonl", "source=shop/date=today/a.jsonl", "source=shop/loose.jsonl"]
    for name in [*odd, "source=shop/", "source=shop/date=2026-01-02/"]:
        bucket.blob(name).upload_from_string(b"" if name.endswith("/") else b"x")
    good = landing.put("shop", DAY, "sub/ü #?.jsonl", b"x")
    assert landing.objects("shop") == [good]
    assert landing.objects("shop", DAY) == [good]
    assert landing.odd_names("shop") == odd
    assert landing.dates("shop") == [DAY]


def test_source_without_objects_has_neither_dates_nor_objects(landing: Landing) -> None:
    assert (landing.dates("nobody"), landing.objects("nobody"), landing.odd_names("nobody")) == ([], [], [])


def test_download_keeps_suffixes_and_order(landing: Landing, tmp_path: Path) -> None:
    arrivals = [
        landing.put("shop", day, name, f"{day}{name}".encode())
        for day in (DAY, DAY + timedelta(days=1))
        for name in ("a.jsonl", "a.jsonl.gz", "a.b.json", "plain")
    ]
    paths = landing.download(arrivals, tmp_path / "files")
    assert [path.read_text() for path in paths] == [f"{a.arrival_date}{a.file_name}" for a in arrivals]
    assert ["".join(path.suffixes) for path in paths] == [".jsonl", ".jsonl.gz", ".json", ".jsonl"] * 2


def test_gzip_object_with_content_encoding_is_fetched_as_stored(
    landing: Landing,
    bucket: Any,  # noqa: ANN401
    tmp_path: Path,
) -> None:
    import gzip

    blob = bucket.blob("source=shop/date=2026-01-02/a.jsonl.gz")
    blob.content_encoding = "gzip"
    blob.upload_from_string(gzip.compress(b"text", mtime=0))
    assert landing.download(landing.objects("shop"), tmp_path)[0].read_bytes() == gzip.compress(b"text", mtime=0)


@pytest.mark.parametrize("overwrite", [True, False])
def test_object_that_changed_after_listing_has_vanished(
    landing: Landing,
    bucket: Any,  # noqa: ANN401
    tmp_path: Path,
    overwrite: bool,
) -> None:
    listed = [landing.put("shop", DAY, name, b"x") for name in ("a.jsonl", "b.jsonl")]
    blob = bucket.blob(listed[1].name)
    blob.upload_from_string(b"new") if overwrite else blob.delete()
    with pytest.raises(ArrivalVanished, match=r"b\.jsonl has no generation") as vanished:
        landing.download(listed, tmp_path)
    assert vanished.value.object == listed[1]


def test_missing_bucket_is_named(landing: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Landing, "bucket_name", "no-such-bucket")
    for use in (
        lambda: landing.objects("shop"),
        lambda: landing.dates("shop"),
        lambda: landing.put("shop", DAY, "a.jsonl", b""),
    ):
        with pytest.raises(LandingError, match="no-such-bucket"):
            use()


def test_name_that_would_be_a_folder_is_refused(landing: Landing) -> None:
    with pytest.raises(LandingError, match="no landing name"):
        landing.put("shop", DAY, "", b"x")


def test_dead_letters_replay_to_the_same_object(landing: Landing, bucket: Any) -> None:  # noqa: ANN401
    a, b = (landing.put("shop", DAY, name, b"x") for name in ("a.jsonl", "b.jsonl"))
    letters = [
        DeadLetter(b, None, "gzip stream ends early after record 7"),
        DeadLetter(a, 9, "not valid UTF-8 at byte 1", b"\xff"),
        DeadLetter(a, 2, "not JSON", "ü".encode()),
    ]
    uris = landing.put_dead_letters(letters)
    name = f"dead_letter/source=shop/date=2026-01-02/a.jsonl.{a.generation}.jsonl"
    assert uris[0] == f"gs://{landing.bucket_name}/{name}"
    stored = bucket.blob(name).download_as_bytes()
    lines = [json.loads(line) for line in stored.splitlines()]
    assert [(line["row_number"], line["content"], line["encoding"]) for line in lines] == [
        (2, "ü", "utf-8"),
        (9, base64.b64encode(b"\xff").decode(), "base64"),
    ]
    assert {(line["object"], line["generation"]) for line in lines} == {(a.uri, a.generation)}
    assert landing.put_dead_letters(reversed(letters)) == uris
    assert bucket.blob(name).download_as_bytes() == stored
    assert [arrival.name for arrival in landing.objects("shop")] == [a.name, b.name]


def test_of_a_date_that_was_read_anew_only_the_letters_of_this_reading_are_kept(landing: Landing) -> None:
    a, b = (landing.put("shop", DAY, name, b"x") for name in ("a.jsonl", "b.jsonl"))
    other = landing.put("shop", DAY + timedelta(days=1), "a.jsonl", b"x")
    landing.put_dead_letters(DeadLetter(arrival, 1, "not JSON", b"secret") for arrival in (a, b, other))
    landing.put_dead_letters([DeadLetter(b, 2, "no object")], all_of=("shop", DAY))
    assert list(landing.dead_letters("shop", DAY)) == [KeptLetter(b.uri, b.generation, 2, "no object")]
    assert landing.dead_letter_counts() == {("shop", DAY): (1, 1), ("shop", other.arrival_date): (1, 1)}


def test_dead_letters_are_counted_by_source_and_date(landing: Landing, bucket: Any) -> None:  # noqa: ANN401
    assert landing.dead_letter_counts() == {}
    later = DAY + timedelta(days=1)
    arrivals = [
        landing.put(source, day, name, b"x")
        for source, day, name in (("shop", DAY, "a.jsonl"), ("shop", DAY, "b.jsonl"), ("bank", later, "in/c.jsonl"))
    ]
    letters = [(arrivals[0], 1), (arrivals[0], 2), (arrivals[1], None), (arrivals[2], 7)]
    landing.put_dead_letters(DeadLetter(arrival, number, "not JSON", b"a\nb") for arrival, number in letters)
    bucket.blob("dead_letter/by hand.txt").upload_from_string(b"nothing")
    assert landing.dead_letter_counts() == {("shop", DAY): (2, 3), ("bank", later): (1, 1)}


def test_an_object_is_found_by_its_name(landing: Landing) -> None:
    arrival = landing.put("shop", DAY, "a.jsonl", b"x")
    assert landing.find("shop", DAY, "a.jsonl") == arrival
    assert landing.find("shop", DAY, "a.json") is None
    assert landing.find("shop", DAY + timedelta(days=1), "a.jsonl") is None

"""A watched folder on a real Cloud Storage emulator: what is copied, what is not copied again, what it costs."""

from __future__ import annotations

import os
import re
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from platform_assets.ingestion.bronze import ingest
from platform_assets.ingestion.connectors import ConnectorError, cloud_storage
from platform_assets.ingestion.landing import Landing
from platform_assets.ingestion.ledger import Ledger
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.reader import relation
from platform_assets.lakehouse.silver import rebuild
from platform_assets.settings import Settings
from platform_assets.sources.registry import load_folder
from platform_assets_tests.ingestion.connectors.ticks import Ticks, write_source


class Watched:
    """A bucket of somebody else."""

    def __init__(self, settings: Settings) -> None:
        from google.cloud import storage

        self.name = f"theirs-{uuid.uuid4().hex[:12]}"
        self.bucket: Any = storage.Client(project=settings.project).create_bucket(self.name)

    def drop(self, name: str, content: bytes = b"a,b\n1,2\n") -> None:
        """Write an object, over the one that may be there."""
        self.bucket.blob(name).upload_from_string(content)

    def drop_many(self, names: list[str]) -> None:
        """Many small objects, on one connection."""
        url = f"{os.environ['STORAGE_EMULATOR_HOST']}/upload/storage/v1/b/{self.name}/o"
        with httpx.Client() as client:
            for name in names:
                client.post(url, params={"uploadType": "media", "name": name}, content=b"1\n").raise_for_status()


@pytest.fixture
def theirs(settings: Settings) -> Watched:
    return Watched(settings)


@pytest.fixture
def tick(settings: Settings, theirs: Watched, tmp_path: Path) -> Ticks:
    location = f"gs://{theirs.name}/exports/"
    return Ticks(settings, write_source(tmp_path, "exports", pattern="batch_file", location=location, format="csv"))


def test_each_object_lands_once_byte_by_byte_under_the_date_of_its_creation(tick: Ticks, theirs: Watched) -> None:
    theirs.drop("exports/a.csv.gz", b"\x1f\x8bnot really")
    theirs.drop("exports/b.csv")
    theirs.drop("elsewhere/c.csv")
    theirs.drop("exports/", b"")
    landed = tick().objects
    today = datetime.now(UTC).date().isoformat()
    assert sorted(re.sub(r"\d{9,}", "<generation>", found.name) for found in landed) == [
        f"source=exports/date={today}/a-<generation>.csv.gz",
        f"source=exports/date={today}/b-<generation>.csv",
    ]
    assert tick.contents() == [b"\x1f\x8bnot really", b"a,b\n1,2\n"]
    assert tick().objects == []
    assert len(tick.landed()) == 2


def test_an_overwritten_object_is_a_new_arrival_and_the_old_one_stays(tick: Ticks, theirs: Watched) -> None:
    theirs.drop("exports/a.csv", b"old")
    tick()
    theirs.drop("exports/a.csv", b"new")
    (arrival,) = tick().objects
    assert arrival.name != tick.landed()[0].name
    assert tick.contents() == [b"old", b"new"]


def test_objects_in_subfolders_and_with_odd_names_keep_names_of_their_own(tick: Ticks, theirs: Watched) -> None:
    names = ["x/a b.csv", "x_a_b.csv", "x/a/b.csv", "ü/#?%.csv", "date=2020-01-01/a.csv", "x" * 220 + ".csv"]
    for number, name in enumerate(names):
        theirs.drop(f"exports/{name}", str(number).encode())
    tick()
    assert sorted(tick.contents()) == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,200}\.csv", found.file_name) for found in tick.landed())
    assert Landing(tick.settings).odd_names("exports") == []


def test_a_forgotten_ledger_copies_nothing_twice(tick: Ticks, theirs: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs.drop("exports/a.csv")
    (first,) = tick().objects
    monkeypatch.setenv("PLATFORM_OPERATIONS_URI", f"sqlite:///{tick.settings.home / 'another.db'}")
    tick.ledger = Ledger(Settings())
    assert tick().objects == [first]  # told again, with the generation that it has
    assert tick.landed() == [first]


def test_what_was_overwritten_between_listing_and_copying_is_taken_by_the_next_tick(
    tick: Ticks, theirs: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs.drop("exports/a.csv", b"old")
    listed = cloud_storage._Watch.page

    def page(watch: cloud_storage._Watch, start: str) -> list[Any]:
        found = listed(watch, start)
        theirs.drop("exports/a.csv", b"new")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(cloud_storage._Watch, "page", page)
        assert tick().objects == []
    tick()
    assert tick.contents() == [b"new"]


def test_a_large_folder_is_swept_page_by_page_and_appended_names_are_found_at_once(
    tick: Ticks, theirs: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud_storage, "PAGE", 10)
    monkeypatch.setattr(cloud_storage, "PAGES_PER_TICK", 2)
    theirs.drop_many([f"exports/{number:04}.csv" for number in range(100)])
    found = [len(tick().objects) for _ in range(9)]
    assert sum(found) == 100
    assert max(found) <= 30  # two pages of the sweep and one after the newest name
    theirs.drop("exports/2026-12-01.csv")
    assert len(tick().objects) == 1  # sorts after all that is known
    theirs.drop("exports/0003.csv", b"again")
    theirs.drop("exports/0000-late.csv")
    assert sum(len(tick().objects) for _ in range(8)) == 2
    assert len(tick.landed()) == 103


def test_a_tick_whose_time_is_up_goes_on_in_the_next_one(tick: Ticks, theirs: Watched) -> None:
    theirs.drop_many([f"exports/{number}.csv" for number in range(5)])
    assert tick(budget=-1).objects == []
    assert len(tick().objects) == 5


def test_a_bucket_that_does_not_exist_is_named_with_what_to_do(settings: Settings, tmp_path: Path) -> None:
    source = write_source(tmp_path, "salesforce", pattern="batch_file", location="gs://no-such-bucket-here/x/")
    with pytest.raises(
        ConnectorError,
        match=r"^salesforce: there is no bucket 'no-such-bucket-here', in which ingestion\.location watches 'x/'\. "
        r"Create it, or correct the address\. It is asked again in 10 s\.$",
    ):
        Ticks(settings, source)()


@pytest.mark.parametrize("folder", ["", "source=mine/", "source=mine/date=2026-01-01/", "dead_letter/"])
def test_landing_itself_is_not_watched(settings: Settings, tmp_path: Path, folder: str) -> None:
    location = f"gs://{settings.landing_bucket}/{folder}"
    source = write_source(tmp_path, "mine", pattern="batch_file", location=location)
    with pytest.raises(ConnectorError, match="is, or holds, the platform's own landing"):
        Ticks(settings, source)()


def test_a_transfer_s_destination_is_watched(settings: Settings, theirs: Watched, tmp_path: Path) -> None:
    transfer: dict[str, Any] = {"source_type": "s3", "source_bucket": "b", "destination": f"gs://{theirs.name}/aws/"}
    tick = Ticks(settings, write_source(tmp_path, "lake", pattern="cloud_transfer", **transfer))
    theirs.drop("aws/a.jsonl", b"{}\n")
    assert len(tick().objects) == 1


@pytest.mark.parametrize(
    ("location", "folder"), [("cdc/", "cdc/orders/"), ("cdc/public_{table}/", "cdc/public_orders/")]
)
def test_each_table_of_a_database_has_its_own_folder(
    settings: Settings, theirs: Watched, tmp_path: Path, location: str, folder: str
) -> None:
    root = tmp_path / "shop"
    root.mkdir()
    (root / "source.yaml").write_text(
        f"source_id: shop\npattern: database_cdc\nlocation: gs://{theirs.name}/{location}\ntables: [orders, order]\n",
        encoding="utf-8",
    )
    sources = load_folder(root)
    theirs.drop(f"{folder}2026/11/a.jsonl", b"{}\n")
    assert [len(Ticks(settings, source)().objects) for source in sources] == [1, 0]


def test_the_rows_of_a_watched_object_arrive_in_silver(settings: Settings, theirs: Watched, tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "integer"}, "name": {"type": "string"}, "length": {"type": "integer"}},
    }
    measure = {"name": "measure", "sql": "SELECT * REPLACE (length(name) AS length) FROM rows"}
    source = write_source(
        tmp_path,
        "exports",
        schema=schema,
        pattern="batch_file",
        location=f"gs://{theirs.name}/exports/",
        processing={"bronze_to_silver": [{"transform": measure}]},
    )
    tick, lakehouse = Ticks(settings, source), Lakehouse(settings)
    for content in (b'{"id": 1, "name": "Ada"}\n', b'{"id": 1, "name": "Grace"}\n{"id": 2, "name": "Jo"}\n'):
        theirs.drop("exports/people.jsonl", content)
        for arrival in tick().objects:
            ingest(settings, lakehouse, source, arrival.arrival_date, rebuild=False, run_id="run")
    rebuilt = rebuild(lakehouse, source, source.file.silver[0], partition=None, run_id="run")
    assert (rebuilt.accounting.rows_in, rebuilt.accounting.rows_duplicate) == (3, 1)
    with lakehouse.connect() as connection:
        rows = connection.execute(f"SELECT id, name, length FROM {relation(lakehouse, 'silver.exports')} ORDER BY id")
        assert rows.fetchall() == [(1, "Grace", 5), (2, "Jo", 2)]


def test_the_emulator_still_ignores_the_precondition_of_a_rewrite(settings: Settings, theirs: Watched) -> None:
    """Why `Landing.copy` looks first. When this fails, it need not any more."""
    theirs.drop("a")
    original = theirs.bucket.blob("a")
    copy = theirs.bucket.blob("b")
    copy.rewrite(original, if_generation_match=0)
    first = theirs.bucket.get_blob("b").generation
    copy.rewrite(original, if_generation_match=0)
    assert theirs.bucket.get_blob("b").generation != first
    assert settings.project

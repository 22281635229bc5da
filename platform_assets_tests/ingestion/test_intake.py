"""Clean objects are read in one pass: the rows are those that reading object by object gives, whatever arrives."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as runs
from hypothesis import strategies as st

from platform_assets.ingestion import clean_lines, intake
from platform_assets.ingestion.bronze import bronze_rows
from platform_assets.ingestion.dead_letters import DeadLetter
from platform_assets.ingestion.intake import Intake
from platform_assets.ingestion.landing import LandingObject
from platform_assets.ingestion.records import RecordSet
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.staging import Staged
from platform_assets.settings import Settings
from platform_assets.sources.contracts import bronze_contract
from platform_assets.sources.model import Source
from platform_assets.sources.registry import load_sources
from platform_assets_tests.arrivals import json_lines, web_event

DAY = date(2026, 3, 1)
LANDED = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVENT = json_lines([web_event(1, DAY.isoformat())]).strip()
OTHERS = (
    b'{"event_id": "x"}',
    b'{"event_id": null, "properties": {"a": [1, 2,3]}, "amount": 1.50, "email": "\\u00e4"}',
    b'{"event_id": "x", "amount": "12.50", "product_id": 7, "user_id": 5}',
    b'{"event_id": "x", "campaign": "spring"}',
    b'{"event_id": "x", "properties": {"text": "a,] and NaN,"}}',
    b'{"event_id": "x", "amount": NaN}',
    b'{"event_id": "x", "properties": [1,]}',
    b'{"event_id": "x"',
    b"{}",
    b"null",
    b"[]",
    b"",
    b"  ",
    b"\xff\xfe",
)
Rows = list[tuple[Any, ...]]


@dataclass
class Files:
    """Contents that are taken for landing objects."""

    folder: Path
    contents: Sequence[bytes]

    def objects(self, source: str, arrival_date: date) -> list[LandingObject]:
        """One object for each content."""
        found = []
        for number, content in enumerate(self.contents):
            name = f"source={source}/date={arrival_date}/{number:03d}.jsonl"
            found.append(LandingObject(source, arrival_date, name, number + 5, len(content), LANDED, "b"))
        return found

    def download(self, objects: Sequence[LandingObject], directory: Path) -> list[Path]:
        """The contents as files."""
        paths = [directory / found.name.replace("/", "-") for found in objects]
        for path, found in zip(paths, objects, strict=True):
            path.write_bytes(self.contents[found.generation - 5])
        return paths

    def put_dead_letters(self, letters: Iterable[DeadLetter], *, all_of: tuple[str, date] | None = None) -> list[str]:
        """Nothing here keeps any."""
        raise NotImplementedError(letters, all_of)


@pytest.fixture(scope="module")
def source() -> Source:
    return next(source for source in load_sources() if source.name == "web_events")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def taken(home: Path, source: Source, contents: Sequence[bytes], *, together: bool) -> tuple[Rows, RecordSet, int]:
    """The staged rows, what was read object by object, and how many files were staged."""
    lakehouse = Lakehouse(Settings(home=home))
    contract = bronze_contract(source)
    columns = [column.name for column in contract.columns if column.name != "_ingested_at"]
    with (
        TemporaryDirectory() as folder,
        lakehouse.connect() as connection,
        Staged(lakehouse.ensure(contract), contract, connection) as staged,
        pytest.MonkeyPatch.context() as patch,
    ):
        if not together:
            patch.setattr(Intake, "_clean", lambda _self, objects, _folder: objects)
        files = Files(Path(folder), contents)
        rows = partial(bronze_rows, lakehouse.settings, source, DAY)
        read = Intake(source, files, connection, staged, DAY, rows).take(files.objects(source.name, DAY), Path(folder))
        assert list(Path(folder).iterdir()) == []
        found = []
        if staged.rows:
            found = connection.execute(f"SELECT {', '.join(columns)} FROM {staged.relation} ORDER BY ALL").fetchall()
        return found, read, len(staged.files)


def letters(read: RecordSet) -> list[tuple[str, int | None, str, bytes]]:
    return [(one.object.uri, one.row_number, one.reason, one.content) for one in read.dead_letters]


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    lines = draw(st.lists(st.one_of(st.just(EVENT), st.just(EVENT), st.sampled_from(OTHERS)), max_size=6))
    content = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    content += draw(st.sampled_from([b"\n", b"\r\n"])).join(lines) + draw(st.sampled_from([b"", b"\n"]))
    packed = draw(st.sampled_from(["plain", "plain", "gzip", "cut"]))
    if packed == "plain":
        return content
    return gzip.compress(content)[: None if packed == "gzip" else -4]


@runs(max_examples=60, deadline=None)
@given(contents=st.lists(objects(), min_size=1, max_size=5))
def test_whatever_arrives_both_ways_give_the_same_rows_and_dead_letters(
    home: Path, source: Source, contents: list[bytes]
) -> None:
    one_by_one, read, _ = taken(home, source, contents, together=False)
    in_one_pass, left, _ = taken(home, source, contents, together=True)

    assert in_one_pass == one_by_one
    assert letters(left) == letters(read)


@pytest.fixture
def small_groups() -> Iterator[None]:
    """As if two processors had more than enough to do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clean_lines, "_SMALLEST", 1)
        patch.setattr("os.cpu_count", lambda: 2)
        yield


@pytest.mark.usefixtures("small_groups")
def test_clean_objects_are_one_file_for_each_processor_and_rows_know_their_object(home: Path, source: Source) -> None:
    contents = [json_lines([web_event(10 * place + n, DAY.isoformat()) for n in range(place)]) for place in range(8)]

    rows, read, files = taken(home, source, contents, together=True)

    assert (files, read.records) == (2, 0)
    names = [column.name for column in bronze_contract(source).columns if column.name != "_ingested_at"]
    uri, number, generation = (names.index(f"_{name}") for name in ("landing_uri", "row_number", "landing_generation"))
    found = sorted((row[generation], row[number], row[uri][-9:], row[0]) for row in rows)
    assert found == [
        (place + 5, n + 1, f"{place:03d}.jsonl", web_event(10 * place + n, DAY.isoformat())["event_id"])
        for place in range(8)
        for n in range(place)
    ]


@pytest.mark.usefixtures("small_groups")
def test_what_is_not_clean_takes_only_its_own_group_object_by_object(home: Path, source: Source) -> None:
    contents = [EVENT, EVENT, EVENT, b'{"event_id": "x", "campaign": "spring"}' + b" " * (len(EVENT) - 39)]

    rows, read, files = taken(home, source, contents, together=True)

    assert len(rows) == 4
    assert [count.records for count in read.objects] == [1, 1]
    assert [json.loads(row[10]) for row in rows if row[10]] == [{"campaign": "spring"}]
    assert files == 2


def test_a_stream_is_read_at_once_or_not_at_all(home: Path, source: Source) -> None:
    def torn(objects: clean_lines.Objects, head: bytes, path: Path) -> tuple[clean_lines.Stream | None, Any]:
        stream, others = clean_lines.gather(objects, head, path)
        with path.open("ab") as target:
            target.write(b'{"event_id": "never')
        return stream, others

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intake, "gather", torn)
        rows, read, files = taken(home, source, [EVENT, EVENT], together=True)

    assert (len(rows), read.records, files) == (2, 2, 1)

"""The generator of web events: its report against an independent reading of the files that it wrote."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from string import Template
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.local.web_events import BAD_KINDS, EventBatch, EventBatchError, EventObject, generate, upload

FIRST_DAY = date(2025, 11, 1)
FIELDS = (
    "event_id",
    "user_id",
    "session_id",
    "event_type",
    "event_timestamp",
    "amount",
    "currency",
    "product_id",
    "properties",
    "email",
)
# The contract of web events, written a second time on purpose. Every field is the JSON text as it arrived, so that
# "12.50" as text differs from a number; a rule that is NULL is not kept.
RULES = {
    "event_id": r"""regexp_full_match(event_id, '"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"')""",
    "user_id": """regexp_full_match(user_id, '"[^"]{1,64}"')""",
    "session_id": """regexp_full_match(session_id, '"[^"]+"')""",
    "event_type": """event_type IN ('"page_view"', '"click"', '"add_to_cart"', '"purchase"', '"signup"', '"search"',
        '"error"')""",
    "event_timestamp": r"""regexp_full_match(event_timestamp, '"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"')
        AND TRY_CAST(event_timestamp ->> '$' AS TIMESTAMP) IS NOT NULL""",
    "amount": r"regexp_full_match(coalesce(amount, '0'), '\d+(\.\d{1,2})?')",
    "currency": """coalesce(currency, '"USD"') IN ('"USD"', '"EUR"', '"GBP"')""",
    "product_id": r"regexp_full_match(coalesce(product_id, '1'), '[1-9]\d*')",
    "properties": "json_type(coalesce(properties, '{}')) = 'OBJECT'",
    "email": r"""regexp_full_match(coalesce(email, '"a@b.c"'), '"[a-z0-9.]+@[a-z0-9]+(\.[a-z0-9]+)+"')""",
}


@dataclass(frozen=True)
class Reading:
    """What stands in the files, counted without the generator."""

    batch: EventBatch
    broken: Counter[tuple[str, ...]]


ROWS = Template("""
CREATE TABLE rows AS
SELECT * REPLACE (replace(filename, '$directory/', '') AS filename),
    hash($fields) AS content,
    CAST(regexp_extract(filename, 'date=([0-9-]+)/', 1) AS DATE) AS object_date,
    TRY_CAST(event_timestamp ->> '$$' AS TIMESTAMP)::DATE AS event_date,
    list_filter([$broken], lambda field: field IS NOT NULL) AS broken
FROM read_json('$directory/*/*/*.jsonl.gz', format = 'newline_delimited', columns = {$columns},
    filename = true, hive_partitioning = false);
CREATE VIEW valid AS SELECT * FROM rows WHERE len(broken) = 0;
CREATE VIEW originals AS SELECT * FROM valid
    QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY parse_filename(filename)) = 1;
CREATE VIEW copied AS
SELECT count(DISTINCT content) AS contents, count(DISTINCT filename) AS files
FROM rows GROUP BY event_id HAVING count(*) > 1;
CREATE VIEW users AS
SELECT user_id, count(DISTINCT email) AS emails, count(email) AS with_email, count(*) AS events
FROM valid GROUP BY user_id;
CREATE VIEW sessions AS SELECT session_id, count(DISTINCT user_id) AS users FROM valid GROUP BY session_id;
""")


def read(directory: Path) -> duckdb.DuckDBPyConnection:
    """The rows of every file under `directory` as table `rows`, each with the rules it breaks and its object's date."""
    connection = duckdb.connect()
    connection.execute(
        ROWS.substitute(
            directory=directory,
            fields=", ".join(FIELDS),
            columns=", ".join(f"{field}: 'JSON'" for field in FIELDS),
            broken=", ".join(f"CASE WHEN ({rule}) IS NOT TRUE THEN '{field}' END" for field, rule in RULES.items()),
        )
    )
    return connection


def count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(connection.execute(query).fetchall()[0][0])


def read_batch(directory: Path, objects: int) -> Reading:
    """The report that the files themselves give."""
    connection = read(directory)
    by_object = connection.execute(
        "SELECT filename, count(*) FROM rows GROUP BY filename ORDER BY parse_filename(filename)"
    )
    files = tuple(EventObject(name, rows) for name, rows in by_object.fetchall())
    by_date = "SELECT event_date::VARCHAR, count(DISTINCT event_id) FROM valid GROUP BY ALL ORDER BY ALL"
    batch = EventBatch(
        events=count(connection, "SELECT count(*) FROM rows"),
        objects=files,
        distinct_valid_event_ids=count(connection, "SELECT count(DISTINCT event_id) FROM valid"),
        quarantined=count(connection, "SELECT count(*) FROM rows WHERE len(broken) > 0"),
        duplicates=count(connection, "SELECT count(*) - count(DISTINCT event_id) FROM valid"),
        late=count(connection, "SELECT count(*) FROM rows WHERE event_date < object_date"),
        rows_by_event_date=dict(connection.execute(by_date).fetchall()),
    )
    broken = connection.execute("SELECT broken, count(*) FROM rows WHERE len(broken) > 0 GROUP BY ALL").fetchall()
    assert len(files) == objects
    return Reading(batch, Counter({tuple(fields): number for fields, number in broken}))


def lines(directory: Path) -> dict[str, bytes]:
    """Decompressed content of every file by its name."""
    return {str(path.relative_to(directory)): gzip.decompress(path.read_bytes()) for path in directory.rglob("*.gz")}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("events")


@pytest.fixture(scope="module")
def batch(directory: Path) -> EventBatch:
    """20,000 events over 3 days in 7 files, with the default shares."""
    return generate(directory, events=20_000, first_day=FIRST_DAY, days=3, objects=7, seed=7)


@pytest.fixture(scope="module")
def rows(directory: Path, batch: EventBatch) -> duckdb.DuckDBPyConnection:
    assert batch.events == 20_000
    return read(directory)


def test_report_is_what_the_files_hold(directory: Path, batch: EventBatch) -> None:
    reading = read_batch(directory, objects=7)
    assert reading.batch == batch
    assert (batch.quarantined, batch.duplicates, batch.distinct_valid_event_ids) == (100, 400, 19_500)
    assert batch.late >= 1_000
    assert sum(batch.rows_by_event_date.values()) == batch.distinct_valid_event_ids


def test_bad_rows_are_of_every_kind_alike(directory: Path, batch: EventBatch) -> None:
    broken = read_batch(directory, objects=7).broken
    each = batch.quarantined // len(BAD_KINDS)
    fields = {"event_id", "user_id", "event_type", "event_timestamp", "amount", "currency", "email"}
    assert set(broken) == {(field,) for field in fields}, "a bad row breaks one rule and no other"
    for (field,), number in broken.items():
        kinds = 2 if field == "amount" else 1  # negative, and as text
        assert kinds * each <= number <= kinds * (each + 1)


@settings(max_examples=12, deadline=None)
@given(
    events=st.integers(1, 3_000),
    objects=st.integers(1, 12),
    days=st.integers(1, 40),
    seed=st.integers(0, 2**70),
    shares=st.tuples(*[st.integers(0, 100)] * 4).filter(lambda parts: parts[3] > 0),
    late_days=st.integers(1, 10),
)
def test_report_is_exact_whatever_is_asked_for(
    *, events: int, objects: int, days: int, seed: int, shares: tuple[int, int, int, int], late_days: int
) -> None:
    objects = min(objects, events)
    duplicate, late, bad = (round(part / sum(shares), 3) for part in shares[:3])
    if duplicate + late + bad >= 1:  # rounding
        late = round(late / 2, 3)
    with tempfile.TemporaryDirectory() as folder:
        batch = generate(
            Path(folder),
            events=events,
            first_day=FIRST_DAY,
            days=days,
            objects=objects,
            seed=seed,
            duplicate_share=duplicate,
            late_share=late,
            bad_share=bad,
            late_days=late_days,
        )
        reading = read_batch(Path(folder), objects)
    assert reading.batch == batch
    assert batch.events == events == batch.distinct_valid_event_ids + batch.duplicates + batch.quarantined
    assert batch.duplicates == int(round(duplicate * 1000) * events // 1000)
    assert batch.quarantined == int(round(bad * 1000) * events // 1000)


def test_files_stand_in_the_landing_layout_spread_over_the_days(directory: Path, batch: EventBatch) -> None:
    days = [0, 0, 0, 1, 1, 2, 2]  # i * 3 // 7
    names = [
        f"source=web_events/date={FIRST_DAY + timedelta(days=day)}/events-7-{i:05d}.jsonl.gz"
        for i, day in enumerate(days)
    ]
    assert [written.name for written in batch.objects] == names
    assert sorted(lines(directory)) == sorted(names), "and nothing else is left behind"


def test_rows_are_dated_on_their_objects_day_or_a_few_days_before(rows: duckdb.DuckDBPyConnection) -> None:
    ages = "SELECT object_date - event_date, count(*) FROM originals GROUP BY ALL ORDER BY ALL"
    ordinary, *late = rows.execute(ages).fetchall()
    assert ordinary == (0, 18_500)
    assert [age for age, _ in late] == [1, 2, 3]
    assert sum(number for _, number in late) == 1_000
    assert count(rows, "SELECT count(*) FROM rows WHERE event_date > object_date") == 0
    assert count(rows, "SELECT count(*) FROM rows WHERE len(broken) > 0 AND event_date <> object_date") == 0


def test_duplicates_are_exact_copies_also_in_other_files(rows: duckdb.DuckDBPyConnection) -> None:
    assert count(rows, "SELECT max(contents) FROM copied") == 1
    assert count(rows, "SELECT count(*) FROM copied WHERE files > 1") > 50
    assert count(rows, "SELECT count(*) FROM copied WHERE files = 1") > 50


def test_fields_vary_as_a_web_shop_would_have_them(rows: duckdb.DuckDBPyConnection) -> None:
    types = dict(rows.execute("SELECT event_type ->> '$', count(*) FROM valid GROUP BY ALL").fetchall())
    assert len(types) == 7
    assert types["page_view"] > types["click"] > types["purchase"] > 0
    assert count(rows, "SELECT count(*) FROM valid WHERE (amount IS NULL) <> (event_type <> '\"purchase\"')") == 0
    assert count(rows, "SELECT count(*) FROM valid WHERE (amount IS NULL) <> (currency IS NULL)") == 0
    assert count(rows, "SELECT count(DISTINCT currency) FROM valid") == 3
    assert rows.execute("SELECT min(product_id::INT), max(product_id::INT) FROM valid").fetchall() == [(1, 20)]
    assert count(rows, "SELECT count(*) FROM users WHERE emails > 1 OR with_email NOT IN (0, events)") == 0
    assert 30 < count(rows, "SELECT 1000 * avg((emails = 0)::INT) FROM users") < 70, "about 5 % have no e-mail"
    assert count(rows, "SELECT max(users) FROM sessions") == 1


def test_record_has_every_field_in_order_and_nested_properties(directory: Path, batch: EventBatch) -> None:
    content = lines(directory)[batch.objects[0].name]
    record: dict[str, Any] = json.loads(content.splitlines()[0])
    assert tuple(record) == FIELDS
    assert set(record["properties"]) == {"page", "referrer", "device"}
    assert set(record["properties"]["device"]) == {"os", "browser"}
    assert content.endswith(b"\n")


def test_same_seed_writes_the_same_bytes_and_another_writes_others(tmp_path: Path) -> None:
    def write(name: str, *, seed: int, first_day: date = FIRST_DAY) -> dict[str, bytes]:
        generate(tmp_path / name, events=600, first_day=first_day, days=2, objects=3, seed=seed)
        return lines(tmp_path / name)

    first = write("first", seed=7)
    assert write("again", seed=7) == first
    others = [write("other seed", seed=8), write("other day", seed=7, first_day=date(2025, 12, 1))]
    assert all(not set(ids(first)) & set(ids(other)) for other in others), "no event_id is shared"


def ids(files: dict[str, bytes]) -> list[str]:
    return [json.loads(line)["event_id"] for content in files.values() for line in content.splitlines()]


def test_upload_hands_over_every_file_under_its_object_name(directory: Path, batch: EventBatch) -> None:
    bucket: dict[str, bytes] = {}
    assert upload(directory, bucket.__setitem__) == 7
    assert list(bucket) == [written.name for written in batch.objects]
    assert {name: gzip.decompress(content) for name, content in bucket.items()} == lines(directory)


def test_upload_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EventBatchError, match="generate first"):
        upload(tmp_path, lambda _name, _content: None)


def test_report_as_json_says_everything(batch: EventBatch) -> None:
    report = json.loads(batch.as_json())
    assert report["objects"][0] == {"name": batch.objects[0].name, "rows": batch.objects[0].rows}
    assert report["rows_by_event_date"] == batch.rows_by_event_date
    assert report["duplicates"] == 400


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"events": 2}, "events is 2; expected 3"),
        ({"objects": 0}, "objects is 0; expected at least 1"),
        ({"days": 0}, "days is 0; expected at least 1"),
        ({"seed": -1}, "seed is -1; expected 0 or more"),
        ({"late_days": 0}, "late_days is 0; expected at least 1"),
        ({"bad_share": -0.1}, "bad_share is -0.1; expected a share between 0 and 1"),
        ({"late_share": float("nan")}, "late_share is nan; expected a share between 0 and 1"),
        ({"duplicate_share": 0.6, "late_share": 0.4, "bad_share": 0.0}, "is 1; expected less than 1"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(tmp_path: Path, wrong: dict[str, Any], complaint: str) -> None:
    numbers: dict[str, Any] = {"events": 100, "first_day": FIRST_DAY, "days": 2, "objects": 3, "seed": 1, **wrong}
    with pytest.raises(EventBatchError, match=complaint):
        generate(tmp_path, **numbers)
    assert list(tmp_path.iterdir()) == []

"""Parquet: each value as JSON of it would have come, odd files read, damaged ones named."""

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.sources.contracts import BronzeField
from platform_assets.sources.ingestion_settings import Format
from platform_assets_tests.ingestion.reading import WHOLE, Reading, text_fields

MOMENT = datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def parquet(folder: Path, *contents: bytes, **options: Any) -> Reading:  # noqa: ANN401 - of `Reading`
    return Reading(folder, *contents, **{"name": "a.parquet", "file_format": Format.PARQUET, **options})


def written(columns: dict[str, pa.Array], **options: Any) -> bytes:  # noqa: ANN401 - of the writer
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target, **options)
    return target.getvalue()


@pytest.mark.parametrize(
    ("value", "kind", "text", "as_json"),
    [
        (7, pa.int8(), "7", "7"),
        (2**64 - 1, pa.uint64(), "18446744073709551615", "18446744073709551615"),
        (0.1, pa.float64(), "0.1", "0.1"),
        (0.5, pa.float32(), "0.5", "0.5"),
        (float("nan"), pa.float64(), '"nan"', '"nan"'),
        (True, pa.bool_(), "true", "true"),
        (Decimal("12345678901234567890.1234567890"), pa.decimal128(38, 10), *["12345678901234567890.1234567890"] * 2),
        ('a"ü', pa.string(), 'a"ü', '"a\\"ü"'),
        ("", pa.string(), "", '""'),
        (b"abc", pa.binary(), "abc", '"abc"'),
        (b"\xff\xfe", pa.binary(), "//4=", '"//4="'),
        (date(1, 1, 1), pa.date32(), "0001-01-01", '"0001-01-01"'),
        (date(9999, 12, 31), pa.date32(), "9999-12-31", '"9999-12-31"'),
        (MOMENT, pa.timestamp("us", "Europe/Paris"), "2024-01-02T03:04:05.678901Z", '"2024-01-02T03:04:05.678901Z"'),
        (MOMENT.replace(tzinfo=None), pa.timestamp("ms"), "2024-01-02T03:04:05.678Z", '"2024-01-02T03:04:05.678Z"'),
        (1, pa.timestamp("ns"), "1970-01-01T00:00:00.000000001Z", '"1970-01-01T00:00:00.000000001Z"'),
        (time(1, 2, 3), pa.time64("us"), "01:02:03", '"01:02:03"'),
        ([1, None], pa.list_(pa.int32()), "[1,null]", "[1,null]"),
        ([], pa.list_(pa.int32()), "[]", "[]"),
        (
            {"a": Decimal("1.10"), "b": [{"c": MOMENT}]},
            pa.struct({"a": pa.decimal128(5, 2), "b": pa.list_(pa.struct({"c": pa.timestamp("us", "UTC")}))}),
            *['{"a":1.10,"b":[{"c":"2024-01-02T03:04:05.678901Z"}]}'] * 2,
        ),
        ([("k", {1: None})], pa.map_(pa.string(), pa.map_(pa.int32(), pa.bool_())), *['{"k":{"1":null}}'] * 2),
        (None, pa.list_(pa.int32()), None, None),
        (None, pa.null(), None, None),
    ],
)
def test_every_type_has_the_form_that_json_would_have(
    tmp_path: Path, value: object, kind: pa.DataType, text: str | None, as_json: str | None
) -> None:
    array = pa.array([value, None], kind)
    content = written({"t": array, "j": array})
    fields = [BronzeField("t", "t", text=True), BronzeField("j", "j", text=False)]
    reading = parquet(tmp_path, content, gzip.compress(content), fields=fields)
    assert reading.letters == []
    assert (
        reading.connection.execute(
            "SELECT t, j, _row_number FROM records ORDER BY _landing_generation, _row_number"
        ).fetchall()
        == [(text, as_json, 1), (None, None, 2)] * 2
    )


def test_columns_that_are_no_field_are_kept(tmp_path: Path) -> None:
    names = ["a", "A", "_landing_uri", "user-password", "n"]
    content = written({name: pa.array([name, None]) for name in names[:-1]} | {"n": pa.array([1.5, None])})
    reading = parquet(tmp_path, content, fields=text_fields("a", "b"), secrets=[("userPassword",)])
    assert reading.rows("_row_number, a, b, _unexpected") == [
        (1, "a", None, '{"A":"A","_landing_uri":"_landing_uri","n":1.5}'),
        (2, None, None, None),
    ]
    assert [(found.name, found.json_type, found.records) for found in reading.set.unexpected] == [
        ("A", "string", 1),
        ("_landing_uri", "string", 1),
        ("n", "number", 1),
    ]


def test_record_of_an_object_without_a_schema_is_an_object_of_its_columns(tmp_path: Path) -> None:
    content = written({"a": pa.array([1, None]), 'it\'s "b"': pa.array([["x"], None])})
    assert parquet(tmp_path, content, fields=WHOLE).rows("_row_number, record") == [
        (1, '{"a":1,"it\'s \\"b\\"":["x"]}'),
        (2, '{"a":null,"it\'s \\"b\\"":null}'),
    ]


def test_rows_are_numbered_across_row_groups(tmp_path: Path) -> None:
    content = written({"n": pa.array(range(10_000))}, row_group_size=1000)
    reading = parquet(tmp_path, content, fields=[BronzeField("n", "n", text=False)])
    assert reading.connection.execute("SELECT count(*) FROM records WHERE n::BIGINT + 1 = _row_number").fetchall() == [
        (10_000,)
    ]


def test_damaged_file_is_one_dead_letter_and_the_others_are_read(tmp_path: Path) -> None:
    good = written({"a": pa.array(["x" * 50] * 100), "n": pa.array(list(range(100)))})
    flipped = bytearray(good)
    flipped[10:60] = b"\xff" * 50
    bad = [b"", b"no parquet at all", good[: len(good) // 2], good[:-1], bytes(flipped), gzip.compress(good)[:-9]]
    reading = parquet(tmp_path, *bad, good, fields=text_fields("a"))
    assert [count.records for count in reading.set.objects] == [0] * len(bad) + [100]
    assert len(reading.letters) == len(bad)
    for number, reason in reading.letters[:-1]:
        assert number is None
        assert reason.startswith("not Parquet that can be read: ")
        assert str(tmp_path) not in reason
    assert reading.letters[-1] == (None, "gzip stream ends early: no record of the object is used")
    assert reading.set.faults == len(bad)


def test_names_that_are_no_text_are_a_damage(tmp_path: Path) -> None:
    content = written({"abcd": pa.array([1])}).replace(b"abcd", b"ab\xff\xfe")
    reading = parquet(tmp_path, content, fields=WHOLE)
    ((number, reason),) = reading.letters
    assert number is None
    assert reason.startswith("not Parquet that can be read: ")


GOOD = {"ARROW-GH-43605.parquet": 21_186}  # a dictionary of one value, whose index needs no bits


def test_every_damaged_file_of_the_corpus_is_a_dead_letter(tmp_path: Path, real_data: Path) -> None:
    files = sorted((real_data / "parquet_bad_data" / "bad_data").glob("*.parquet"))
    assert len(files) == 8
    reading = parquet(tmp_path, *(file.read_bytes() for file in files), fields=WHOLE)
    assert {file.name: count.records for file, count in zip(files, reading.set.objects, strict=True)} == {
        file.name: GOOD.get(file.name, 0) for file in files
    }
    assert len(reading.letters) == len(files) - len(GOOD)
    assert all(number is None and reason.startswith("not Parquet") for number, reason in reading.letters)


def test_odd_files_of_the_corpus_are_read(tmp_path: Path, real_data: Path) -> None:
    names = ["alltypes_plain", "int96_from_spark", "nested_maps.snappy"]
    contents = [(real_data / "parquet_bad_data" / "data" / f"{name}.parquet").read_bytes() for name in names]
    reading = parquet(tmp_path, *contents, fields=WHOLE)
    assert reading.letters == []
    rows = reading.connection.execute("SELECT record FROM records ORDER BY _landing_generation, _row_number").fetchall()
    records = [json.loads(record) for (record,) in rows]
    assert (len(records), records[0]["string_col"], records[0]["timestamp_col"]) == (20, "0", "2009-03-01T00:00:00Z")
    assert records[8] == {"a": "2024-01-01T20:34:56.123456Z"}
    assert records[14]["a"] == {"a": {"1": True, "2": False}}

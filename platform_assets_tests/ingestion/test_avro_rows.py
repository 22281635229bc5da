"""Avro: each value as JSON of it would have come, logical types too, and what becomes of damaged files."""

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import pytest

from platform_assets.ingestion import refusals as refusing
from platform_assets.sources.contracts import BronzeField
from platform_assets.sources.ingestion_settings import Format
from platform_assets_tests.ingestion.reading import WHOLE, Reading, text_fields

MOMENT = datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def avro(folder: Path, *contents: bytes, **options: Any) -> Reading:  # noqa: ANN401 - of `Reading`
    return Reading(folder, *contents, **{"name": "a.avro", "file_format": Format.AVRO, **options})


def written(kinds: dict[str, Any], *records: dict[str, Any], **options: Any) -> bytes:  # noqa: ANN401 - of the writer
    fields = [{"name": name, "type": kind} for name, kind in kinds.items()]
    target = io.BytesIO()
    fastavro.writer(target, {"type": "record", "name": "r", "fields": fields}, list(records), **options)
    return target.getvalue()


@pytest.mark.parametrize(
    ("value", "kind", "text", "as_json"),
    [
        (7, "int", "7", "7"),
        (-(2**63), "long", "-9223372036854775808", "-9223372036854775808"),
        (0.1, "double", "0.1", "0.1"),
        (float("inf"), "double", '"inf"', '"inf"'),
        (True, "boolean", "true", "true"),
        ('a"ü', "string", 'a"ü', '"a\\"ü"'),
        (b"abc", "bytes", "abc", '"abc"'),
        (b"\xff\xfe", "bytes", "//4=", '"//4="'),
        ("x", {"type": "enum", "name": "e", "symbols": ["x"]}, "x", '"x"'),
        (
            Decimal("12345678901234567890.10"),
            {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 2},
            *["12345678901234567890.10"] * 2,
        ),
        (date(1, 1, 1), {"type": "int", "logicalType": "date"}, "0001-01-01", '"0001-01-01"'),
        (time(1, 2, 3), {"type": "long", "logicalType": "time-micros"}, "01:02:03", '"01:02:03"'),
        (
            MOMENT,
            {"type": "long", "logicalType": "timestamp-micros"},
            "2024-01-02T03:04:05.678901Z",
            '"2024-01-02T03:04:05.678901Z"',
        ),
        (
            MOMENT.replace(tzinfo=None),
            {"type": "long", "logicalType": "local-timestamp-micros"},
            "2024-01-02T03:04:05.678901Z",
            '"2024-01-02T03:04:05.678901Z"',
        ),
        (UUID(int=1), {"type": "string", "logicalType": "uuid"}, str(UUID(int=1)), f'"{UUID(int=1)}"'),
        ([1, 2], {"type": "array", "items": "int"}, "[1,2]", "[1,2]"),
        ({"k": {"d": 1}}, {"type": "map", "values": {"type": "map", "values": "int"}}, *['{"k":{"d":1}}'] * 2),
        (None, "null", None, None),
    ],
)
def test_every_type_has_the_form_that_json_would_have(
    tmp_path: Path, value: object, kind: object, text: str | None, as_json: str | None
) -> None:
    content = written({"t": kind, "j": kind if not isinstance(kind, dict) or "name" not in kind else kind["name"]},
                      {"t": value, "j": value})  # fmt: skip
    fields = [BronzeField("t", "t", text=True), BronzeField("j", "j", text=False)]
    reading = avro(tmp_path, content, gzip.compress(content), fields=fields)
    assert reading.letters == []
    assert reading.rows("t, j, _row_number") == [(text, as_json, 1)] * 2


def test_fields_that_the_schema_does_not_have_are_kept_and_secrets_are_not(tmp_path: Path) -> None:
    kinds = {"a": "string", "_landing_uri": "int", "userPassword": "string", "gone": ["null", "int"]}
    content = written(kinds, {"a": "x", "_landing_uri": 1, "userPassword": "hunter2", "gone": None})
    reading = avro(tmp_path, content, fields=text_fields("a", "b"), secrets=[("user_password",)])
    assert reading.rows("a, b, _unexpected") == [("x", None, '{"_landing_uri":1}')]
    assert reading.set.absent == {"b": 1}


def test_many_records_keep_their_numbers_and_a_record_too_large_is_a_dead_letter(tmp_path: Path) -> None:
    records = [{"a": str(number)} for number in range(25_000)]
    records[7] = {"a": "x" * (refusing.MAX_RECORD_BYTES + 1)}
    reading = avro(tmp_path, written({"a": "string"}, *records, codec="deflate"), fields=text_fields("a"))
    found = reading.connection.execute("SELECT count(*) FROM records WHERE a::BIGINT + 1 = _row_number").fetchall()
    assert found == [(24_999,)]
    assert reading.letters == [(8, "record of 16,777,217 bytes is larger than 16,777,216")]


def test_damaged_file_gives_the_records_before_the_damage_and_says_so(tmp_path: Path) -> None:
    content = written({"a": "string"}, *({"a": f"{number:09}"} for number in range(5000)), sync_interval=1000)
    reading = avro(tmp_path, b"", b"no avro", content[: len(content) // 2], content, fields=text_fields("a"))
    empty, other, cut, whole = reading.set.objects
    assert (empty.records, other.records, whole.records) == (0, 0, 5000)
    assert 2000 < cut.records < 3000
    assert [number for number, _ in reading.letters] == [None] * 3
    assert all(reason.startswith("not Avro that can be read: ") for _, reason in reading.letters)
    assert reading.letters[2][1].endswith(f"after record {cut.records}")


def test_record_of_an_object_without_a_schema_is_any_avro_value(tmp_path: Path) -> None:
    target = io.BytesIO()
    fastavro.writer(target, {"type": "array", "items": "int"}, [[1, 2], []])
    content = target.getvalue()
    assert avro(tmp_path, content, fields=WHOLE).rows("record, _row_number") == [("[1,2]", 1), ("[]", 2)]
    assert avro(tmp_path, content, fields=text_fields("a")).letters == [(1, "not a record"), (2, "not a record")]


def test_change_events_of_a_real_stream_are_read(tmp_path: Path, real_data: Path) -> None:
    files = sorted((real_data / "cdc_datastream_avro").rglob("*.avro"))
    assert len(files) == 10
    fields = [BronzeField("uuid", "uuid", text=True), BronzeField("payload", "payload", text=False)]
    reading = avro(tmp_path, *(file.read_bytes() for file in files), fields=fields)
    assert reading.letters == []
    with (files[0]).open("rb") as file:
        expected = len(list(fastavro.reader(file)))
    assert reading.set.objects[0].records == expected
    payloads = [json.loads(payload) for (payload,) in reading.rows("payload") if payload]
    assert all(isinstance(payload, dict) for payload in payloads)
    assert payloads

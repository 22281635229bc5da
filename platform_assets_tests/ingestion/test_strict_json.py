"""What is JSON and what DuckDB takes for it, in lines, documents and messages; and records of any value."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import duckdb
import pytest

from platform_assets.ingestion import json_documents
from platform_assets.ingestion.strict_json import is_strict, is_suspicious, suspicious
from platform_assets.sources.ingestion_settings import Format
from platform_assets_tests.ingestion.reading import FIELDS, WHOLE, Reading

LENIENT = [
    "[NaN]",
    "[nan]",
    "[-NaN]",
    "[Inf]",
    "[ -inf ]",
    "[1, Infinity]",
    "[-Infinity\n]",
    '{"a":NaN}',
    '{"a": -iNF}',
    '{"a":1,}',
    "[1,]",
    "[1\t, ]",
    "[[],]",
    "NaN",
    "-Infinity",
]
HARMLESS = [
    '{"a":"NaN"}',
    '{"a":"x,]"}',
    '{"a":": nan, "}',
    '["banana","finance"]',
    "[]",
    '{"information":1}',
    "[[],[]]",
    '{"a":[],"b":{}}',
]


def document(folder: Path, *contents: bytes, whole: bool = True, name: str = "a.json") -> Reading:
    return Reading(folder, *contents, name=name, file_format=Format.JSON, fields=WHOLE if whole else FIELDS)


def whole_records(reading: Reading) -> list[str]:
    rows = reading.connection.execute("SELECT record FROM records ORDER BY _landing_generation, _row_number").fetchall()
    return [record for (record,) in rows]


@pytest.mark.parametrize("text", LENIENT)
def test_what_only_duckdb_takes_for_json_is_suspicious_and_not_strict(tmp_path: Path, text: str) -> None:
    """The first assertion is why there is this module; when it fails, DuckDB has become strict."""
    connection, path = duckdb.connect(), tmp_path / "a"
    path.write_text(text)
    assert connection.execute("SELECT json_valid($1)", [text]).fetchone() == (True,)
    assert is_suspicious(path)
    assert connection.execute(f"SELECT {suspicious('$1')}", [text]).fetchone() == (True,)
    assert not is_strict(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_texts_that_look_lenient_are_strict(text: str) -> None:
    assert is_strict(text)


def test_what_is_found_does_not_depend_on_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for filling in (b"", b" " * 3_000_000, b'"x",' * 1_000_000):
        path.write_bytes(b'[{"a":1,' + filling + b"}]")
        assert is_suspicious(path)
    path.write_bytes(b"")
    assert not is_suspicious(path)


@pytest.mark.parametrize("text", [text for text in LENIENT if "\n" not in text])
@pytest.mark.parametrize("envelope", [False, True])
def test_lenient_line_is_a_dead_letter_and_the_others_are_rows(tmp_path: Path, text: str, envelope: bool) -> None:
    lines = ['{"id":1}', f'{{"id":{text}}}', '{"id":",]"}', '{"id":3}']
    if envelope:
        lines = [json.dumps({"data": line}) for line in lines]
    reading = Reading(tmp_path, "\n".join(lines).encode(), envelope=envelope)
    assert reading.rows("id, _row_number") == [('",]"', 3), ("1", 1), ("3", 4)]
    ((number, reason),) = reading.letters
    assert number == 2
    assert reason.startswith("not JSON: ")


def test_lenient_value_in_a_message_is_found_behind_escapes(tmp_path: Path) -> None:
    data = ['{"id":1,\n}', '{"id":\tNaN\n}', '{"id":[2,\r\n3]}']
    reading = Reading(tmp_path, "\n".join(json.dumps({"data": text}) for text in data).encode(), envelope=True)
    assert reading.rows("id") == [("[2,3]",)]
    assert [number for number, _ in reading.letters] == [1, 2]


@pytest.mark.parametrize("envelope", [False, True])
def test_record_of_a_source_without_schema_is_any_json_value(tmp_path: Path, envelope: bool) -> None:
    values = [
        '{"a":1.10,"a":2}',
        "[1, null]",
        "null",
        '"text"',
        "true",
        "12345678901234567890123",
        "[" * 500 + "]" * 500,
    ]
    lines = [*values, "bad", "NaN", ' {"b":1} ']
    text = "\n".join(json.dumps({"data": line}) if envelope else line for line in lines)
    reading = Reading(tmp_path, text.encode(), fields=WHOLE, envelope=envelope)
    assert whole_records(reading) == [*values, '{"b":1}']
    assert [number for number, _ in reading.letters] == [8, 9]
    assert reading.rows("DISTINCT _unexpected") == [(None,)]


def test_record_that_was_cut_is_no_record_even_if_what_is_left_is_json(tmp_path: Path) -> None:
    cut = gzip.compress(b"11\n22\n33", mtime=0)[:-8]
    reading = Reading(tmp_path, cut, fields=WHOLE)
    assert whole_records(reading) == ["11", "22"]
    assert reading.letters == [(3, "gzip stream ends early after record 2")]


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b'{"a":\n1}', ['{"a":1}']),
        (b'[\n {"a":1},\n {"a":[2,\n3]}\n]\n', ['{"a":1}', '{"a":[2,3]}']),
        (b'[{"a":1},\n{"a":2}]', ['{"a":1}', '{"a":2}']),
        (b'{"a":1}\n{"a":2}\n', ['{"a":1}', '{"a":2}']),
        (b'\n{"a":1}\r\n\r\n[2, 3]\r\n', ['{"a":1}', "[2, 3]"]),
        (b'{"a":1}', ['{"a":1}']),
        (b"[]", []),
        (b'[1, null, [2], "x"]', ["1", "null", "[2]", '"x"']),
        (b" 7 ", ["7"]),
        ("\ufeff[1]".encode(), ["1"]),
        (gzip.compress(b"[1,2]", mtime=0), ["1", "2"]),
    ],
)  # fmt: skip
def test_document_is_one_record_or_an_array_of_them_or_lines(
    tmp_path: Path, content: bytes, records: list[str]
) -> None:
    reading = document(tmp_path, content)
    assert whole_records(reading) == records
    assert [row for (row,) in reading.rows("_row_number")] == list(range(1, len(records) + 1))
    assert reading.letters == []


def test_document_has_the_same_rows_as_its_lines(tmp_path: Path) -> None:
    lines = ['{"id":1,"Note":"a\\nb"}', '{"id":{"x":[1,null]},"other":"y"}', "[1]", "null", '{"id":1,"id":2}', "{}"]
    as_lines = Reading(tmp_path, "\n".join(lines).encode())
    as_array = document(tmp_path, f"[{','.join(lines)}]".encode(), whole=False)
    columns = "id, note, _unexpected, _row_number"
    assert as_array.rows(columns) == as_lines.rows(columns)
    assert as_array.letters == as_lines.letters
    assert [number for number, _ in as_lines.letters] == [3, 4, 5]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not JSON: Expecting value at character 1"),
        (b" \n ", "not JSON: Expecting value at character 4"),
        (b'[{"a":1},\n{"a":2},\n]', "not JSON: Expecting value at character 20"),
        (b'[{"a":1},\n{"a":NaN}]', "not JSON: NaN is no JSON value at character 16"),
        (b'[{"a":1},', "not JSON: Expecting value at character 10"),
        (b'["\xff"]', "not valid UTF-8 at byte 3"),
        (gzip.compress(b"[1,2,3]", mtime=0)[:-9], "gzip stream ends early"),
    ],
)
def test_of_a_broken_document_no_record_is_used(tmp_path: Path, content: bytes, reason: str) -> None:
    reading = document(tmp_path, content, b"[1]")
    assert reading.letters == [(None, f"{reason}: no record of the object is used")]
    assert [count.records for count in reading.set.objects] == [0, 1]
    assert reading.set.dead_letters[0].content == content


def test_document_too_large_to_be_held_is_refused_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_documents, "MAX_DOCUMENT_BYTES", 100)
    reading = document(tmp_path, json.dumps(["x" * 10] * 10).encode(), b'"x"\n' * 100)
    assert [count.records for count in reading.set.objects] == [0, 100]
    ((number, reason),) = reading.letters
    assert number is None
    assert reason.startswith("document of 140 bytes is larger than 100; deliver it as JSON lines")


def test_lines_are_lines_whatever_the_format_of_the_source(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.jsonl.gz"):
        for file_format in Format:
            reading = Reading(tmp_path, b'{"id":1}\n{"id":2}', name=name, file_format=file_format)
            assert reading.rows("id") == [("1",), ("2",)]


CASES = "json_test_suite/test_parsing"


def test_every_valid_document_of_the_json_test_suite_is_accepted_and_no_invalid_one(
    tmp_path: Path, real_data: Path
) -> None:
    cases = sorted((real_data / CASES).glob("[yni]_*.json"))
    assert len(cases) == 318
    for case in cases:
        reading = document(tmp_path, case.read_bytes())
        if case.name.startswith("y_"):
            assert reading.letters == [], case.name
            value = json.loads(case.read_text())
            found = [json.loads(record) for record in whole_records(reading)]
            assert found == (value if isinstance(value, list) else [value]), case.name
        elif case.name.startswith("n_"):
            assert reading.letters, case.name
            assert reading.set.records == 0, case.name


def test_every_value_of_the_json_test_suite_is_accepted_or_refused_as_a_field_of_a_line(
    tmp_path: Path, real_data: Path
) -> None:
    cases = [case for case in sorted((real_data / CASES).glob("[yni]_*.json")) if b"\n" not in case.read_bytes()]
    assert len(cases) > 250
    for case in cases:
        content = case.read_bytes()
        reading = Reading(tmp_path, b'{"id":0}\n{"id":' + content + b'}\n{"id":0}')
        numbers = reading.numbers
        if case.name.startswith("y_"):
            assert numbers == [1, 2, 3], case.name
            assert reading.letters == [], case.name
        elif case.name.startswith("n_"):
            assert numbers == [1, 3], case.name
            assert [number for number, _ in reading.letters] == [2], case.name
        else:
            assert 1 in numbers, case.name
            assert 3 in numbers, case.name

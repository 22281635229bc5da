"""Rows from landing objects: what is clean, what is not, and that both ways of reading agree."""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_assets.ingestion import refusals as refusing
from platform_assets.ingestion import unpack as unpacking
from platform_assets.sources.contracts import BronzeField
from platform_assets_tests.ingestion.reading import LANDED, Reading

GOOD = [b'{"id":%d,"Note":"n%d"}' % (number, number) for number in range(1, 6)]

Row = tuple[Any, ...]


def test_text_is_stored_as_text_and_anything_else_as_its_json(tmp_path: Path) -> None:
    content = b'{"id":9.5,"Note":"9.5"}\n{"id":"9.5","Note":9.5}\n{"id":{"a":[1, null]},"Note":"\\u00fc"}\n'
    content += b'{"id":null,"Note":null}\n{"other":1}\n{"id":true,"Note":""}\n'
    assert sorted(Reading(tmp_path, content).rows("_row_number, id, note")) == [
        (1, "9.5", "9.5"),
        (2, '"9.5"', "9.5"),
        (3, '{"a":[1,null]}', "ü"),
        (4, None, None),
        (5, None, None),
        (6, "true", ""),
    ]


def test_rows_name_their_object(tmp_path: Path) -> None:
    reading = Reading(tmp_path, GOOD[0], GOOD[1])
    first, second = reading.arrivals
    rows = reading.rows("id, _landing_uri, _landing_generation, epoch_us(_landed_at), _row_number")
    landed = int(LANDED.timestamp() * 1_000_000) // 10 * 10 + 1
    assert rows == [("1", first.uri, first.generation, landed, 1), ("2", second.uri, second.generation, landed, 1)]
    assert [(c.object, c.records, c.refused) for c in reading.set.objects] == [(first, 1, 0), (second, 1, 0)]


def test_blank_lines_are_not_counted_on_either_path(tmp_path: Path) -> None:
    lines = b"\n \t\r\n" + GOOD[0] + b"\r\n\x0b\x0c\n\n" + GOOD[1]
    assert Reading(tmp_path, lines).numbers == [1, 2]
    bad = Reading(tmp_path, lines + b"\n\nbad\n" + GOOD[2])
    assert bad.numbers == [1, 2, 4]
    assert [number for number, _ in bad.letters] == [3]


@pytest.mark.parametrize("content", [b"", b"\n\n", gzip.compress(b"", mtime=0)])
def test_empty_object_gives_no_rows_and_no_dead_letter(tmp_path: Path, content: bytes) -> None:
    reading = Reading(tmp_path, content, GOOD[0])
    assert [(c.records, c.refused) for c in reading.set.objects] == [(0, 0), (1, 0)]
    assert reading.letters == []


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"hello", "not JSON: Expecting value at character 1"),
        (b'{"id":1', "not JSON: Expecting ',' delimiter at character 8"),
        (b'{"id":1}{"id":2}', "not JSON: Extra data at character 9"),
        (b"[1]", "not a JSON object but an array"),
        (b'"x"', "not a JSON object but a string"),
        (b"null", "not a JSON object but null"),
        (b"7", "not a JSON object but a number"),
        (b'{"id":1,"id":2}', "holds the name 'id' twice"),
        ('{"Note":"ü"}'.encode("latin-1"), "not valid UTF-8 at byte 10"),
        (b'{"Note":"\\ud800"}', "not JSON that the reader accepts"),
        (b"[" * 100_000, "not JSON: nested too deeply"),
    ],
)
def test_bad_line_is_a_dead_letter_and_the_others_are_rows(tmp_path: Path, bad: bytes, reason: str) -> None:
    reading = Reading(tmp_path, b"\n".join([GOOD[0], bad, GOOD[1]]), GOOD[2])
    assert reading.rows() == [("1", "n1", 1), ("2", "n2", 3), ("3", "n3", 1)]
    (letter,) = reading.set.dead_letters
    assert (letter.object, letter.row_number, letter.reason) == (reading.arrivals[0], 2, reason)
    assert letter.content == bad[: refusing.KEPT_BYTES]
    assert (reading.set.records, reading.set.refused) == (3, 1)


def test_wrong_encoding_loses_only_the_lines_that_it_spoils(tmp_path: Path) -> None:
    lines = ['{"id":1,"Note":"plain"}', '{"id":2,"Note":"é"}', '{"id":3,"Note":"plain"}']
    assert Reading(tmp_path, "\n".join(lines).encode("cp1252")).numbers == [1, 3]
    utf16 = Reading(tmp_path, "\n".join(lines).encode("utf-16"))
    assert utf16.set.records == 0
    assert utf16.set.refused == 3


def test_byte_order_mark_is_no_reason_to_refuse(tmp_path: Path) -> None:
    assert Reading(tmp_path, b"\xef\xbb\xbf" + GOOD[0] + b"\n" + GOOD[1]).numbers == [1, 2]


@pytest.mark.parametrize("compressed", [True, False])
def test_line_of_20_mb_is_a_dead_letter_of_its_own(tmp_path: Path, compressed: bool) -> None:
    huge = b'{"id":2,"Note":"' + b"x" * 20_000_000 + b'"}'
    content = b"\n".join([GOOD[0], huge, GOOD[2]])
    reading = Reading(tmp_path, gzip.compress(content) if compressed else content)
    assert reading.numbers == [1, 3]
    assert reading.letters == [(2, "record of 20,000,018 bytes is larger than 16,777,216")]
    assert reading.set.dead_letters[0].content == huge[: refusing.KEPT_BYTES]


def test_line_of_the_largest_size_is_a_row(tmp_path: Path) -> None:
    shell = b'{"id":1,"Note":"%s"}'
    fits = shell % (b"x" * (refusing.MAX_RECORD_BYTES - len(shell) + 2))
    assert len(fits) == refusing.MAX_RECORD_BYTES
    for content in (fits, gzip.compress(fits + b"\n"), b"bad\n" + fits):
        assert Reading(tmp_path, content).set.records == 1
    too_large = fits.replace(b"xx", b"xxx", 1)
    for content in (too_large, gzip.compress(too_large + b"\n"), b"bad\n" + too_large):
        assert Reading(tmp_path, content).set.records == 0


def noisy(rows: int) -> bytes:
    return b"".join(b'{"id":%d,"Note":"%s"}\n' % (n, os.urandom(16).hex().encode()) for n in range(1, rows + 1))


def test_truncated_gzip_gives_the_records_before_the_cut(tmp_path: Path) -> None:
    whole = gzip.compress(noisy(5000))
    reading = Reading(tmp_path, whole[: len(whole) // 2], GOOD[0], name="a.jsonl.gz")
    cut, other = reading.set.objects
    assert (other.records, other.refused) == (1, 0)
    assert 2000 < cut.records < 3000
    assert reading.letters == [(cut.records + 1, f"gzip stream ends early after record {cut.records}")]
    assert noisy(5000).split(b"\n")[cut.records].startswith(reading.set.dead_letters[0].content[:8])


@pytest.mark.parametrize("lost", [1, 4, 8])
def test_gzip_that_lost_only_its_end_keeps_every_record(tmp_path: Path, lost: int) -> None:
    reading = Reading(tmp_path, gzip.compress(noisy(100))[:-lost])
    assert reading.numbers == list(range(1, 101))
    assert reading.letters == [(None, "gzip stream ends early after record 100")]


@pytest.mark.parametrize("kept", [2, 5, 10])
def test_gzip_without_a_body_is_a_dead_letter(tmp_path: Path, kept: int) -> None:
    reading = Reading(tmp_path, gzip.compress(noisy(10))[:kept])
    assert reading.letters == [(None, "gzip stream ends early after record 0")]


def test_damaged_gzip_is_not_trusted(tmp_path: Path) -> None:
    damaged = bytearray(gzip.compress(noisy(100)))
    damaged[-6] ^= 0xFF  # the checksum: every record can be read, and any of them may be wrong
    reading = Reading(tmp_path, bytes(damaged), GOOD[0])
    assert [count.records for count in reading.set.objects] == [0, 1]
    assert reading.letters == [(None, "gzip stream is damaged: no record of the object is used")]


def test_gzip_of_several_members_is_read_whole(tmp_path: Path) -> None:
    members = gzip.compress(GOOD[0] + b"\n") + gzip.compress(b"", mtime=0) + gzip.compress(GOOD[1]) + b"\0" * 1000
    assert Reading(tmp_path, members).rows() == [("1", "n1", 1), ("2", "n2", 2)]
    cut = Reading(tmp_path, gzip.compress(GOOD[0] + b"\n") + gzip.compress(GOOD[1] + b"\n")[:-8])
    assert (cut.numbers, cut.letters) == ([1, 2], [(None, "gzip stream ends early after record 2")])


def test_bytes_after_the_gzip_stream_are_told(tmp_path: Path) -> None:
    reading = Reading(tmp_path, gzip.compress(GOOD[0]) + b"trailer")
    assert reading.numbers == [1]
    assert reading.letters == [(None, "the gzip stream is followed by bytes that are no gzip")]


def test_first_bytes_tell_gzip_not_the_name(tmp_path: Path) -> None:
    assert Reading(tmp_path, gzip.compress(GOOD[0]), name="a.jsonl").numbers == [1]
    assert Reading(tmp_path, GOOD[0], name="a.jsonl.gz").numbers == [1]


def test_gzip_that_inflates_without_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MAX_OBJECT_BYTES", 1000)
    monkeypatch.setattr(unpacking, "CHUNK", 300)
    reading = Reading(tmp_path, gzip.compress(b"\n".join([GOOD[0]] * 1000)), GOOD[1])
    assert [count.records for count in reading.set.objects] == [57, 1]
    assert reading.letters == [(58, "inflates to more than 1,000 bytes: reading stopped after record 57")]


def test_many_bad_lines_are_counted_and_only_the_first_named(tmp_path: Path) -> None:
    many = refusing.MAX_PROBLEMS + 7
    reading = Reading(tmp_path, b"bad\n" * many + GOOD[0])
    assert (reading.set.records, reading.set.refused) == (1, many)
    assert reading.numbers == [many + 1]
    assert len(reading.letters) == refusing.MAX_PROBLEMS + 1
    assert reading.letters[-1][1].startswith("7 more records cannot be read")


def test_reasons_and_representations_hold_no_content(tmp_path: Path) -> None:
    reading = Reading(tmp_path, b'{"id": hunter2}\nhunter2\n{"hunter2":1,"hunter2"}\n')
    assert len(reading.letters) == 3
    assert "hunter2" not in repr(reading.set)


def test_two_thousand_fields_are_read(tmp_path: Path) -> None:
    fields = [BronzeField(f"f{number}", f"f{number}", text=number % 2 == 0) for number in range(2000)]
    record = {field.source_name: number for number, field in enumerate(fields)}
    for further in ({}, {"new": 1}):
        reading = Reading(tmp_path, json.dumps({**record, **further}).encode(), fields=fields)
        assert reading.rows("f0, f1, f1999, _unexpected") == [("0", "1", "1999", '{"new":1}' if further else None)]


def test_record_may_hold_any_other_name(tmp_path: Path) -> None:
    fields = [BronzeField(name, name, text=True) for name in ("number", "record", "data", "it's", 'a"b', "_row")]
    record = {field.source_name: field.name for field in fields} | {"filename": 1, "date": 2}
    for content, envelope in ((json.dumps(record), False), (json.dumps({"data": json.dumps(record)}), True)):
        reading = Reading(tmp_path, content.encode(), fields=fields, envelope=envelope)
        assert reading.rows('"number", record, data, "it\'s", "a""b", "_row"') == [
            ("number", "record", "data", "it's", 'a"b', "_row")
        ]


@pytest.mark.parametrize("envelope", [False, True])
def test_secret_inside_a_field_is_removed_and_other_values_stay(tmp_path: Path, envelope: bool) -> None:
    fields = [BronzeField("login", "login", text=False, dropped=(("password",), ("deep", "er/~"), ("gone", "x")))]
    logins = [
        '{"user":"u","password":"hunter2"}',
        '{"password":"hunter2","password":"hunter2"}',
        '{"deep":{"er/~":"hunter2","b":null},"c":[1,{"a":null}]}',
        '"password"',
        '{"deep":"hunter","gone":[]}',
        "[1]",
        '{"user":"u"}',
        '[{"user":"u","password":"hunter2"}]',
        '{"deep":[{"er/~":"hunter2"}]}',
    ]
    lines = [f'{{"login":{login}}}' for login in logins]
    if envelope:
        lines = [json.dumps({"data": line}) for line in lines]
    rows = Reading(tmp_path, "\n".join(lines).encode(), fields=fields, envelope=envelope).rows("_row_number, login")
    assert "hunter2" not in str(rows)
    assert sorted(rows) == [
        (1, '{"user":"u"}'),
        (2, "{}"),
        (3, '{"c":[1,{"a":null}],"deep":{"b":null}}'),
        (4, '"password"'),
        (5, '{"deep":"hunter","gone":[]}'),
        (6, "[1]"),
        (7, '{"user":"u"}'),
        (8, None),
        (9, None),
    ]


def message(data: bytes) -> bytes:
    line: dict[str, object] = {"message_id": "7", "publish_time": "2026-01-02T00:00:00Z", "attributes": {"data": "x"}}
    try:
        line["data"] = data.decode()
    except UnicodeDecodeError:
        import base64

        line["data_base64"] = base64.b64encode(data).decode()
    return json.dumps(line).encode()


def test_message_becomes_the_row_that_its_data_would_be(tmp_path: Path) -> None:
    data = [*GOOD, b'{"id":"9.5","Note":9.5}', b'{"id":{"a":1.0},"Note":null}', b"{}", b'\n{"id":null}\n']
    direct = Reading(tmp_path, b"\n".join(line.strip() for line in data))
    assert Reading(tmp_path, b"\n".join(map(message, data)), envelope=True).rows() == direct.rows()


def test_message_that_is_no_record_is_a_dead_letter(tmp_path: Path) -> None:
    bad = [b"hello", b"[1]", b"\xff\xfe", b"", b"null", b'{"id":1,"id":2}']
    lines = [message(GOOD[0]), *map(message, bad), b'{"message_id":"8"}', b"torn", b"null", message(GOOD[1])]
    reading = Reading(tmp_path, b"\n".join(lines), envelope=True)
    assert reading.rows() == [("1", "n1", 1), ("2", "n2", len(lines))]
    assert sorted(reading.letters, key=lambda letter: letter[0] or 0) == [
        (2, "not JSON: Expecting value at character 1"),
        (3, "not a JSON object but an array"),
        (4, "not valid UTF-8 at byte 1"),
        (5, "not JSON: Expecting value at character 1"),
        (6, "not a JSON object but null"),
        (7, "holds the name 'id' twice"),
        (8, "message without data"),
        (9, "not JSON: Expecting value at character 1"),
        (10, "not a JSON object but null"),
    ]
    contents = {letter.row_number: letter.content for letter in reading.set.dead_letters}
    assert [contents[number] for number in range(2, 8)] == bad


def test_checksum_is_not_the_readers_business() -> None:
    """DuckDB reads a gzip file whose checksum is wrong: why objects are inflated here. Gone when this fails."""
    import tempfile

    damaged = bytearray(gzip.compress(GOOD[0]))
    damaged[-6] ^= 0xFF
    with pytest.raises(zlib.error):
        zlib.decompress(bytes(damaged), 31)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl.gz"
        path.write_bytes(damaged)
        assert duckdb.connect().execute(f"SELECT count(*) FROM read_json('{path}')").fetchall() == [(1,)]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
RECORDS = st.fixed_dictionaries({}, optional={"id": VALUES, "Note": VALUES, "other": VALUES}).map(
    lambda record: json.dumps(record, ensure_ascii=False).encode("utf-8", "replace")
)
# Neither line ends nor the first bytes of gzip or of a byte order mark, which mean something else at the beginning.
NOISE = st.binary(max_size=12).map(lambda noise: re.sub(rb"[\n\x1f\xef]", b"", noise))
SPOILED = st.tuples(RECORDS, st.integers(0, 60), NOISE).map(lambda r: r[0][: r[1]] + r[2] + r[0][r[1] :])


@pytest.fixture(scope="module")
def one_connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(RECORDS | SPOILED | NOISE, max_size=8))
def test_every_record_is_a_row_or_a_dead_letter_and_neighbours_change_nothing(
    tmp_path: Path, one_connection: duckdb.DuckDBPyConnection, lines: list[bytes]
) -> None:
    def read(content: bytes) -> tuple[list[Row], list[int]]:
        reading = Reading(tmp_path, content, connection=one_connection)
        return reading.rows(), [number for number, _ in reading.letters if number is not None]

    rows, refused = read(b"\n".join(lines))
    numbers = sorted([number for _, _, number in rows] + refused)
    assert numbers == list(range(1, len(numbers) + 1))
    kept = [line for line in lines if line.strip(b" \t\r\n\x0b\x0c")]
    alone = [row[:2] for line in kept for row in read(line)[0]]
    assert sorted(map(str, alone)) == sorted(str(row[:2]) for row in rows)
    assert read(b"\n".join([*lines, b"bad"]))[0] == rows

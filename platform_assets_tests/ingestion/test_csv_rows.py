"""CSV: what a cell becomes, every way in which producers write it, and that both ways of reading agree."""

from __future__ import annotations

import csv as python_csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_assets.ingestion import csv_rows
from platform_assets.ingestion import refusals as refusing
from platform_assets.sources.contracts import BronzeField
from platform_assets.sources.ingestion_settings import CsvOptions
from platform_assets_tests.ingestion.reading import WHOLE, Reading, csv, text_fields

AB = text_fields("a", "b")
NOT_UTF_8 = (
    "not valid UTF-8 at byte {}; if it is written in another encoding, say which in `ingestion.csv.encoding`, "
    "such as latin-1"
)


def records(reading: Reading) -> list[Any]:
    """The records of objects without a schema, in their order."""
    rows = reading.connection.execute("SELECT record FROM records ORDER BY _landing_generation, _row_number").fetchall()
    return [json.loads(record) for (record,) in rows]


def test_nothing_between_delimiters_is_null_and_an_empty_quoted_cell_an_empty_text(tmp_path: Path) -> None:
    fields = (*AB, BronzeField("at", "at", text=True), BronzeField("n", "n", text=False))
    reading = csv(tmp_path, b'a,b,at,n\n1,"","",""\n,,,\n2," "," "," "\n', fields=fields)
    assert reading.rows('_row_number, a, b, "at", n') == [
        (1, "1", "", None, None),
        (2, None, None, None, None),
        (3, "2", " ", None, None),
    ]


@pytest.mark.parametrize(
    ("cell", "held"),
    [
        ("9.50", "9.50"),
        (" 7 ", "7"),
        ("007", "7"),
        ("+5", "5"),
        ("-.5", "-0.5"),
        ("5.", "5"),
        ("1e3", "1e3"),
        ("0", "0"),
        ("-0.0", "-0.0"),
        ("123456789012345678901234567890.12345678901234567890", "123456789012345678901234567890.12345678901234567890"),
        ("TRUE", "true"),
        ("False", "false"),
        ("null", None),
        ('"{""a"":[1, 2]}"', '{"a":[1,2]}'),
        ('"[1,]"', '"[1,]"'),
        ('"[NaN]"', '"[NaN]"'),
        ("NaN", '"NaN"'),
        ("Infinity", '"Infinity"'),
        ("1 000", '"1 000"'),
        ("yes", '"yes"'),
        ("[", '"["'),
        ("é", '"é"'),
    ],
)
def test_cell_of_a_field_that_is_no_text_becomes_json(tmp_path: Path, cell: str, held: str | None) -> None:
    fields = [*AB, BronzeField("v", "v", text=False)]
    reading = csv(tmp_path, f"a,b,v\nx,y,{cell}\n".encode(), fields=fields)
    assert reading.rows("v") == [(held,)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_is_one(tmp_path: Path, end: str) -> None:
    reading = csv(tmp_path, end.join(["a,b", "1,2", "", '3,"4"', ""]).encode(), fields=AB)
    assert reading.rows("a, b, _row_number") == [("1", "2", 1), ("3", "4", 2)]


def test_mixed_line_ends_lose_nothing(tmp_path: Path) -> None:
    content = b'a,b\r\n1,2\r\n3,"x\r\ny"\n5,6\r7,8'
    assert csv(tmp_path, content, fields=AB).rows("a, b") == [("1", "2"), ("3", "x\r\ny"), ("5", "6"), ("7", "8")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found_out(tmp_path: Path, delimiter: str) -> None:
    content = f'a{delimiter}b\n"1,5;|\t"{delimiter}2\n'.encode()
    assert csv(tmp_path, content, fields=AB).rows("a, b") == [("1,5;|\t", "2")]


def test_delimiter_and_quote_can_be_said(tmp_path: Path) -> None:
    options = CsvOptions(delimiter="^", quote="'")
    assert csv(tmp_path, b"a^b\n'x^''y'^,\n", fields=AB, csv=options).rows("a, b") == [("x^'y", ",")]


def test_row_with_another_delimiter_is_a_dead_letter_and_its_neighbours_are_rows(tmp_path: Path) -> None:
    reading = csv(tmp_path, b"a,b\n1,2\n3;4\n5,6\n", fields=AB)
    assert reading.numbers == [1, 3]
    assert reading.letters == [(2, "too few cells: 1 instead of 2")]
    assert reading.set.dead_letters[0].content == b"3;4"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1", "too few cells: 1 instead of 2"),
        (b"1,2,3", "too many cells: 3 instead of 2"),
        (b'1,2,""', "too many cells: 3 instead of 2"),
        (b'"1"x,2', "text after a closing quote"),
        (b'"1\nx"y,2', "text after a closing quote"),
        (b'1,"2', "unterminated quote"),
        (
            b"\xe9,2",
            NOT_UTF_8.format(1),
        ),
    ],
)
def test_row_that_breaks_the_rules_is_a_dead_letter_and_its_neighbours_are_rows(
    tmp_path: Path, row: bytes, reason: str
) -> None:
    reading = csv(tmp_path, b"a,b\n1,x\n" + row + b"\n3,y\n", fields=AB)
    assert reading.rows("a, b, _row_number") == [("1", "x", 1), ("3", "y", 3)]
    assert reading.letters == [(2, reason)]
    assert reading.set.dead_letters[0].content == row


def test_empty_cells_after_the_last_column_are_none(tmp_path: Path) -> None:
    for content in (b"a,b\n1,2,\n3,4\n", b"a,b\n1,2,,\n3,4\nbad\n"):
        assert csv(tmp_path, content, fields=AB).rows("a, b") == [("1", "2"), ("3", "4")]


@pytest.mark.parametrize("content", [b"a,b\n", b"a,b", b"\xef\xbb\xbfa,b\r\n", b"", b"\n\n"])
def test_header_alone_or_nothing_at_all_gives_no_rows_and_no_dead_letter(tmp_path: Path, content: bytes) -> None:
    reading = csv(tmp_path, content, b"a,b\n1,2\n", fields=AB)
    assert [count.records for count in reading.set.objects] == [0, 1]
    assert reading.letters == []


def test_byte_order_marks_are_no_part_of_the_first_name(tmp_path: Path) -> None:
    text = "a,b\nü,2\n"
    contents = [text.encode("utf-8-sig"), text.encode("utf-16"), gzip.compress(text.encode("utf-8-sig"))]
    assert csv(tmp_path, *contents, fields=AB).rows("a, b") == [("ü", "2")] * 3


def test_declared_encoding_is_read(tmp_path: Path) -> None:
    content = "a,b\nZürich,2\n".encode("latin-1")
    assert csv(tmp_path, content, fields=AB, csv=CsvOptions(encoding="latin-1")).rows("a, b") == [("Zürich", "2")]
    undeclared = csv(tmp_path, content + b"x,3\n", fields=AB)
    assert undeclared.rows("a, b, _row_number") == [("x", "3", 2)]
    assert undeclared.letters == [(1, NOT_UTF_8.format(2))]
    wrong = csv(tmp_path, b"a,b\n\x81,1\n", fields=AB, csv=CsvOptions(encoding="cp1252"))
    assert wrong.letters == [(None, "not valid cp1252 near byte 5: no record of the object is used")]


def test_object_without_a_header_has_the_columns_of_the_schema(tmp_path: Path) -> None:
    reading = csv(
        tmp_path, b"1,hunter2,x,y\n2,hunter2,,\n", fields=text_fields("a", "c"), csv=CsvOptions(header=False),
        declared=("a", "password", "c"), secrets=[("password",)],
    )  # fmt: skip
    assert reading.rows("a, c, _unexpected") == [("1", "x", '{"column_4":"y"}'), ("2", None, None)]


def test_missing_required_column_is_named_and_the_rows_arrive(tmp_path: Path) -> None:
    fields = [*AB, BronzeField("c", "C d", text=True, required=True), BronzeField("e", "e", text=True)]
    reading = csv(tmp_path, b"a,b\n1,2\n", fields=fields)
    assert reading.rows("a, b, c, e") == [("1", "2", None, None)]
    assert reading.letters == [(None, "missing column C d: every record of the object lacks it")]
    assert reading.set.absent == {"c": 1, "e": 1}
    assert (reading.set.refused, reading.set.faults) == (0, 1)


def test_header_with_a_declared_column_twice_is_refused(tmp_path: Path) -> None:
    reading = csv(tmp_path, b"a,b,a\n1,2,3\n", b"a,b,x,x,,\n1,2,3,4,5,6\n", fields=AB)
    assert [count.records for count in reading.set.objects] == [0, 1]
    assert reading.letters == [(None, "the header holds the column 'a' twice: no record of the object is used")]
    assert reading.rows("_unexpected") == [('{"x":"3","x_2":"4","column_5":"5","column_6":"6"}',)]


@pytest.mark.parametrize("name", ["select", "rowid", "order", "_landing_uri", "_row_number", "_unexpected", "c0", "A"])
def test_no_name_of_a_column_clashes_with_ours(tmp_path: Path, name: str) -> None:
    reading = csv(tmp_path, f"a,{name},b\n1,x,2\n".encode(), fields=AB)
    assert reading.rows("a, b, _unexpected, _landing_uri, _row_number") == [
        ("1", "2", json.dumps({name: "x"}, separators=(",", ":")), reading.arrivals[0].uri, 1)
    ]
    declared = [BronzeField("v", name, text=True), *AB]
    assert csv(tmp_path, f"a,{name},b\n1,x,2\n".encode(), fields=declared).rows("a, v, b") == [("1", "x", "2")]


def test_secrets_do_not_come_in_as_unexpected(tmp_path: Path) -> None:
    content = b"a,userPassword,user_password,b,note\n1,hunter2,hunter2,2,x\n"
    reading = csv(tmp_path, content, fields=AB, secrets=[("user-password",)])
    assert reading.rows("_unexpected") == [('{"note":"x"}',)]


def test_two_thousand_columns_are_read(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(2000)]
    fields = text_fields(*names[::2])
    content = f"{','.join(names)}\n{','.join(names)}\n".encode()
    for spoiled in (content, content + b"bad\n"):
        reading = csv(tmp_path, spoiled, fields=fields)
        assert reading.rows("c0, c2, c1998, _unexpected::JSON->>'c1999'") == [("c0", "c2", "c1998", "c1999")]


def test_too_many_columns_are_refused(tmp_path: Path) -> None:
    reading = csv(tmp_path, b"," * csv_rows.MAX_COLUMNS + b"\n1\n", fields=AB)
    assert reading.letters == [
        (None, "the header has 10,001 columns, more than 10,000: no record of the object is used")
    ]


def test_unterminated_quote_costs_its_line_alone(tmp_path: Path) -> None:
    reading = csv(tmp_path, b'a,b\n1,2\n3,"4\n5,6\n7,8\n', fields=AB)
    assert reading.rows("a, b") == [("1", "2"), ("5", "6"), ("7", "8")]
    assert reading.letters == [(2, "unterminated quote")]
    assert reading.set.dead_letters[0].content == b'3,"4'


@pytest.mark.parametrize("quote", [b"", b'"'])
def test_record_of_20_mb_is_a_dead_letter_of_its_own(tmp_path: Path, quote: bytes) -> None:
    huge = b"2," + quote + b"x" * 20_000_000 + quote
    reading = csv(tmp_path, b"a,b\n1,x\n" + huge + b"\n3,y\n", fields=AB)
    assert reading.numbers == [1, 3]
    ((number, reason),) = reading.letters
    assert number == 2
    assert reason == ("unterminated quote" if quote else "record of 20,000,002 bytes is larger than 16,777,216")
    assert reading.set.dead_letters[0].content == huge[: refusing.KEPT_BYTES]


def test_truncated_gzip_gives_the_records_before_the_cut(tmp_path: Path) -> None:
    whole = gzip.compress(b"a,b\n" + b"".join(b"%d,abcdef\n" % number for number in range(10_000)))
    reading = csv(tmp_path, whole[: len(whole) // 2], fields=AB)
    (count,) = reading.set.objects
    assert 3000 < count.records < 7000
    assert reading.letters[-1][1] == f"gzip stream ends early after record {count.records}"
    assert reading.connection.execute("SELECT DISTINCT b FROM records").fetchall() == [("abcdef",)]


def test_record_of_an_object_without_a_schema_is_an_object_of_its_cells(tmp_path: Path) -> None:
    reading = csv(tmp_path, b'a,a,,"b\nc"\n1,"",,x\n', fields=WHOLE)
    assert records(reading) == [{"a": "1", "a_2": "", "column_3": None, "b\nc": "x"}]


CELLS = st.text(alphabet='ab ",;\n\r\té', max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=5),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_writer_wrote_is_read(
    tmp_path: Path, one_connection: duckdb.DuckDBPyConnection, rows: list[list[str]], end: str
) -> None:
    written = io.StringIO()
    python_csv.writer(written, lineterminator=end, quoting=python_csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    content = written.getvalue().encode()
    reading = csv(tmp_path, content, fields=AB, connection=one_connection, csv=CsvOptions(delimiter=","))
    found = reading.connection.execute("SELECT a, b FROM records ORDER BY _row_number").fetchall()
    assert [list(row) for row in found] == rows
    assert reading.letters == []


PIECES = st.sampled_from(['"', '""', ",", "\n", "\r\n", "\r", " ", "\t", "x", "é", "\x00"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(PIECES, max_size=14), encoding=st.sampled_from(["utf-8", "latin-1"]))
def test_both_ways_of_reading_agree(
    tmp_path: Path, one_connection: duckdb.DuckDBPyConnection, pieces: list[str], encoding: str
) -> None:
    content = b"a,b\n" + "".join(pieces).encode(encoding)

    def read(*, quickly: bool) -> object:
        with pytest.MonkeyPatch.context() as patch:
            if not quickly:
                patch.setattr(csv_rows._Table, "plain", lambda *_: False)
            options = CsvOptions(delimiter=",")
            reading = csv(tmp_path, content, fields=AB, connection=one_connection, csv=options)
        return reading.rows("_row_number, a, b, _unexpected"), reading.letters

    assert read(quickly=True) == read(quickly=False)


@pytest.fixture(scope="module")
def one_connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def test_every_case_of_csv_spectrum_parses_to_its_json(tmp_path: Path, real_data: Path) -> None:
    cases = sorted((real_data / "csv_spectrum" / "csvs").glob("*.csv"))
    assert len(cases) == 12
    for case in cases:
        expected = json.loads((case.parents[1] / "json" / f"{case.stem}.json").read_text())
        if case.stem == "location_coordinates":  # whose JSON is no list, and has another phone number
            expected = [expected | {"Contact Phone Number": "2095257564"}]
        content = case.read_bytes()
        if case.stem.endswith("_crlf") and b"\r" not in content:  # a checkout may have taken them away
            content = content.replace(b"\n", b"\r\n")
        assert records(csv(tmp_path, content, fields=WHOLE)) == expected, case.name


def test_taxi_trips_with_mixed_line_ends_all_arrive(tmp_path: Path, real_data: Path) -> None:
    content = (real_data / "nyc_tlc_yellow_samples" / "yellow_tripdata_sample_2019-01.csv").read_bytes()
    fields = [BronzeField(name, name, text=False) for name in ("total_amount", "congestion_surcharge")]
    reading = csv(tmp_path, content, fields=fields)
    (total,) = reading.connection.execute(
        "SELECT count(*), sum(total_amount::DECIMAL(18, 2))::VARCHAR, max(_row_number), count(congestion_surcharge) "
        "FROM records"
    ).fetchall()
    assert total == (10_000, "157242.31", 10_000, 3673)
    assert reading.letters == []

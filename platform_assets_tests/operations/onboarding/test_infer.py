"""What a sample says: every record of it keeps what was told from it, as JSON Schema and as the platform mean it."""

from __future__ import annotations

import codecs
import gzip
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import fastavro
import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.contracts.json_schema import read_json_schema
from platform_assets.lakehouse.conform import conform
from platform_assets.operations.onboarding.infer import Inferred, infer
from platform_assets.operations.onboarding.sample import SampleError
from platform_assets.sources.contracts import silver_contract
from platform_assets_tests.lakehouse.bronze_rows import Arrival, JsonText, load_bronze, write_source
from platform_assets_tests.operations.onboarding.samples import (
    ANY_NAMES,
    CELL_KINDS,
    JSON_KINDS,
    SIMPLE_NAMES,
    TEXT_ONLY,
    Record,
    records,
    write_csv,
    write_lines,
)

SLOW = settings(deadline=None, max_examples=40)


def of_records(given_records: Sequence[Record], name: str = "things") -> Inferred:
    with tempfile.TemporaryDirectory() as folder:
        return infer(write_lines(Path(folder) / "sample.jsonl", given_records), name)


def of_cells(rows: Sequence[Sequence[str | None]], delimiter: str = ",") -> Inferred:
    with tempfile.TemporaryDirectory() as folder:
        return infer(write_csv(Path(folder) / "sample.csv", rows, delimiter))


def column(values: Sequence[Any], name: str = "value") -> Mapping[str, Any]:
    """The schema of a field that has these values in one record each."""
    inferred = of_records([{"id": number, name: value} for number, value in enumerate(values)])
    found: Mapping[str, Any] = inferred.schema["properties"][name]
    return found


def cells(values: Sequence[str | None], name: str = "value") -> Mapping[str, Any]:
    found: Mapping[str, Any] = of_cells([[name, "last"], *([value, "x"] for value in values)]).schema["properties"][
        name
    ]
    return found


def refused_by_the_contract(schema: Mapping[str, Any], arrivals: Sequence[Record]) -> list[tuple[Any, ...]]:
    """Rows of the sample that the platform would put into quarantine, and the rules that each breaks."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        numbered = {**schema, "required": ["id", *schema["required"]]}
        numbered["properties"] = {"id": {"type": "integer"}, **schema["properties"]}
        source = write_source(Path(folder) / "things", numbered)
        rows = [Arrival({"id": number, **record}) for number, record in enumerate(arrivals)]
        bronze = load_bronze(connection, source, rows)
        contract = silver_contract(source, source.file.silver[0])
        split = conform(connection, bronze, contract, key=b"k" * 64)
        return connection.execute(f"SELECT _row_number, _broken_rules FROM {split.quarantined}").fetchall()


# Every record of the sample keeps the schema


@SLOW
@given(records(JSON_KINDS, ANY_NAMES))
def test_every_record_is_valid_against_the_schema_that_was_told_from_it(given_records: list[dict[str, Any]]) -> None:
    inferred = of_records(given_records)
    schema = json.loads(json.dumps(inferred.schema), parse_float=Decimal)
    jsonschema.Draft202012Validator.check_schema(json.loads(json.dumps(inferred.schema)))
    for record in given_records:
        exact = json.loads(json.dumps(record), parse_float=Decimal)
        jsonschema.Draft202012Validator(schema).validate(exact)


@SLOW
@given(records(JSON_KINDS, ANY_NAMES))
def test_names_and_their_order_are_the_record_s_own(given_records: list[dict[str, Any]]) -> None:
    inferred = of_records(given_records)
    in_order = list(dict.fromkeys(name for record in given_records for name in record))
    assert list(inferred.schema["properties"]) == in_order
    paths = {column.path[0] for column in read_json_schema(inferred.schema, {}).columns}
    assert paths <= set(in_order)


@SLOW
@given(records({**JSON_KINDS, **TEXT_ONLY}, SIMPLE_NAMES))
def test_no_record_of_the_sample_goes_into_quarantine(given_records: list[dict[str, Any]]) -> None:
    assert refused_by_the_contract(of_records(given_records).schema, given_records) == []


@SLOW
@given(st.data())
def test_no_row_of_a_csv_sample_goes_into_quarantine(data: st.DataObject) -> None:
    fields = data.draw(st.dictionaries(SIMPLE_NAMES, st.sampled_from(sorted(CELL_KINDS)), min_size=2, max_size=5))
    row = st.tuples(*(st.none() | CELL_KINDS[kind] for kind in fields.values()))
    rows = [row for row in data.draw(st.lists(row, min_size=1, max_size=8)) if any(cell is not None for cell in row)]
    if not rows:
        return
    inferred = of_cells([[*fields], *rows])
    text = {c.path[0]: c.type in {"string", "timestamp", "date"} for c in read_json_schema(inferred.schema, {}).columns}
    arrivals = [
        {
            name: cell if cell is None or text[name] else JsonText(cell.lower())
            for name, cell in zip(fields, row, strict=True)
        }
        for row in rows
    ]
    assert refused_by_the_contract(inferred.schema, arrivals) == []


# Types


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2], {"type": "integer"}),
        ([1, 2.5], {"type": "number"}),
        ([True, False], {"type": "boolean"}),
        (["a", "b"], {"type": "string"}),
        (["2026-11-21", "2026-11-22"], {"type": "string", "format": "date"}),
        (["2026-11-21T10:00:00Z"], {"type": "string", "format": "date-time"}),
        (["2026-11-21 10:00:00", "2026-11-22"], {"type": "string", "format": "date-time"}),
        (["2026-02-30"], {"type": "string"}),
        (["9b2e5d1c-6a58-4c39-9d0b-0f6f6a5e7d11"], {"type": "string", "format": "uuid"}),
        (["ann@example.com"], {"type": "string", "format": "email"}),
        (["192.0.2.7"], {"type": "string", "format": "ipv4"}),
        (["https://example.com/a?b=c"], {"type": "string", "format": "uri"}),
        ([["a"], []], {"type": "array"}),
        ([1, None], {"type": ["integer", "null"]}),
        ([{}], {"type": "object"}),
    ],
)
def test_type_and_format_of_values(values: list[Any], expected: Mapping[str, Any]) -> None:
    schema = dict(column(values))
    schema.pop("$comment", None)
    assert schema == expected


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2"], "integer"),
        (["1", "2.5e3"], "number"),
        (["TRUE", "false"], "boolean"),
        (["007", "123"], "string"),
        (["1", "x"], "string"),
        (['{"a": 1}', "{}"], "object"),
        (["[1]", "[]"], "array"),
        ([str(2**63)], "string"),
    ],
)
def test_cells_of_a_text_file_are_typed_by_how_they_look(values: list[str], kind: str) -> None:
    assert cells(values)["type"] == kind


def test_a_column_without_values_stays_text_and_says_so() -> None:
    schema = cells([None, None])
    assert schema["type"] == ["string", "null"]
    assert "Null or missing in every record" in schema["description"]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([2**63, 1], "more than 64 bits"),
        ([1, "a", "b"], "2 text, 1 integer"),
        (["21.11.2026"], "not as ISO 8601"),
        ([{"5": 1}], "Its names differ"),
    ],
)
def test_what_the_platform_cannot_type_is_kept_with_a_note(values: list[Any], why: str) -> None:
    assert why in column(values)["description"]


def test_seconds_since_1970_are_a_number_that_says_what_it_looks_like() -> None:
    schema = column([1_700_000_000, 1_700_000_001], "created")
    assert schema["type"] == "integer"
    assert "since 1970" in schema["description"]


@pytest.mark.parametrize(
    ("name", "values", "exact"),
    [
        ("amount", [1.5, 2, 3.25], True),
        ("totalPrice", [1.5, 2.25], True),
        ("amount", [1.5, 2.255], False),
        ("amount", [1, 2], False),
        ("latitude", [1.5, 2.25], False),
        ("amount", [1e16, 0.5], False),
    ],
)
def test_money_is_exact_only_where_name_and_values_say_so(name: str, values: list[float], exact: bool) -> None:
    assert ("multipleOf" in column(values, name)) == exact


@pytest.mark.parametrize(
    ("name", "values", "listed"),
    [
        ("status", ["open", "closed"] * 30, True),
        ("order_status", ["open", "closed", None] * 30, True),
        ("status", ["open", "closed"] * 3, False),
        ("city", ["Pune", "Goa"] * 30, False),
        ("status", [f"s{n}" for n in range(60)], False),
        ("status", [*["open"] * 60, "closed"], False),
    ],
)
def test_an_enumeration_is_told_only_where_it_is_clearly_one(name: str, values: list[str], listed: bool) -> None:
    schema = column(values, name)
    assert ("enum" in schema) == listed
    if listed:
        assert "different texts in" in schema["$comment"]


def test_objects_and_arrays_of_objects_are_described_in_full() -> None:
    inferred = of_records(
        [
            {"id": 1, "buyer": {"name": {"first": "Ann"}}, "lines": [{"sku": "a", "n": 1}, {"sku": "b"}]},
            {"id": 2, "buyer": None, "lines": []},
        ]
    )
    properties = inferred.schema["properties"]
    assert inferred.schema["required"] == ["id", "lines"]
    assert properties["buyer"]["type"] == ["object", "null"]
    assert properties["buyer"]["properties"]["name"]["required"] == ["first"]
    assert properties["lines"]["items"]["properties"] == {"sku": {"type": "string"}, "n": {"type": "integer"}}
    assert properties["lines"]["items"]["required"] == ["sku"]


def test_every_guess_says_why() -> None:
    inferred = of_records([{"id": 1, "total": 1.5, "at": "2026-11-21T10:00:00Z", "email": "ann@example.com"}])
    assert {guess.path for guess in inferred.guesses} == {("total",), ("at",), ("email",)}
    assert all(guess.why and guess.what for guess in inferred.guesses)
    assert all(why for _, why in inferred.classification.values())
    assert inferred.key.why
    assert inferred.event_time.why


# Key, event time, ordering


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"name": ["a", "b"], "id": [1, 2]}, ["id"]),
        ({"user_id": [1, 2], "thing_id": [3, 4]}, ["thing_id"]),
        ({"id": [1, 1], "uuid": ["a", "b"]}, ["uuid"]),
        ({"id": [1, None]}, []),
        ({"value": [1, 2]}, []),
        ({"order_id": [1, 1, 2, 2], "line_number": [1, 2, 1, 2]}, ["order_id", "line_number"]),
        ({"order_id": [1, 1, 2, 2], "line_number": [1, 1, 1, 2]}, []),
        ({"sensor_id": [1, 2, 1, 2], "at": [f"2026-11-21T10:0{n}:00Z" for n in (0, 0, 1, 1)]}, ["sensor_id", "at"]),
        ({"sensor_id": [1, 1, 2], "at": [f"2026-11-21T10:0{n}:00Z" for n in (0, 1, 2)]}, []),
    ],
)
def test_the_key_is_what_tells_records_apart_and_is_called_like_one(
    fields: Mapping[str, list[Any]], key: list[str]
) -> None:
    rows = [dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=True)]
    assert list(of_records(rows).key.columns) == key


@pytest.mark.parametrize(
    ("record", "event_time"),
    [
        ({"updated_at": "2026-11-21T10:00:00Z", "created_at": "2026-11-20T10:00:00Z"}, "created_at"),
        ({"seen": "2026-11-21T10:00:00Z", "n": 1}, "seen"),
        ({"orderDate": "2026-11-21"}, "order_date"),
        ({"updated_at": "2026-11-21T10:00:00Z"}, None),
        ({"n": 1}, None),
    ],
)
def test_the_event_time_is_a_timestamp_that_every_record_has(record: Record, event_time: str | None) -> None:
    assert of_records([record]).event_time.columns == ((event_time,) if event_time else ())


def test_the_last_change_orders_the_versions_of_a_record() -> None:
    inferred = of_records([{"id": 1, "created_at": "2026-11-20T10:00:00Z", "updated_at": "2026-11-21T10:00:00Z"}])
    assert inferred.ordering.columns == ("updated_at",)


def test_personal_data_dates_nothing_and_a_secret_is_no_key() -> None:
    inferred = of_records([{"token": "a", "birth_date": "2001-01-01"}, {"token": "b", "birth_date": "2002-01-01"}])
    assert inferred.key.columns == ()
    assert inferred.event_time.columns == ()


# Files


ROWS = [{"id": 1, "amount": 1.5, "at": "2026-11-21T10:00:00Z"}, {"id": 2, "amount": 2.25, "at": "2026-11-22T10:00:00Z"}]
DOCUMENT = json.dumps(ROWS, indent=2).encode()
LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)
CELLS = b"id,amount,at\n1,1.5,2026-11-21T10:00:00Z\n2,2.25,2026-11-22T10:00:00Z\n"


def avro(folder: Path) -> bytes:
    moment = {"type": "long", "logicalType": "timestamp-millis"}
    fields = [{"name": "id", "type": "long"}, {"name": "amount", "type": "double"}, {"name": "at", "type": moment}]
    with (folder / "made.avro").open("wb") as file:
        rows = [{**row, "at": datetime.fromisoformat(str(row["at"]))} for row in ROWS]
        fastavro.writer(file, {"type": "record", "name": "Thing", "fields": fields}, rows)
    return (folder / "made.avro").read_bytes()


def parquet(folder: Path) -> bytes:
    rows = [{**row, "at": datetime.fromisoformat(str(row["at"]))} for row in ROWS]
    pq.write_table(pa.Table.from_pylist(rows), folder / "made.parquet")
    return (folder / "made.parquet").read_bytes()


@pytest.mark.parametrize(
    ("file", "content", "format_"),
    [
        ("a.json", DOCUMENT, "json"),
        ("a.jsonl", LINES, "jsonl"),
        ("a.json", LINES, "jsonl"),
        ("a.json", b"\xef\xbb\xbf" + DOCUMENT, "json"),
        ("a.csv", CELLS, "csv"),
        ("export", CELLS, "csv"),
        ("a.csv", b"\xef\xbb\xbf" + CELLS, "csv"),
        ("a.csv", CELLS.replace(b",", b";"), "csv"),
        ("a.csv", CELLS.decode().encode("utf-16"), "csv"),
        ("a.csv", CELLS.replace(b"\n", b"\r\n", 1), "csv"),
        ("a.tsv", CELLS.replace(b",", b"\t"), "csv"),
        ("a.avro", avro, "avro"),
        ("a.parquet", parquet, "parquet"),
        ("misnamed.csv", parquet, "parquet"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_every_format_says_the_same(
    tmp_path: Path, file: str, content: bytes | Callable[[Path], bytes], format_: str, zipped: bool
) -> None:
    raw = content(tmp_path) if callable(content) else content
    path = tmp_path / (f"{file}.gz" if zipped else file)
    path.write_bytes(gzip.compress(raw) if zipped else raw)
    inferred = infer(path)
    assert inferred.sample.format == format_
    assert inferred.sample.compression == ("gzip" if zipped else "none")
    types = [(column.name, column.type, column.nullable) for column in read_json_schema(inferred.schema, {}).columns]
    amount = "decimal(18,2)" if format_ in {"json", "jsonl", "csv"} else "double"  # the others say what it is
    assert types == [("id", "integer", False), ("amount", amount, False), ("at", "timestamp", False)]
    assert inferred.key.columns == ("id",)
    assert inferred.event_time.columns == ("at",)


def test_latin_1_is_told_and_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("id;city\n1;Zürich\n2;Genève\n".encode("latin-1"))
    sample = infer(path).sample
    assert (codecs.lookup(sample.csv.encoding), sample.csv.delimiter) == (codecs.lookup("latin-1"), ";")
    assert [record["city"] for record in sample.records] == ["Zürich", "Genève"]
    assert "Latin-1" in sample.notes[0]


def test_what_cannot_be_read_is_counted_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name\n1,a\n2\n3,c,d\n4,e\n", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n{"id": \n[2]\n{"id": NaN}\n{"id": 3}\n', encoding="utf-8")
    assert infer(tmp_path / "a.csv").sample.unreadable == 2
    lines = infer(tmp_path / "a.jsonl").sample
    assert (lines.unreadable, len(lines.records)) == (3, 2)


def test_a_column_that_stands_twice_is_left_out_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name,name\n1,a,b\n", encoding="utf-8")
    inferred = infer(tmp_path / "a.csv")
    assert list(inferred.schema["properties"]) == ["id"]
    assert "'name' stands more than once" in inferred.sample.notes[0]


def test_no_more_than_the_first_records_are_looked_at(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"id": n} for n in range(50)] + [{"id": "x"}])
    inferred = infer(path, limit=50)
    assert (len(inferred.sample.records), inferred.sample.whole) == (50, False)
    assert inferred.schema["properties"]["id"] == {"type": "integer"}


def test_a_table_of_two_thousand_columns_is_described(tmp_path: Path) -> None:
    names = [f"column{n}" for n in range(2000)]
    path = write_csv(tmp_path / "a.csv", [names, *([str(n)] * 2000 for n in range(20))])
    assert len(infer(path).schema["properties"]) == 2000


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"id,name\n", "holds no record"),
        ("a.json", b"[]", "an empty array"),
        ("a.json", b"[1, 2]", "expected a JSON object, or an array of them"),
        ("a.json", b'{"id": ', "neither a JSON document nor JSON lines"),
        ("a.json", b"id,name\n1,a\n", "its name says JSON, but it starts with 'i'"),
        ("a.json", b"{}", "its records have no fields"),
        ("a.parquet", b"PAR1 and nothing more", "cannot be read as a sample"),
        ("a.avro", b"Obj\x01 and nothing more", "cannot be read as a sample"),
        ("a.csv.gz", gzip.compress(CELLS * 1000)[:-40], "cannot be read as a sample"),
        ("a.json", b"[" * 100_000, "cannot be read as a sample"),
    ],
)
def test_a_sample_that_says_nothing_is_refused_by_name(tmp_path: Path, file: str, content: bytes, said: str) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(SampleError, match=f"^{tmp_path / file}: ") as caught:
        infer(tmp_path / file)
    assert said in str(caught.value)


def test_a_missing_sample_is_named(tmp_path: Path) -> None:
    with pytest.raises(SampleError, match=r"nowhere\.csv: cannot be read as a sample: .*No such file"):
        infer(tmp_path / "nowhere.csv")


def test_parquet_keeps_the_types_that_it_states(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array([1, 2]),
            "rate": pa.array([Decimal("1.500"), None], pa.decimal128(10, 3)),
            "never": pa.array([None, None], pa.float64()),
            "at": pa.array([1, 2], pa.timestamp("ns", "UTC")),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    columns = {c.name: c.type for c in read_json_schema(infer(tmp_path / "a.parquet").schema, {}).columns}
    assert columns == {"id": "integer", "rate": "decimal(18,3)", "never": "double", "at": "timestamp"}


def test_naughty_strings_are_names_and_values_like_any(real_data: Path) -> None:
    strings = json.loads((real_data / "naughty_strings" / "blns.json").read_text(encoding="utf-8"))
    names = list(dict.fromkeys(strings))
    inferred = of_records([{name: name for name in names}])
    assert list(inferred.schema["properties"]) == names


def test_every_row_of_a_file_of_mixed_line_ends_is_read(real_data: Path) -> None:
    path = real_data / "nyc_tlc_yellow_samples" / "yellow_tripdata_sample_2019-01.csv"
    inferred = infer(path)
    assert (len(inferred.sample.records), inferred.sample.unreadable) == (10_000, 0)
    total = sum(Decimal(record["total_amount"]) for record in inferred.sample.records)
    assert total == Decimal("157242.31")
    assert inferred.schema["properties"]["total_amount"]["multipleOf"] == 0.01


def test_damaged_parquet_files_end_in_a_sentence(real_data: Path) -> None:
    for path in sorted((real_data / "parquet_bad_data" / "bad_data").glob("*.parquet")):
        if path.name == "ARROW-GH-43605.parquet":  # damaged where only writers look
            assert infer(path).schema["properties"]
        else:
            with pytest.raises(SampleError, match=f"^{path}: cannot be read as a sample: "):
                infer(path)


def test_a_record_that_comes_twice_says_nothing_against_a_key() -> None:
    first, second = {"id": "a", "note": "x"}, {"id": "b", "note": "y"}
    assert of_records([first, second, first]).key.columns == ("id",)
    assert of_records([first, second, {"id": "a", "note": "z"}]).key.columns == ()

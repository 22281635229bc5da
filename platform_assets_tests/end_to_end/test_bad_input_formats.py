"""Every format and every corpus of bad input, from landing to silver and quarantine (S1-04, S1-44; I1, I2)."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.contracts.naming import column_names
from platform_assets.ingestion import unpack as unpacking
from platform_assets.ingestion.bronze import Ingested, ingest
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.query import query
from platform_assets.lakehouse.silver import Rebuilt, rebuild
from platform_assets.settings import Settings
from platform_assets.sources.model import Source
from platform_assets.sources.registry import load_source
from platform_assets_tests.arrivals import dead_letters, drop, json_lines
from platform_assets_tests.lakehouse.bronze_rows import object_schema, write_source, write_source_files

ARRIVED = date(2026, 3, 10)
TEXT, NUMBER = {"type": "string"}, {"type": "number"}
NULLABLE = {"type": ["string", "null"]}
THINGS = object_schema(
    "id",
    id={"type": "integer"},
    note=NULLABLE,
    price={"type": ["number", "null"], "multipleOf": 0.01},
    at={"type": ["string", "null"], "format": "date-time"},
    tags={"type": ["array", "null"]},
)


@dataclass(frozen=True)
class Way:
    """A source of a test's own, and what becomes of its objects."""

    settings: Settings
    source: Source

    def drop(self, name: str, content: bytes) -> str:
        """Lands an object."""
        return drop(self.settings, self.source.name, ARRIVED, name, content)

    def ingest(self) -> Ingested:
        """Landing to bronze: what is new."""
        return ingest(self.settings, self._lakehouse, self.source, ARRIVED, rebuild=False, run_id="test")

    def conform(self) -> Rebuilt:
        """Bronze to silver and quarantine."""
        return rebuild(self._lakehouse, self.source, self.source.file.silver[0], partition=None, run_id="test")

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query over the lakehouse."""
        return query(self._lakehouse, sql)[1]

    @property
    def letters(self) -> list[tuple[str, int | None, str]]:
        """File, row and reason of each dead letter."""
        found = dead_letters(self.settings, self.source.name)
        return [(letter["object"].rsplit("/", 1)[1], letter["row_number"], letter["reason"]) for letter in found]

    @property
    def _lakehouse(self) -> Lakehouse:
        return Lakehouse(self.settings)


def way(settings: Settings, folder: Path, schema: Mapping[str, Any], file_format: str, **more: Any) -> Way:  # noqa: ANN401
    ingestion = {"pattern": "batch_file", "format": file_format, **more.pop("ingestion", {})}
    return Way(settings, write_source(folder, schema, ingestion=ingestion, **more))


def schemaless(settings: Settings, folder: Path, file_format: str) -> Way:
    write_source_files(folder, {}, ingestion={"pattern": "batch_file", "format": file_format}, silver=None)
    (folder / "schema.v1.json").unlink()
    return Way(settings, load_source(folder))


RECORDS: list[dict[str, Any]] = [
    {"id": 1, "note": 'say "é",\n', "price": 1.25, "at": "2024-01-02T03:04:05.678000Z", "tags": ["a", None]},
    {"id": 2, "note": None, "price": None, "at": None, "tags": None},
    {"id": None, "note": "without an id", "price": 3.0, "at": "9999-12-31T00:00:00.000000Z", "tags": []},
]


def _csv() -> bytes:
    rows = ['1,"say ""é"",\n",1.25,2024-01-02T03:04:05.678000Z,"[""a"", null]"', "2,,,,"]
    return "\r\n".join(["id,note,price,at,tags", *rows, ',without an id,3.00,"9999-12-31",[]']).encode()


def _parquet() -> bytes:
    target = io.BytesIO()
    columns = {name: [record[name] for record in RECORDS] for name in RECORDS[0]}
    table = pa.table({**columns, "at": pa.array([_moment(at) for at in columns["at"]], pa.timestamp("us", "UTC"))})
    pq.write_table(table, target)
    return target.getvalue()


def _avro() -> bytes:
    kinds = {"id": "long", "note": "string", "price": "double", "tags": {"type": "array", "items": ["null", "string"]}}
    kinds["at"] = {"type": "long", "logicalType": "timestamp-micros"}
    fields = [{"name": name, "type": ["null", kind]} for name, kind in kinds.items()]
    target = io.BytesIO()
    records = [{**record, "at": _moment(record["at"])} for record in RECORDS]
    fastavro.writer(target, {"type": "record", "name": "thing", "fields": fields}, records, codec="deflate")
    return target.getvalue()


def _moment(text: str | None) -> Any:  # noqa: ANN401 - datetime or None
    from datetime import datetime

    return None if text is None else datetime.fromisoformat(text)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("file_format", "content"),
    [
        ("jsonl", json_lines(RECORDS)),
        ("json", json.dumps(RECORDS, indent=1).encode()),
        ("csv", _csv()),
        ("parquet", _parquet()),
        ("avro", _avro()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_format_becomes_the_same_rows(
    settings: Settings, tmp_path: Path, file_format: str, content: bytes, compressed: bool
) -> None:
    things = way(settings, tmp_path / "things", THINGS, file_format)
    things.drop(f"a.{file_format}", gzip.compress(content) if compressed else content)

    assert (things.ingest().rows, things.letters) == (3, [])
    accounting = things.conform().accounting

    assert (accounting.rows_in, accounting.rows_out, accounting.rows_quarantined) == (3, 2, 1)
    assert things.ask('select id, note, price::varchar, epoch_ms("at"), tags from silver.things order by id') == [
        (1, 'say "é",\n', "1.25", 1704164645678, '["a",null]'),
        (2, None, None, None, None),
    ]
    assert things.ask("select note, _broken_rules, _row_number from quarantine.things") == [
        ("without an id", "id.not_null", 3)
    ]


@pytest.mark.parametrize("file_format", ["jsonl", "csv"])
def test_numbers_and_dates_at_the_edge_are_kept_and_those_beyond_are_quarantined_as_they_came(
    settings: Settings, tmp_path: Path, file_format: str
) -> None:
    properties = object_schema("id", id=TEXT, n={"type": "integer"}, d={"type": "string", "format": "date"})
    things = way(settings, tmp_path / "things", properties, file_format)
    largest, beyond, far = str(2**63 - 1), str(2**63), "1" + "0" * 40
    values = [("a", largest, "0001-01-01"), ("b", f"-{beyond}", "9999-12-31"), ("c", beyond, "2024-01-01")]
    values += [("d", far, "2024-01-01"), ("e", "1", "10000-01-01"), ("f", "1", "0000-12-31")]
    if file_format == "csv":
        content = "\n".join(["id,n,d", *(",".join(row) for row in values)])
    else:
        content = "\n".join(f'{{"id":"{key}","n":{number},"d":"{day}"}}' for key, number, day in values)
    things.drop(f"a.{file_format}", content.encode())

    assert things.ingest().rows == 6
    assert things.conform().accounting.rows_quarantined == 4
    assert things.ask("select id, n, d from silver.things order by id") == [
        ("a", 2**63 - 1, date(1, 1, 1)),
        ("b", -(2**63), date(9999, 12, 31)),
    ]
    assert things.ask("select id, n, d, _broken_rules from quarantine.things order by id") == [
        ("c", beyond, "2024-01-01", "n.type"),
        ("d", far, "2024-01-01", "n.type"),
        ("e", "1", "10000-01-01", "d.type"),
        ("f", "1", "0000-12-31", "d.type"),
    ]


def test_nested_arrays_of_objects_keep_their_form_and_give_their_elements(settings: Settings, tmp_path: Path) -> None:
    lines = {"type": "array", "items": object_schema("sku", sku=TEXT, parts={"type": "array"})}
    schema = object_schema("id", id={"type": "integer"}, lines=lines)
    table = {"table": "lines", "kind": "current_state", "description": "Lines.", "key": ["id", "line_number"]}
    things = way(settings, tmp_path / "things", schema, "json", silver=[{**table, "explode": "lines", "keep": ["id"]}])
    parts = [{"no": 1, "of": [{"x": None}]}, {"no": 2}]
    record = {"id": 1, "lines": [{"sku": "a", "parts": parts}, {"sku": "b"}, {"sku": None}]}
    things.drop("a.json", json.dumps([record], indent=2).encode())

    assert things.ingest().rows == 1
    assert things.conform().accounting.rows_quarantined == 1
    assert things.ask("select line_number, sku, parts::json::varchar from silver.lines order by 1") == [
        (1, "a", json.dumps(parts, separators=(",", ":"))),
        (2, "b", None),
    ]


def test_gzip_bomb_is_stopped_and_its_neighbour_goes_through(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MAX_OBJECT_BYTES", 2**20)
    things = way(settings, tmp_path / "things", THINGS, "csv")
    things.drop("bomb.csv", gzip.compress(b"id,note\n" + b"\0" * 50 * 2**20))
    things.drop("good.csv", b"id,note\n1,x\n")

    ingested = things.ingest()

    assert (ingested.rows, ingested.dead_letters) == (1, 1)
    assert things.letters == [("bomb.csv", 1, "inflates to more than 1,048,576 bytes: reading stopped after record 0")]


def test_object_that_was_still_being_written_is_replaced_by_what_it_became(settings: Settings, tmp_path: Path) -> None:
    things = way(settings, tmp_path / "things", THINGS, "csv")
    whole = gzip.compress(b"id,note\n" + b"".join(b"%d,some text %d\n" % (n, n * n) for n in range(5000)))
    things.drop("a.csv.gz", whole[: len(whole) // 2])
    half = things.ingest()
    assert 1000 < half.rows < 4000
    assert half.dead_letters == 1

    things.drop("a.csv.gz", whole)
    done = things.ingest()

    assert (done.rows, done.dead_letters) == (5000, 0)
    assert things.ask(
        "select count(*), count(distinct id), count(distinct _landing_generation) from bronze.things"
    ) == [(5000, 5000, 1)]


def test_bronze_keeps_what_the_schema_does_not_have(settings: Settings, tmp_path: Path) -> None:
    things = way(settings, tmp_path / "things", THINGS, "csv", classification={"note": "secret"})
    things.drop("a.csv", b"id,note,new,Note\n1,hunter2,x,hunter2\n2,,,\n")
    assert things.ingest().rows == 2
    assert things.ask("select id, _unexpected from bronze.things order by id") == [("1", '{"new":"x"}'), ("2", None)]
    assert things.conform().accounting.rows_out == 2


def test_missing_column_is_a_dead_letter_of_the_object_and_its_rows_are_quarantined(
    settings: Settings, tmp_path: Path
) -> None:
    things = way(settings, tmp_path / "things", THINGS, "csv")
    things.drop("a.csv", b"ID,note\n1,x\n")
    ingested = things.ingest()
    assert (ingested.rows, ingested.dead_letters) == (1, 1)
    assert things.letters == [("a.csv", None, "missing column id: every record of the object lacks it")]
    assert things.conform().accounting.rows_quarantined == 1


NAUGHTY = ["", " ", "!", "ROWID", "select", "a'b", 'a"b', "a\\b", "名前", "Ω≈ç√", "😍", "<script>", "; DROP TABLE x --"]


def test_naughty_names_and_values_go_through_every_layer(settings: Settings, tmp_path: Path) -> None:
    _round_trip(settings, tmp_path, NAUGHTY)


def test_naughty_strings_of_the_corpus_go_through_every_layer(
    settings: Settings, tmp_path: Path, real_data: Path
) -> None:
    corpus = json.loads((real_data / "naughty_strings" / "blns.json").read_text())
    _round_trip(settings, tmp_path, list(dict.fromkeys(corpus)))


def _round_trip(settings: Settings, folder: Path, naughty: list[str]) -> None:
    """Each string is a value and a name, in JSON lines and in CSV; each is also the name of an object if it can be."""
    names = [f"{name}." for name in naughty]  # no name of a column is empty, and no two are the same in CSV
    schema = object_schema("key", key=TEXT, **dict.fromkeys(names, TEXT))
    for file_format in ("jsonl", "csv"):
        things = way(settings, folder / f"things_{file_format}", schema, file_format, silver=[_BY_KEY])
        record = {"key": file_format, **dict(zip(names, naughty, strict=True))}
        if file_format == "jsonl":
            content = json_lines([record])
        else:
            rows = [[cell.replace('"', '""') for cell in row] for row in (record.keys(), record.values())]
            content = "".join('"' + '","'.join(row) + '"\n' for row in rows).encode()
        uri = things.drop(f"a.{file_format}", content)
        assert (things.ingest().rows, things.letters) == (1, [])
        assert things.conform().accounting.rows_out == 1
        columns = [column for column in things.source.record.columns if column.path != ("key",)]
        assert [column.path[0] for column in columns] == names
        listed = ", ".join('"' + column.name.replace('"', '""') + '"' for column in columns)
        assert things.ask(f"select {listed} from silver.by_key") == [tuple(naughty)]
        assert things.ask(f"select distinct _landing_uri from bronze.things_{file_format}") == [(uri,)]


_BY_KEY = {"table": "by_key", "kind": "current_state", "description": "Things.", "key": ["key"]}


def test_naughty_file_names_are_told_as_they_are(settings: Settings, tmp_path: Path) -> None:
    things = way(settings, tmp_path / "things", THINGS, "csv")
    odd = [name for name in NAUGHTY if name.strip()]
    uris = [things.drop(f"{name}.csv", f"id,note\n{n},x\nbad\n".encode()) for n, name in enumerate(odd)]
    assert things.ingest().rows == len(odd)
    assert things.ask("select _landing_uri from bronze.things order by id::int") == [(uri,) for uri in uris]
    assert sorted(letter["object"] for letter in dead_letters(settings, "things")) == sorted(uris)


def test_json_test_suite_ends_well_in_one_run(settings: Settings, tmp_path: Path, real_data: Path) -> None:
    cases = sorted((real_data / "json_test_suite" / "test_parsing").glob("[yn]_*.json"))
    documents = schemaless(settings, tmp_path / "documents", "json")
    for case in cases:
        documents.drop(case.name, case.read_bytes())

    ingested = documents.ingest()

    refused = [name for name, _, _ in documents.letters]
    assert refused == [case.name for case in cases if case.name.startswith("n_")]
    assert ingested.dead_letters == len(refused) == 188
    empty = {case.name for case in cases if case.name.startswith("y_") and json.loads(case.read_text()) == []}
    came = documents.ask("select distinct regexp_extract(_landing_uri, '[^/]*$') from bronze.documents order by 1")
    assert {name for (name,) in came} | empty == {case.name for case in cases if case.name.startswith("y_")}


def test_taxi_trips_of_three_months_arrive_and_a_column_keeps_its_type(
    settings: Settings, tmp_path: Path, real_data: Path
) -> None:
    files = sorted((real_data / "nyc_tlc_yellow_samples").glob("*.csv"))
    assert len(files) == 3
    names = files[0].read_text().split("\n", 1)[0].strip().split(",")
    money = {"type": ["number", "null"], "multipleOf": 0.01}
    kinds = {name: money if name in {"total_amount", "congestion_surcharge"} else NULLABLE for name in names}
    table = {
        "table": "trips",
        "kind": "current_state",
        "description": "Trips.",
        "key": column_names([tuple(names[:1])]),
    }
    trips = way(settings, tmp_path / "trips", object_schema(**kinds), "csv", silver=[table])
    trips.drop(files[0].name, files[0].read_bytes())
    trips.ingest()
    trips.conform()
    described = "select typeof(congestion_surcharge), count(congestion_surcharge) > 0 from silver.trips group by 1"
    assert trips.ask(described) == [("DECIMAL(18,2)", False)]

    for file in files[1:]:
        trips.drop(file.name, file.read_bytes())
    assert (trips.ingest().rows, trips.letters) == (20_000, [])

    counted = (
        "select count(*), sum(total_amount::decimal(18, 2))::varchar, count(congestion_surcharge) from bronze.trips"
    )
    assert trips.ask(f"{counted} where _landing_uri like '%2019-01.csv'") == [(10_000, "157242.31", 3673)]
    assert trips.ask(f"{counted} where _landing_uri like '%2018-12.csv'")[0][::2] == (10_000, 0)
    accounting = trips.conform().accounting
    assert (accounting.rows_in, accounting.rows_quarantined, accounting.balanced) == (30_000, 0, True)
    assert trips.ask(described) == [("DECIMAL(18,2)", True)]

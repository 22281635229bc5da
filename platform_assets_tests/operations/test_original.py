"""The original of a quarantined row, taken out of landing whole, whatever the format of its object."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from platform_assets.ingestion.landing import Landing
from platform_assets.operations.fixed_record import written
from platform_assets.operations.original import read_original
from platform_assets.operations.quarantined_rows import QuarantinedRow, QuarantineError
from platform_assets.settings import Settings
from platform_assets_tests.lakehouse.bronze_rows import object_schema, write_source

DAY = date(2026, 3, 10)
SCHEMA = object_schema(
    "id",
    id={"type": "integer"},
    name={"type": "string"},
    price={"type": ["number", "null"], "multipleOf": 0.01},
    pin={"type": ["string", "null"]},
)
RECORDS = [
    {"id": 1, "name": "Ärmel", "price": 1.25, "pin": "1234"},
    {"id": 2, "name": "a, b", "price": -2.5, "pin": "0042", "more": "seen"},
]
DOCUMENT = json.dumps(RECORDS, indent=1).encode()
LINES = "".join(f"{json.dumps(record)}\n" for record in RECORDS).encode()
CSV = 'id,name,price,pin,more\n1,Ärmel,1.25,1234,\n2,"a, b",-2.5,0042,seen\n'.encode()


def _parquet() -> bytes:
    content = io.BytesIO()
    pl.DataFrame(RECORDS).write_parquet(content)
    return content.getvalue()


@pytest.mark.parametrize(
    ("kind", "file_name", "content"),
    [
        ("json", "a.json", DOCUMENT),
        ("json", "a.json", LINES),
        ("jsonl", "a.txt", b"\xef\xbb\xbf\n" + LINES.replace(b"\n", b"\r\n\r\n")),
        ("csv", "a.csv", CSV),
        ("csv", "released.jsonl", LINES),
        ("parquet", "a.parquet", _parquet()),
    ],
)
def test_a_record_is_taken_out_with_all_its_members(
    settings: Settings, tmp_path: Path, kind: str, file_name: str, content: bytes
) -> None:
    ingestion = {"pattern": "batch_file", "format": kind}
    source = write_source(tmp_path / "things", SCHEMA, ingestion=ingestion, classification={"pin": "secret"})
    landing = Landing(settings)
    arrival = landing.put("things", DAY, file_name, content)

    def row(number: int, generation: int = arrival.generation) -> QuarantinedRow:
        now = datetime.now(UTC)
        return QuarantinedRow("0" * 16, "things", None, arrival.uri, generation, now, number, None, ("x",), {})

    original = read_original(landing, source, row(2), tmp_path)

    assert json.loads(written(original.record)) == RECORDS[1]
    assert json.loads(original.line(original.record)) == RECORDS[1]
    with pytest.raises(QuarantineError, match="holds no JSON object at record 3"):
        read_original(landing, source, row(3), tmp_path)
    with pytest.raises(QuarantineError, match="was overwritten or deleted"):
        read_original(landing, source, row(2, arrival.generation + 1), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["things"]

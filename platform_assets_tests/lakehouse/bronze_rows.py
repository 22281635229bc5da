"""Sources and bronze rows made by hand, and Hypothesis strategies for the values that arrive in them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from platform_assets.contracts.iceberg_schema import duckdb_type
from platform_assets.contracts.rules import quote
from platform_assets.lakehouse import publisher
from platform_assets.sources.contracts import BronzeField, bronze_contract, bronze_fields
from platform_assets.sources.registry import load_source

if TYPE_CHECKING:
    import duckdb

    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.sources.model import Source

PII_KEY = "0123456789abcdef" * 4
ARRIVED = date(2026, 11, 21)
LANDED = datetime(2026, 11, 21, 12, tzinfo=UTC)
_GENERATIONS = count(1)


class JsonText(str):
    """JSON exactly as it arrived, where `json.dumps` would write it otherwise, such as `1e2`."""

    __slots__ = ()


@dataclass(frozen=True)
class Arrival:
    """A record that landed.

    Attributes:
        record: the record, parsed; values may be `JsonText`.
        event_date: silver partition that bronze put it in.
    """

    record: Mapping[str, Any]
    event_date: date = ARRIVED
    landed_at: datetime = LANDED
    uri: str = "gs://landing/object.jsonl"


def write_source(folder: Path, record: Mapping[str, Any], /, **settings: Any) -> Source:  # noqa: ANN401 - as YAML has it
    """A source whose name is the last part of `folder`, loaded; `settings` go on top of what every source needs."""
    write_source_files(folder, record, **settings)
    return load_source(folder)


def write_source_files(folder: Path, record: Mapping[str, Any], /, **settings: Any) -> None:  # noqa: ANN401 - as above
    """The files of `write_source`; a setting that is None is left out."""
    folder.mkdir(parents=True)
    file = {
        "source_id": folder.name,
        "display_name": "Things",
        "description": "Things of a test.",
        "owner": "team:test",
        "domain": "commerce",
        "ingestion": {"pattern": "batch_file"},
        "silver": [{"table": folder.name, "kind": "current_state", "description": "Things.", "key": ["id"]}],
        "monitoring": {"freshness": {"fail_minutes": 60}},
        **settings,
    }
    kept = {name: value for name, value in file.items() if value is not None}
    (folder / "source.yaml").write_text(yaml.safe_dump(kept), encoding="utf-8")
    (folder / "schema.v1.json").write_text(json.dumps(record), encoding="utf-8")


def object_schema(*required: str, **properties: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON Schema of an object."""
    return {"type": "object", "required": list(required), "properties": properties}


def bronze_value(bronze_field: BronzeField, value: object) -> str | None:
    """A value as bronze keeps it: JSON strings declared as text as their text, anything else as its JSON text."""
    if value is None or value == JsonText("null"):
        return None
    if isinstance(value, JsonText):
        return str(value)
    if bronze_field.text and isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def load_bronze(connection: duckdb.DuckDBPyConnection, source: Source, arrivals: Sequence[Arrival]) -> str:
    """Makes the temporary table `bronze`, rows as of one object with a generation of its own; returns its name."""
    fields, generation = bronze_fields(source), next(_GENERATIONS)
    contract = bronze_contract(source)
    rows = [
        (
            *(bronze_value(f, arrival.record.get(f.source_name or "")) for f in fields),
            *(None, arrival.uri, generation, arrival.landed_at, number, LANDED, ARRIVED, arrival.event_date),
        )
        for number, arrival in enumerate(arrivals, start=1)
    ]
    columns = ", ".join(f"{quote(column.name)} {duckdb_type(column)}" for column in contract.columns)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE bronze ({columns})")
    if rows:
        connection.executemany(f"INSERT INTO bronze VALUES ({', '.join('?' * len(rows[0]))})", rows)
    return "bronze"


def publish_bronze(lakehouse: Lakehouse, source: Source, arrivals: Sequence[Arrival]) -> None:
    """Adds the arrivals to bronze, as one commit of the arrival date."""
    contract = bronze_contract(source)
    with lakehouse.connect() as connection:
        rows = load_bronze(connection, source, arrivals)
        table = lakehouse.ensure(contract)
        publisher.append(lakehouse, contract, connection, rows, base=table, partition=ARRIVED, properties={})


@dataclass
class RawTable:
    """Bronze rows of a contract without a source: one text per column, a name for each row's origin."""

    columns: Sequence[str]
    rows: list[tuple[str | None, ...]] = field(default_factory=list)

    def load(self, connection: duckdb.DuckDBPyConnection, order: Iterable[int] | None = None) -> str:
        """Makes the temporary table `bronze`; row number n is the n-th row given, in whatever `order` they stand."""
        columns = ", ".join(f"{quote(name)} VARCHAR" for name in self.columns)
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE bronze ({columns}, _landing_uri VARCHAR, _landing_generation BIGINT, "
            "_landed_at TIMESTAMPTZ, _row_number BIGINT)"
        )
        for number in order if order is not None else range(len(self.rows)):
            values = (*self.rows[number], "gs://landing/object", 1, LANDED, number)
            connection.execute(f"INSERT INTO bronze VALUES ({', '.join('?' * len(values))})", values)
        return "bronze"

"""From landing objects to rows: a DuckDB table with one row for each record, every field as it arrived (I3).

Each format has a reader, which is fast where an object is clean, and thorough where it is not: then its good records
become the same rows, and the rest dead letters. What the values mean is judged later, against the contract.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from platform_assets.contracts.rules import literal, quote
from platform_assets.ingestion.avro_rows import AvroRows
from platform_assets.ingestion.csv_rows import CsvRows
from platform_assets.ingestion.dead_letters import DeadLetter
from platform_assets.ingestion.json_documents import JsonDocuments
from platform_assets.ingestion.json_lines import Insert, JsonLines
from platform_assets.ingestion.landing import LandingObject
from platform_assets.ingestion.parquet_rows import ParquetRows
from platform_assets.ingestion.refusals import KEPT_BYTES, Refusals, reader_errors
from platform_assets.ingestion.shape import NUMBER, Shape
from platform_assets.ingestion.undeclared_secrets import remove_secrets
from platform_assets.ingestion.unpack import Unpacked
from platform_assets.lakehouse.drift import Unexpected, absent_fields, unexpected_members
from platform_assets.sources.contracts import UNEXPECTED, BronzeField
from platform_assets.sources.ingestion_settings import CsvOptions, Format

if TYPE_CHECKING:
    import duckdb

TABLE = "records"


@dataclass(frozen=True)
class ObjectCount:
    """How many records of an object became rows, and how many could not be read."""

    object: LandingObject
    records: int
    refused: int


@dataclass(frozen=True)
class RecordSet:
    """What was read, object by object in the order given, and what could not be.

    Attributes:
        unexpected: members that the schema does not have, most frequent first.
        absent: field to the rows without a value for it, of fields with such rows.
    """

    objects: tuple[ObjectCount, ...]
    dead_letters: tuple[DeadLetter, ...]
    unexpected: tuple[Unexpected, ...] = ()
    absent: Mapping[str, int] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """Rows in the table."""
        return sum(count.records for count in self.objects)

    @property
    def refused(self) -> int:
        """Records of which no row could be made; dead letters name the first of them."""
        return sum(count.refused for count in self.objects)

    @property
    def faults(self) -> int:
        """What is wrong with objects as a whole."""
        return sum(letter.row_number is None for letter in self.dead_letters)


def read_objects(
    connection: duckdb.DuckDBPyConnection,
    objects: Sequence[tuple[LandingObject, Path]],
    fields: Sequence[BronzeField],
    *,
    envelope: bool,
    file_format: Format = Format.JSONL,
    csv: CsvOptions | None = None,
    secrets: Sequence[tuple[str, ...]] = (),
    declared: Sequence[str] = (),
) -> RecordSet:
    """Fill the temporary table `records`, replacing what is there.

    Args:
        connection: where the table is made.
        objects: landing objects with the files that they were downloaded to, plain or gzip.
        fields: the VARCHAR columns. A field declared as text holds a text as it is; any other holds its JSON text,
            which tells the string "9.5" from the number 9.5. The secrets inside a field are left out. One field without
            a source name holds each record as a whole, which may then be any JSON value.
        envelope: each line is a landed message and the record is its data.
        file_format: what the objects are; those whose name ends in `.jsonl` or `.jsonl.gz` are JSON lines anyway.
        csv: how CSV is written.
        secrets: paths that bronze must not hold; what is called like one in an unexpected member is left out as well.
        declared: top-level names of the schema in its order: the columns of CSV without a header.

    Further columns: `_unexpected` VARCHAR, a JSON object of the members that are no field; `_landing_uri` VARCHAR,
    `_landing_generation` BIGINT, `_landed_at` TIMESTAMPTZ and `_row_number` BIGINT, the n-th record of the object that
    is not blank, from 1. A member that is null is like one that is missing.
    """
    shape = Shape(tuple(fields), tuple(secrets), tuple(declared) or tuple(f.source_name or "" for f in fields))
    table = _Table(connection, shape)
    table.create()
    lines = JsonLines(connection, shape, envelope=envelope)
    chosen = _reader(connection, shape, lines, file_format, csv or CsvOptions())
    work = [(arrival, path, lines if is_json_lines(arrival) else chosen) for arrival, path in objects]
    outcomes: dict[LandingObject, tuple[int, Refusals]] = {}
    for (arrival, _, reader), unpacked in zip(work, _prepared_ahead(work), strict=True):
        outcomes[arrival] = table.fill(arrival, unpacked, reader.read)
    if not envelope:  # a message without data is refused as such
        empty = table.with_rows_of_nothing()
        for arrival, path, reader in work:
            if isinstance(reader, JsonLines | JsonDocuments) and (arrival.uri, arrival.generation) in empty:
                table.remove(arrival)
                outcomes[arrival] = table.fill(arrival, reader.prepare(path), reader.reread)
    remove_secrets(connection, TABLE, shape)
    return RecordSet(
        objects=tuple(ObjectCount(arrival, rows, refusals.refused) for arrival, (rows, refusals) in outcomes.items()),
        dead_letters=tuple(
            DeadLetter(arrival, problem.row_number, problem.reason, problem.content)
            for arrival, (_, refusals) in outcomes.items()
            for problem in refusals.named()
        ),
        unexpected=unexpected_members(connection, TABLE),
        absent=absent_fields(connection, TABLE, shape.fields),
    )


class FormatReader(Protocol):
    """Reads objects of one format."""

    def prepare(self, path: Path) -> Unpacked:
        """What `read` needs, made ahead while the previous object is being read."""
        ...

    def read(self, unpacked: Unpacked, insert: Insert) -> tuple[int, Refusals]:
        """Rows inserted by giving SQL (see `Shape`) to `insert`, and what could not be read."""
        ...


def _reader(
    connection: duckdb.DuckDBPyConnection, shape: Shape, lines: JsonLines, file_format: Format, csv: CsvOptions
) -> FormatReader:
    readers: dict[Format, FormatReader] = {
        Format.JSONL: lines,
        Format.JSON: JsonDocuments(lines),
        Format.CSV: CsvRows(connection, shape, csv),
        Format.PARQUET: ParquetRows(connection, shape),
        Format.AVRO: AvroRows(connection, shape),
    }
    return readers[file_format]


def is_json_lines(arrival: LandingObject) -> bool:
    """Whether an object is JSON lines whatever its source's format is."""
    return arrival.name.removesuffix(".gz").endswith(".jsonl")


def _prepared_ahead(work: Iterable[tuple[LandingObject, Path, FormatReader]]) -> Iterator[Unpacked]:
    """Prepare the next object while the previous one is being read, and no further ahead: plain files are large."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="unpack") as pool:
        ahead: Future[Unpacked] | None = None
        for _, path, reader in work:
            following = pool.submit(reader.prepare, path)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()


@dataclass(frozen=True)
class _Table:
    connection: duckdb.DuckDBPyConnection
    shape: Shape

    def create(self) -> None:
        columns = ", ".join(f"{quote(name)} VARCHAR" for name in (*self._names, UNEXPECTED))
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {TABLE} ({columns}, _landing_uri VARCHAR, _landing_generation BIGINT, "
            "_landed_at TIMESTAMPTZ, _row_number BIGINT)"
        )

    def fill(
        self, arrival: LandingObject, unpacked: Unpacked, read: Callable[[Unpacked, Insert], tuple[int, Refusals]]
    ) -> tuple[int, Refusals]:
        """Rows inserted, and what could not be read. Removes the file that `prepare` made."""
        refusals = Refusals()
        try:
            if unpacked.trusted:
                return read(unpacked, lambda rows: self._insert(arrival, rows))
            with unpacked.path.open("rb") as content:
                refusals.note(f"{unpacked.fault}: no record of the object is used", content.read(KEPT_BYTES))
        except reader_errors() as error:
            # Not known to happen: readers judge with DuckDB's own parsers. One object must not stop the others.
            refusals.note(f"the reader refuses the object ({type(error).__name__}): no record of it is used")
        finally:
            if unpacked.made:
                unpacked.path.unlink(missing_ok=True)
        return 0, refusals

    def with_rows_of_nothing(self) -> set[tuple[str, int]]:
        """Objects that gave a row that has no field at all: an empty record, or what is none."""
        found = self.connection.execute(
            f"SELECT DISTINCT _landing_uri, _landing_generation FROM {TABLE} WHERE {self.shape.nothing}"
        )
        return set(found.fetchall())

    def remove(self, arrival: LandingObject) -> None:
        self.connection.execute(
            f"DELETE FROM {TABLE} WHERE _landing_uri = $1 AND _landing_generation = $2",
            [arrival.uri, arrival.generation],
        )

    @property
    def _names(self) -> list[str]:
        return [bronze_field.name for bronze_field in self.shape.fields]

    def _insert(self, arrival: LandingObject, rows: str) -> int:
        rows = self.shape.without_secrets(rows)
        columns = ", ".join(quote(name) for name in (*self._names, UNEXPECTED))
        inserted = self.connection.execute(
            f"INSERT INTO {TABLE} SELECT {columns}, {literal(arrival.uri)}, {arrival.generation}, "
            f"TIMESTAMPTZ {literal(arrival.landed_at.astimezone(UTC).isoformat())}, {NUMBER} FROM ({rows})"
        ).fetchall()
        return int(inserted[0][0])

"""From landing objects to rows: a DuckDB table with one row for each record, every field as it arrived (I3).

Clean objects are read by DuckDB alone; one that is not goes through `salvage`, so that its good records become the
same rows and the rest dead letters. What the values mean is judged later, against the contract.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from platform_assets.contracts.rules import literal, quote
from platform_assets.ingestion.landing import DeadLetter, LandingObject
from platform_assets.ingestion.salvage import MAX_RECORD_BYTES, Refusals, Unpacked, explain, salvage, unpack
from platform_assets.sources.contracts import BronzeField

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TABLE = "records"
_ENVELOPE = ("data", "data_base64")  # the members of a landed message that hold what was published
_MESSAGES = "_messages"
_NUMBER = "_number_of_the_record"
_FETCHED = 1000


@dataclass(frozen=True)
class ObjectCount:
    """How many records of an object became rows, and how many could not be read."""

    object: LandingObject
    records: int
    refused: int


@dataclass(frozen=True)
class RecordSet:
    """What was read, object by object in the order given, and what could not be."""

    objects: tuple[ObjectCount, ...]
    dead_letters: tuple[DeadLetter, ...]

    @property
    def records(self) -> int:
        """Rows in the table."""
        return sum(count.records for count in self.objects)

    @property
    def refused(self) -> int:
        """Records of which no row could be made; dead letters name the first of them."""
        return sum(count.refused for count in self.objects)


def read_objects(
    connection: DuckDBPyConnection,
    objects: Sequence[tuple[LandingObject, Path]],
    fields: Sequence[BronzeField],
    *,
    envelope: bool,
) -> RecordSet:
    """Fill the temporary table `records`, replacing what is there.

    Args:
        connection: where the table is made.
        objects: landing objects with the files that they were downloaded to, JSON lines, plain or gzip.
        fields: the VARCHAR columns. A field declared as text holds a JSON string as its text; any other holds its JSON
            text, which tells the string "9.5" from the number 9.5. Members of a record that are no field are left out,
            and so are the secrets inside a field.
        envelope: each line is a landed message and the record is its data.

    Further columns: `_landing_uri` VARCHAR, `_landing_generation` BIGINT, `_landed_at` TIMESTAMPTZ and `_row_number`
    BIGINT, the n-th record of the object that is not blank, from 1. A member that is null is like one that is missing.
    """
    reader = _Reader(connection, fields, envelope)
    reader.create_table()
    outcomes: dict[LandingObject, tuple[int, Refusals]] = {}
    for (arrival, _), unpacked in zip(objects, _unpacked_ahead(path for _, path in objects), strict=True):
        outcomes[arrival] = reader.read(arrival, unpacked)
    paths = dict(objects)
    for arrival in reader.with_rows_of_nothing(paths):
        reader.remove(arrival)
        outcomes[arrival] = reader.read(arrival, unpack(paths[arrival]), thorough=True)
    return RecordSet(
        objects=tuple(ObjectCount(arrival, rows, refusals.refused) for arrival, (rows, refusals) in outcomes.items()),
        dead_letters=tuple(
            DeadLetter(arrival, problem.row_number, problem.reason, problem.content)
            for arrival, (_, refusals) in outcomes.items()
            for problem in refusals.named()
        ),
    )


def _unpacked_ahead(paths: Iterable[Path]) -> Iterator[Unpacked]:
    """Inflate the next object while the previous one is being read, and no further ahead: plain files are large."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="unpack") as pool:
        ahead: Future[Unpacked] | None = None
        for path in paths:
            following = pool.submit(unpack, path)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()


@dataclass(frozen=True)
class _Reader:
    connection: DuckDBPyConnection
    fields: Sequence[BronzeField]
    envelope: bool

    def create_table(self) -> None:
        columns = ", ".join(f"{quote(field.name)} VARCHAR" for field in self.fields)
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {TABLE} ({columns}, _landing_uri VARCHAR, _landing_generation BIGINT, "
            "_landed_at TIMESTAMPTZ, _row_number BIGINT)"
        )

    def read(self, arrival: LandingObject, unpacked: Unpacked, *, thorough: bool = False) -> tuple[int, Refusals]:
        """Rows inserted, and what could not be read. Removes the files that it and `unpack` made."""
        import duckdb

        refusals = Refusals()
        clean: Path | None = None
        try:
            if not thorough and unpacked.fault is None and unpacked.longest <= MAX_RECORD_BYTES:
                try:
                    return self._insert(arrival, unpacked.path, refusals), refusals
                except (duckdb.InvalidInputException, duckdb.IOException):
                    refusals = Refusals()  # some line cannot be read: find out which
            clean = salvage(self.connection, unpacked, self._line_names, self._marker, refusals)
            try:
                return self._insert(arrival, clean, refusals), refusals
            except duckdb.InvalidInputException as error:
                # Not known to happen: the judge is the reader's own parser. One object must not stop the others.
                refusals.note(f"the reader refuses the object ({type(error).__name__}): no record of it is used")
                return 0, refusals
        finally:
            if unpacked.made:
                unpacked.path.unlink(missing_ok=True)
            if clean is not None:
                clean.unlink(missing_ok=True)

    def with_rows_of_nothing(self, among: Iterable[LandingObject]) -> list[LandingObject]:
        """Objects with a row that has no field at all: an empty record, or `null`, which DuckDB takes for one."""
        nothing = " AND ".join(f"{quote(field.name)} IS NULL" for field in self.fields)
        if self.envelope:
            return []  # a message without data is refused as such
        found = set(
            self.connection.execute(
                f"SELECT DISTINCT _landing_uri, _landing_generation FROM {TABLE} WHERE {nothing}"
            ).fetchall()
        )
        return [arrival for arrival in among if (arrival.uri, arrival.generation) in found]

    def remove(self, arrival: LandingObject) -> None:
        self.connection.execute(
            f"DELETE FROM {TABLE} WHERE _landing_uri = $1 AND _landing_generation = $2",
            [arrival.uri, arrival.generation],
        )

    @cached_property
    def _marker(self) -> str:
        return f"refused_{uuid.uuid4().hex}"  # a name that no record can hold

    @property
    def _line_names(self) -> list[str]:
        return list(_ENVELOPE) if self.envelope else list(self._structure)

    @property
    def _structure(self) -> dict[str, str]:
        return {str(field.source_name): "VARCHAR" if field.text else "JSON" for field in self.fields}

    def _insert(self, arrival: LandingObject, path: Path, refusals: Refusals) -> int:
        records = self._lines(path, self._structure)
        if self.envelope:
            self._stage_messages(path)
            self._refuse_messages(refusals)
            structure = literal(json.dumps(self._structure))
            members = f"SELECT {_NUMBER}, json_transform(data, {structure}) AS record FROM {_MESSAGES} WHERE readable"
            records = f"SELECT {_NUMBER}, unnest(record) FROM ({members})"
        for field in self.fields:
            for secret in field.dropped:
                records = _without(records, str(field.source_name), secret)
        values = ", ".join(f"CAST({quote(str(field.source_name))} AS VARCHAR)" for field in self.fields)
        rows = self.connection.execute(
            f"INSERT INTO {TABLE} SELECT {values}, {literal(arrival.uri)}, {arrival.generation}, "
            f"TIMESTAMPTZ {literal(arrival.landed_at.astimezone(UTC).isoformat())}, {_NUMBER} FROM ({records})"
        ).fetchall()
        return int(rows[0][0])

    def _lines(self, path: Path, structure: Mapping[str, str]) -> str:
        """The lines of a file as columns, numbered from 1, without those that stand for an unreadable one."""
        columns = ", ".join(f"{literal(name)}: '{kind}'" for name, kind in {**structure, self._marker: "JSON"}.items())
        return (
            f"SELECT * FROM (SELECT *, row_number() OVER () AS {_NUMBER} "
            f"FROM read_json({literal(str(path))}, format = 'newline_delimited', records = 'true', "
            f"columns = {{{columns}}}, compression = 'none', hive_partitioning = false, filename = false, "
            f"maximum_object_size = {MAX_RECORD_BYTES})) WHERE {self._marker} IS NULL"
        )

    def _stage_messages(self, path: Path) -> None:
        names = ", ".join(literal(field.source_name) for field in self.fields)
        keys = f"list_filter(json_keys(data), lambda name: name IN ({names}))"
        # CASE alone keeps the reader off text that is not JSON: the sides of AND are evaluated in any order.
        readable = (
            f"CASE WHEN strlen(data) <= {MAX_RECORD_BYTES} THEN CASE WHEN json_valid(data) THEN "
            f"CASE WHEN json_type(data) = 'OBJECT' THEN len({keys}) = len(list_distinct({keys})) END END END"
        )
        lines = self._lines(path, dict.fromkeys(_ENVELOPE, "VARCHAR"))
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {_MESSAGES} AS "
            f"SELECT {_NUMBER}, data, data_base64, coalesce({readable}, false) AS readable FROM ({lines})"
        )

    def _refuse_messages(self, refusals: Refusals) -> None:
        names = list(self._structure)
        bad = self.connection.execute(
            f"SELECT {_NUMBER}, data, data_base64 FROM {_MESSAGES} WHERE NOT readable ORDER BY ALL"
        )
        while rows := bad.fetchmany(_FETCHED):
            for number, data, encoded in rows:
                content = data.encode() if data is not None else _decoded(encoded)
                reason = explain(content, names) if data is not None or encoded is not None else "message without data"
                refusals.refuse(number, reason, content)


def _without(records: str, column: str, secret: tuple[str, ...]) -> str:
    """The records with a secret inside a column removed; a value that does not hold it stays exactly as it is.

    A list where the path expects an object may hold the secret any number of times: then the whole value goes.
    """
    value = quote(column)
    steps = [f"/{name.replace('~', '~0').replace('/', '~1')}" for name in secret]
    outer = [literal("".join(steps[:depth])) for depth in range(1, len(steps))]
    lists = " OR ".join(
        f"{kind} = 'ARRAY'" for kind in [f"json_type({value})", *(f"json_type({value}, {p})" for p in outer)]
    )
    named = f"contains(CAST({value} AS VARCHAR), {literal(json.dumps(secret[-1], ensure_ascii=False) + ':')})"
    patch: object = None
    for name in reversed(secret):
        patch = {name: patch}
    pointer, removal = literal("".join(steps)), literal(json.dumps(patch))
    cleaned = (
        f"CASE WHEN json_valid({value}) THEN CASE "
        f"WHEN json_exists({value}, {pointer}) THEN json_merge_patch({value}, {removal}) "
        f"WHEN ({lists}) AND {named} THEN NULL ELSE {value} END ELSE {value} END"
    )
    return f"SELECT * REPLACE ({cleaned} AS {value}) FROM ({records})"


def _decoded(encoded: str | None) -> bytes:
    try:
        return base64.b64decode(encoded or "", validate=True)
    except ValueError:
        return (encoded or "").encode()

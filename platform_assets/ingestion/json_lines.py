"""JSON lines to rows: DuckDB reads clean objects as they are, three ways from fast to thorough.

An object that holds only declared members is read straight into columns. One with other members is staged record by
record, so that they are kept. One that is not clean goes through `salvage` first.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from platform_assets.contracts.rules import literal, quote
from platform_assets.ingestion.refusals import MAX_RECORD_BYTES, Refusals, reader_errors
from platform_assets.ingestion.salvage import Judge, explain, salvage
from platform_assets.ingestion.shape import NUMBER, Shape, pointer, without_members
from platform_assets.ingestion.strict_json import is_strict, is_suspicious, suspicious
from platform_assets.ingestion.unpack import Unpacked, unpack

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Insert = Callable[[str], int]  # puts SQL rows (see `Shape`) into the table; says how many

_ENVELOPE = ("data", "data_base64")  # the members of a landed message that hold what was published
_STAGED = "_staged_records"
_FETCHED = 1000
_HEAD_LINES = 2
_BLANK = b"\n"  # is no record; without it DuckDB reads nothing of an object of one byte


@dataclass(frozen=True)
class JsonLines:
    """Reads objects of one JSON value a line.

    Attributes:
        connection: where rows are made.
        shape: what is kept of a record.
        envelope: each line is a landed message and the record is its data.
    """

    connection: DuckDBPyConnection
    shape: Shape
    envelope: bool = False

    def prepare(self, path: Path) -> Unpacked:
        """The object as a plain file, headed by what tells DuckDB the columns."""
        unpacked = unpack(path, head=self.head)
        return replace(unpacked, suspicious=is_suspicious(unpacked.path))

    def read(self, unpacked: Unpacked, insert: Insert) -> tuple[int, Refusals]:
        """Rows inserted, and what could not be read."""
        return self._read(unpacked, insert, directly=self.straight)

    def reread(self, unpacked: Unpacked, insert: Insert) -> tuple[int, Refusals]:
        """Like `read`, looking at each record as a whole: DuckDB takes `null` for a record without any member."""
        return self._read(unpacked, insert, directly=False)

    def _read(self, unpacked: Unpacked, insert: Insert, *, directly: bool) -> tuple[int, Refusals]:
        refused = reader_errors()
        if unpacked.sound and unpacked.longest <= MAX_RECORD_BYTES and not unpacked.suspicious:
            if directly:
                try:
                    return insert(self.columns(unpacked.path)), Refusals()
                except refused:
                    directly = False  # some member is unknown, or some line cannot be read
            try:
                return self._read_staged(unpacked.path, insert, Refusals())
            except refused:
                directly = False  # some line cannot be read: find out which
        refusals = Refusals()
        judge = Judge(self.connection, _ENVELOPE if self.envelope else (), objects_only=not self._any_value)
        clean = salvage(judge, unpacked, self.head, self._replacement.encode(), refusals)
        try:
            return self._read_staged(clean, insert, refusals)
        finally:
            clean.unlink(missing_ok=True)

    @property
    def _any_value(self) -> bool:
        return self.shape.whole and not self.envelope

    @cached_property
    def head(self) -> bytes:
        """Lines from which DuckDB infers exactly the declared columns; then, and only then, it refuses other members.

        With declared columns it would skip them in silence, and to look for them costs half as much as reading.
        """
        if self.envelope or self.shape.whole or self.shape.ambiguous:
            return _BLANK
        text = {field.source_name: "" for field in self.shape.fields if field.text}
        lines = [
            {name: text.get(name, value) for name in (*self.shape.names, *self.shape.dropped)} for value in (1, "x")
        ]
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()

    @cached_property
    def _replacement(self) -> str:
        """The line that stands for one that cannot be read: a member's name that no record can hold."""
        return json.dumps({f"refused_{uuid.uuid4().hex}": 1})

    @property
    def straight(self) -> bool:
        """Whether clean objects can be read straight into columns."""
        return self.head != _BLANK

    def columns(self, path: Path) -> str:
        """SQL rows of a file that begins with `head`; reading it fails where a line is not clean."""
        values = [f"{quote(name)}::VARCHAR" for name in self.shape.names]
        # DuckDB skips unknown members in silence again as soon as one of the columns is not asked for.
        used = " OR ".join(f"strlen({quote(name)}::VARCHAR) < 0" for name in self.shape.dropped)
        nothing = f"CASE WHEN {used} THEN '' END" if used else "NULL::VARCHAR"
        return (
            f"SELECT {self.shape.columns(values, nothing)} FROM ("
            f"SELECT *, row_number() OVER () - {_HEAD_LINES} AS {NUMBER} "
            f"FROM read_json({literal(str(path))}, records = 'true', sample_size = {_HEAD_LINES}, "
            f"map_inference_threshold = -1, {_LINES})) "
            f"WHERE {NUMBER} > 0"
        )

    def _read_staged(self, path: Path, insert: Insert, refusals: Refusals) -> tuple[int, Refusals]:
        self._stage(self._messages(path) if self.envelope else self._records(path))
        if self.envelope:
            self._judge_strictly()
        self._refuse(refusals)
        return insert(self._staged_rows()), refusals

    def _records(self, path: Path) -> str:
        skipped = _HEAD_LINES if self.straight else 0
        return (
            f"SELECT * FROM (SELECT row_number() OVER () - {skipped} AS {NUMBER}, json::VARCHAR AS data, "
            f"NULL::VARCHAR AS data_base64 FROM read_json_objects({literal(str(path))}, {_LINES})) "
            f"WHERE {NUMBER} > 0 AND data <> {literal(self._replacement)}"
        )

    def _messages(self, path: Path) -> str:
        (marker,) = json.loads(self._replacement)
        columns = f"{{data: 'VARCHAR', data_base64: 'VARCHAR', {marker}: 'JSON'}}"
        return (
            f"SELECT * FROM (SELECT *, row_number() OVER () AS {NUMBER} "
            f"FROM read_json({literal(str(path))}, records = 'true', columns = {columns}, {_LINES})) "
            f"WHERE {marker} IS NULL"
        )

    def _stage(self, records: str) -> None:
        """Every record as its text, with whether it can be read, and whether it has members that are no field."""
        names = ", ".join(literal(name) for name in (*self.shape.names, *self.shape.dropped))
        # CASE alone keeps the reader off text that is not JSON: the sides of AND are evaluated in any order.
        valid = f"CASE WHEN strlen(data) <= {MAX_RECORD_BYTES} THEN json_valid(data) ELSE FALSE END"
        keys = f"CASE WHEN {valid} THEN CASE WHEN json_type(data) = 'OBJECT' THEN json_keys(data) END END"
        known = f"list_filter(keys, lambda name: name IN ({names}))"
        readable = valid if self.shape.whole else "coalesce(len(known) = len(list_distinct(known)), FALSE)"
        keyed = f"SELECT *, {'NULL::VARCHAR[]' if self.shape.whole else keys} AS keys FROM ({records})"
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {_STAGED} AS SELECT {NUMBER}, data, data_base64, "
            f"coalesce({readable}, FALSE) AS readable, len(known) < len(keys) AS further "
            f"FROM (SELECT *, {known} AS known FROM ({keyed}))"
        )

    def _judge_strictly(self) -> None:
        """The text of a message is JSON within JSON, where searching the object's bytes finds nothing."""
        odd = self.connection.execute(f"SELECT {NUMBER}, data FROM {_STAGED} WHERE readable AND {suspicious('data')}")
        bad: list[int] = []
        while rows := odd.fetchmany(_FETCHED):
            bad.extend(number for number, data in rows if not is_strict(data))
        if bad:
            self.connection.execute(
                f"UPDATE {_STAGED} SET readable = FALSE WHERE {NUMBER} IN (SELECT unnest($1))", [bad]
            )

    def _refuse(self, refusals: Refusals) -> None:
        found = self.connection.execute(
            f"SELECT {NUMBER}, data, data_base64 FROM {_STAGED} WHERE NOT readable ORDER BY ALL"
        )
        while rows := found.fetchmany(_FETCHED):
            for number, data, encoded in rows:
                content = data.encode() if data is not None else _decoded(encoded)
                if data is None and encoded is None:
                    reason = "message without data"
                else:
                    reason = explain(content, self.shape.names, objects_only=not self.shape.whole)
                refusals.refuse(number, reason, content)

    def _staged_rows(self) -> str:
        readable = f"SELECT {NUMBER}, data, further FROM {_STAGED} WHERE readable"
        if self.shape.whole:
            return f"SELECT {self.shape.columns([f'trim(data, {_BLANKS})'], 'NULL::VARCHAR')} FROM ({readable})"
        others = without_members("data", (*self.shape.names, *self.shape.dropped))
        unexpected = f"CASE WHEN further THEN {others} END"
        if self.shape.ambiguous:
            return f"SELECT {self.shape.columns(self._extracted(), unexpected)} FROM ({readable})"
        kinds = {field.source_name: "VARCHAR" if field.text else "JSON" for field in self.shape.fields}
        structure = literal(json.dumps(kinds, ensure_ascii=False))
        values = [f"record[{literal(name)}]::VARCHAR" for name in self.shape.names]
        return (
            f"SELECT {self.shape.columns(values, unexpected)} "
            f"FROM (SELECT *, json_transform(data, {structure}) AS record FROM ({readable}))"
        )

    def _extracted(self) -> list[str]:
        values = []
        for field in self.shape.fields:
            where = literal(pointer(field.source_name or ""))
            text, value = f"json_extract_string(data, {where})", f"json_extract(data, {where})"
            values.append(text if field.text else f"nullif({value}::VARCHAR, 'null')")
        return values


_BLANKS = literal(" \t\r\n")
_LINES = (
    f"format = 'newline_delimited', compression = 'none', hive_partitioning = false, filename = false, "
    f"maximum_object_size = {MAX_RECORD_BYTES}"
)


def _decoded(encoded: str | None) -> bytes:
    try:
        return base64.b64decode(encoded or "", validate=True)
    except ValueError:
        return (encoded or "").encode()

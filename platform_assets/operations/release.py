"""Lets a quarantined record go through again, mended: it lands as a new object and takes the one way through (S0-55).

First the record lands, then the decision is recorded. The object's name is made from the identity of the record alone,
so that a release which was killed in between finds it when it is run again, and nothing lands twice.
"""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_assets.ingestion.landing import LandingObject
from platform_assets.lakehouse.decisions import Outcome, record
from platform_assets.operations.fixed_record import changed, parse_record, written
from platform_assets.operations.original import Original, read_original
from platform_assets.operations.quarantine import decision_on, refuse_anonymous
from platform_assets.operations.quarantined_rows import QuarantinedRow, QuarantineError, rows_by_id, rows_of_record
from platform_assets.operations.rehearsal import UnreadableRecord, rehearse
from platform_assets.sources.registry import load_sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from platform_assets.ingestion.landing import Landing
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.operations.fixed_record import Change
    from platform_assets.sources.model import Source

WHOLE_RECORD = "the whole record"


@dataclass(frozen=True)
class Released:
    """A record that goes through again.

    Attributes:
        landing_uri: the object that holds it now, mended.
        row_ids: every quarantined row that was made of it, in all tables of its source.
        new: whether this release recorded a decision; otherwise the same one had been done before.
    """

    landing_uri: str
    row_ids: tuple[str, ...]
    new: bool

    def as_json(self) -> dict[str, object]:
        """One flat object."""
        return {"landing_uri": self.landing_uri, "row_ids": list(self.row_ids), "new": self.new}


@dataclass(frozen=True)
class _Mended:
    """A quarantined row with the line that its record lands as, and the paths that differ."""

    row: QuarantinedRow
    line: bytes
    paths: tuple[str, ...]
    differs: bool = True

    @property
    def file_name(self) -> str:
        identity = "\n".join(map(str, self.row.record))
        return f"released-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.jsonl"


def release(
    lakehouse: Lakehouse,
    landing: Landing,
    table: str,
    row_ids: Sequence[str],
    *,
    changes: Sequence[Change] = (),
    records: Sequence[Mapping[str, Any]] | None = None,
    by: str,
    why: str,
) -> list[Released]:
    """Mends the records of quarantined rows, lands them again and records who decided so, and why.

    Nothing lands before every record was found to keep the contracts of all tables of its source.

    Args:
        lakehouse: the tables.
        landing: the bucket.
        table: the table whose rows they are.
        row_ids: rows as `quarantine show` names them. Rows of one record, such as lines of a cart, go through together.
        changes: applied to each record.
        records: instead of changes, the mended records as `parse_record` reads them, one for each record of the rows in
            their order.
        by: who decides.
        why: the reason.

    Raises:
        QuarantineError: a row does not exist or was released otherwise, its record cannot be read any more, or would
            not get through: the message says which rules it would break.
    """
    refuse_anonymous(by, why)
    first_rows: dict[tuple[str, int, int], QuarantinedRow] = {}
    for row in rows_by_id(lakehouse, table, row_ids):
        first_rows.setdefault(row.record, row)
    rows = list(first_rows.values())
    source = _source_of(rows[0].table)
    with _scratch(lakehouse) as folder:
        mended = list(_mended(landing, source, rows, changes, records, folder))
        landed = [_landed_before(landing, source, one, folder) for one in mended]
        for one, before in zip(mended, landed, strict=True):
            if before is None:
                _refuse_what_breaks(lakehouse, source, one, folder)
        released = []
        for one, before in zip(mended, landed, strict=True):
            arrival = before or _land(landing, source, one, folder)
            released.append(_decide(lakehouse, source, one, arrival, by, why))
    return released


def read_records(path: Path) -> list[Mapping[str, Any]]:
    """The records of a JSON lines file, for `release`.

    Raises:
        QuarantineError: a line is no JSON object; the message says which, and nothing of what it holds.
    """
    records: list[Mapping[str, Any]] = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found = parse_record(line)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise QuarantineError(f"{path}:{number}: expected one record, a JSON object, on every line")
        records.append(found)
    return records


def _source_of(table: str) -> Source:
    for source in load_sources():
        if any(silver.table == table for silver in source.file.silver):
            return source
    raise QuarantineError(f"No source declares silver.{table} any more: nothing that lands would become a row of it")


@contextmanager
def _scratch(lakehouse: Lakehouse) -> Iterator[Path]:
    """A folder that is gone when the block ends: what is written there is in the clear."""
    spill = lakehouse.settings.home.resolve() / "spill"
    spill.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=spill, prefix="release-") as folder:
        yield Path(folder)


def _mended(
    landing: Landing,
    source: Source,
    rows: Sequence[QuarantinedRow],
    changes: Sequence[Change],
    records: Sequence[Mapping[str, Any]] | None,
    folder: Path,
) -> Iterator[_Mended]:
    if records is not None and changes:
        raise QuarantineError("--set and --file both say what the records are to be; give one of them")
    if records is not None and len(records) != len(rows):
        raise QuarantineError(
            f"The rows were made of {len(rows)} records, and --file holds {len(records)}; it wants one line for each, "
            "in the order of the rows"
        )
    for position, row in enumerate(rows):
        if records is not None:
            # What was never a message needs nothing of the original, which may be of any format.
            original = read_original(landing, source, row, folder) if source.file.ingestion.streams else Original({})
            yield _Mended(row, original.line(records[position]), (WHOLE_RECORD,))
        else:
            original = read_original(landing, source, row, folder)
            fixed = changed(original.record, changes, _schema(source))
            differs = written(fixed) != written(original.record)
            yield _Mended(row, original.line(fixed), tuple(change.path for change in changes), differs)


def _schema(source: Source) -> dict[str, Any] | None:
    """The record's schema with the fields of all versions by which silver tables are made."""
    if source.record_schema is None:
        return None
    properties: dict[str, Any] = {}
    for version in (*(source.at(table) for table in source.file.silver), source):
        properties.update((version.record_schema or {}).get("properties", {}))
    return {**source.record_schema, "properties": properties}


def _landed_before(landing: Landing, source: Source, mended: _Mended, folder: Path) -> LandingObject | None:
    """What an earlier release of the same record landed, on whatever date since it first arrived."""
    for day in landing.dates(source.name):
        if day >= mended.row.landed_at.date():
            found = landing.find(source.name, day, mended.file_name)
            if found is not None:
                _refuse_another(landing, found, mended, folder)
                return found
    return None


def _land(landing: Landing, source: Source, mended: _Mended, folder: Path) -> LandingObject:
    arrival = landing.put(source.name, datetime.now(UTC).date(), mended.file_name, mended.line)
    _refuse_another(landing, arrival, mended, folder)  # somebody may have been quicker
    return arrival


def _refuse_another(landing: Landing, arrival: LandingObject, mended: _Mended, folder: Path) -> None:
    (path,) = landing.download([arrival], folder)
    if path.read_bytes() != mended.line:
        so_far = (
            mended.row.history if mended.row.outcome is Outcome.RELEASED else "landed by a release not finished yet"
        )
        raise QuarantineError(
            f"The record of {mended.row} was {so_far}, with other values: {arrival.uri}. The same values finish that "
            "release; what is still wrong with it is for the rows of that object"
        )


def _refuse_what_breaks(lakehouse: Lakehouse, source: Source, mended: _Mended, folder: Path) -> None:
    """Takes the record through the real reading and conforming, where nobody sees it.

    Raises:
        QuarantineError: it would break a contract again, or has nothing to do with a change.
    """
    row = mended.row
    try:
        rehearsal = rehearse(lakehouse, source, mended.line, folder, first_landed=row.landed_at)
    except UnreadableRecord as error:
        raise QuarantineError(f"The mended record of {row} cannot be read: {error}") from None
    rules = "; ".join(f"{table}: {', '.join(names)}" for table, names in rehearsal.broken_rules.items())
    if rules and not mended.differs:
        raise QuarantineError(
            f"The {row} would break the contract again as it is ({rules}); say what to change with --set or --file"
        )
    if rules:
        raise QuarantineError(f"The {row} would be quarantined again, changed like this ({rules}); nothing has landed")
    if not mended.differs:
        raise QuarantineError(
            f"The {row} would pass as it is now: it needs no release, its partition is to be rebuilt:\n"
            f"{rebuild_command(row)}"
        )
    if rehearsal.replaced:
        raise QuarantineError(
            f"The {row} is older than a record of the same key in {', '.join(rehearsal.replaced)}, whose place it "
            "would take. Discard it instead"
        )


def rebuild_command(row: QuarantinedRow) -> str:
    """The command that rebuilds the partition of a quarantined row."""
    partition = f" --partition {row.partition.isoformat()}" if row.partition else ""
    select = f"silver/{row.table},quarantine/{row.table}"
    return f"dagster asset materialize -m platform_assets.definitions --select {select}{partition}"


def _decide(
    lakehouse: Lakehouse, source: Source, mended: _Mended, arrival: LandingObject, by: str, why: str
) -> Released:
    """Decides about every row of the record: as a whole it goes through again, in all tables of its source."""
    rows = [row for silver in source.file.silver for row in rows_of_record(lakehouse, silver.table, mended.row.record)]
    decisions = [
        replace(
            decision_on(row, Outcome.RELEASED, by, why),
            changed=mended.paths,
            released_uri=arrival.uri,
            released_generation=arrival.generation,
        )
        for row in rows
    ]
    new = record(lakehouse, decisions)
    return Released(arrival.uri, tuple(row.row_id for row in rows), new=bool(new))

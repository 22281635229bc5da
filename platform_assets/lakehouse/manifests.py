"""Enters files into a table and takes others out, in one snapshot. Nothing here reads or writes a row.

A table's manifests are kept like the pages of an index: sorted by partition, each with some dozens of files, so that a
plan or a commit of one partition reads the one page that it is in, however many there are. PyIceberg's own appends list
files in the order in which they came, and merge these lists by their size: after some late data, most of them hold a
bit of every partition. And its transactions copy all snapshots of a table a dozen times per commit.
"""

from __future__ import annotations

import uuid
from bisect import bisect_right
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from platform_assets.lakehouse.catalog import TABLE_PROPERTIES, LakehouseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyiceberg.manifest import DataFile, ManifestEntry, ManifestEntryStatus, ManifestFile
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot, Summary

_PAGE = 100  # files: writing an entry takes as long as reading twenty
_AVRO: Final = "deflate"
_BEFORE_ALL = date.min  # where files without a date are sorted


@dataclass(frozen=True)
class Replaced:
    """Which files a commit takes out.

    Attributes:
        partition: those of this partition; with None, all that the table holds.
        files: their paths, if not all of a partition: of partitions of which the same commit adds files.
    """

    partition: date | None = None
    files: frozenset[str] | None = None

    def __contains__(self, file: DataFile) -> bool:
        if self.files is not None:
            return file.file_path in self.files
        return self.partition is None or partition_of(file) == self.partition


def commit(
    table: Table, added: Sequence[str], *, replaced: Replaced | None = None, properties: Mapping[str, str]
) -> None:
    """Commits one snapshot on top of the one that `table` is at; `table` is at the new one then.

    No file is a snapshot too: that there were no rows is what it says, and how fresh that is.

    Args:
        table: as it was loaded.
        added: URIs of Parquet files, each of one partition.
        replaced: what is taken out.
        properties: of the snapshot, all text.

    Raises:
        CommitFailedException: the table has moved on since; nothing was committed, and no file of metadata is left.
        LakehouseError: the table is laid out as the platform lays out none.
    """
    from pyiceberg.exceptions import CommitFailedException
    from pyiceberg.io.pyarrow import parquet_file_to_data_file

    files = [parquet_file_to_data_file(table.io, table.metadata, uri) for uri in added]
    draft = _Draft(table)
    snapshot = draft.snapshot(files, replaced, properties)
    try:
        _publish(table, snapshot)
    except CommitFailedException:
        draft.discard()
        raise  # any other error leaves open whether the commit happened: its files may be the table's by now


def partition_of(file: DataFile) -> date | None:
    """The date of a file's partition, which PyIceberg reads as days since 1970; None where there is none."""
    day = file.partition[0] if len(file.partition) else None
    return None if day is None else _date(day)


def _date(days: int) -> date:
    return date(1970, 1, 1) + timedelta(days=days)


def _publish(table: Table, snapshot: Snapshot) -> None:
    """Makes the snapshot the table's newest, if it has still the parent of that."""
    from pyiceberg.catalog import METADATA, delete_files
    from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType
    from pyiceberg.table.update import (
        AddSnapshotUpdate,
        AssertRefSnapshotId,
        AssertTableUUID,
        SetPropertiesUpdate,
        SetSnapshotRefUpdate,
    )

    committed = table.catalog.commit_table(
        table,
        requirements=(
            AssertTableUUID(uuid=table.metadata.table_uuid),
            AssertRefSnapshotId(ref=MAIN_BRANCH, snapshot_id=snapshot.parent_snapshot_id),
        ),
        updates=(
            SetPropertiesUpdate(updates=TABLE_PROPERTIES),
            AddSnapshotUpdate(snapshot=snapshot),
            SetSnapshotRefUpdate(  # type: ignore[call-arg]
                ref_name=MAIN_BRANCH, type=SnapshotRefType.BRANCH, snapshot_id=snapshot.snapshot_id
            ),
        ),
    )
    forgotten = {entry.metadata_file for entry in table.metadata.metadata_log}
    forgotten -= {entry.metadata_file for entry in committed.metadata.metadata_log}
    table.metadata, table.metadata_location = committed.metadata, committed.metadata_location
    delete_files(table.io, forgotten, METADATA)  # which warns of what cannot be deleted: the commit has happened


class _Draft:
    """The files of metadata that a commit writes before it is one."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._parent = table.current_snapshot()
        self._id = table.metadata.new_snapshot_id()
        self._name = uuid.uuid4()
        self._written: list[str] = []

    def snapshot(self, added: Sequence[DataFile], replaced: Replaced | None, properties: Mapping[str, str]) -> Snapshot:
        from pyiceberg.manifest import ManifestEntryStatus
        from pyiceberg.table.snapshots import Snapshot

        touched, others = self._pages(added, replaced)
        entries = [entry for page in touched for entry in self._entries(page, replaced)]
        removed = [entry.data_file for entry in entries if entry.status == ManifestEntryStatus.DELETED]
        entries += [self._entry(ManifestEntryStatus.ADDED, file) for file in added]
        return Snapshot(
            snapshot_id=self._id,
            parent_snapshot_id=self._parent.snapshot_id if self._parent else None,
            manifest_list=self._write_list([*self._write_pages(entries), *others]),
            sequence_number=self._table.metadata.next_sequence_number(),
            summary=self._summary(added, removed, properties),
            schema_id=self._table.metadata.current_schema_id,
        )

    def discard(self) -> None:
        """Deletes what it wrote; what cannot be deleted is warned of, and an orphan."""
        from pyiceberg.catalog import METADATA, delete_files

        delete_files(self._table.io, set(self._written), METADATA)

    def _pages(
        self, added: Sequence[DataFile], replaced: Replaced | None
    ) -> tuple[list[ManifestFile], list[ManifestFile]]:
        """The manifests that are written anew, and all others."""
        pages = self._live_pages()
        if replaced == Replaced():
            return [page for *_, page in pages], []
        days = {partition_of(file) or _BEFORE_ALL for file in added}
        if replaced is not None and replaced.partition is not None:
            days.add(replaced.partition)
        chosen: set[ManifestFile] = set()
        for day in days:
            holding = [page for first, last, page in pages if first <= day <= last]
            chosen.update(holding or _with_room(pages, day))
        touched = [page for *_, page in pages if page in chosen]
        return touched, [page for *_, page in pages if page not in chosen]

    def _live_pages(self) -> list[tuple[date, date, ManifestFile]]:
        """The manifests that hold files, with the first and last date of each, sorted."""
        from pyiceberg.manifest import ManifestContent

        manifests = self._parent.manifests(self._table.io) if self._parent else []
        spec = self._table.spec().spec_id
        if any(m.content != ManifestContent.DATA or m.partition_spec_id != spec for m in manifests):
            raise LakehouseError(
                f"{'.'.join(self._table.name())} has row-level deletes or two ways of being partitioned, which the "
                "platform writes neither and cannot keep; drop the table and make it again from landing"
            )
        live = [(*_range(m), m) for m in manifests if m.has_added_files() or m.has_existing_files()]
        return sorted(live, key=lambda page: page[:2])

    def _entries(self, page: ManifestFile, replaced: Replaced | None) -> Iterator[ManifestEntry]:
        from pyiceberg.manifest import ManifestEntryStatus

        for entry in page.fetch_manifest_entry(self._table.io):
            out = replaced is not None and entry.data_file in replaced
            yield self._entry(
                ManifestEntryStatus.DELETED if out else ManifestEntryStatus.EXISTING, entry.data_file, entry
            )

    def _entry(self, status: ManifestEntryStatus, file: DataFile, known: ManifestEntry | None = None) -> ManifestEntry:
        """A file as it stands in a page: who added it and when stays with it, who takes it out is this commit."""
        from pyiceberg.manifest import ManifestEntry, ManifestEntryStatus

        return ManifestEntry.from_args(
            status=status,
            snapshot_id=known.snapshot_id if known and status == ManifestEntryStatus.EXISTING else self._id,
            sequence_number=known.sequence_number if known else None,
            file_sequence_number=known.file_sequence_number if known else None,
            data_file=file,
        )

    def _write_pages(self, entries: Sequence[ManifestEntry]) -> Iterator[ManifestFile]:
        from pyiceberg.manifest import ManifestEntryStatus, write_manifest

        ordered = sorted(entries, key=lambda entry: partition_of(entry.data_file) or _BEFORE_ALL)
        live = sum(entry.status != ManifestEntryStatus.DELETED for entry in ordered)
        pages = max(-(-live // _PAGE), 1) if ordered else 0
        for number in range(pages):
            metadata, uri = self._table.metadata, self._new(f"{self._name}-m{number}.avro")
            with write_manifest(
                format_version=metadata.format_version,
                spec=metadata.spec(),
                schema=metadata.schema(),
                output_file=self._table.io.new_output(uri),
                snapshot_id=self._id,
                avro_compression=_AVRO,
            ) as page:
                for entry in ordered[number * len(ordered) // pages : (number + 1) * len(ordered) // pages]:
                    page.add_entry(entry)
            yield page.to_manifest_file()

    def _write_list(self, manifests: list[ManifestFile]) -> str:
        from pyiceberg.manifest import write_manifest_list

        uri = self._new(f"snap-{self._id}-0-{self._name}.avro")
        with write_manifest_list(
            format_version=self._table.metadata.format_version,
            output_file=self._table.io.new_output(uri),
            snapshot_id=self._id,
            parent_snapshot_id=self._parent.snapshot_id if self._parent else None,
            sequence_number=self._table.metadata.next_sequence_number(),
            avro_compression=_AVRO,
        ) as written:
            written.add_manifests(manifests)
        return uri

    def _new(self, name: str) -> str:
        uri = self._table.location_provider().new_metadata_location(name)
        self._written.append(uri)
        return uri

    def _summary(
        self, added: Sequence[DataFile], removed: Sequence[DataFile], properties: Mapping[str, str]
    ) -> Summary:
        from pyiceberg.table.snapshots import Operation, SnapshotSummaryCollector, Summary, update_snapshot_summaries

        schema, spec, counted = self._table.schema(), self._table.spec(), SnapshotSummaryCollector()
        for file in added:
            counted.add_file(file, schema, spec)
        for file in removed:
            counted.remove_file(file, schema, spec)
        operation = Operation.OVERWRITE if removed else Operation.APPEND
        before = self._parent.summary if self._parent else None
        return update_snapshot_summaries(Summary(operation, **counted.build(), **properties), before)


def _range(manifest: ManifestFile) -> tuple[date, date]:
    """The first and the last date of a manifest's files."""
    summary = manifest.partitions[0] if manifest.partitions else None
    if summary is None or summary.lower_bound is None or summary.upper_bound is None:
        return _BEFORE_ALL, _BEFORE_ALL
    # Days since 1970, in four bytes. PyIceberg's `from_bytes` wants a new type object for each, of hundreds of pages.
    first, last = (
        _date(int.from_bytes(bound, "little", signed=True)) for bound in (summary.lower_bound, summary.upper_bound)
    )
    return _BEFORE_ALL if summary.contains_null else first, last


def _with_room(pages: Sequence[tuple[date, date, ManifestFile]], day: date) -> Sequence[ManifestFile]:
    """The page in the order of which the date comes next, if there is one and it is not full."""
    if not pages:
        return ()
    place = bisect_right([first for first, *_ in pages], day) - 1
    page = pages[max(place, 0)][2]
    return (page,) if (page.added_files_count or 0) + (page.existing_files_count or 0) < _PAGE else ()

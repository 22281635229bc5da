"""Merges the small files of a partition into few, in one commit per table; the rows stay as they are.

Arrivals and evaluations add a file each, and who reads opens them all. What is written is read back and compared with
what it replaces before it is committed. A publish that comes between is no conflict, unless it replaced the very files.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from platform_assets.contracts.rules import literal, quote
from platform_assets.lakehouse import manifests
from platform_assets.lakehouse.catalog import LakehouseError, local_path
from platform_assets.lakehouse.commits import MAINTENANCE
from platform_assets.lakehouse.manifests import Replaced
from platform_assets.lakehouse.publisher import ConcurrentPublish
from platform_assets.lakehouse.reader import field_map
from platform_assets.lakehouse.staging import write_parquet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import duckdb
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table
    from pyiceberg.typedef import Record

    from platform_assets.lakehouse.catalog import Lakehouse

TARGET_BYTES = 128 * 2**20
# Fewer are not worth a rewrite: opening one takes as long as it takes to read some thousand rows.
FEWEST_FILES = 5
# Above this share of the target a file is as good as whole.
_SMALL = 0.75
_ATTEMPTS = 5


@dataclass(frozen=True)
class Compaction:
    """What a compaction did, or would do; bytes of data files.

    Attributes:
        merged: files that were taken together.
        written: files that they became.
        files: live files of the table afterwards.
    """

    table: str
    partitions: int = 0
    merged: int = 0
    written: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    files: int = 0


@dataclass(frozen=True)
class _Written:
    old: tuple[DataFile, ...]
    new: DataFile
    path: Path


def compact(
    lakehouse: Lakehouse,
    name: str,
    *,
    clustering: Sequence[str] = (),
    target_bytes: int = TARGET_BYTES,
    fewest_files: int = FEWEST_FILES,
    dry_run: bool = False,
) -> Compaction:
    """Merges small files wherever a partition of the table has several.

    Args:
        lakehouse: where the table lives.
        name: `layer.table`.
        clustering: columns that order the rows of a new file, as the table's contract has it; else they keep their
            order.
        target_bytes: how large a file should be; what is merged at once is no more, whatever the partition holds.
        fewest_files: small files that a partition must have to be looked at.
        dry_run: only tell what would be merged.

    Raises:
        ConcurrentPublish: others kept committing to the table; nothing was done.
        LakehouseError: what was written is not what was read; nothing was done.
    """
    table = lakehouse.catalog.load_table(name)
    live = _live(table)
    of_now = [file for file in live if file.spec_id == table.spec().spec_id]  # new files are partitioned as of now
    groups = list(_groups(of_now, target_bytes, fewest_files))
    would = [file for group in groups for file in group]
    if dry_run or not groups:
        size = sum(file.file_size_in_bytes for file in would)
        partitions = len({group[0].partition for group in groups})
        return Compaction(name, partitions, len(would), len(groups), size, size, len(live) - len(would) + len(groups))
    written: list[_Written] = []
    try:
        with lakehouse.connect() as connection:
            for group in groups:
                written.append(_merge(connection, table, group, clustering))  # noqa: PERF401 - all so far are discarded
    except BaseException:
        _discard(written)
        raise
    try:
        done, table = _commit(lakehouse, table, written)
    except ConcurrentPublish:
        _discard(written)
        raise  # any other error leaves open whether the commit happened: its files may be the table's by now
    _discard([one for one in written if one not in done])
    return Compaction(
        name,
        partitions=len({one.old[0].partition for one in done}),
        merged=sum(len(one.old) for one in done),
        written=len(done),
        bytes_before=sum(file.file_size_in_bytes for one in done for file in one.old),
        bytes_after=sum(one.new.file_size_in_bytes for one in done),
        files=len(_live(table)),
    )


def _live(table: Table) -> list[DataFile]:
    tasks = list(table.scan().plan_files())
    if any(task.delete_files for task in tasks):
        raise LakehouseError(f"{'.'.join(table.name())} has row-level delete files, which compaction would bring back")
    return [task.file for task in tasks]


def _groups(live: Sequence[DataFile], target_bytes: int, fewest_files: int) -> Iterator[list[DataFile]]:
    """Files that become one: small, of one partition, and together no more than the target."""
    partitions: dict[Record, list[DataFile]] = {}
    for file in sorted(live, key=lambda file: file.file_path):
        if file.file_size_in_bytes < target_bytes * _SMALL:
            partitions.setdefault(file.partition, []).append(file)
    for files in partitions.values():
        if len(files) >= fewest_files:
            yield from (group for group in _packed(files, target_bytes) if len(group) > 1)


def _packed(files: Sequence[DataFile], target_bytes: int) -> Iterator[list[DataFile]]:
    group: list[DataFile] = []
    size = 0
    for file in files:
        if group and size + file.file_size_in_bytes > target_bytes:
            yield group
            group, size = [], 0
        group.append(file)
        size += file.file_size_in_bytes
    yield group


def _merge(
    connection: duckdb.DuckDBPyConnection, table: Table, group: Sequence[DataFile], clustering: Sequence[str]
) -> _Written:
    """Writes the rows of the files to one that no snapshot names yet."""
    from pyiceberg.io.pyarrow import parquet_file_to_data_file

    path = Path(local_path(table.location())) / "data" / f"{uuid.uuid4()}.parquet"
    paths = ", ".join(literal(local_path(file.file_path)) for file in group)
    schema = field_map(table.schema())  # a file from before a column was added has null there
    source = f"read_parquet([{paths}], schema = {schema})"
    order = f" ORDER BY {', '.join(map(quote, clustering))}" if clustering else ""
    write_parquet(connection, table, f"SELECT * FROM {source}{order}", table.schema().column_names, path)
    try:
        written = f"read_parquet([{literal(str(path))}], schema = {schema})"
        _refuse_other_rows(table, connection, group, source, written)
        new = parquet_file_to_data_file(table.io, table.metadata, f"file://{path}")
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return _Written(tuple(group), new, path)


def _refuse_other_rows(
    table: Table, connection: duckdb.DuckDBPyConnection, group: Sequence[DataFile], source: str, written: str
) -> None:
    before, after = _rows(connection, source), _rows(connection, written)
    if before != after or before[0] != sum(file.record_count for file in group):
        raise LakehouseError(
            f"{'.'.join(table.name())}: {len(group)} files hold {before[0]} rows; merged, {after[0]} or other ones. "
            "Nothing was changed. Check the disk, then run `platform-assets maintenance compact` again"
        )


def _rows(connection: duckdb.DuckDBPyConnection, source: str) -> tuple[int, int]:
    """How many rows, and a sum over all of them that is the same in whatever order they stand."""
    found = connection.execute(f"SELECT count(*), coalesce(sum(hash(r)::HUGEINT), 0) FROM {source} r").fetchall()
    return int(found[0][0]), int(found[0][1])


def _discard(written: Sequence[_Written]) -> None:
    for one in written:
        one.path.unlink(missing_ok=True)


def _commit(lakehouse: Lakehouse, table: Table, written: Sequence[_Written]) -> tuple[list[_Written], Table]:
    """Puts the new files in the place of the old ones, where all of those are still there."""
    from pyiceberg.exceptions import CommitFailedException

    name = ".".join(table.name())
    for _ in range(_ATTEMPTS):
        live = {file.file_path for file in _live(table)}
        good = [one for one in written if all(file.file_path in live for file in one.old)]
        if not good:
            return [], table
        try:
            old = frozenset(file.file_path for one in good for file in one.old)
            new = [one.new.file_path for one in good]
            manifests.commit(table, new, replaced=Replaced(files=old), properties={MAINTENANCE: "compaction"})
        except CommitFailedException:  # look again at what is there now
            table = lakehouse.catalog.load_table(name)
        else:
            return good, table
    raise ConcurrentPublish(f"{name}: others kept committing while its files were merged; the next run tries again")

"""Removes files of a table's folder that no snapshot names: of expired snapshots, of killed runs, of old metadata.

A file must have lain there for a while: a run that is publishing has written what no snapshot names yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from platform_assets.lakehouse.catalog import LakehouseError, local_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyiceberg.table import Table

    from platform_assets.lakehouse.catalog import Lakehouse

# What Iceberg and the publisher write; anything else in the folder is not ours to judge.
_WRITTEN = {"data": (".parquet",), "metadata": (".avro", ".metadata.json")}


@dataclass(frozen=True)
class Removal:
    """What was removed, or would be.

    Attributes:
        files: what the folder holds afterwards.
        bytes: how large that is.
        names: paths of what was removed, sorted.
    """

    table: str
    removed: int = 0
    freed_bytes: int = 0
    files: int = 0
    bytes: int = 0
    names: tuple[str, ...] = ()


def remove_orphans(lakehouse: Lakehouse, name: str, before: datetime, *, dry_run: bool = False) -> Removal:
    """Removes what no snapshot names and nobody has written to since a moment.

    Args:
        lakehouse: where the table lives.
        name: `layer.table`.
        before: whoever is publishing now began after that.
        dry_run: only list them.

    Raises:
        LakehouseError: the table's files are not on a local disk, or not where the table says.
    """
    location = lakehouse.catalog.load_table(name).location()
    if urlparse(location).scheme not in {"", "file"}:
        raise LakehouseError(f"{name} lies in {location}; files without a snapshot are removed on a local disk only")
    # First the files, then what refers to them: whatever is committed in between is seen.
    found = {_real(path): path.stat() for path in _written(Path(local_path(location)))}
    table = lakehouse.catalog.load_table(name)
    named = _named(table)
    missing = sorted(path for path in named if path not in found and not Path(path).exists())
    if missing:
        raise LakehouseError(
            f"{name} refers to {len(missing)} files that are not there, such as {missing[0]}: was its folder moved? "
            "Nothing was removed"
        )
    # Of older metadata every commit removes some: that one is missing says nothing.
    named |= {_real(Path(local_path(entry.metadata_file))) for entry in table.metadata.metadata_log}
    orphans = sorted(
        path
        for path, stat in found.items()
        if path not in named and datetime.fromtimestamp(stat.st_mtime, UTC) < before
    )
    for path in orphans if not dry_run else ():
        Path(path).unlink(missing_ok=True)
    freed = sum(found[path].st_size for path in orphans)
    held = sum(stat.st_size for stat in found.values())
    return Removal(name, len(orphans), freed, len(found) - len(orphans), held - freed, tuple(orphans))


def _written(folder: Path) -> Iterator[Path]:
    for part, suffixes in _WRITTEN.items():
        for path in (folder / part).rglob("*"):
            if path.name.endswith(suffixes) and path.is_file() and not path.is_symlink():
                yield path


def _named(table: Table) -> set[str]:
    """The files of all snapshots that are left, and of the metadata the newest."""
    metadata = table.metadata
    named = [table.metadata_location]
    named += [file.statistics_path for file in (*metadata.statistics, *metadata.partition_statistics)]
    manifests = {}
    for snapshot in table.snapshots():
        named.append(snapshot.manifest_list)
        manifests.update({manifest.manifest_path: manifest for manifest in snapshot.manifests(table.io)})
    for manifest in manifests.values():
        named.append(manifest.manifest_path)
        named += [entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io)]
    return {_real(Path(local_path(path))) for path in named}


def _real(path: Path) -> str:
    """One name for a file, by whatever link its folder was reached."""
    return f"{_real_folder(path.parent)}/{path.name}"


@lru_cache(maxsize=64)
def _real_folder(folder: Path) -> Path:
    return folder.resolve()

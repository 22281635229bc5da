"""Takes a source out of the graph, on record. Its data is not touched."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import yaml

from platform_assets.operations.removals import REMOVED_FILE
from platform_assets.sources.contracts import contracts_of
from platform_assets.sources.registry import load_folder, load_sources, read_sources
from platform_assets.sources.yaml_file import SourceError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Removed:
    """What was removed, the file that says so, and the tables that stay."""

    source: str
    record: Path
    tables: tuple[str, ...]


def remove_source(folder: Path, *, by: str, why: str) -> Removed:
    """Deletes the folder after recording who decided it and why; `contract check` asks for that record (S2-17).

    Raises:
        SourceError: another source refers to one of its tables.
    """
    removed = load_folder(folder)
    tables = tuple(contract.table for source in removed for contract in contracts_of(source))
    read_sources.cache_clear()
    for other in load_sources(folder.parent):
        for table in other.file.silver:
            needed = next((t for t in table.references.values() if t.rpartition(".")[0] in tables), None)
            if needed and other.folder != folder:
                raise SourceError(f"{folder}: {other.name} refers to {needed}; remove that reference first")
    record = folder.parent / REMOVED_FILE.name
    today = datetime.now(UTC).date().isoformat()
    entries = [{"source": source.name, "removed": today, "by": by, "why": why} for source in removed]
    with record.open("a", encoding="utf-8") as file:
        yaml.safe_dump(entries, file, sort_keys=False, allow_unicode=True)
    shutil.rmtree(folder)
    return Removed(folder.name, record, tables)

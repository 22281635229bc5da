"""Checks source folders one by one, so that one wrong file does not hide the others."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from platform_assets.contracts.model import ContractError
from platform_assets.sources.contracts import silver_contract
from platform_assets.sources.registry import SOURCE_FILE, load_folder, read_sources
from platform_assets.sources.yaml_file import SourceError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Validated:
    """What is wrong with a source, one sentence each; nothing if it can be used."""

    source: str
    problems: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """One flat object."""
        return asdict(self)


def validated(folder: Path, *, every: bool) -> list[Validated]:
    """The result for one source folder, or for every one below `folder`.

    What a source refers to is looked for among all sources beside it; that is only done when each can be read.
    """
    folders = sorted(path.parent for path in folder.glob(f"*/{SOURCE_FILE}")) if every else [folder]
    found = [Validated(one.name, _problems(one)) for one in folders]
    if any(result.problems for result in found) or not found:
        return found
    together = _together(folders[0].parent)
    return [Validated(result.source, tuple(p for p in together if f"/{result.source}/" in p)) for result in found]


def _problems(folder: Path) -> tuple[str, ...]:
    from platform_assets.contracts.sql_rule import refuse_unbound

    try:
        for source in load_folder(folder):
            for table in source.file.silver:
                refuse_unbound(silver_contract(source, table))
    except SourceError as error:
        return tuple(str(error).splitlines())
    except ContractError as error:
        return (f"{folder / SOURCE_FILE}: {error}",)
    return ()


def _together(root: Path) -> tuple[str, ...]:
    read_sources.cache_clear()
    return tuple(line for error in read_sources(root).broken.values() for line in str(error).splitlines())

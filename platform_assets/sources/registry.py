"""Reads the source folders. Files only: no network, no database (I6)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from platform_assets.contracts.model import ContractError
from platform_assets.sources.contracts import bronze_contract, quarantine_contract, silver_contract
from platform_assets.sources.model import Source, SourceFile

SOURCES_FOLDER = Path(__file__).resolve().parent


class SourceError(ValueError):
    """A source folder cannot be used; the message names the file and what was expected."""


@cache
def load_sources(folder: Path = SOURCES_FOLDER) -> tuple[Source, ...]:
    """Every source under `folder`, by name.

    Raises:
        SourceError: a file is missing, is not valid YAML or JSON, or says what no source can mean.
    """
    sources = tuple(load_source(path.parent) for path in sorted(folder.glob("*/source.yaml")))
    _refuse_unknown_references(sources)
    return sources


def load_source(folder: Path) -> Source:
    """The source of one folder.

    Raises:
        SourceError: as `load_sources`.
    """
    path = folder / "source.yaml"
    try:
        file = SourceFile.model_validate(_read_yaml(path))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc'])) or 'file'}: {p['msg']}" for p in error.errors())
        raise SourceError(f"{path}: {problems}") from None
    if file.source_id != folder.name:
        raise SourceError(f"{path}: source_id is {file.source_id!r}, but the folder is called {folder.name!r}")
    source = Source(file=file, record_schema=_read_json(folder / file.json_schema.file), folder=folder)
    try:
        bronze_contract(source)
        for table in file.silver:
            quarantine_contract(source, table)
    except ContractError as error:
        raise SourceError(f"{path}: {error}") from None
    return source


def _refuse_unknown_references(sources: Sequence[Source]) -> None:
    """A reference to a table that nobody declares would quarantine every row for ever."""
    tables = [silver_contract(source, table).published() for source in sources for table in source.file.silver]
    known = {f"{contract.table}.{column.name}" for contract in tables for column in contract.columns}
    for source in sources:
        for table in source.file.silver:
            for column, target in table.references.items():
                if target not in known:
                    path = source.folder / "source.yaml"
                    raise SourceError(
                        f"{path}: {table.table}.{column} refers to {target!r}, which no source has; "
                        "expected `silver.table.column`"
                    )


def _read_yaml(path: Path) -> Any:  # noqa: ANN401 - the model judges what was read
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, yaml.YAMLError) as error:
        raise SourceError(f"{path}: {error}") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise SourceError(f"{path}: {error}") from None
    if not isinstance(schema, dict):
        raise SourceError(f"{path}: a JSON Schema is an object")
    return schema

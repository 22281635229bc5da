"""Reads the source folders. Files only: no network, no database (I6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from platform_assets.contracts.checks import CheckError
from platform_assets.contracts.json_schema import classifiable, classified, read_json_schema
from platform_assets.contracts.model import ContractError
from platform_assets.contracts.words import nearest
from platform_assets.settings import load_settings
from platform_assets.sources.contracts import bronze_contract, quarantine_contract, silver_contract
from platform_assets.sources.forms import SHORT_FORM, filled, nested, tables_of, without_unknown_checks
from platform_assets.sources.model import Source, SourceFile
from platform_assets.sources.problems import refused
from platform_assets.sources.schema_file import find_schema, read_schema, schema_version
from platform_assets.sources.yaml_file import SourceError, read_yaml

if TYPE_CHECKING:
    from platform_assets.contracts.json_schema import SchemaColumns
    from platform_assets.sources.yaml_file import Place, YamlFile

SOURCE_FILE = "source.yaml"


@dataclass(frozen=True)
class SourceFolders:
    """What the folders of the sources hold.

    Attributes:
        sources: those that can be used, by name.
        broken: why each of the other folders cannot.
    """

    sources: tuple[Source, ...]
    broken: Mapping[Path, SourceError]


def load_sources(folder: Path | None = None) -> tuple[Source, ...]:
    """Every source under `folder` (by default `PLATFORM_SOURCES`), by name.

    Raises:
        SourceError: some cannot be used: a file is missing, is not valid YAML or JSON, or says what no source can mean.
            With `PLATFORM_BROKEN_SOURCES=leave_out` the others are returned (docs/adr/0009).
    """
    settings = load_settings()
    found = read_sources(folder or settings.sources)
    if found.broken and settings.broken_sources == "refuse":
        errors = list(found.broken.values())
        raise SourceError("\n".join(map(str, errors))) from errors[0]
    return found.sources


@cache
def read_sources(root: Path) -> SourceFolders:
    """Every source under `root`, and what is wrong with those that cannot be used: one never stops another."""
    found: list[Source] = []
    broken: dict[Path, SourceError] = {}
    for folder in sorted((path.parent for path in root.glob(f"*/{SOURCE_FILE}")), key=str):
        try:
            found += load_folder(folder)
        except SourceError as error:
            broken[folder] = error
        except Exception as error:  # noqa: BLE001 - what no check foresaw is told as well, and stops no other source
            broken[folder] = _unforeseen(folder, error)
    broken |= _twins(found)
    if not broken:  # else a reference may be to a table of a source that is broken
        broken = _unknown_references(found)
    usable = [source for source in found if source.folder not in broken]
    return SourceFolders(tuple(sorted(usable, key=lambda source: source.name)), broken)


def _unforeseen(folder: Path, error: Exception) -> SourceError:
    refused = SourceError(
        f"{folder / SOURCE_FILE}: cannot be used, for a reason that the platform should tell better: "
        f"{type(error).__name__}: {error}"
    )
    refused.__cause__ = error
    return refused


def load_source(folder: Path) -> Source:
    """The source of a folder that holds one.

    Raises:
        SourceError: as `load_sources`, or the folder stands for several: see `load_folder`.
    """
    sources = load_folder(folder)
    if len(sources) > 1:
        raise SourceError(f"{folder / SOURCE_FILE}: stands for {len(sources)} sources, one for each of its tables")
    return sources[0]


def load_folder(folder: Path) -> tuple[Source, ...]:
    """The sources of one folder: one, or one for each of a database's `tables`.

    Raises:
        SourceError: as `load_sources`.
    """
    path = folder / SOURCE_FILE
    if not path.is_file():
        for name in (f"{folder.name}.yaml", "source.yml"):
            if (folder / name).is_file():
                raise SourceError(f"{folder / name}: the file is called `{SOURCE_FILE}`; rename it")
    yaml = nested(read_yaml(path))
    try:
        file = SourceFile.model_validate(dict(yaml.data))
    except ValidationError as error:
        raise refused(yaml, SourceFile, error, SHORT_FORM) from None
    if file.source_id != folder.name:
        raise yaml.error(
            ("source_id",), f"`source_id` is {file.source_id!r}, but the folder is called {folder.name!r}; rename one"
        )
    return tuple(_source(yaml, one) for one in tables_of(file))


def _source(yaml: YamlFile, file: SourceFile) -> Source:
    folder = yaml.path.parent
    schema_path = folder / file.json_schema.file if file.json_schema.file else find_schema(folder, file.source_id)
    if schema_path is None:
        _refuse_without_schema(yaml, file)
        return Source(filled(file, read_json_schema({"properties": {}}, {})), None, folder)
    try:
        schema = read_schema(schema_path)
    except SourceError as error:
        raise yaml.error(("schema", "file"), str(error)) if file.json_schema.file else error from None
    own = _own_schemas(yaml, file)
    record = _record(yaml, file, schema_path, schema, own)
    full, notes = without_unknown_checks(filled(file, record), record)
    version = schema_version(schema_path, schema)
    source = Source(full, schema, folder, version, own, notes, record=record)
    _refuse_contradictions(yaml, source)
    return source


def _refuse_without_schema(yaml: YamlFile, file: SourceFile) -> None:
    """Bronze keeps each record whole then: it could neither drop a secret nor make a table of it."""
    said = [name for name in ("classification", "silver", "event_time") if getattr(file, name)]
    if file.processing.bronze_to_silver:
        said.append("processing")
    if said:
        raise yaml.error((said[0],), f"`{said[0]}` is about fields, and there is no schema that has any; add one")


def _record(
    yaml: YamlFile,
    file: SourceFile,
    schema_path: Path,
    schema: Mapping[str, Any],
    own: Mapping[str, tuple[int, Mapping[str, Any]]],
) -> SchemaColumns:
    """The columns of a record; what is classified stands in some version of the schema."""
    try:
        record = classified(read_json_schema(schema, {}), file.classification)
    except ContractError as error:
        raise SourceError(f"{schema_path}: {error}") from None
    known = classifiable(record.columns)
    for _, version in own.values():
        known |= classifiable(read_json_schema(version, {}).columns)
    for path in file.classification:
        if path not in known:
            hint = nearest(path, sorted(known))
            raise yaml.error(
                ("classification", path), f"classification names {path!r}, which the schema does not have{hint}"
            )
    return record


def _own_schemas(yaml: YamlFile, file: SourceFile) -> dict[str, tuple[int, Mapping[str, Any]]]:
    """The schemas of tables that have one of their own, by file name."""
    found: dict[str, tuple[int, Mapping[str, Any]]] = {}
    for position, table in enumerate(file.silver):
        if table.json_schema is not None:
            path = yaml.path.parent / table.json_schema
            try:
                schema = read_schema(path)
                read_json_schema(schema, {})
            except (SourceError, ContractError) as error:
                raise yaml.error(("silver", position, "schema"), str(error)) from None
            found[table.json_schema] = (schema_version(path, schema), schema)
    return found


def _refuse_contradictions(yaml: YamlFile, source: Source) -> None:
    """What only shows when the file and the schema meet: columns that are none, promises that cannot be kept."""
    columns = {column.name: column.type for column in source.record.columns}
    name = source.file.event_time
    if name is not None:
        if name not in columns:
            raise yaml.error(
                ("event_time",),
                f"`event_time` names {name!r}, which is no column of a record{nearest(name, [*columns])}",
            )
        kind = columns[name]
        if kind not in {"timestamp", "date"}:
            raise yaml.error(
                ("event_time",), f"`event_time` names {name!r}, which is a {kind}; expected a timestamp or a date"
            )
    try:
        bronze_contract(source)
    except ContractError as error:
        raise yaml.error((), str(error)) from None
    listed: Place = ("silver",) if ("silver",) in yaml.lines else ("processing", "bronze_to_silver")
    for position, table in enumerate(source.file.silver):
        try:
            quarantine_contract(source, table)
        except CheckError as error:
            raise yaml.error((*_place_of_check(yaml, table.rules[error.index]), error.word), str(error)) from None
        except ContractError as error:
            raise yaml.error((*listed, position), str(error)) from None
        if table.pandera is not None and not (source.folder / table.pandera.partition(":")[0]).is_file():
            raise yaml.error(
                (*listed, position, "pandera"), f"{table.pandera!r}: expected `file.py:Class` beside this file"
            )


def _place_of_check(yaml: YamlFile, check: Mapping[str, Any]) -> Place:
    """Where a check stands, in either form of the file."""
    return next((place for place in yaml.lines if place[-2:-1] == ("rules",) and yaml.at(place) == check), ())


def _twins(sources: Sequence[Source]) -> dict[Path, SourceError]:
    """Two sources that claim one name would share their landing and their tables.

    A table belongs to the source that is called like it, else to the first: a copied folder does not stop the other.
    """
    claims = [(f"bronze.{source.name}", source) for source in sources]
    claims += [(f"silver.{table.table}", source) for source in sources for table in source.file.silver]
    claims.sort(key=lambda claim: claim[0].partition(".")[2] != claim[1].name)
    owners: dict[str, Path] = {}
    broken: dict[Path, SourceError] = {}
    for table, source in claims:
        if table in owners:
            broken[source.folder] = SourceError(
                f"{source.folder / SOURCE_FILE}: {table} is a table of {owners[table] / SOURCE_FILE} already"
            )
        owners.setdefault(table, source.folder)
    return broken


def _unknown_references(sources: Sequence[Source]) -> dict[Path, SourceError]:
    """A reference to a table that nobody declares would quarantine every row for ever."""
    tables = [silver_contract(source, table) for source in sources for table in source.file.silver]
    known = {f"{contract.table}.{column.name}" for contract in tables for column in contract.columns}
    broken: dict[Path, SourceError] = {}
    for source in sources:
        for position, table in enumerate(source.file.silver):
            for column, target in table.references.items():
                if target not in known:
                    yaml = nested(read_yaml(source.folder / SOURCE_FILE))
                    broken[source.folder] = yaml.error(
                        ("silver", position, "references", column),
                        f"{table.table}.{column} refers to {target!r}, which no source has; "
                        f"expected `silver.table.column`{nearest(target, sorted(known))}",
                    )
    return broken

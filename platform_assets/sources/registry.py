"""Reads the source folders. Files only: no network, no database (I6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from platform_assets.contracts.checks import CheckError
from platform_assets.contracts.json_schema import read_json_schema
from platform_assets.contracts.model import ContractError
from platform_assets.settings import load_settings
from platform_assets.sources.contracts import bronze_contract, quarantine_contract, silver_contract
from platform_assets.sources.forms import filled, nested, tables_of, without_unknown_checks
from platform_assets.sources.model import Source, SourceFile
from platform_assets.sources.problems import nearest, refused
from platform_assets.sources.schema_file import find_schema, read_schema, schema_version
from platform_assets.sources.yaml_file import SourceError, read_yaml

if TYPE_CHECKING:
    from platform_assets.sources.yaml_file import Place, YamlFile

SOURCE_FILE = "source.yaml"


@cache
def load_sources(folder: Path | None = None) -> tuple[Source, ...]:
    """Every source under `folder` (by default `PLATFORM_SOURCES`), by name.

    Raises:
        SourceError: a file is missing, is not valid YAML or JSON, or says what no source can mean.
    """
    root = folder or load_settings().sources
    found = [source for path in sorted(root.glob(f"*/{SOURCE_FILE}")) for source in load_folder(path.parent)]
    sources = tuple(sorted(found, key=lambda source: source.name))
    _refuse_twins(sources)
    _refuse_unknown_references(sources)
    return sources


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
        raise refused(yaml, SourceFile, error) from None
    if file.source_id != folder.name:
        raise yaml.error(
            ("source_id",), f"`source_id` is {file.source_id!r}, but the folder is called {folder.name!r}; rename one"
        )
    return tuple(_source(yaml, one) for one in tables_of(file))


def _source(yaml: YamlFile, file: SourceFile) -> Source:
    folder = yaml.path.parent
    schema_path = folder / file.json_schema.file if file.json_schema.file else find_schema(folder, file.source_id)
    if schema_path is None:
        return Source(filled(file, read_json_schema({"properties": {}}, {})), None, folder)
    try:
        schema = read_schema(schema_path)
    except SourceError as error:
        raise yaml.error(("schema", "file"), str(error)) if file.json_schema.file else error from None
    try:
        record = read_json_schema(schema, {})
    except ContractError as error:
        raise SourceError(f"{schema_path}: {error}") from None
    try:
        record = read_json_schema(schema, file.classification)
    except ContractError as error:
        unknown = next((path for path in file.classification if repr(path) in str(error)), "")
        paths = [".".join(column.path) for column in record.columns]
        raise yaml.error(("classification", unknown), f"{error}{nearest(unknown, paths)}") from None
    full, notes = without_unknown_checks(filled(file, record), record)
    source = Source(full, schema, folder, schema_version(schema_path, schema), _own_schemas(yaml, full), notes)
    _refuse_contradictions(yaml, source)
    return source


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


def _refuse_twins(sources: Sequence[Source]) -> None:
    """Two sources that claim one name would share their landing and their tables."""
    owners: dict[str, Path] = {}
    for source in sources:
        for table in (f"bronze.{source.name}", *(f"silver.{silver.table}" for silver in source.file.silver)):
            if table in owners:
                raise SourceError(f"{source.folder / SOURCE_FILE}: {table} is a table of {owners[table]} already")
            owners[table] = source.folder / SOURCE_FILE


def _refuse_unknown_references(sources: Sequence[Source]) -> None:
    """A reference to a table that nobody declares would quarantine every row for ever."""
    tables = [silver_contract(source, table).published() for source in sources for table in source.file.silver]
    known = sorted(f"{contract.table}.{column.name}" for contract in tables for column in contract.columns)
    for source in sources:
        for position, table in enumerate(source.file.silver):
            for column, target in table.references.items():
                if target not in known:
                    yaml = nested(read_yaml(source.folder / SOURCE_FILE))
                    raise yaml.error(
                        ("silver", position, "references", column),
                        f"{table.table}.{column} refers to {target!r}, which no source has; "
                        f"expected `silver.table.column`{nearest(target, known)}",
                    )

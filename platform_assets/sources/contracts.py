"""Derives the contracts of a source's tables from its file and schema: bronze, silver, quarantine (I5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from platform_assets.contracts.checks import read_checks
from platform_assets.contracts.history import HISTORY_NAMES, as_history
from platform_assets.contracts.json_schema import SchemaColumns, bronze_names, read_json_schema
from platform_assets.contracts.model import Classification, Column, Contract, ContractError, ExpertSchema, Rule
from platform_assets.contracts.rules import REFERENCES
from platform_assets.sources.model import Kind, SilverTable, Source, Validation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

ARRIVAL_DATE = "_arrival_date"
EVENT_DATE = "_event_date"
LINE_NUMBER = "line_number"
UNEXPECTED = "_unexpected"
ELEMENT = "[]"  # first step of the path of a column that comes from an array element
LANDED_AT = Column("_landed_at", "timestamp", nullable=False, description="When the row's object landed.")
BROKEN_RULES = "_broken_rules"
WHOLE_RECORD = "record"  # the column of a source without a schema
_ORIGIN = (
    Column("_landing_uri", "string", nullable=False, description="Object that the row came in."),
    Column("_landing_generation", "integer", nullable=False, description="Generation of that object."),
    LANDED_AT,
    Column("_row_number", "integer", nullable=False, description="Which record of the object, from 1."),
)
TEXT_TYPES = {"string", "timestamp", "date"}


@dataclass(frozen=True)
class BronzeField:
    """A top-level field of the record as bronze keeps it.

    Attributes:
        name: bronze column.
        source_name: name in the record; None for the only field of a source without a schema: the record as a whole.
        text: whether the schema says that it is text; anything else is kept as its JSON text.
        dropped: paths of secrets below this field that bronze must not hold.
        required: whether every record must have it.
        blank: whether an empty text is a value of it, rather than how formats without null say that there is none.
    """

    name: str
    source_name: str | None
    text: bool
    dropped: tuple[tuple[str, ...], ...] = ()
    required: bool = False
    blank: bool = False


def bronze_fields(source: Source) -> tuple[BronzeField, ...]:
    """The top-level fields that bronze keeps: all but secrets."""
    if source.record_schema is None:
        return (BronzeField(WHOLE_RECORD, None, text=False),)
    fields: dict[str | None, BronzeField] = {}
    secrets = secret_paths(source)
    for version in _versions(source):
        for field in _fields(version, secrets):
            if fields.setdefault(field.source_name, field).text != field.text:
                raise ContractError(
                    f"`{field.source_name}` is text in one version of the schema and not in another, and bronze keeps "
                    "one form of it; give the new one a name of its own"
                )
    return tuple(fields.values())


def _versions(source: Source) -> list[Source]:
    """The source in each version of its schema that a table is made by."""
    return [source, *(source.at(table) for table in source.file.silver if table.json_schema)]


def _fields(source: Source, secrets: Sequence[tuple[str, ...]]) -> Iterator[BronzeField]:
    leaves = source.record.columns
    for source_name, name in bronze_names(_properties(source)).items():
        below = [leaf for leaf in leaves if leaf.path[0] == source_name]
        if all(leaf.classification is Classification.SECRET for leaf in below):
            continue
        only = below[0] if len(below) == 1 and len(below[0].path) == 1 else None
        yield BronzeField(
            name,
            source_name,
            text=only is not None and only.type in TEXT_TYPES,
            dropped=tuple(path[1:] for path in secrets if path[0] == source_name),
            required=any(not leaf.nullable for leaf in below),
            blank=only is not None and only.type == "string",
        )


def declared_names(source: Source) -> tuple[str, ...]:
    """The members of a record that some version of its schema knows."""
    return tuple(dict.fromkeys(name for version in _versions(source) for name in _properties(version)))


def _properties(source: Source) -> Mapping[str, Any]:
    properties: Mapping[str, Any] = (source.record_schema or {}).get("properties", {})
    return properties


def secret_paths(source: Source) -> tuple[tuple[str, ...], ...]:
    """Where a record, in any version of its schema, holds what bronze must not keep."""
    leaves = [leaf for version in _versions(source) for leaf in version.record.columns]
    return tuple(dict.fromkeys(leaf.path for leaf in leaves if leaf.classification is Classification.SECRET))


@cache
def bronze_contract(source: Source) -> Contract:
    """Bronze promises where a row came from, and nothing about what it says."""
    fields = bronze_fields(source)
    known: dict[str | None, str] = {None: "The whole record as it arrived; the source has no schema yet."}
    known.update({leaf.path[0]: leaf.description for leaf in source.record.columns if len(leaf.path) == 1})
    return Contract(
        table=f"bronze.{source.name}",
        description=f"{source.file.description} One row per record as it arrived; append-only.",
        columns=(
            *(Column(f.name, "string", description=known.get(f.source_name, "")) for f in fields),
            Column(UNEXPECTED, "string", description="Members of the record that the schema does not have, as JSON."),
            *_ORIGIN,
            Column("_ingested_at", "timestamp", nullable=False, description="When bronze took the row."),
            Column(ARRIVAL_DATE, "date", nullable=False, description="Date of the landing object."),
            Column(EVENT_DATE, "date", nullable=False, description="Silver partition that the row belongs to."),
        ),
        key=("_landing_uri", "_landing_generation", "_row_number"),
        event_time="_landed_at",
        partition_column=ARRIVAL_DATE,
    )


@cache
def silver_contract(source: Source, table: SilverTable) -> Contract:
    """What a row of the table promises before its PII is tokenised; `published()` is what readers see."""
    source = source.at(table)
    record = _exploded(source, table) if table.explode else source.record
    columns = tuple(column for column in record.columns if column.classification is not Classification.SECRET)
    kept = {column.name for column in columns}
    if table.partition_column:
        day = Column(
            table.partition_column,
            "date",
            nullable=False,
            description=f"Date (UTC) of {source.file.event_time or 'arrival'}.",
        )
        columns = (*columns, day)
    columns = tuple(
        replace(column, nullable=False) if column.name in {*table.key, source.file.event_time} else column
        for column in columns
    )
    references = tuple(Rule(REFERENCES, column, target) for column, target in table.references.items())
    contract = Contract(
        table=f"silver.{table.table}",
        description=table.description,
        columns=(*columns, LANDED_AT),
        key=table.key,
        ordering=table.ordering,
        event_time=source.file.event_time or LANDED_AT.name,
        partition_column=table.partition_column,
        clustering=table.clustering,
        rules=(
            *(rule for rule in record.rules if rule.column in kept),
            *references,
            *read_checks(table.rules, columns),
        ),
        version=source.schema_version,
        expert=_expert(source, table),
    )
    if table.kind is Kind.SCD2:
        contract = as_history(contract)
    return contract.relaxed() if source.file.json_schema.validation is Validation.LENIENT else contract


def _expert(source: Source, table: SilverTable) -> ExpertSchema | None:
    if table.pandera is None:
        return None
    file, _, name = table.pandera.partition(":")
    return ExpertSchema(source.folder / file, name)


@cache
def quarantine_contract(source: Source, table: SilverTable) -> Contract:
    """Rows that broke the silver contract: their values as text, PII tokenised, the broken rules, the origin."""
    silver = silver_contract(source, table).published()
    derived = {table.partition_column, LANDED_AT.name, LINE_NUMBER, *(HISTORY_NAMES if silver.history else ())}
    values = tuple(
        Column(c.name, "string", description=c.description, classification=c.classification)
        for c in silver.columns
        if c.name not in derived
    )
    line = (Column(LINE_NUMBER, "integer", description="Which element of the array."),) if table.explode else ()
    day = (Column(table.partition_column, "date", nullable=False),) if table.partition_column else ()
    return Contract(
        table=f"quarantine.{table.table}",
        description=f"Rows that break the contract of silver.{table.table}, with the rules that each breaks.",
        columns=(*values, *line, Column(BROKEN_RULES, "string", nullable=False), *_ORIGIN, *day),
        event_time=LANDED_AT.name,
        partition_column=table.partition_column,
    )


def contracts_of(source: Source) -> list[Contract]:
    """The contracts of all tables of a source, as readers see them, in the way of a row."""
    found = [bronze_contract(source)]
    for table in source.file.silver:
        found += [silver_contract(source, table).published(), quarantine_contract(source, table)]
    return found


def _exploded(source: Source, table: SilverTable) -> SchemaColumns:
    """Columns of a table with one row per array element: what it keeps of the record, its number, its own fields."""
    names = bronze_names(_properties(source))
    array = next((source_name for source_name, name in names.items() if name == table.explode), None)
    if array is None or "items" not in _properties(source)[array]:
        raise ContractError(f"{table.table}: `explode` names {table.explode!r}, which is no array with `items`")
    known = {column.name for column in source.record.columns}
    for name in table.keep:
        if name not in known:
            raise ContractError(f"{table.table}: `keep` names {name!r}, which the record does not have")
    kept = tuple(column for column in source.record.columns if column.name in table.keep)
    classification = next(column.classification for column in source.record.columns if column.path == (array,))
    if classification is Classification.SECRET:
        raise ContractError(f"{table.table}: `explode` names {table.explode!r}, a secret, which bronze does not hold")
    element = read_json_schema(_properties(source)[array]["items"], {})
    number = Column(LINE_NUMBER, "integer", nullable=False, description="Which element of the array, from 1.")
    elements = [replace(c, path=(ELEMENT, *c.path), classification=classification) for c in element.columns]
    return SchemaColumns(
        columns=(*kept, number, *elements),
        rules=(*(rule for rule in source.record.rules if rule.column in table.keep), *element.rules),
    )

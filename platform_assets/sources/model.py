"""The source file, typed: what `source.yaml` may say. Contracts are derived in `sources.contracts`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from platform_assets.contracts.compatibility import Evolution
from platform_assets.contracts.json_schema import SchemaColumns, classified, read_json_schema
from platform_assets.contracts.migration import Migration
from platform_assets.contracts.model import Classification
from platform_assets.contracts.sla import DeclaredSla, Sla
from platform_assets.sources.alert_condition import Condition, Metric, parse_condition
from platform_assets.sources.ingestion_settings import Ingestion
from platform_assets.sources.own_code import is_reference


@dataclass(frozen=True)
class _LooksLike:
    """A text that matches, or an error that says in words what was expected. Editors are told the pattern."""

    pattern: str
    expected: str

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$"}

    def _check(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise ValueError(f"{text!r} is not {self.expected}")
        return text


Name = Annotated[
    str,
    _LooksLike(
        "[a-z][a-z0-9_]{0,62}", "a name: lower-case letters, digits and underscores, at most 63, a letter first"
    ),
]
Address = Annotated[str, _LooksLike(r"[^@\s]+@[^@\s]+", "an e-mail address")]
Owner = Annotated[str, _LooksLike(r"team:[A-Za-z0-9_-]+|[^@\s]+@[^@\s]+", "an e-mail address or `team:name`")]
GoldTable = Annotated[str, _LooksLike("gold\\.[a-z][a-z0-9_]*", "a gold table, such as `gold.customers`")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Validation(StrEnum):
    """What happens to a record that breaks a rule about its values (S1-83). A wrong type is never let through."""

    STRICT = "strict"  # it goes to quarantine
    LENIENT = "lenient"  # it is counted and kept


class SchemaSettings(_Strict):
    """Which schema describes one record, and how strictly it is taken."""

    file: str | None = Field(
        default=None, description="Relative to the source's folder; by default the newest `schema.v<n>.json`."
    )
    validation: Validation = Validation.STRICT
    evolution: Evolution = Evolution.BACKWARD_COMPATIBLE


class Kind(StrEnum):
    """What a silver table keeps of its source."""

    EVENTS = "events"  # every event, partitioned by event date
    CURRENT_STATE = "current_state"  # the latest version of each key
    SCD2 = "scd2"  # every version of each key, with the time from which to which it held


class Transform(_Strict):
    """A step of one's own between bronze and the contract: SQL, or a class or function on Polars (S1-80)."""

    name: Name
    sql: str | None = Field(
        default=None,
        min_length=1,
        description="A SELECT from `rows`, or a file `name.sql` beside the YAML that holds it.",
    )
    code: str | None = Field(
        default=None, alias="class", description="`file.py:Name` or `package.module:Name`: a class or a function."
    )
    params: dict[str, Any] = Field(default_factory=dict, description="`$name` in SQL, or what the code is given.")

    @model_validator(mode="after")
    def _one(self) -> Transform:
        if (self.sql is None) == (self.code is None):
            raise ValueError(f"transform {self.name!r} says either `sql` or `class`")
        if self.code is not None and not is_reference(self.code):
            raise ValueError(
                f"transform {self.name!r}: {self.code!r} names no code; expected `file.py:Name`, beside this file, or "
                "`package.module:Name`"
            )
        return self


class SilverTable(_Strict):
    """One silver table of a source, with its quarantine sibling."""

    table: Name
    kind: Kind
    description: str = ""
    key: tuple[str, ...] = Field(default=(), description="Columns that identify a record; the latest one wins.")
    ordering: tuple[str, ...] = Field(default=(), description="Columns by which a record is later than another.")
    partition_column: Name | None = Field(default=None, description="Date column of an events table.")
    clustering: tuple[str, ...] = Field(default=(), max_length=4)
    explode: str | None = Field(default=None, description="Array column; the table has one row per element.")
    keep: tuple[str, ...] = Field(default=(), description="Columns of the record that each element keeps.")
    references: dict[str, str] = Field(default_factory=dict, description="Column to `silver.table.column`.")
    json_schema: str | None = Field(
        default=None, alias="schema", description="A schema of its own: another version of the source's, `<table>_v2`."
    )
    pandera: str | None = Field(default=None, description="A Pandera `DataFrameModel` of an expert's: `file.py:Class`.")
    rules: tuple[dict[str, Any], ...] = Field(default=(), description="Further promises about rows; see the rules.")
    transforms: tuple[Transform, ...] = Field(default=(), description="What is done to rows before they are judged.")
    sla: DeclaredSla | None = Field(default=None, description="Instead of the source's `monitoring.sla`; or `none`.")

    def __hash__(self) -> int:
        """By name, which is unique: mappings, which some settings are, have no hash."""
        return hash(self.table)

    @model_validator(mode="after")
    def _consistent(self) -> SilverTable:
        if (self.kind is Kind.EVENTS) != (self.partition_column is not None):
            raise ValueError(f"{self.table}: `partition_column` belongs to kind `events`, and every such table has one")
        if self.kind is not Kind.EVENTS and not self.key:
            raise ValueError(f"{self.table}: a table of kind `{self.kind}` needs a `key`")
        if self.kind is Kind.SCD2 and self.explode is not None:
            raise ValueError(f"{self.table}: kind `scd2` keeps versions of whole records; it cannot `explode` an array")
        if self.explode is None and self.keep:
            raise ValueError(f"{self.table}: `keep` says what an exploded element keeps, but nothing is exploded")
        return self


class Deduplication(_Strict):
    """Which records are the same one (S1-84)."""

    key: tuple[str, ...] = Field(min_length=1)
    ordering: tuple[str, ...] = ()


class DataQuality(_Strict):
    """Promises about the values (S1-84)."""

    rules: tuple[dict[str, Any], ...]


class _Step(_Strict):
    """A step is called by its name, and holds nothing else."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_fields_set) != 1:
            names = ", ".join(f"`{name}`" for name in type(self).model_fields)
            raise ValueError(f"a step is exactly one of {names}")
        return self


class Conforming(_Step):
    """One step on the way from bronze to silver, by its name."""

    deduplication: Deduplication | None = None
    data_quality: DataQuality | None = None
    transform: Transform | None = None


class Join(_Strict):
    """Columns of another gold table are added (S1-85)."""

    table: GoldTable
    on: str


class Aggregate(_Strict):
    """Rows are summed up (S1-85)."""

    group_by: tuple[str, ...] = Field(min_length=1)
    metrics: tuple[str, ...] = Field(min_length=1, description="`sum(amount) as total_amount`.")


class Serving(_Strict):
    """Who reads the gold table that is made of the source (S1-86)."""

    third_party_api: bool = False
    reporting: bool = False
    ml_features: bool = False


class GoldStep(_Step):
    """One step on the way from silver to gold, by its name."""

    join: Join | None = None
    aggregate: Aggregate | None = None


class Processing(_Strict):
    """The steps of S1-84 and S1-85. `silver` says the same for a source with several or exploded tables."""

    bronze_to_silver: tuple[Conforming, ...] = ()
    silver_to_gold: tuple[GoldStep, ...] = ()


class Quarantine(_Strict):
    """Above which share of quarantined rows a publish is blocked."""

    max_ratio: float = Field(default=0.5, gt=0, le=1)
    minimum_rows: int = Field(default=20, ge=1, description="Below so many rows a share means nothing.")


class Freshness(_Strict):
    """How old a table's last materialisation may be (decisions.md, 5)."""

    warn_minutes: int | None = Field(default=None, ge=1)
    fail_minutes: int = Field(ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> Freshness:
        if self.warn_minutes is not None and self.warn_minutes >= self.fail_minutes:
            raise ValueError(f"warns after {self.warn_minutes} minutes, but fails after {self.fail_minutes} already")
        return self

    @property
    def fail_window(self) -> timedelta:
        """After which the table fails."""
        return timedelta(minutes=self.fail_minutes)

    @property
    def warn_window(self) -> timedelta | None:
        """After which the table warns."""
        return None if self.warn_minutes is None else timedelta(minutes=self.warn_minutes)


_STREAMED = Freshness(warn_minutes=2, fail_minutes=5)
_ONCE_A_DAY = Freshness(fail_minutes=24 * 60)


class AlertSeverity(StrEnum):
    """How loud an alert is (S4-46 to S4-48)."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Alert(_Strict):
    """Who is told when (S1-104 to S1-106)."""

    name: str
    condition: str = Field(description="`error_rate > 5%`, `data_age > 2 hours`, `daily_cost > $500`.")
    notification: str = Field(description="An e-mail address, or the name of a route such as `pagerduty`.")
    severity: AlertSeverity = AlertSeverity.WARNING

    @model_validator(mode="after")
    def _readable(self) -> Alert:
        parse_condition(self.condition)
        return self

    @property
    def parsed(self) -> Condition:
        """The condition, typed."""
        return parse_condition(self.condition)


class Monitoring(_Strict):
    """What the source promises its readers, and who hears when it does not keep it (S1-87)."""

    sla_minutes: int | None = Field(default=None, ge=1, description="`freshness.fail_minutes` and `sla.within` in one.")
    freshness: Freshness | None = None
    sla: DeclaredSla | None = Field(
        default=None, description="What bronze and silver promise about time, and how often they keep it; or `none`."
    )
    alert_email: Address | None = None
    metrics: tuple[Metric, ...] = ()

    @model_validator(mode="after")
    def _said_once(self) -> Monitoring:
        if self.sla_minutes is not None and self.freshness is not None:
            raise ValueError("`sla_minutes` and `freshness` say the same; keep one")
        return self


class Retention(_Strict):
    """How long rows stay; without a number, for ever (S1-49 to S1-51, decisions.md, 7)."""

    bronze_days: int | None = Field(default=None, ge=1)
    silver_days: int | None = Field(default=None, ge=1)


class SourceFile(_Strict):
    """The whole of `source.yaml`."""

    source_id: Name
    display_name: str = ""
    description: str = ""
    owner: Owner = Field(default="team:data-platform", description="E-mail address or `team:name`.")
    domain: Name = "platform"
    ingestion: Ingestion
    json_schema: SchemaSettings = Field(default=SchemaSettings(), alias="schema")
    event_time: str | None = Field(default=None, description="Column that dates a record.")
    classification: dict[str, Classification] = Field(default_factory=dict)
    silver: tuple[SilverTable, ...] = ()
    processing: Processing = Processing()
    serving: Serving = Serving()
    quarantine: Quarantine = Quarantine()
    monitoring: Monitoring = Monitoring()
    alerts: tuple[Alert, ...] = ()
    migration: Migration | None = Field(default=None, description="What was prepared for a breaking change (S2-17).")
    retention: Retention = Retention()

    @model_validator(mode="after")
    def _consistent(self) -> SourceFile:
        if self.event_time is None and any(table.kind is Kind.EVENTS for table in self.silver):
            raise ValueError("`silver` has a table of kind `events`, which needs `event_time`: what dates a record")
        if self.silver and self.processing.bronze_to_silver:
            raise ValueError("`silver` and `processing.bronze_to_silver` both say what becomes of bronze; keep one")
        return self

    @property
    def freshness(self) -> Freshness:
        """The promise of the source's tables: what the file says, or what is usual for its pattern (S3-26)."""
        if self.monitoring.freshness is not None:
            return self.monitoring.freshness
        if self.monitoring.sla_minutes is not None:
            return Freshness(fail_minutes=self.monitoring.sla_minutes)
        return _STREAMED if self.ingestion.streams else _ONCE_A_DAY

    @property
    def sla(self) -> Sla | None:
        """What is declared for the source's tables; `sla_minutes` is a promise too. None leaves it to the defaults."""
        minutes = self.monitoring.sla_minutes
        if self.monitoring.sla is not None or minutes is None:
            return self.monitoring.sla
        return Sla.model_construct(within=60 * minutes)


@dataclass(frozen=True, eq=False)
class Source:
    """A source as the platform uses it: its file, its parsed schema, and where both lie.

    Attributes:
        file: what `source.yaml` says, with everything filled in that follows from it.
        record_schema: JSON Schema of one record; None if there is none: bronze then keeps each record whole (S1-04).
        folder: where the files lie; several sources lie in one if a database's `tables` are replicated.
        schema_version: which version of the schema that is.
        versions: schemas of tables that have one of their own, by their file's name, each with its version.
        notes: what the file says that has no effect yet, in words.
        record: columns and rules of one record as it arrives; none without a schema.
    """

    file: SourceFile
    record_schema: Mapping[str, Any] | None
    folder: Path
    schema_version: int = 1
    versions: Mapping[str, tuple[int, Mapping[str, Any]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    record: SchemaColumns = field(default=SchemaColumns((), ()), kw_only=True)

    @property
    def name(self) -> str:
        """The source's identifier, also the name of its landing prefix and bronze table."""
        return self.file.source_id

    def at(self, table: SilverTable) -> Source:
        """The source as it is in the version of the schema that the table is made by."""
        if table.json_schema is None:
            return self
        version, schema = self.versions[table.json_schema]
        record = classified(read_json_schema(schema, {}), self.file.classification)
        return replace(self, record_schema=schema, record=record, schema_version=version, versions={})

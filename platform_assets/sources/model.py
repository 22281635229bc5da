"""The source file, typed: what `source.yaml` may say. Contracts are derived in `sources.contracts`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from platform_assets.contracts.json_schema import SchemaColumns, read_json_schema
from platform_assets.contracts.model import Classification

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Pattern(StrEnum):
    """How a source arrives (S1-39 to S1-43)."""

    BATCH_FILE = "batch_file"  # somebody drops objects into the landing bucket
    REST_SNAPSHOT = "rest_snapshot"  # a REST endpoint tells its whole state once a day
    EVENT_STREAMING = "event_streaming"  # messages of a Pub/Sub subscription


class Ingestion(_Strict):
    """Where the data comes from and how often it is fetched."""

    pattern: Pattern
    path: str | None = Field(default=None, description="Path below the base URL of a polled API.")
    topic: str | None = None
    subscription: str | None = None
    poll_interval_seconds: int = Field(default=60, ge=1, description="How often the API behind a topic is polled.")
    # The daemon looks every 5 s, and would miss every other tick of 5.
    arrival_interval_seconds: int = Field(default=4, ge=1, description="How often the arrival sensor looks.")

    @model_validator(mode="after")
    def _complete(self) -> Ingestion:
        needs = {Pattern.REST_SNAPSHOT: ("path",), Pattern.EVENT_STREAMING: ("topic", "subscription")}
        for setting in needs.get(self.pattern, ()):
            if getattr(self, setting) is None:
                raise ValueError(f"ingestion.pattern {self.pattern} needs ingestion.{setting}")
        return self


class SchemaFile(_Strict):
    """Which JSON Schema describes one record, relative to the source's folder."""

    file: str = "schema.v1.json"


class Kind(StrEnum):
    """What a silver table keeps of its source."""

    EVENTS = "events"  # every event, partitioned by event date
    CURRENT_STATE = "current_state"  # the latest version of each key
    SCD2 = "scd2"  # every version of each key, with the time from which to which it held


class SilverTable(_Strict):
    """One silver table of a source, with its quarantine sibling."""

    table: Name
    kind: Kind
    description: str
    key: tuple[str, ...] = Field(min_length=1)
    ordering: tuple[str, ...] = ()
    partition_column: Name | None = Field(default=None, description="Date column of an events table.")
    clustering: tuple[str, ...] = Field(default=(), max_length=4)
    explode: str | None = Field(default=None, description="Array column; the table has one row per element.")
    keep: tuple[str, ...] = Field(default=(), description="Columns of the record that each element keeps.")
    references: dict[str, str] = Field(default_factory=dict, description="Column to `silver.table.column`.")

    @model_validator(mode="after")
    def _consistent(self) -> SilverTable:
        if (self.kind is Kind.EVENTS) != (self.partition_column is not None):
            raise ValueError(f"{self.table}: `partition_column` belongs to kind `events`, and every such table has one")
        if self.kind is Kind.SCD2 and self.explode is not None:
            raise ValueError(f"{self.table}: kind `scd2` keeps versions of whole records; it cannot `explode` an array")
        if self.explode is None and self.keep:
            raise ValueError(f"{self.table}: `keep` says what an exploded element keeps, but nothing is exploded")
        return self


class Quarantine(_Strict):
    """Above which share of quarantined rows a publish is blocked."""

    max_ratio: float = Field(default=0.5, gt=0, le=1)
    minimum_rows: int = Field(default=20, ge=1, description="Below so many rows a share means nothing.")


class Freshness(_Strict):
    """How old a table's last materialisation may be (decisions.md, 5)."""

    warn_minutes: int | None = Field(default=None, ge=1)
    fail_minutes: int = Field(ge=1)

    @property
    def fail_window(self) -> timedelta:
        """After which the table fails."""
        return timedelta(minutes=self.fail_minutes)

    @property
    def warn_window(self) -> timedelta | None:
        """After which the table warns."""
        return None if self.warn_minutes is None else timedelta(minutes=self.warn_minutes)


class Monitoring(_Strict):
    """What the source promises its readers."""

    freshness: Freshness


class SourceFile(_Strict):
    """The whole of `source.yaml`."""

    source_id: Name
    display_name: str
    description: str
    owner: str = Field(pattern=r"^(team:[A-Za-z0-9_-]+|[^@\s]+@[^@\s]+)$", description="E-mail address or `team:name`.")
    domain: Name
    ingestion: Ingestion
    json_schema: SchemaFile = Field(default=SchemaFile(), alias="schema")
    event_time: str | None = Field(default=None, description="Column that dates a record.")
    classification: dict[str, Classification] = Field(default_factory=dict)
    silver: tuple[SilverTable, ...] = Field(min_length=1)
    quarantine: Quarantine = Quarantine()
    monitoring: Monitoring

    @model_validator(mode="after")
    def _dated(self) -> SourceFile:
        if self.event_time is None and any(table.kind is Kind.EVENTS for table in self.silver):
            raise ValueError("a table of kind `events` needs `event_time`, the column that dates a record")
        return self


@dataclass(frozen=True, eq=False)
class Source:
    """A source as the platform uses it: its file, its parsed schema, and where both lie."""

    file: SourceFile
    record_schema: Mapping[str, Any]
    folder: Path

    @property
    def name(self) -> str:
        """The source's identifier, also the name of its landing prefix and bronze table."""
        return self.file.source_id

    @cached_property
    def record(self) -> SchemaColumns:
        """Columns and rules of one record as it arrives."""
        return read_json_schema(self.record_schema, self.file.classification)

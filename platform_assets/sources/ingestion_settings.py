"""The `ingestion` part of a source file: how the data arrives (S1-39 to S1-44), and which settings each way has."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from platform_assets.contracts.durations import Seconds
from platform_assets.contracts.words import nearest
from platform_assets.sources.own_code import is_reference
from platform_assets.sources.pattern import Pattern


class Format(StrEnum):
    """What a source's objects are (S1-44). What the platform itself lands is always JSON lines."""

    JSONL = "jsonl"  # one JSON value a line
    JSON = "json"  # a document: a record, an array of records, or JSON lines
    CSV = "csv"
    PARQUET = "parquet"
    AVRO = "avro"


class Compression(StrEnum):
    """How objects are compressed. For the reader of the source file: the first bytes of an object tell."""

    NONE = "none"
    GZIP = "gzip"


class CsvOptions(BaseModel):
    """How a source writes CSV; what is not said is found out for each object."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    delimiter: str | None = Field(default=None, description="One ASCII character.")
    quote: str = Field(default='"', description="One ASCII character.")
    encoding: str = Field(default="utf-8", description="Name of the encoding, such as latin-1 or utf-16.")
    header: bool = Field(default=True, description="Whether the first row names the columns; if not, the schema does.")

    @field_validator("delimiter", "quote")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        if value is not None and (len(value) != 1 or not value.isascii() or value in "\0\n\r"):
            raise ValueError(f"{value!r} is not one ASCII character")
        return value

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str) -> str:
        try:
            "".encode(encoding)  # refuses codecs that are no encodings of text
        except LookupError:
            raise ValueError(
                f"{encoding!r} is no known encoding; expected one such as utf-8, latin-1, cp1252"
            ) from None
        return codecs.lookup(encoding).name

    @model_validator(mode="after")
    def _distinct(self) -> CsvOptions:
        if self.delimiter == self.quote:
            raise ValueError("csv.delimiter and csv.quote are the same character")
        return self


class Ingestion(BaseModel):
    """Where the data comes from and how often it is fetched. Which settings a pattern has is in `SETTINGS`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pattern: Pattern
    location: str | None = Field(default=None, description="`gs://bucket/folder/` where objects appear.")
    schedule: str | None = Field(default=None, description="When data is expected, as cron in UTC.")
    format: Format = Format.JSONL
    compression: Compression = Compression.NONE
    csv: CsvOptions = CsvOptions()
    connector_type: Literal["rest_api", "webhook", "datastream", "sftp", "database_query"] | None = None
    connector: str | None = Field(
        default=None,
        description="A connector of one's own: `file.py:Class` or `package.module:Class`.",
    )
    params: dict[str, Any] = Field(default_factory=dict, description="What the connector is given; see `PARAMS`.")
    api_endpoint: str | None = Field(default=None, description="Address to poll; `${NAME:-default}` is expanded.")
    auth_type: Literal["none", "bearer_token", "api_key", "basic"] = "none"
    secret_name: str | None = Field(default=None, description="Name of the secret with the credential.")
    webhook_path: str | None = Field(default=None, description="Path at which the source calls, `/webhooks/stripe`.")
    webhook_signature: Literal["stripe", "github"] | None = Field(
        default=None, description="How the source signs its calls; a call without a right signature is refused."
    )
    webhook_secret_name: str | None = Field(
        default=None, description="Name of the secret that calls are signed with; by default `secret_name`."
    )
    poll_interval: Seconds = Field(default=60, validate_default=False, description="How often the source is asked.")
    event_type: str | None = Field(default=None, description="Polled records are published as events of this type.")
    topic: str | None = Field(default=None, description="Short name or full path of the Pub/Sub topic.")
    subscription: str | None = Field(default=None, description="By default the topic's name and `-sub`.")
    window_size: Seconds | None = Field(default=None, description="Length of the windows that consumers count in.")
    database_type: Literal["postgresql", "mysql", "oracle", "sqlserver"] | None = None
    connection_profile: str | None = None
    tables: tuple[str, ...] = Field(default=(), description="Each becomes a source `<source_id>_<table>`.")
    source_type: Literal["s3", "azure_blob", "gcs"] | None = None
    source_bucket: str | None = None
    source_path: str | None = None
    destination: str | None = Field(default=None, description="Where the transfer service puts the objects.")
    # The daemon looks every 5 s, and would miss every other tick of 5.
    arrival_interval: Seconds = Field(
        default=4, validate_default=False, description="How often the arrival sensor looks."
    )

    @property
    def streams(self) -> bool:
        """Whether records come as messages of a subscription."""
        return self.pattern in {Pattern.STREAMING_API, Pattern.EVENT_STREAMING}

    @property
    def watched(self) -> str | None:
        """The `gs://` folder outside of landing in which somebody else puts the objects."""
        return self.location or self.destination

    @property
    def polled(self) -> bool:
        """Whether records of a stream are asked for, to be published to its topic."""
        return self.streams and bool(self.api_endpoint or self.connector)

    @property
    def fetched(self) -> bool:
        """Whether a connector goes and gets the files or records of a source that does not stream."""
        return self.pattern is Pattern.BATCH_FILE and bool(self.connector or self.connector_type)

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, schedule: str | None) -> str | None:
        from croniter import croniter

        if schedule is not None and (len(schedule.split()) != 5 or not croniter.is_valid(schedule)):
            raise ValueError(f"{schedule!r} is no cron expression of five parts, such as `0 3 * * *` (3 AM every day)")
        return schedule

    @field_validator("webhook_path")
    @classmethod
    def _is_path(cls, path: str | None) -> str | None:
        if path is not None and not re.fullmatch(r"(/[\w.-]+)+", path):
            raise ValueError(f"{path!r} is no path; expected one such as `/webhooks/stripe`")
        return path

    @field_validator("secret_name", "webhook_secret_name")
    @classmethod
    def _is_secret_name(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[A-Za-z0-9_][\w.-]{0,254}", name, re.ASCII):
            # It may well be the secret itself, so it is not repeated.
            raise ValueError(
                "expected the name of a secret, never the secret itself: letters, digits, `-`, `_` and `.`"
            )
        return name

    @field_validator("connector")
    @classmethod
    def _is_code(cls, reference: str | None) -> str | None:
        if reference is not None and not is_reference(reference):
            raise ValueError(
                f"{reference!r} names no class; expected `file.py:Class`, beside this file, or `package.module:Class`"
            )
        return reference

    @field_validator("location", "destination")
    @classmethod
    def _is_folder(cls, address: str | None) -> str | None:
        if address is not None and not re.fullmatch(r"gs://[a-z0-9][a-z0-9._-]+/(.+/)?", address):
            raise ValueError(
                f"{address!r} is no folder of a bucket; expected `gs://bucket/folder/`, with the last slash"
            )
        return address

    @model_validator(mode="after")
    def _complete(self) -> Ingestion:
        needed, known = SETTINGS[self.pattern]
        for setting in needed:
            if not getattr(self, setting):
                raise ValueError(f"ingestion.pattern {self.pattern} needs ingestion.{setting}")
        for setting in sorted(self.model_fields_set - {"pattern", *_ALWAYS, *needed, *known}):
            raise ValueError(f"ingestion.{setting} means nothing for pattern {self.pattern}; {_home_of(setting)}")
        self._check_connector()
        self._check_secrets()
        return self

    def _check_connector(self) -> None:
        if self.connector_type is not None:
            pattern_names, needed = CONNECTOR_TYPES[self.connector_type]
            if self.pattern not in pattern_names:
                raise ValueError(
                    f"ingestion.connector_type {self.connector_type} belongs to pattern {' or '.join(pattern_names)}, "
                    f"not to {self.pattern}"
                )
            for setting in needed:
                if not getattr(self, setting):
                    raise ValueError(f"ingestion.connector_type {self.connector_type} needs ingestion.{setting}")
        if self.pattern is Pattern.BATCH_FILE:
            self._check_batch()
        if self.connector_type in PARAMS and self.connector is None:
            self._check_params(*PARAMS[self.connector_type])
        elif self.params and self.connector is None:
            raise ValueError("ingestion.params are given to ingestion.connector, and there is none")
        if self.pattern is Pattern.STREAMING_API and not (self.api_endpoint or self.webhook_path or self.connector):
            raise ValueError(
                "ingestion.pattern streaming_api needs ingestion.api_endpoint to poll, ingestion.webhook_path to be "
                "called at, or ingestion.connector"
            )

    def _check_batch(self) -> None:
        """Files are dropped, or they are fetched: then the settings of fetching mean something."""
        if self.connector is not None and self.connector_type is not None:
            raise ValueError(
                f"ingestion.connector and ingestion.connector_type {self.connector_type}: keep one of them"
            )
        if self.fetched and self.location is not None:
            raise ValueError("ingestion.location is where somebody else puts objects, but a connector fetches them")
        if self.fetched and self.connector_type != "sftp" and self.format is not Format.JSONL:
            raise ValueError(
                f"ingestion.format is {self.format}, but what the connector fetches lands as jsonl; leave it out"
            )
        if not self.fetched and (said := self.model_fields_set.intersection(_FETCHED)):
            raise ValueError(f"ingestion.{min(said)} means nothing for pattern batch_file; {_home_of(min(said))}")

    def _check_params(self, needed: Sequence[str], known: Sequence[str]) -> None:
        for name in needed:
            if not self.params.get(name):
                raise ValueError(f"ingestion.connector_type {self.connector_type} needs ingestion.params.{name}")
        for name in self.params:
            if name not in {*needed, *known}:
                hint = nearest(name, [*needed, *known]) or f"; it knows {', '.join([*needed, *known])}"
                raise ValueError(
                    f"ingestion.params.{name} means nothing for connector_type {self.connector_type}{hint}"
                )

    def _check_secrets(self) -> None:
        if self.auth_type != "none" and self.secret_name is None:
            raise ValueError(
                f"ingestion.auth_type {self.auth_type} needs ingestion.secret_name, the name of its secret"
            )
        used = self.auth_type != "none" or self.connector or self.webhook_signature
        if self.api_endpoint and self.secret_name and not used:
            raise ValueError(
                "ingestion.secret_name is used for nothing; say ingestion.auth_type: bearer_token, api_key or basic"
            )
        if self.webhook_signature and not self.webhook_path:
            raise ValueError("ingestion.webhook_signature means nothing without ingestion.webhook_path")
        if self.webhook_signature and not (self.webhook_secret_name or self.secret_name):
            raise ValueError(
                f"ingestion.webhook_signature {self.webhook_signature} needs ingestion.webhook_secret_name, the name "
                "of the secret that calls are signed with"
            )


_ALWAYS = ("arrival_interval", "connector_type", "schedule")
_FILES = ("format", "compression", "csv")
_CALLED = ("api_endpoint", "auth_type", "secret_name", "poll_interval")
_TOPIC = ("topic", "subscription")
_OWN = ("connector", "params")
_WEBHOOK = ("webhook_path", "webhook_signature", "webhook_secret_name")
_FETCHED = ("params", "poll_interval", "secret_name")

# What each pattern needs, and what else it may say.
SETTINGS: Mapping[Pattern, tuple[Sequence[str], Sequence[str]]] = {
    Pattern.BATCH_FILE: ((), ("location", *_OWN, *_FETCHED, *_FILES)),
    Pattern.STREAMING_API: ((), (*_CALLED, *_OWN, *_TOPIC, *_WEBHOOK, "event_type")),
    Pattern.DATABASE_CDC: (("tables",), ("database_type", "connection_profile", "location", *_FILES)),
    Pattern.CLOUD_TRANSFER: (("source_type", "source_bucket", "destination"), ("source_path", *_FILES)),
    Pattern.EVENT_STREAMING: (("topic",), ("subscription", "format", "window_size")),
    Pattern.REST_SNAPSHOT: (("api_endpoint",), _CALLED),
}

# To which patterns each type of connector belongs, and what it needs.
CONNECTOR_TYPES: Mapping[str, tuple[Sequence[Pattern], Sequence[str]]] = {
    "rest_api": ((Pattern.STREAMING_API, Pattern.REST_SNAPSHOT), ("api_endpoint",)),
    "webhook": ((Pattern.STREAMING_API,), ("webhook_path",)),
    "datastream": ((Pattern.DATABASE_CDC,), ()),
    "sftp": ((Pattern.BATCH_FILE,), ("secret_name",)),
    "database_query": ((Pattern.BATCH_FILE,), ("secret_name",)),
}

# What `params` hold for a type of connector: what it needs, and what else it may say.
PARAMS: Mapping[str | None, tuple[Sequence[str], Sequence[str]]] = {
    "sftp": (("host", "username", "path"), ("port", "pattern", "known_hosts")),
    "database_query": (("query", "cursor_column"), ("rows_per_object",)),
}


def _home_of(setting: str) -> str:
    fits = [f"pattern {pattern}" for pattern, (more, less) in SETTINGS.items() if setting in {*more, *less}]
    if setting in _FETCHED and f"pattern {Pattern.BATCH_FILE}" in fits:
        fits.remove(f"pattern {Pattern.BATCH_FILE}")
        fits.append("pattern batch_file with a connector, or connector_type sftp or database_query")
    return f"it belongs to {', '.join(fits)}"

"""The parts of a new source file that depend on its records, as YAML; every guess with its reason as a comment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

from platform_assets.contracts.json_schema import read_json_schema
from platform_assets.operations.onboarding.infer import Choice
from platform_assets.sources.ingestion_settings import SETTINGS, Compression, Format
from platform_assets.sources.pattern import Pattern

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from platform_assets.operations.onboarding.infer import Inferred
    from platform_assets.operations.onboarding.sample import Sample

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.@:/-]*[A-Za-z0-9_]|[a-z]")
_PROSE = re.compile("[A-Z](?:[A-Za-z0-9 ,;.()_-]*[A-Za-z0-9.)])?")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "nan", "inf"}
_STARTER = (
    Choice(("id",), "decide: what identifies a record"),
    Choice(("occurred_at",), "decide: when what a record tells has happened"),
    Choice((), ""),
)
_STATES = {Pattern.DATABASE_CDC, Pattern.REST_SNAPSHOT}
_DAYS = ("event_date", "partition_date", "platform_event_date")


def scalar(text: str) -> str:
    """A text as a YAML scalar on one line."""
    if text.lower() not in _WORDS and (_PLAIN.fullmatch(text) or _PROSE.fullmatch(text)):
        return text
    return yaml.safe_dump(text, default_style='"', width=2**31).strip()


def comment(text: str) -> str:
    """A text that can stand in a comment: no line ends, nothing that YAML refuses."""
    return "".join(c if c.isprintable() and ord(c) < 2**16 else c.encode("unicode_escape").decode() for c in text)


def file_lines(sample: Sample | None, pattern: Pattern, connector_type: str | None) -> str:
    """The settings of `ingestion` that say how objects are written, as far as the source has them."""
    needed, known = SETTINGS[pattern]
    settings = {*needed, *known}
    if "format" not in settings or connector_type == "database_query":  # whose rows the platform itself writes
        return ""
    if "compression" not in settings:
        return "  format: json\n"
    if sample is None:
        return "  format: jsonl # decide: jsonl, json, csv, parquet or avro\n"
    lines = [f"format: {sample.format.value} # as the sample is"]
    if sample.compression is not Compression.NONE:
        lines.append(f"compression: {sample.compression.value}")
    said = sample.csv.model_dump(exclude_unset=True)
    if said and sample.format is Format.CSV:
        inner = ", ".join(f"{name}: {_quoted(value)}" for name, value in said.items())
        lines.append(f"csv: {{{inner}}}")
    return "".join(f"  {line}\n" for line in lines)


def record_lines(name: str, schema_file: str, inferred: Inferred | None, pattern: Pattern) -> str:
    """The settings about what a record says: schema, event time, classification, silver table."""
    key, event_time, ordering = (inferred.key, inferred.event_time, inferred.ordering) if inferred else _STARTER
    state = pattern in _STATES and bool(key.columns)
    dated = bool(event_time.columns) and not state
    parts = [
        _schema_lines(schema_file, inferred),
        _event_time_lines(event_time, dated=dated, state=state),
        _classification_lines(inferred),
        _silver_lines(name, key, ordering, pattern, inferred, dated=dated),
    ]
    return "\n".join("".join(f"{line}\n" for line in part) for part in parts if part)


def _schema_lines(schema_file: str, inferred: Inferred | None) -> list[str]:
    if inferred is None:
        return ["schema:", f"  file: {schema_file} # decide: the fields of one record"]
    sample = inferred.sample
    told = f"told from {'all' if sample.whole else 'the first'} {len(sample.records):,} records of a sample"
    lines = [f"# {comment(note)}" for note in sample.notes]
    if sample.unreadable:
        lines.append(f"# {sample.unreadable:,} records of the sample could not be read and were left out.")
    return [*lines, "schema:", f"  file: {schema_file} # {told}; the reasons are in its `$comment`s"]


def _event_time_lines(event_time: Choice, *, dated: bool, state: bool) -> list[str]:
    if dated:
        return [f"event_time: {scalar(event_time.columns[0])} # {comment(event_time.why)}"]
    if state:
        return ["# No `event_time`: the table holds the latest state of each key, whenever it came about."]
    return [f"# No `event_time` ({comment(event_time.why)}): records are dated by their arrival."]


def _classification_lines(inferred: Inferred | None) -> list[str]:
    head = [
        "# Decide: who may read what. `pii` is tokenised on the way into silver; a `secret` is dropped before bronze.",
    ]
    found = inferred.classification if inferred else {}
    if not found:
        why = "nothing in the sample looks personal; look yourself" if inferred else "such as `email: pii`"
        return [*head, f"classification: {{}} # {why}"]
    return [
        *head,
        "classification:",
        *(f"  {scalar(path)}: {kind.value} # {comment(why)}" for path, (kind, why) in found.items()),
    ]


def _silver_lines(
    name: str, key: Choice, ordering: Choice, pattern: Pattern, inferred: Inferred | None, *, dated: bool
) -> list[str]:
    if not key.columns:
        return [
            f"# No key ({comment(key.why)}): every record is kept, also one that comes twice. Decide: is there one?"
        ]
    columns = f"key: {_list(key.columns)} # {comment(key.why)}"
    later = [f"ordering: {_list(ordering.columns)} # {comment(ordering.why)}"] if ordering.columns else []
    if pattern is Pattern.DATABASE_CDC:
        steps = ["processing:", "  bronze_to_silver:", "    - deduplication:"]
        return [*steps, *(f"        {line}" for line in (columns, *later))]
    kind = "kind: events # one row for each event, by its date; or `current_state`: the latest record of each key"
    if not dated:
        kind = "kind: current_state # the latest record of each key"
    table = [f"- table: {name}", f"  {kind}", f"  {columns}", *(f"  {line}" for line in later)]
    if dated:
        table.append(f"  partition_column: {_day(inferred)}")
    return ["silver:", *(f"  {line}" for line in table)]


def _day(inferred: Inferred | None) -> str:
    taken = {column.name for column in read_json_schema(inferred.schema, {}).columns} if inferred else set()
    return next(day for day in _DAYS if day not in taken)


def _list(columns: Sequence[str]) -> str:
    return f"[{', '.join(_each(columns))}]"


def _each(columns: Sequence[str]) -> Iterator[str]:
    yield from (scalar(column) for column in columns)


def _quoted(value: object) -> str:
    return yaml.safe_dump(str(value), default_style='"', width=2**31).strip()

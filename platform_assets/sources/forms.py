"""The forms in which a source may be written, brought to the one that `sources.model` describes.

The short form (S1-39 to S1-43) says everything of `ingestion`, and the `sla`, at the top of the file. What a file
leaves open is filled in here, from what it does say and from its schema, so that a source of six lines has tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from platform_assets.contracts.words import nearest, title_of
from platform_assets.sources.ingestion_settings import Ingestion
from platform_assets.sources.model import Kind, SilverTable, SourceFile
from platform_assets.sources.pattern import Pattern
from platform_assets.sources.yaml_file import Place, YamlFile

if TYPE_CHECKING:
    from platform_assets.contracts.json_schema import SchemaColumns

_EVENT_DATE = "event_date"
_ARRIVAL_DATE = "arrival_date"
# Each setting of the short form, and the part and setting of the long form that it stands for.
SHORT_FORM = {
    "schema_file": ("schema", "file"),
    "pubsub_topic": ("ingestion", "topic"),
    "message_format": ("ingestion", "format"),
    "sla": ("monitoring", "sla"),
    **{name: ("ingestion", name) for name in Ingestion.model_fields},
}


def nested(file: YamlFile) -> YamlFile:
    """The file in the long form; the lines of its settings go with them.

    Raises:
        SourceError: something is said in both forms.
    """
    data: dict[str, Any] = {name: value for name, value in file.data.items() if name not in SHORT_FORM}
    moved = {name: SHORT_FORM[name] for name in file.data if name in SHORT_FORM}
    for name, (part, setting) in moved.items():
        inside = data.setdefault(part, {})
        if not isinstance(inside, Mapping) or setting in inside:
            raise file.error((name,), f"`{name}` stands at the top of the file and in `{part}` too; keep one of them")
        data[part] = {**inside, setting: file.data[name]}
    lines: dict[Place, int] = {}
    for place, line in file.lines.items():
        target = moved.get(str(place[0]))
        lines[place if target is None else (*target, *place[1:])] = line
        if target is not None:
            lines.setdefault(target[:1], line)
    return YamlFile(file.path, data, lines)


def tables_of(file: SourceFile) -> list[SourceFile]:
    """The sources that a file stands for: itself, or one for each table of a database (S1-41)."""
    if not file.ingestion.tables:
        return [file]
    return [
        file.model_copy(
            update={
                "source_id": f"{file.source_id}_{table}",
                "display_name": f"{file.display_name or title_of(file.source_id)}: {table}",
                "ingestion": file.ingestion.model_copy(
                    update={"tables": (), "location": _folder_of(file.ingestion.location, table)}
                ),
            }
        )
        for table in file.ingestion.tables
    ]


def _folder_of(location: str | None, table: str) -> str | None:
    """Where the changes of one table are dropped: `{table}` stands for its name, by default the last folder."""
    if location is None:
        return None
    return location.replace("{table}", table) if "{table}" in location else f"{location}{table}/"


def filled(file: SourceFile, record: SchemaColumns) -> SourceFile:
    """The file with everything that follows from it and from the columns of its record."""
    title = file.display_name or title_of(file.source_id)
    named = file.model_copy(
        update={
            "display_name": title,
            "description": file.description or f"{title}.",
            "ingestion": _with_topic(file),
        }
    )
    if not record.columns:
        return named
    dated = named.model_copy(update={"event_time": file.event_time or _event_time(file, record)})
    tables = dated.silver or (_table(dated, record),)
    described = [table.model_copy(update={"description": table.description or named.description}) for table in tables]
    return dated.model_copy(update={"silver": tuple(described)})


def without_unknown_checks(file: SourceFile, record: SchemaColumns) -> tuple[SourceFile, tuple[str, ...]]:
    """The file without checks of `processing` about fields that the schema does not have, and a note on each.

    S1-84's own example checks an `email` that S1-88's schema lacks: the check waits for the field. A name that is near
    to one that exists is a slip of the pen, and stays to be refused.
    """
    if not file.processing.bronze_to_silver or not file.silver:
        return file, ()
    columns = [column.name for column in record.columns]
    (table,) = file.silver
    waiting = [rule for rule in table.rules if _waits(rule.get("field"), columns)]
    if not waiting:
        return file, ()
    kept = tuple(rule for rule in table.rules if rule not in waiting)
    notes = tuple(
        f"the check {rule.get('check')} waits for a field {rule['field']!r}, which the schema does not have"
        for rule in waiting
    )
    return file.model_copy(update={"silver": (table.model_copy(update={"rules": kept}),)}), notes


def _waits(field: object, columns: list[str]) -> bool:
    return isinstance(field, str) and field not in columns and not nearest(field, columns)


def _with_topic(file: SourceFile) -> Ingestion:
    ingestion = file.ingestion
    if not ingestion.streams:
        return ingestion
    topic = ingestion.topic or file.source_id
    subscription = ingestion.subscription or f"{topic.rsplit('/', 1)[-1]}-sub"
    return ingestion.model_copy(update={"topic": topic, "subscription": subscription})


def _event_time(file: SourceFile, record: SchemaColumns) -> str | None:
    """What dates a record where the file does not say: the only timestamp that every record has.

    A file that lists its silver tables has thought about it.
    """
    if file.silver or file.ingestion.pattern in {Pattern.DATABASE_CDC, Pattern.REST_SNAPSHOT}:
        return None
    stamps = [column.name for column in record.columns if column.type == "timestamp" and not column.nullable]
    return stamps[0] if len(stamps) == 1 else None


def _table(file: SourceFile, record: SchemaColumns) -> SilverTable:
    """The silver table of a source that does not list any: events if they are dated, else the state of each key.

    Records that nothing identifies are all kept, by the date on which they arrived.
    """
    steps = file.processing.bronze_to_silver
    told = [step.deduplication for step in steps if step.deduplication]
    key = told[0].key if told else _key(file, record)
    rules = tuple(rule for step in steps if step.data_quality for rule in step.data_quality.rules)
    events = file.event_time is not None or not key
    day = _EVENT_DATE if file.event_time else _ARRIVAL_DATE
    return SilverTable(
        table=file.source_id,
        kind=Kind.EVENTS if events else Kind.CURRENT_STATE,
        key=key,
        ordering=told[0].ordering if told else (),
        partition_column=day if events else None,
        rules=rules,
        transforms=tuple(step.transform for step in steps if step.transform),
    )


def _key(file: SourceFile, record: SchemaColumns) -> tuple[str, ...]:
    """`id` or `<source>_id` where every record has one."""
    needed = {column.name for column in record.columns if not column.nullable}
    return next(((name,) for name in ("id", f"{file.source_id}_id") if name in needed), ())

"""What a sample says about its source: schema, key, event time, personal data. Every guess says why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platform_assets.contracts.json_schema import read_json_schema
from platform_assets.contracts.model import Classification, Column
from platform_assets.contracts.words import title_of
from platform_assets.operations.onboarding.identity import dating_field, identifying_fields, updating_field
from platform_assets.operations.onboarding.personal import classify, holds_person
from platform_assets.operations.onboarding.reading import MAX_RECORDS, read_sample
from platform_assets.operations.onboarding.sample import Sample, plain
from platform_assets.operations.onboarding.shapes import is_day, is_uuid, scalar

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DEEPEST = 6
_MOST_NAMES, _RARE = 50, 0.2

FieldPath = tuple[str, ...]
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Guess:
    """One thing that was told from the sample.

    Attributes:
        path: the field, outermost name first.
        what: what is said of it, such as `format: date-time`.
        why: a sentence that quotes no value.
    """

    path: FieldPath
    what: str
    why: str


@dataclass(frozen=True)
class Choice:
    """Columns chosen for a purpose, and why. Empty if none qualifies; the sentence then says what was looked for."""

    columns: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Inferred:
    """What was told from a sample.

    Attributes:
        sample: what was read.
        schema: JSON Schema (2020-12) of one record, in the record's own names and order.
        key: columns that identify a record: none, one, or two.
        event_time: the column that dates a record, or none.
        ordering: the column by which one record is later than another with the same key, or none.
        classification: dotted path, as `source.yaml` has it, to what it probably is and why.
        guesses: every reason behind the schema, field by field.
    """

    sample: Sample
    schema: Mapping[str, Any]
    key: Choice
    event_time: Choice
    ordering: Choice
    classification: Mapping[str, tuple[Classification, str]]
    guesses: tuple[Guess, ...]


def infer(path: Path, name: str = "", limit: int = MAX_RECORDS) -> Inferred:
    """What the first `limit` records of a file say.

    Args:
        path: CSV, JSON, JSON lines, Parquet or Avro, plain or gzip; content tells which.
        name: of the source; `order_id` is the key of `orders` rather than of `order_lines`.
        limit: how many records are looked at.

    Raises:
        SampleError: nothing can be learned from the file.
    """
    sample = read_sample(path, limit)
    records = [plain(record) for record in sample.records]
    described = _Described(sample)
    schema = {"$schema": DIALECT, **({"title": title_of(name)} if name else {}), **described.object((), records)}
    columns = read_json_schema(schema, {}).columns
    classification = {
        ".".join(path): guess
        for path in described.fields
        # What has fields of its own is judged by its name alone; they are judged one by one.
        if (guess := classify(name, path, [] if path in described.outer else [*_values(records, path)])) is not None
    }
    outer = {dotted: guess for dotted, guess in classification.items() if not _covered(dotted, classification)}
    choosable = [c for c in columns if not _is(outer, c, Classification.SECRET)]
    clear = [c for c in choosable if not _is(outer, c, Classification.PII)]  # a token dates nothing
    once = list(_distinct(records))
    columns_of = {column.path: list(_values(once, column.path)) for column in choosable if not column.nullable}
    dated = dating_field(clear)
    return Inferred(
        sample=sample,
        schema=schema,
        key=Choice(*identifying_fields(name, choosable, columns_of, dated)),
        event_time=Choice(*dated),
        ordering=Choice(*updating_field(clear)),
        classification=outer,
        guesses=tuple(described.guesses),
    )


def _distinct(records: Sequence[Record]) -> Iterator[Record]:
    """Each record once: one that was delivered twice says nothing against a key."""
    seen: set[str] = set()
    for record in records:
        text = json.dumps(record, sort_keys=True, default=str)
        if text not in seen:
            seen.add(text)
            yield record


def _values(records: Sequence[Record], path: FieldPath) -> Iterator[Any]:
    """The values at a path that are there and not null."""
    for record in records:
        value: Any = record
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if value is not None:
            yield value


def _covered(dotted: str, classification: Mapping[str, tuple[Classification, str]]) -> bool:
    """Whether the field around it is marked in the same way, or as a secret."""
    kind = classification[dotted][0]
    around = [other for other in classification if dotted.startswith(f"{other}.")]
    return any(classification[other][0] in {kind, Classification.SECRET} for other in around)


def _is(classification: Mapping[str, tuple[Classification, str]], column: Column, wanted: Classification) -> bool:
    around = [".".join(column.path[:length]) for length in range(1, len(column.path) + 1)]
    return any(classification[dotted][0] is wanted for dotted in around if dotted in classification)


@dataclass
class _Described:
    """Builds the schema; remembers the fields that classification can name, and the reasons.

    Attributes:
        fields: paths of all fields that are columns or hold some, outside of arrays.
        outer: those that hold some.
    """

    sample: Sample
    fields: list[FieldPath] = field(default_factory=list)
    outer: set[FieldPath] = field(default_factory=set)
    guesses: list[Guess] = field(default_factory=list)

    def object(self, path: FieldPath, records: Sequence[Record], *, inside_array: bool = False) -> dict[str, Any]:
        """The schema of objects; `required` is what each of them has and none has as null."""
        names = dict.fromkeys(name for record in records for name in record)
        required, properties = [], {}
        for name in names:
            values = [record[name] for record in records if name in record]
            found = [value for value in values if value is not None]
            if not inside_array:
                self.fields.append((*path, name))
            schema = self._field((*path, name), found, inside_array=inside_array)
            if len(found) < len(values) or not found:
                schema = _or_null(schema)
            if found and len(found) == len(records):
                required.append(name)
            properties[name] = schema
        return {"type": "object", "required": required, "properties": properties}

    def _field(self, path: FieldPath, values: Sequence[Any], *, inside_array: bool) -> dict[str, Any]:
        kinds = {type(value) for value in values}
        if kinds == {dict}:
            return self._inner(path, values, inside_array=inside_array)
        if kinds == {list}:
            return self._array(path, values)
        declared = self.sample.declared.get(path[0]) if len(path) == 1 and not inside_array else None
        guess = scalar(path[-1], values, textual=self.sample.textual, declared=declared)
        self._remember(path, guess.schema, guess.reasons)
        return dict(guess.schema)

    def _inner(self, path: FieldPath, values: Sequence[Record], *, inside_array: bool) -> dict[str, Any]:
        names = {name for value in values for name in value}
        if not names:
            return {"type": "object"}
        share = sum(len(value) for value in values) / (len(values) * len(names))
        values_as_names = (len(names) > _MOST_NAMES and share < _RARE) or any(map(_is_value, names))
        if len(path) > _DEEPEST or values_as_names:
            deep = len(path) > _DEEPEST
            note = "Nested very deeply" if deep else "Its names differ from record to record: they are rather values"
            self._remember(path, {"type": "object"}, (note[0].lower() + note[1:],))
            return {"type": "object", "description": f"{note}; kept whole."}
        self.outer.add(path)
        return self.object(path, values, inside_array=inside_array)

    def _array(self, path: FieldPath, values: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """An array tells what its elements are if all of them are of one kind."""
        elements = [element for value in values for element in value]
        kinds = {type(element) for element in elements}
        if kinds == {dict} and len(path) <= _DEEPEST:
            return {"type": "array", "items": self._inner((*path, "[]"), elements, inside_array=True)}
        return {"type": "array"}

    def _remember(self, path: FieldPath, schema: Mapping[str, Any], reasons: Sequence[str]) -> None:
        said = ", ".join(f"{name}: {schema[name]}" for name in ("type", "format", "multipleOf") if name in schema)
        said += ", enum" if "enum" in schema else ""
        self.guesses.extend(Guess(path, said, why) for why in reasons)


def _is_value(name: str) -> bool:
    """Whether a name is none that somebody gave to a field: a number, an identifier, a person's address."""
    return name.isdecimal() or is_uuid(name) or is_day(name) or holds_person(name)


def _or_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    nullable = {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        nullable["enum"] = [*schema["enum"], None]
    return nullable

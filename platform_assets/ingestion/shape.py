"""What bronze keeps of a record, whatever the format: declared fields, and what arrives beside them. No secrets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from platform_assets.contracts.naming import snake_case
from platform_assets.contracts.rules import literal, quote
from platform_assets.sources.contracts import UNEXPECTED, BronzeField

NUMBER = "_number_of_the_record"


@dataclass(frozen=True)
class Shape:
    """The columns that every reader of a format gives.

    A reader's rows are SQL after FROM with the columns NUMBER (which record of the object, from 1), one VARCHAR for
    each field by its `name`, and UNEXPECTED (VARCHAR, a JSON object or null).

    Attributes:
        fields: what bronze keeps. A field declared as text holds a text as it is; any other its JSON text.
        secrets: paths of what bronze must not keep, as the source names them.
        declared: top-level names in the order of the schema, for rows whose cells have no names.
    """

    fields: tuple[BronzeField, ...]
    secrets: tuple[tuple[str, ...], ...] = ()
    declared: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether the only field is the record as a whole: the source has no schema."""
        return [field.source_name for field in self.fields] == [None]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The fields' names in a record."""
        return tuple(field.source_name for field in self.fields if field.source_name is not None)

    @cached_property
    def dropped(self) -> tuple[str, ...]:
        """Top-level members that are declared and not kept."""
        return tuple(dict.fromkeys(path[0] for path in self.secrets if path[0] not in self.names))

    @cached_property
    def ambiguous(self) -> bool:
        """Whether the names cannot be DuckDB's columns, for which it needs one name at least, and knows no case."""
        known = [name.casefold() for name in (*self.names, *self.dropped)]
        return not self.names or "" in known or len(set(known)) < len(known)

    @property
    def hidden(self) -> set[str]:
        """Top-level members that are not unexpected."""
        return {*self.names, *self.dropped}

    @cached_property
    def secret_names(self) -> frozenset[str]:
        """How secrets are called, in snake_case: by their last name, by their path, by what holds nothing else."""
        names = {snake_case(name) for name in self.dropped}
        for path in self.secrets:
            names |= {snake_case(path[-1]), "_".join(snake_case(part) for part in path)}
        return frozenset(names - {""})

    @property
    def nothing(self) -> str:
        """SQL predicate: a row holds nothing, of an empty record or of what is none."""
        return " AND ".join(f"{quote(name)} IS NULL" for name in (*(field.name for field in self.fields), UNEXPECTED))

    def without_secrets(self, rows: str) -> str:
        """A reader's rows without the secrets that are inside a field."""
        for field in self.fields:
            for secret in field.dropped:
                rows = _without(rows, field.name, secret)
        return rows

    def columns(self, values: Sequence[str], unexpected: str) -> str:
        """The select list of a reader's rows, from one expression for each field."""
        named = [f"{value} AS {quote(field.name)}" for field, value in zip(self.fields, values, strict=True)]
        return ", ".join([NUMBER, *named, f"{unexpected} AS {UNEXPECTED}"])


def _without(rows: str, column: str, secret: tuple[str, ...]) -> str:
    """The rows with a secret inside a column removed; a value that does not hold it stays exactly as it is.

    A list where the path expects an object may hold the secret any number of times: then the whole value goes.
    """
    value = quote(column)
    outer = [literal(pointer(*secret[:depth])) for depth in range(1, len(secret))]
    lists = " OR ".join(
        f"{kind} = 'ARRAY'" for kind in [f"json_type({value})", *(f"json_type({value}, {p})" for p in outer)]
    )
    named = f"contains(CAST({value} AS VARCHAR), {literal(json.dumps(secret[-1], ensure_ascii=False) + ':')})"
    patch: object = None
    for name in reversed(secret):
        patch = {name: patch}
    removal = literal(json.dumps(patch))
    cleaned = (
        f"CASE WHEN json_valid({value}) THEN CASE "
        f"WHEN json_exists({value}, {literal(pointer(*secret))}) THEN json_merge_patch({value}, {removal})::VARCHAR "
        f"WHEN ({lists}) AND {named} THEN NULL ELSE {value} END ELSE {value} END"
    )
    return f"SELECT * REPLACE ({cleaned} AS {value}) FROM ({rows})"


def without_members(record: str, names: Iterable[str]) -> str:
    """SQL: a JSON object without some members, or null if nothing is left."""
    patch = json.dumps(dict.fromkeys(names), ensure_ascii=False)
    return f"nullif(json_merge_patch({record}, {literal(patch)})::VARCHAR, '{{}}')"


def pointer(*names: str) -> str:
    """A JSON pointer: unlike a JSONPath it has no wildcards."""
    return "".join(f"/{name.replace('~', '~0').replace('/', '~1')}" for name in names)

"""Which columns of a record identify it, date it, and tell its later version from an earlier one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from platform_assets.contracts.model import Column
from platform_assets.contracts.naming import snake_case

Chosen = tuple[tuple[str, ...], str]

_ID_WORDS = {"id", "uuid", "guid", "key", "number", "no", "code", "sku", "ref", "reference", "line"}
_DATING = (
    (
        "event_timestamp",
        "event_time",
        "event_at",
        "occurred_at",
        "happened_at",
        "timestamp",
        "event_date",
        "derived_tstamp",
    ),
    ("created_at", "created", "created_time", "creation_date", "created_date", "published_at", "ordered_at", "date"),
    ("start_time", "started_at", "measured_at", "recorded_at", "received_at", "time", "ts", "order_date"),
)
_UPDATING = {
    *("updated_at", "updated", "modified_at", "last_modified", "last_modified_date", "last_updated", "update_time"),
    *("updated_date", "modified", "last_update", "changed_at", "system_modstamp", "source_timestamp", "synced_at"),
}
_DEEPEST = 2
_MOST_CANDIDATES = 6
_MOST_DISTINCT = 0.8


def identifying_fields(
    source: str, columns: Sequence[Column], values: Mapping[tuple[str, ...], Sequence[Any]], dated: Chosen
) -> Chosen:
    """The columns that tell any two records of the sample apart: one, or two if no single one does.

    Args:
        source: name of the source.
        columns: of a record, in its order.
        values: by path, those of every column that is never null.
        dated: what dates a record; it may be the second column of a key.
    """
    candidates = [c for c in columns if c.path in values and c.type in {"string", "integer"} and _is_identifier(c)]
    ranked = sorted(candidates, key=lambda column: _rank(source, column))
    for column in ranked:
        if _unique(values[column.path]):
            others = [other.name for other in ranked if other is not column and _unique(values[other.path])]
            also = f"; so is {', '.join(others)}" if others else ""
            count = len(values[column.path])
            if count == 1 and _rank(source, column) > 1:
                return (), "the sample holds one record only, which says nothing about what is unique"
            return (column.name,), f"never null and different in each of {count} records{also}"
    second = [column for column in columns if column.name in dated[0] and column.path in values]
    repeating = [c for c in (*ranked[:_MOST_CANDIDATES], *second) if _repeats(values[c.path])]
    for one, other in combinations(repeating, 2):
        together = list(zip(values[one.path], values[other.path], strict=True))
        if _unique(together):
            return (one.name, other.name), f"together different in each of {len(together)} records; neither is alone"
    return (), "no column with the name of an identifier is never null and different in every record"


def dating_field(columns: Sequence[Column]) -> Chosen:
    """The column that says when what a record tells has happened."""
    always = [column for column in columns if not column.nullable]
    stamps = [column for column in always if column.type == "timestamp"]
    for names in _DATING:
        for column in (*stamps, *(column for column in always if column.type == "date")):
            if len(column.path) <= _DEEPEST and (_last(column) in names or column.name in names):
                return (column.name,), "a date or timestamp in every record, and named like what dates one"
    others = [column for column in stamps if _last(column) not in _UPDATING]
    if len(others) == 1:
        return (others[0].name,), "the only timestamp that every record has"
    if others:
        names_of = ", ".join(column.name for column in others)
        return (others[0].name,), f"the first of several timestamps that every record has: {names_of}"
    return (), "no timestamp is in every record"


def updating_field(columns: Sequence[Column]) -> Chosen:
    """The column that says when a record was changed last."""
    for column in columns:
        if column.type == "timestamp" and not column.nullable and _last(column) in _UPDATING:
            return (column.name,), "a timestamp in every record, and named like that of the last change"
    return (), "no timestamp is named like that of the last change"


def _last(column: Column) -> str:
    return snake_case(column.path[-1])


def _is_identifier(column: Column) -> bool:
    return bool(set(_last(column).split("_")[-1:]) & _ID_WORDS)


def _rank(source: str, column: Column) -> int:
    """Smaller is likelier: `id`, then the source's own `<thing>_id`, then any other."""
    name, things = column.name, {source, *source.split("_")}
    things |= {thing.removesuffix("s") for thing in things}
    if name in {"id", "uuid", "guid"}:
        return 0
    thing, _, word = name.rpartition("_")
    if word in {"id", "uuid", "guid", "key"} and thing in things:
        return 1
    return 2 if word in {"id", "uuid", "guid"} else 3


def _repeats(values: Sequence[Any]) -> bool:
    """Whether the values are shared by records: what nearly tells them apart alone would do so with anything."""
    return len(set(values)) <= _MOST_DISTINCT * len(values)


def _unique(values: Sequence[Any]) -> bool:
    return len(set(values)) == len(values)

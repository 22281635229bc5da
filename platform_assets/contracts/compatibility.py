"""What the next version of a contract changes, field by field, and which of it a policy refuses (S0-28, S1-46, S1-83).

Three parties rely on a contract, and a change is breaking if it breaks a promise to any of them:

- *Readers* of the published table are promised names, types, that values are there, the key, what a row is dated by and
  foreign keys: what a query, a join or generated code is built on. Taking such a promise back is breaking, also where a
  schema registry that knows only records would let it pass: Confluent's BACKWARD and BigQuery allow REQUIRED to be
  relaxed to NULLABLE, but a null changes what `NOT IN`, `avg`, an inner join and a non-optional field of a client give.
  dbt takes a removed constraint for breaking, too. So does this.
- The *producer* is promised that a record which was accepted stays accepted. Whatever asks for more is breaking: a
  required field, as in Avro (no default), protobuf ("required is forever") and Confluent, and a tighter rule.
- The *people* whom the values are about are promised that they stay tokenised or unpublished.

A rule about values (a bound, a length, a pattern, a list) is a filter and not a shape: letting more values in is
compatible, as in Confluent's check of JSON Schema and in BigQuery. A type is widened only where Iceberg promotes it
without rewriting files, which among our types is a decimal of the same scale and more digits. Integer to double is no
widening, though Avro and BigQuery allow it: integers beyond 2^53 would change. Adding an optional column is compatible
for everybody, because Iceberg, BigQuery, Avro and protobuf all read it as null in what was written before.

Columns without a `path` are computed here and have no producer: in gold and mart only readers and people count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from enum import StrEnum

from platform_assets.contracts.change import Change, Effect, Party, What
from platform_assets.contracts.model import Classification, Column, Contract
from platform_assets.contracts.rule_changes import rule_changes

__all__ = ["Change", "Effect", "Evolution", "Party", "What", "compare", "refused"]

_JSON_TYPES = {"object", "array"}
_LONG_DIGITS = 19  # of the largest 64-bit integer
_SIMILAR_NAMES = 0.6  # as difflib's get_close_matches
_MOST_PAIRS = 2_500  # who renames more than 50 columns at once needs no hint, and names are slow to compare


class Evolution(StrEnum):
    """Which changes a source allows its contract without a new version (S1-83)."""

    BACKWARD_COMPATIBLE = "backward_compatible"  # every compatible one
    ADDITIVE = "additive"  # new optional columns and descriptions
    FROZEN = "frozen"  # descriptions


_ALLOWED = {
    Evolution.BACKWARD_COMPATIBLE: frozenset(What),
    Evolution.ADDITIVE: frozenset({What.OPTIONAL_COLUMN_ADDED, What.DESCRIPTION}),
    Evolution.FROZEN: frozenset({What.DESCRIPTION}),
}


def refused(changes: Sequence[Change], evolution: Evolution | str) -> tuple[Change, ...]:
    """The changes that the policy does not let happen in place; a breaking one never does.

    Raises:
        ValueError: there is no such policy.
    """
    allowed = _ALLOWED[Evolution(evolution)]
    return tuple(change for change in changes if change.breaks or change.what not in allowed)


def compare(old: Contract, new: Contract) -> tuple[Change, ...]:
    """Every difference of two versions of a table's contract, both as they are before tokenisation.

    The tables' names are not compared: a breaking version has a table of its own (ADR 8). A column that is classified
    as secret counts as not published, so that nothing is said of what it holds.
    """
    before, after = _by_name(old), _by_name(new)
    not_in_both = {name for name in before | after if _hidden(before.get(name)) or _hidden(after.get(name))}
    return (
        *_table_changes(old, new),
        *_column_changes(before, after),
        *rule_changes(old, new, without=not_in_both),
    )


def _table_changes(old: Contract, new: Contract) -> Iterator[Change]:
    readers = (Party.READERS,)
    if old.key != new.key:
        same = set(old.key) == set(new.key)
        because = "the same columns in another order" if same else "rows are told apart, joined and deduplicated by it"
        yield Change("key", What.KEY, _listed(old.key), _listed(new.key), () if same else readers, because)
    if old.ordering != new.ordering:
        because = "among the rows of a key another one wins, also when an old partition is rebuilt"
        yield Change("ordering", What.ORDERING, _listed(old.ordering), _listed(new.ordering), readers, because)
    if old.event_time != new.event_time:
        because = "rows belong to other dates" if old.event_time else "rows are dated that were not before"
        breaks = readers if old.event_time else ()
        yield Change("event_time", What.EVENT_TIME, old.event_time or "", new.event_time or "", breaks, because)
    if old.partition_column != new.partition_column:
        because = "the table must be written anew, and filters on the old partitions read all of it"
        before, after = old.partition_column or "", new.partition_column or ""
        yield Change("partition_column", What.PARTITIONING, before, after, readers, because)
    if old.clustering != new.clustering:
        because = "new files are sorted in another way; what queries answer stays the same"
        yield Change("clustering", What.CLUSTERING, _listed(old.clustering), _listed(new.clustering), (), because)
    if old.version != new.version:
        back = new.version < old.version
        because = "versions count upwards; who asks for the later one does not get it" if back else "the next version"
        yield Change("version", What.VERSION, str(old.version), str(new.version), readers if back else (), because)
    if old.description != new.description:
        yield _description("table", old.description, new.description)


def _column_changes(before: Mapping[str, Column], after: Mapping[str, Column]) -> Iterator[Change]:
    renamed = _likely_renamed(before, after)
    for name in dict.fromkeys((*before, *after)):
        was, now = before.get(name), after.get(name)
        if _hidden(was) and _hidden(now):
            continue
        if was is None or _hidden(was):
            yield _appeared(was, after[name], renamed)
        elif now is None or _hidden(now):
            yield _disappeared(was, now, renamed)
        else:
            yield from _altered(was, now)
    kept = [name for name in before if not _hidden(before[name]) and not _hidden(after.get(name))]
    order = [name for name in after if name in kept]
    if kept != order:
        because = "columns are found by name; only `SELECT *` shows them in another order"
        yield Change("columns", What.COLUMNS_REORDERED, _listed(kept), _listed(order), (), because)


def _appeared(was: Column | None, now: Column, renamed: Mapping[str, str]) -> Change:
    shape = _shape(now)
    if was is not None and now.classification is not Classification.SECRET:
        because = "a secret would be published; that needs the word of whoever answers for the data's protection"
        return Change(now.name, What.DECLASSIFIED, "secret", now.classification.value, (Party.PEOPLE,), because)
    hint = f"; `{renamed[now.name]}` is gone: renamed?" if now.name in renamed else ""
    if now.nullable:
        because = f"rows that were written before read null{hint}"
        return Change(now.name, What.OPTIONAL_COLUMN_ADDED, "", shape, (), because)
    if now.path:
        because = f"records without it were accepted and would be quarantined; make it optional{hint}"
        return Change(now.name, What.REQUIRED_COLUMN_ADDED, "", shape, (Party.PRODUCER,), because)
    because = f"partitions that were published before read null until they are rebuilt: rebuild them{hint}"
    return Change(now.name, What.REQUIRED_COLUMN_ADDED, "", shape, (), because)


def _disappeared(was: Column, now: Column | None, renamed: Mapping[str, str]) -> Change:
    if now is not None:
        because = (
            "the column goes, and queries that name it fail; the law may ask for that at once, "
            "then say which in the migration's `legal_basis`"
        )
        return Change(was.name, What.WITHDRAWN, was.classification.value, "secret", (Party.READERS,), because)
    hint = f"; `{renamed[was.name]}` is new: renamed?" if was.name in renamed else ""
    return Change(was.name, What.COLUMN_REMOVED, _shape(was), "", (Party.READERS,), f"queries that name it fail{hint}")


def _altered(was: Column, now: Column) -> Iterator[Change]:
    name, arrives = was.name, bool(now.path)
    if was.classification is not now.classification:
        yield _reclassified(was, now)
    if was.type != now.type:
        yield _retyped(was, now)
    if was.nullable and not now.nullable:
        because = "records without it were accepted and would be quarantined"
        derived = "partitions that were published before may hold nulls until they are rebuilt: rebuild them"
        breaks = (Party.PRODUCER,) if arrives else ()
        yield Change(name, What.REQUIRED, "nullable", "required", breaks, because if arrives else derived)
    if now.nullable and not was.nullable:
        because = "readers meet nulls where they were promised none: joins, NOT IN and averages give something else"
        yield Change(name, What.NULLABLE, "required", "nullable", (Party.READERS,), because)
    if was.path != now.path:
        because = "the value comes from elsewhere, and records that were accepted do not have it there"
        both = (Party.READERS, *((Party.PRODUCER,) if arrives else ()))
        yield Change(name, What.FIELD, _dotted(was), _dotted(now), both, because)
    if was.description != now.description:
        yield _description(name, was.description, now.description)


def _reclassified(was: Column, now: Column) -> Change:
    before, after = was.classification.value, now.classification.value
    if now.classification is Classification.PII:
        because = (
            "readers find tokens where values were, and old partitions must be rebuilt; the law may ask for that at "
            "once, then say which in the migration's `legal_basis`"
        )
        return Change(was.name, What.TOKENISED, before, after, (Party.READERS,), because)
    because = (
        "clear personal data would be published, which needs the word of whoever answers for its protection; "
        "joins on the tokens find nothing"
    )
    return Change(was.name, What.DECLASSIFIED, before, after, (Party.READERS, Party.PEOPLE), because)


def _retyped(was: Column, now: Column) -> Change:
    breaks: list[Party] = []
    reasons: list[str] = []
    tokens = was.classification is now.classification is Classification.PII
    if not tokens and not _promotes(was, now):
        breaks.append(Party.READERS)
        reasons.append("files that were written before cannot be read as the new type, nor can queries written for it")
    if now.path and not _accepts_all(was, now):
        breaks.append(Party.PRODUCER)
        reasons.append("values of the old type were accepted and would be quarantined")
    because = "; ".join(reasons) or "every value of the old type is one of the new, and no file is rewritten"
    return Change(was.name, What.TYPE, was.type, now.type, tuple(breaks), because)


def _promotes(was: Column, now: Column) -> bool:
    """Whether old files read as the new type, and readers keep what they were promised.

    Iceberg's table of promotions; the JSON text of an object or array is text in every file.
    """
    if was.decimal and now.decimal:
        return was.decimal[1] == now.decimal[1] and was.decimal[0] <= now.decimal[0]
    return was.type == "string" and now.type in _JSON_TYPES


def _accepts_all(was: Column, now: Column) -> bool:
    """Whether a record's value that was read as the old type can always be read as the new one."""
    if now.type == "string":
        return True  # what is no text is read as its text (ADR 5)
    if now.type == "double":
        return was.type == "integer" or was.decimal is not None
    if now.decimal is None:
        return False
    precision, scale = now.decimal
    if was.decimal is None:
        return was.type == "integer" and precision - scale >= _LONG_DIGITS
    return was.decimal[1] <= scale and was.decimal[0] - was.decimal[1] <= precision - scale


def _likely_renamed(before: Mapping[str, Column], after: Mapping[str, Column]) -> dict[str, str]:
    """Removed to added columns that are probably the same, and the other way around."""
    gone = [column for name, column in before.items() if name not in after and not _hidden(column)]
    come = [column for name, column in after.items() if name not in before and not _hidden(column)]
    if len(gone) * len(come) > _MOST_PAIRS:
        return {}
    likeness = [(_likeness(was, now), was.name, now.name) for was in gone for now in come if was.type == now.type]
    found: dict[str, str] = {}
    for likely, was, now in sorted(likeness, reverse=True):
        if likely >= _SIMILAR_NAMES and was not in found and now not in found:
            found |= {was: now, now: was}
    return found


def _likeness(was: Column, now: Column) -> float:
    if was.path and was.path == now.path:
        return 1.0
    if was.description and was.description == now.description:
        return 1.0
    return SequenceMatcher(None, was.name, now.name).ratio()


def _description(subject: str, before: str, after: str) -> Change:
    return Change(subject, What.DESCRIPTION, before, after, (), "words only")


def _by_name(contract: Contract) -> dict[str, Column]:
    return {column.name: column for column in contract.columns}


def _hidden(column: Column | None) -> bool:
    return column is None or column.classification is Classification.SECRET


def _shape(column: Column) -> str:
    words = column.type if column.nullable else f"{column.type}, required"
    return words if column.classification is Classification.PUBLIC else f"{words}, {column.classification}"


def _dotted(column: Column) -> str:
    return ".".join(column.path) or "computed"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)

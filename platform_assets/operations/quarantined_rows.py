"""Rows of the quarantine tables as a person deals with them: found, shown, named by an identity that can be pasted.

Values are those of the quarantine table, personal data as tokens (I7).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from platform_assets.contracts.rules import literal, quote
from platform_assets.contracts.words import nearest
from platform_assets.lakehouse.decisions import (
    DECIDED_AT,
    DECIDED_BY,
    OUTCOME,
    ROW_ID,
    WHY,
    Outcome,
    decided,
    has_lines,
    partition_column,
)
from platform_assets.sources.contracts import BROKEN_RULES, LINE_NUMBER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from platform_assets.lakehouse.catalog import Lakehouse

LAYER = "quarantine."
_ORIGIN = ("_landing_uri", "_landing_generation", "_landed_at", "_row_number")


class QuarantineError(RuntimeError):
    """What was asked of the quarantine cannot be done; the message says why and what to do instead."""


@dataclass(frozen=True)
class QuarantinedRow:
    """A row that broke its contract, and what was decided about it, if anything was.

    Attributes:
        row_id: what a person pastes; the same after every rebuild.
        table: name of the silver table, without its layer.
        line_number: which element of the record's array it is, in a table with one row per element.
        values: every column as the quarantine table has it: text, personal data as tokens.
    """

    row_id: str
    table: str
    partition: date | None
    landing_uri: str
    landing_generation: int
    landed_at: datetime
    row_number: int
    line_number: int | None
    broken_rules: tuple[str, ...]
    values: Mapping[str, str | None]
    outcome: Outcome | None = None
    decided_by: str | None = None
    why: str | None = None
    decided_at: datetime | None = None

    @property
    def record(self) -> tuple[str, int, int]:
        """Which record it was made of: object, generation, row number."""
        return self.landing_uri, self.landing_generation, self.row_number

    def __str__(self) -> str:
        """The row as messages call it."""
        return f"row {self.row_id} of {LAYER}{self.table}"

    @property
    def history(self) -> str:
        """What was decided about it, by whom, when and why, in words."""
        when = f" on {self.decided_at:%Y-%m-%d %H:%M} UTC" if self.decided_at else ""
        return f"{self.outcome} by {self.decided_by}{when} ({self.why})" if self.outcome else "not decided about"

    def as_json(self) -> dict[str, object]:
        """One object; values in an object of their own."""
        return {
            "row_id": self.row_id,
            "table": self.table,
            "partition": self.partition.isoformat() if self.partition else None,
            "broken_rules": list(self.broken_rules),
            "landing_uri": self.landing_uri,
            "landing_generation": self.landing_generation,
            "landed_at": self.landed_at.isoformat(),
            "row_number": self.row_number,
            "line_number": self.line_number,
            "values": dict(self.values),
        }


@dataclass(frozen=True)
class OpenRows:
    """Open rows of a table, the longest waiting first: how many there are, and the first of them."""

    table: str
    total: int
    rows: tuple[QuarantinedRow, ...]

    def as_json(self) -> dict[str, object]:
        """One object."""
        return {"table": self.table, "total": self.total, "rows": [row.as_json() for row in self.rows]}


def open_rows(
    lakehouse: Lakehouse, table: str, *, partition: date | None = None, rule: str | None = None, limit: int | None = 20
) -> OpenRows:
    """Rows of a quarantine table about which nothing was decided yet.

    Args:
        lakehouse: where the tables live.
        table: the table's name, with or without its layer.
        partition: only of this date.
        rule: only those that break this rule, such as `quantity.exclusive_minimum`.
        limit: how many at most; None for all.

    Raises:
        QuarantineError: there is no such table, or no open row breaks such a rule.
    """
    name = table_name(lakehouse, table)
    if partition and partition_column(lakehouse.catalog.load_table(LAYER + name)) is None:
        raise QuarantineError(f"{LAYER}{name} is one whole table, without partitions; leave --partition out")
    condition = f"{OUTCOME} IS NULL"
    if rule is not None:
        condition += f" AND list_contains(string_split({BROKEN_RULES}, ', '), {literal(rule)})"
    total = _count(lakehouse, name, condition, partition)
    if rule is not None and not total:
        rules = _open_rules(lakehouse, name, partition)
        known = f"; they break {', '.join(rules)}" if rules else ""
        raise QuarantineError(f"No open row of {LAYER}{name} breaks {rule!r}{nearest(rule, rules) or known}")
    return OpenRows(name, total, tuple(_rows(lakehouse, name, condition, partition=partition, limit=limit)))


def rows_by_id(lakehouse: Lakehouse, table: str, row_ids: Sequence[str]) -> list[QuarantinedRow]:
    """The rows of these identities, decided or not, in the order asked for.

    Raises:
        QuarantineError: one of them does not exist, or none was asked for.
    """
    name = table_name(lakehouse, table)
    wanted = list(dict.fromkeys(row_id.strip().lower() for row_id in row_ids))
    if not wanted:
        raise QuarantineError(f"Which rows? `platform-assets quarantine show {name}` lists them")
    rows = _rows(lakehouse, name, f"{ROW_ID} IN ({', '.join(map(literal, wanted))})")
    found = {row.row_id: row for row in rows}
    for row_id in wanted:
        if row_id not in found:
            raise QuarantineError(
                f"{LAYER}{name} has no row {row_id!r}; `platform-assets quarantine show {name}` lists the open ones"
            )
    return [found[row_id] for row_id in wanted]


def rows_of_record(lakehouse: Lakehouse, table: str, origin: tuple[str, int, int]) -> list[QuarantinedRow]:
    """All quarantined rows of a table that were made of one record."""
    uri, generation, row_number = origin
    return _rows(
        lakehouse,
        table,
        f"_landing_uri = {literal(uri)} AND _landing_generation = {generation} AND _row_number = {row_number}",
    )


def quarantine_tables(lakehouse: Lakehouse) -> list[str]:
    """Names of the quarantine tables that were published, without their layer."""
    return [name.removeprefix(LAYER) for name in lakehouse.tables() if name.startswith(LAYER)]


def table_name(lakehouse: Lakehouse, given: str) -> str:
    """The table's name without its layer.

    Raises:
        QuarantineError: no such table was published; with the nearest name.
    """
    name = given.rpartition(".")[2]
    known = quarantine_tables(lakehouse)
    if name not in known:
        listed = f"; there are {', '.join(known)}" if known else ": nothing was published yet"
        raise QuarantineError(f"There is no quarantine table {given!r}{nearest(name, known) or listed}")
    return name


def _count(lakehouse: Lakehouse, table: str, condition: str, partition: date | None) -> int:
    rows = decided(lakehouse, table, partition=partition)
    ((counted,),) = lakehouse.ask(f"SELECT count(*) FROM {rows} WHERE {condition}")
    return int(counted)


def _open_rules(lakehouse: Lakehouse, table: str, partition: date | None) -> list[str]:
    rows = decided(lakehouse, table, partition=partition)
    found = lakehouse.ask(
        f"SELECT DISTINCT unnest(string_split({BROKEN_RULES}, ', ')) FROM {rows} WHERE {OUTCOME} IS NULL ORDER BY 1"
    )
    return [str(rule) for (rule,) in found]


def _rows(
    lakehouse: Lakehouse, table: str, condition: str, *, partition: date | None = None, limit: int | None = None
) -> list[QuarantinedRow]:
    rows, found = decided(lakehouse, table, partition=partition), lakehouse.find(LAYER + table)
    if rows is None or found is None:
        return []
    column = partition_column(found)
    lines = [LINE_NUMBER] if has_lines(found) else []
    facts = [ROW_ID, *_ORIGIN, BROKEN_RULES, OUTCOME, DECIDED_BY, WHY, DECIDED_AT]
    facts += [*(lines or ["NULL"]), quote(column) if column else "NULL"]
    order = ", ".join(["_landed_at", "_landing_uri", "_row_number", *lines, ROW_ID])
    apart = {*_ORIGIN, BROKEN_RULES, LINE_NUMBER, column}
    names = [field.name for field in found.schema().fields if field.name not in apart]
    selected = lakehouse.ask(
        f"SELECT {', '.join([*facts, *map(quote, names)])} FROM {rows} WHERE {condition} "
        f"ORDER BY {order}" + (f" LIMIT {limit}" if limit else "")
    )
    return [_row(table, row[: len(facts)], dict(zip(names, row[len(facts) :], strict=True))) for row in selected]


def _row(table: str, facts: Sequence[Any], values: dict[str, str | None]) -> QuarantinedRow:
    row_id, uri, generation, landed_at, number, rules, outcome, by, why, at, line, partition = facts
    return QuarantinedRow(
        row_id=row_id,
        table=table,
        partition=partition,
        landing_uri=uri,
        landing_generation=generation,
        landed_at=landed_at,
        row_number=number,
        line_number=line,
        broken_rules=tuple(rules.split(", ")),
        values=values,
        outcome=None if outcome is None else Outcome(outcome),
        decided_by=by,
        why=why,
        decided_at=at,
    )

"""What people decided about quarantined rows: an append-only table beside those that the graph makes (S0-55).

Silver and quarantine stay pure functions of bronze, so that a decision changes no rebuild (I3). A quarantined row is
open as long as no decision names it, which is found out when it is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from platform_assets.contracts.model import Column, Contract, Rule
from platform_assets.contracts.rules import literal, quote
from platform_assets.lakehouse.append_only import Row, append_news
from platform_assets.lakehouse.reader import relation, table_relation
from platform_assets.sources.contracts import LINE_NUMBER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from pyiceberg.table import Table

    from platform_assets.lakehouse.catalog import Lakehouse

DECISIONS = "ops.quarantine_decisions"
# Names with a space, so that no column of a source can have them.
ROW_ID, OUTCOME, DECIDED_BY, WHY, DECIDED_AT = (
    quote(name) for name in ("row id", "decided as", "decided by", "decided why", "decided at")
)


class Outcome(StrEnum):
    """What became of a quarantined row."""

    RELEASED = "released"  # its record was mended and landed again
    DISCARDED = "discarded"  # it is as bad as it looks, and nobody waits for it


@dataclass(frozen=True)
class Decision:
    """What somebody decided about one quarantined row. It holds no value of the row (I7).

    Attributes:
        row_id: identity of the quarantined row, as `decided` makes it.
        table: name of the silver table, without its layer.
        line_number: which element of the record's array the row is, in a table with one row per element.
        decided_at: UTC.
        changed: paths of the fields that were changed before the record was released.
        released_uri: landing object that holds the mended record.
    """

    row_id: str
    table: str
    landing_uri: str
    landing_generation: int
    row_number: int
    line_number: int | None
    outcome: Outcome
    decided_by: str
    why: str
    decided_at: datetime
    changed: tuple[str, ...] = ()
    released_uri: str | None = None
    released_generation: int | None = None

    def as_json(self) -> dict[str, object]:
        """One flat object."""
        return {
            "row_id": self.row_id,
            "table": self.table,
            "decision": self.outcome.value,
            "decided_by": self.decided_by,
            "why": self.why,
            "decided_at": self.decided_at.isoformat(),
            "landing_uri": self.landing_uri,
            "landing_generation": self.landing_generation,
            "row_number": self.row_number,
            "line_number": self.line_number,
            "changed": list(self.changed),
            "released_uri": self.released_uri,
            "released_generation": self.released_generation,
        }


def decisions_contract() -> Contract:
    """The contract of the table."""
    return Contract(
        table=DECISIONS,
        description="What was decided about quarantined rows, by whom and why; append-only.",
        columns=(
            Column("row_id", "string", nullable=False, description="Identity of the quarantined row."),
            Column("silver_table", "string", nullable=False, description="Silver table that the row was meant for."),
            Column("landing_uri", "string", nullable=False, description="Object that the row came in."),
            Column("landing_generation", "integer", nullable=False, description="Generation of that object."),
            Column("row_number", "integer", nullable=False, description="Which record of the object, from 1."),
            Column(LINE_NUMBER, "integer", description="Which element of the record's array, from 1."),
            Column("decision", "string", nullable=False, description="`released` or `discarded`."),
            Column("decided_by", "string", nullable=False, description="Who decided."),
            Column("why", "string", nullable=False, description="The reason given."),
            Column("decided_at", "timestamp", nullable=False, description="When (UTC)."),
            Column("changed", "string", description="Fields that were changed before the release, never their values."),
            Column("released_uri", "string", description="Landing object that holds the mended record."),
            Column("released_generation", "integer", description="Generation of that object."),
            Column("decided_on", "date", nullable=False, description="Date (UTC) of the decision."),
        ),
        key=("row_id", "decision"),
        event_time="decided_at",
        partition_column="decided_on",
        rules=(
            Rule("one_of", "decision", tuple(outcome.value for outcome in Outcome)),
            Rule("min_length", "decided_by", 1),
            Rule("min_length", "why", 1),
        ),
    )


def record(lakehouse: Lakehouse, decisions: Sequence[Decision]) -> list[Decision]:
    """Adds decisions of one moment to the table, in one commit; those that were new.

    What has been decided in the same way before is left as it was: the first who decided stays on record.

    Raises:
        ConcurrentPublish: others kept deciding at the same time.
        ContractBroken: a decision lacks its author or reason.
    """
    if not decisions:
        return []

    def new(base: Table) -> list[Decision]:
        known = _recorded(lakehouse, base)
        return [decision for decision in decisions if (decision.row_id, decision.outcome.value) not in known]

    return append_news(lakehouse, decisions_contract(), new, _row, decisions[0].decided_at)


def decided(lakehouse: Lakehouse, table: str, *, partition: date | None = None) -> str | None:
    """SQL after FROM over all rows of `quarantine.<table>`, each with its identity and what was decided about it.

    Args:
        lakehouse: where the tables live.
        table: name of the silver table, without its layer.
        partition: only this partition.

    Returns:
        The quarantine columns and ROW_ID, OUTCOME, DECIDED_BY, WHY, DECIDED_AT (null where nothing was decided);
        None if the quarantine table was never published.
    """
    quarantine = lakehouse.find(f"quarantine.{table}")
    if quarantine is None:
        return None
    column = partition_column(quarantine)
    rows = table_relation(quarantine, where={column: partition} if column and partition else None)
    decisions = relation(lakehouse, DECISIONS)
    identified = f"SELECT *, {_row_id(table, quarantine)} AS {ROW_ID} FROM {rows}"
    if decisions is None:
        nothing = ", ".join(
            f"NULL::{kind} AS {name}"
            for name, kind in ((OUTCOME, "VARCHAR"), (DECIDED_BY, "VARCHAR"), (WHY, "VARCHAR"))
        )
        return f"(SELECT *, {nothing}, NULL::TIMESTAMPTZ AS {DECIDED_AT} FROM ({identified}))"
    # A row may be released after it was discarded; never the other way around.
    latest = (
        f"SELECT row_id AS {ROW_ID}, decision AS {OUTCOME}, decided_by AS {DECIDED_BY}, why AS {WHY}, "
        f"decided_at AS {DECIDED_AT} FROM {decisions} WHERE silver_table = {literal(table)} "
        f"QUALIFY row_number() OVER (PARTITION BY row_id ORDER BY decision = '{Outcome.RELEASED}' DESC) = 1"
    )
    return f"(SELECT * FROM ({identified}) LEFT JOIN ({latest}) USING ({ROW_ID}))"


def decided_rows(lakehouse: Lakehouse, table: str, *, partition: date | None = None) -> int:
    """How many rows of `quarantine.<table>`, or of one partition of it, are not open any more."""
    rows = decided(lakehouse, table, partition=partition)
    if rows is None:
        return 0
    ((counted,),) = lakehouse.ask(f"SELECT count({OUTCOME}) FROM {rows}")
    return int(counted)


def partition_column(quarantine: Table) -> str | None:
    """The date column by which the table is partitioned, if any."""
    fields = quarantine.spec().fields
    return quarantine.schema().find_field(fields[0].source_id).name if fields else None


def has_lines(quarantine: Table) -> bool:
    """Whether the table has one row per element of the record's array."""
    return LINE_NUMBER in {field.name for field in quarantine.schema().fields}


def _row_id(table: str, quarantine: Table) -> str:
    """The identity of a row: where it came from, which a rebuild does not change. 64 bits, short enough to paste."""
    line = LINE_NUMBER if has_lines(quarantine) else "0"
    origin = f"{literal(table)}, _landing_uri, _landing_generation, _row_number, coalesce({line}, 0)"
    return f"left(sha256(concat_ws(chr(31), {origin})), 16)"


def _recorded(lakehouse: Lakehouse, table: Table) -> set[tuple[str, str]]:
    found = lakehouse.ask(f"SELECT row_id, decision FROM {table_relation(table)}")
    return {(str(row_id), str(decision)) for row_id, decision in found}


def _row(decision: Decision) -> Row:
    return (
        *(decision.row_id, decision.table, decision.landing_uri, decision.landing_generation),
        *(decision.row_number, decision.line_number, decision.outcome.value, decision.decided_by, decision.why),
        *(decision.decided_at, ", ".join(decision.changed) or None),
        *(decision.released_uri, decision.released_generation, decision.decided_at.date()),
    )

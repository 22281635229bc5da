"""What did not get through, and what is decided about it (S0-55, S1-112). Mending a record is in `release`."""

from __future__ import annotations

import getpass
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from platform_assets.contracts.rules import quote
from platform_assets.contracts.words import nearest
from platform_assets.lakehouse.decisions import OUTCOME, Decision, Outcome, decided, partition_column, record
from platform_assets.operations.quarantined_rows import (
    LAYER,
    QuarantinedRow,
    QuarantineError,
    open_rows,
    quarantine_tables,
    rows_by_id,
)
from platform_assets.sources.contracts import BROKEN_RULES
from platform_assets.sources.registry import load_sources

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import duckdb

    from platform_assets.ingestion.dead_letters import KeptLetter
    from platform_assets.ingestion.landing import Landing
    from platform_assets.lakehouse.catalog import Lakehouse


@dataclass(frozen=True)
class QuarantinedPartition:
    """One partition of one quarantine table (None: of a table without partitions).

    Attributes:
        broken_rules: for every rule, how many open rows break it, most broken first; a row may break several.
        oldest_arrival: when the first of the open rows landed (UTC).
    """

    table: str
    partition: date | None
    open_rows: int
    released: int
    discarded: int
    broken_rules: Mapping[str, int]
    oldest_arrival: datetime | None

    def as_json(self) -> dict[str, object]:
        """One object."""
        return {
            "table": self.table,
            "partition": self.partition.isoformat() if self.partition else None,
            "open_rows": self.open_rows,
            "released": self.released,
            "discarded": self.discarded,
            "broken_rules": dict(self.broken_rules),
            "oldest_arrival": self.oldest_arrival.isoformat() if self.oldest_arrival else None,
        }


@dataclass(frozen=True)
class UnreadRecords:
    """Dead letters of one source and arrival date: how many of its landing objects have some, and how many in all."""

    source: str
    arrival_date: date
    objects: int
    letters: int

    def as_json(self) -> dict[str, object]:
        """One flat object."""
        return {
            "source": self.source,
            "arrival_date": self.arrival_date.isoformat(),
            "objects": self.objects,
            "letters": self.letters,
        }


@dataclass(frozen=True)
class NotThrough:
    """Everything that did not get through."""

    quarantined: tuple[QuarantinedPartition, ...]
    dead_letters: tuple[UnreadRecords, ...]

    def as_json(self) -> dict[str, object]:
        """One object with two lists."""
        return {
            "quarantined": [partition.as_json() for partition in self.quarantined],
            "dead_letters": [letters.as_json() for letters in self.dead_letters],
        }


def not_through(lakehouse: Lakehouse, landing: Landing) -> NotThrough:
    """Every quarantine table's partitions that hold rows, and every date with dead letters, oldest dates first."""
    letters = landing.dead_letter_counts()
    return NotThrough(
        tuple(found for table in quarantine_tables(lakehouse) for found in _partitions(lakehouse, table)),
        tuple(UnreadRecords(*place, *counts) for place, counts in sorted(letters.items())),
    )


def unread_records(landing: Landing, source: str, arrival_date: date) -> list[KeptLetter]:
    """The dead letters of a source and date, by object and record: what to mend, and why.

    Raises:
        QuarantineError: there is no such source.
    """
    known = sorted(one.name for one in load_sources())
    if source not in known:
        raise QuarantineError(f"{source} is no source{nearest(source, known)}")
    return list(landing.dead_letters(source, arrival_date))


def discard(lakehouse: Lakehouse, table: str, row_ids: Sequence[str], *, by: str, why: str) -> list[Decision]:
    """Records that rows need no mending; the decisions that are new.

    Raises:
        QuarantineError: there is no such table or row, a row was released already, or author or reason is empty.
    """
    refuse_anonymous(by, why)
    rows = rows_by_id(lakehouse, table, row_ids)
    for row in rows:
        if row.outcome is Outcome.RELEASED:
            raise QuarantineError(f"The {row} was {row.history}: it cannot be discarded any more")
    return record(lakehouse, [decision_on(row, Outcome.DISCARDED, by, why) for row in rows])


def discard_open(
    lakehouse: Lakehouse, table: str, *, partition: date | None = None, rule: str | None = None, by: str, why: str
) -> list[Decision]:
    """As `discard`, for all open rows of a partition, or that break a rule, or both: what one mistake has made of many.

    Raises:
        QuarantineError: neither is given, there is no such table or rule, or author or reason is empty.
    """
    refuse_anonymous(by, why)
    if partition is None and rule is None:
        raise QuarantineError("Which rows? Name them, or say --partition or --rule")
    rows = open_rows(lakehouse, table, partition=partition, rule=rule, limit=None).rows
    return record(lakehouse, [decision_on(row, Outcome.DISCARDED, by, why) for row in rows])


def decision_on(row: QuarantinedRow, outcome: Outcome, by: str, why: str) -> Decision:
    """A decision of this moment."""
    return Decision(
        row_id=row.row_id,
        table=row.table,
        landing_uri=row.landing_uri,
        landing_generation=row.landing_generation,
        row_number=row.row_number,
        line_number=row.line_number,
        outcome=outcome,
        decided_by=by.strip(),
        why=why.strip(),
        decided_at=datetime.now(UTC),
    )


def refuse_anonymous(by: str, why: str) -> None:
    """Every decision says who and why.

    Raises:
        QuarantineError: one of them is empty.
    """
    for option, text in (("--by", by), ("--why", why)):
        if not text.strip():
            raise QuarantineError(f"{option} is empty: a decision says who took it and why")


def current_user() -> str:
    """Who runs this, as the operating system has it.

    Raises:
        QuarantineError: it has no name for that user, as in some containers.
    """
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise QuarantineError("The operating system does not say who you are; give --by") from None


def _partitions(lakehouse: Lakehouse, table: str) -> list[QuarantinedPartition]:
    rows = decided(lakehouse, table)
    if rows is None:
        return []
    column = partition_column(lakehouse.catalog.load_table(LAYER + table))
    day = quote(column) if column else "NULL::DATE"
    with lakehouse.connect() as connection:
        counted = connection.execute(
            f"SELECT {day}, count(*) FILTER ({OUTCOME} IS NULL), count(*) FILTER ({OUTCOME} = '{Outcome.RELEASED}'), "
            f"count(*) FILTER ({OUTCOME} = '{Outcome.DISCARDED}'), min(_landed_at) FILTER ({OUTCOME} IS NULL) "
            f"FROM {rows} GROUP BY 1 ORDER BY 1"
        ).fetchall()
        broken = _broken_rules(connection, rows, day)
    return [
        QuarantinedPartition(f"{LAYER}{table}", partition, waiting, released, discarded, broken[partition], oldest)
        for partition, waiting, released, discarded, oldest in counted
    ]


def _broken_rules(connection: duckdb.DuckDBPyConnection, rows: str, day: str) -> dict[date | None, dict[str, int]]:
    found = connection.execute(
        f"SELECT {day}, unnest(string_split({BROKEN_RULES}, ', ')), count(*) FROM {rows} WHERE {OUTCOME} IS NULL "
        "GROUP BY 1, 2 ORDER BY 3 DESC, 2"
    ).fetchall()
    counts: dict[date | None, Counter[str]] = defaultdict(Counter)
    for partition, rule, times in found:
        counts[partition][rule] += times
    return defaultdict(dict, {partition: dict(rules) for partition, rules in counts.items()})

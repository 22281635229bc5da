"""How far a table can be trusted, 0 to 100, from what was measured in the last 30 days (S1-37).

| part | points | how |
|---|---|---|
| contract | 30 | each percent of rows in quarantine costs 3; of gold and mart, in that of the silver tables below |
| freshness | 30 | times the share of the time in which the table was fresh, which is: did not fail |
| completeness | 20 | times the mean completeness of its partitions, of which none counts for more than all |
| content | 20 | each day with an unusual finding costs 2 |

What was not measured has no points to win or lose: the score is the share of the points that could be had, in percent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from platform_assets.contracts.model import Column, Contract
from platform_assets.contracts.rules import literal
from platform_assets.lakehouse.append_only import Row, append_news
from platform_assets.lakehouse.declared import DeclaredTable, declared_tables
from platform_assets.lakehouse.freshness_history import FRESHNESS_HISTORY, FreshShare, fresh_shares
from platform_assets.lakehouse.reader import table_relation
from platform_assets.lakehouse.statistics import statistics
from platform_assets.quality.store import Judgement, latest

if TYPE_CHECKING:
    from pyiceberg.table import Table

    from platform_assets.lakehouse.catalog import Lakehouse

SCORED_LAYERS = ("silver", "gold", "mart")
_DAYS = 30
_CONTRACT, _FRESHNESS, _COMPLETENESS, _CONTENT = 30, 30, 20, 20
_PER_PERCENT_QUARANTINED = 3
_PER_UNUSUAL_DAY = 2

SCORES = Contract(
    table="ops.quality_scores",
    description="The quality score of every table, once a day, with the points of each part.",
    columns=(
        Column("scored_at", "timestamp", nullable=False, description="When."),
        Column("scored_on", "date", nullable=False, description="The date (UTC) of that."),
        Column("table_name", "string", nullable=False, description="`layer.table`."),
        Column("score", "double", description="0 to 100; none as long as nothing was measured."),
        Column("contract", "double", description=f"Points of {_CONTRACT} for rows that kept the contract."),
        Column("freshness", "double", description=f"Points of {_FRESHNESS} for being fresh."),
        Column("completeness", "double", description=f"Points of {_COMPLETENESS} for being complete."),
        Column("content", "double", description=f"Points of {_CONTENT} for looking as usual."),
    ),
    key=("scored_on", "table_name"),
    event_time="scored_at",
    partition_column="scored_on",
)


@dataclass(frozen=True)
class Part:
    """One part of a score.

    Attributes:
        points: None if it was not measured.
        reason: in words.
    """

    name: str
    points: float | None
    out_of: int
    reason: str


@dataclass(frozen=True)
class Scorecard:
    """The score of one table, with all that it is made of."""

    table: str
    domain: str
    owner: str
    at: datetime
    parts: tuple[Part, ...]

    @property
    def score(self) -> float | None:
        """0 to 100; None as long as nothing was measured."""
        measured = [(part.points, part.out_of) for part in self.parts if part.points is not None]
        if not measured:
            return None
        return round(100 * sum(points for points, _ in measured) / sum(out_of for _, out_of in measured), 1)

    def as_json(self) -> dict[str, Any]:
        """One object, `parts` a list of such."""
        return {
            "table": self.table,
            "domain": self.domain,
            "owner": self.owner,
            "at": self.at.isoformat(),
            "score": self.score,
            "parts": [
                {
                    "name": part.name,
                    "points": None if part.points is None else round(part.points, 1),
                    "out_of": part.out_of,
                    "reason": part.reason,
                }
                for part in self.parts
            ],
        }


def scorecards(lakehouse: Lakehouse, now: datetime) -> list[Scorecard]:
    """The scorecard of every declared table of silver, gold and mart, in the way of a row."""
    tables = {table.name: table for table in declared_tables(lakehouse.settings.dbt_project)}
    quarantined = _quarantined(lakehouse, tables)
    complete = _completeness(lakehouse, now)
    fresh = fresh_shares(lakehouse, now, _DAYS)
    judged: dict[str, list[Judgement]] = defaultdict(list)
    for judgement in latest(lakehouse, now):
        if judgement.at >= now - timedelta(days=_DAYS):
            judged[judgement.finding.table].append(judgement)
    return [
        Scorecard(
            table.name,
            table.domain,
            table.owner,
            now,
            (
                _contract_part(_silver_of(table, tables), quarantined),
                _freshness_part(fresh.get(table.name, FreshShare())),
                _completeness_part(complete.get(table.name, ())),
                _content_part(judged[table.name]),
            ),
        )
        for table in tables.values()
        if table.contract.layer in SCORED_LAYERS
    ]


def record_scores(lakehouse: Lakehouse, now: datetime) -> int:
    """Keeps the scores of the day, unless that was done; returns how many were added."""
    known = lakehouse.find(SCORES.table)
    if known is not None and _scored(lakehouse, known, now.date()):
        return 0
    cards = scorecards(lakehouse, now)

    def new(base: Table) -> list[Scorecard]:
        done = _scored(lakehouse, base, now.date())
        return [card for card in cards if card.table not in done]

    def row(card: Scorecard) -> Row:
        return (now, now.date(), card.table, card.score, *(part.points for part in card.parts))

    return len(append_news(lakehouse, SCORES, new, row, now))


def score_history(
    lakehouse: Lakehouse, now: datetime, days: int = 90, *, of: str | None = None
) -> dict[str, list[tuple[date, float | None]]]:
    """By table, of all or of one, the score of each day on which it was kept, oldest first."""
    table = lakehouse.find(SCORES.table)
    found: dict[str, list[tuple[date, float | None]]] = {}
    if table is None:
        return found
    source = table_relation(table, since={"scored_on": now.date() - timedelta(days=days)})
    which = "TRUE" if of is None else f"table_name = {literal(of)}"
    rows = lakehouse.ask(f"SELECT table_name, scored_on, score FROM {source} WHERE {which} ORDER BY ALL")
    for name, day, score in rows:
        found.setdefault(name, []).append((day, score))
    return found


def _scored(lakehouse: Lakehouse, table: Table, day: date) -> set[str]:
    scored = lakehouse.ask(f"SELECT table_name FROM {table_relation(table, where={'scored_on': day})}")
    return {name for (name,) in scored}


def _silver_of(table: DeclaredTable, tables: Mapping[str, DeclaredTable]) -> set[str]:
    """Names of the silver tables that a table is made of, without their layer; the table itself if it is one."""
    layer, _, name = table.name.partition(".")
    if layer == "silver":
        return {name}
    return set().union(*(_silver_of(tables[above], tables) for above in table.inputs if above in tables))


def _quarantined(lakehouse: Lakehouse, tables: Mapping[str, DeclaredTable]) -> dict[str, tuple[int, int]]:
    """By silver table without its layer: rows in it and in its quarantine, of the newest 30 dates that it has."""
    found = {}
    for name in (name.partition(".")[2] for name in tables if name.startswith("silver.")):
        good, bad = (_rows(lakehouse, f"{layer}.{name}") for layer in ("silver", "quarantine"))
        days = sorted(good.keys() | bad.keys(), key=lambda day: day or date.min)[-_DAYS:]
        found[name] = (sum(good.get(day, 0) for day in days), sum(bad.get(day, 0) for day in days))
    return found


def _rows(lakehouse: Lakehouse, name: str) -> Mapping[date | None, int]:
    """Rows by date; by None, those of a table without dates."""
    table = lakehouse.find(name)
    if table is None or table.current_snapshot() is None:
        return {}
    known = statistics(table, None)
    return dict(known.rows_by_partition.items()) if table.spec().fields else {None: known.rows}


def _completeness(lakehouse: Lakehouse, now: datetime) -> dict[str, list[float]]:
    """By table, the completeness of each of its partitions as it was last seen."""
    table = lakehouse.find(FRESHNESS_HISTORY.table)
    found: dict[str, list[float]] = {}
    if table is None:
        return found
    first = now - timedelta(days=_DAYS)
    history = table_relation(table, since={"evaluated_on": first.date()})
    rows = lakehouse.ask(
        f"SELECT table_name, arg_max(completeness, evaluated_at) FROM {history} "
        f"WHERE completeness IS NOT NULL AND evaluated_at >= {literal(first.isoformat())}::TIMESTAMPTZ "
        "GROUP BY table_name, coalesce(expected_partition, newest_partition)"
    )
    for name, share in rows:
        found.setdefault(name, []).append(min(share, 1.0))
    return found


def _contract_part(silver: set[str], quarantined: Mapping[str, tuple[int, int]]) -> Part:
    counted = [quarantined[name] for name in sorted(silver) if name in quarantined]
    good, bad = sum(rows for rows, _ in counted), sum(rows for _, rows in counted)
    if not good + bad:
        return Part("contract", None, _CONTRACT, "no row was judged by a contract yet")
    share = bad / (good + bad)
    points = max(_CONTRACT - _PER_PERCENT_QUARANTINED * 100 * share, 0.0)
    return Part("contract", points, _CONTRACT, f"{bad:,} of {good + bad:,} rows are in quarantine ({share:.2%})")


def _freshness_part(fresh: FreshShare) -> Part:
    if fresh.share is None:
        return Part("freshness", None, _FRESHNESS, "nobody has looked yet how fresh it is")
    return Part("freshness", _FRESHNESS * fresh.share, _FRESHNESS, f"fresh in {fresh.share:.1%} of the time")


def _completeness_part(shares: Sequence[float]) -> Part:
    if not shares:
        return Part("completeness", None, _COMPLETENESS, "there is nothing yet to compare its rows with")
    mean = sum(shares) / len(shares)
    return Part("completeness", _COMPLETENESS * mean, _COMPLETENESS, f"{len(shares)} partitions hold {mean:.1%} of all")


def _content_part(judged: Sequence[Judgement]) -> Part:
    if not judged:
        return Part("content", None, _CONTENT, "too little is known of it to say what is usual")
    unusual = [found for found in judged if found.finding.unusual]
    days = {found.finding.partition or found.at.astimezone(UTC).date() for found in unusual}
    points = float(max(_CONTENT - _PER_UNUSUAL_DAY * len(days), 0))
    return Part("content", points, _CONTENT, f"{len(unusual)} of {len(judged)} findings unusual, on {len(days)} days")

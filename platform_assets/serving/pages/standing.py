"""How every table stands over the last 30 days: what it promised and kept (SLA), and how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from platform_assets.lakehouse.attainment import attainments
from platform_assets.quality.score import scorecards

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from platform_assets.lakehouse.attainment import Attainment
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.quality.score import Scorecard

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Standing:
    """The answers of `platform-assets sla` and `platform-assets quality score` at one moment.

    Attributes:
        at: the moment that was asked about (UTC).
        attainments: every promise of every table, in the way of a row.
        scorecards: those of the tables that are scored, in the way of a row.
    """

    at: datetime = _NEVER
    attainments: Sequence[Attainment] = ()
    scorecards: Sequence[Scorecard] = ()

    def promises(self, table: str) -> Sequence[Attainment]:
        """Those of one table; none if it promises nothing."""
        return self._promises.get(table, ())

    def card(self, table: str) -> Scorecard | None:
        """The scorecard of one table; None if it is not scored."""
        return self._cards.get(table)

    def score(self, table: str) -> float | None:
        """0 to 100; None if it is not scored, or nothing of it was measured."""
        card = self.card(table)
        return card.score if card else None

    def kept(self, table: str) -> tuple[bool, float] | None:
        """What tables are ordered by, that which keeps its promises worst first; None if nothing was due."""
        found = [(one.share >= one.promise.target, one.share) for one in self.promises(table) if one.share is not None]
        return min(found, default=None)

    @cached_property
    def _promises(self) -> Mapping[str, Sequence[Attainment]]:
        found: dict[str, list[Attainment]] = {}
        for one in self.attainments:
            found.setdefault(one.table.name, []).append(one)
        return found

    @cached_property
    def _cards(self) -> Mapping[str, Scorecard]:
        return {card.table: card for card in self.scorecards}


def standing(lakehouse: Lakehouse, now: datetime) -> Standing:
    """How every declared table stands; a few queries for all of them."""
    return Standing(now, attainments(lakehouse, now), scorecards(lakehouse, now))

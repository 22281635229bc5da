"""What a breaking change needs before it happens: a reason, a window, consumers told, both versions served (S2-17)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from platform_assets.contracts.compatibility import Change, What

WINDOW = timedelta(days=14)
# The law may forbid to serve such values for another two weeks.
PROTECTIVE = frozenset({What.TOKENISED, What.WITHDRAWN})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Consumer(_Strict):
    """Somebody who reads the table and has to change something."""

    name: str = Field(min_length=1, description="Who it is: a team, an application, a dashboard.")
    contact: str = Field(min_length=1, description="How they were reached: an e-mail address or a channel.")
    notified: date = Field(description="Day on which they were told.")


class Migration(_Strict):
    """`migration:` of a source file or of a dbt model's `config.meta`.

    Everything may be missing while it is being prepared; `problems` tells what still is.
    """

    adr: str | None = Field(default=None, description="Decision record with the reason; relative to the repository.")
    announced: date | None = Field(default=None, description="First day of the window.")
    ends: date | None = Field(default=None, description="Last day on which both versions are served.")
    consumers: tuple[Consumer, ...] = Field(default=(), description="Who reads the old version, each told.")
    legal_basis: str | None = Field(
        default=None, min_length=1, description="Law or order by which values must go before the window is over."
    )

    def over(self, today: date) -> bool:
        """Whether the old version may go: `ends` itself is the last day on which it is served."""
        return self.ends is not None and today > self.ends


def waits_for_nobody(migration: Migration | None, changes: Sequence[Change]) -> bool:
    """Whether the law, named in the migration, asks for everything that the changes break.

    Such a change happens in place and at once: to go on serving clear values beside their tokens is what it forbids.
    """
    breaking = [change for change in changes if change.breaks]
    return (
        migration is not None and bool(migration.legal_basis) and all(change.what in PROTECTIVE for change in breaking)
    )


def problems(
    migration: Migration | None, changes: Sequence[Change], today: date, root: Path, *, source: str
) -> list[str]:
    """What keeps the breaking ones among `changes` from happening, one sentence for each thing that is missing.

    A consumer may be told later than the change was announced (somebody is always found later), but has two weeks like
    everybody: the window is moved for them.

    Args:
        migration: what was declared, None if nothing was.
        changes: what `compare` found.
        today: the day of the check.
        root: folder of the repository, in which the decision record lies.
        source: name of the source or model, which the decision record must mention.
    """
    if not any(change.breaks for change in changes):
        return []
    if migration is None:
        return [f"{source} declares no `migration` (adr, announced, ends, consumers)"]
    urgent = waits_for_nobody(migration, changes)
    return [
        *_decision_problems(migration.adr, root, source),
        *(() if urgent else _window_problems(migration, today)),
        *_consumer_problems(migration, today, urgent=urgent),
    ]


def _decision_problems(adr: str | None, root: Path, source: str) -> Iterator[str]:
    if adr is None:
        yield "migration.adr is missing: write down why the change is worth breaking readers, and name the file"
        return
    path = (root / adr).resolve()
    if not path.is_relative_to(root.resolve()):
        yield f"migration.adr: {adr} lies outside of the repository"
    elif not path.is_file():
        yield f"migration.adr: there is no file {adr} in the repository"
    elif not re.search(rf"\b{re.escape(source)}\b", path.read_text(encoding="utf-8")):
        yield f"migration.adr: {adr} does not mention {source}; it must say why {source} breaks"


def _window_problems(migration: Migration, today: date) -> Iterator[str]:
    announced, ends = migration.announced, migration.ends
    if announced is None:
        yield "migration.announced is missing: the day on which the change was announced"
    elif announced > today:
        yield f"migration.announced is {announced}, which is still to come; the new version may be published from then"
    if ends is None:
        yield "migration.ends is missing: the last day on which both versions are served"
    elif announced is not None and ends - announced < WINDOW:
        days = (ends - announced).days
        yield (
            f"migration.ends is {ends}, {days} days after it was announced; a window is at least {WINDOW.days} days, "
            f"until {announced + WINDOW}"
        )
    if ends is not None and ends < today:
        yield f"migration.ends is {ends}, which is over: the new version was never served beside the old one"


def _consumer_problems(migration: Migration, today: date, *, urgent: bool) -> Iterator[str]:
    if not migration.consumers:
        yield "migration.consumers is empty: name who reads the table and when they were told"
    for consumer in migration.consumers:
        if consumer.notified > today:
            yield f"migration.consumers: {consumer.name} is yet to be told, on {consumer.notified}"
        elif not urgent and migration.ends is not None and migration.ends - consumer.notified < WINDOW:
            yield (
                f"migration.consumers: {consumer.name} was told on {consumer.notified} and needs {WINDOW.days} days "
                f"like everybody; let the window end on {consumer.notified + WINDOW}"
            )

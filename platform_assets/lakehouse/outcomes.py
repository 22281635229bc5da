"""Whether tables kept their promises about time: pure rules over what was committed and what landed (S1-52 to S1-54).

`within`: each object that landed (bronze), and each change of an input (below), is one thing that is due so long after.
It keeps the promise if the commit that took it in is no later. Things are counted by the hour in which they are due; an
object that nobody had seen by then, by the hour in which it was found.

`ready_by`: at the deadline the newest date that is over (by UTC; of a source with a schedule, the date that its last
delivery is about) is complete. That is: all that had landed or changed for it until 5 minutes before (what came later
may be under way) has gone through every table up to this one, and the date has rows, in this table and in everything
that it is made of, where the source owes every date some: it has a schedule, or promises every day. What arrives after
the deadline breaks nothing, unless there was nothing at all before. Of a source that owes nothing and brought nothing,
nothing was due. Dates before the first commit of the table, or of what it is made of, were never promised.

Both are judged by the times of commits, never by when somebody looks: an outcome is the same however often that is.
Where snapshots that would tell have expired, there is no outcome.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from platform_assets.lakehouse.lateness import delivered_date
from platform_assets.lakehouse.past import Past

if TYPE_CHECKING:
    from platform_assets.contracts.sla import Promise
    from platform_assets.lakehouse.declared import DeclaredTable

UNDER_WAY = timedelta(minutes=5)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_NOTHING = Past()


@dataclass(frozen=True)
class Arrival:
    """An object that landed.

    Attributes:
        seen_at: when the platform found it.
        ingested_at: when bronze had it at the latest; None if it has it not.
    """

    arrival_date: date
    landed_at: datetime
    seen_at: datetime
    ingested_at: datetime | None

    def unknown_since(self, due: datetime) -> bool:
        """Whether it was in bronze before it was found, and all that is known of when is no proof that it was late."""
        return self.ingested_at is not None and due < self.ingested_at < self.seen_at


@dataclass(frozen=True)
class Facts:
    """What is known.

    Attributes:
        tables: the declared tables by name.
        pasts: of those that exist, what was committed.
        arrivals: by bronze table.
    """

    tables: Mapping[str, DeclaredTable]
    pasts: Mapping[str, Past]
    arrivals: Mapping[str, Sequence[Arrival]] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of one promise: on one date (`ready_by`), or of all that was due in one hour (`within`).

    Attributes:
        promise: `Promise.name`.
        about: the date, or the hour as `2026-11-21T07Z`.
        due_at: the deadline, or the end of the hour.
        things: how many things it is about; 1 for a date.
        kept: how many of them were in time.
        unfinished: how many were not done at all when it was looked at last.
        late: how long after its due time the last of those done was done; negative if before.
        done_at: when the last of them was done; None as long as some are unfinished.
    """

    table: str
    promise: str
    about: str
    due_at: datetime
    things: int
    kept: int
    unfinished: int
    late: timedelta | None
    done_at: datetime | None

    @property
    def missed(self) -> int:
        """How many were not in time."""
        return self.things - self.kept


def outcomes(facts: Facts, table: DeclaredTable, since: datetime, until: datetime) -> Iterator[Outcome]:
    """What became of a table's promises that were due from a full hour on, and are decided at `until`."""
    for promise in table.sla:
        if promise.within is not None:
            yield from _by_the_hour(facts, table, promise, since, until)
        else:
            yield from _by_the_date(facts, table, promise, since, until)


@dataclass(frozen=True)
class _Thing:
    due: datetime
    counted_at: datetime
    done: datetime | None

    @property
    def kept(self) -> bool:
        return self.done is not None and self.done <= self.due


def _by_the_hour(
    facts: Facts, table: DeclaredTable, promise: Promise, since: datetime, until: datetime
) -> Iterator[Outcome]:
    landed = table.contract.layer == "bronze"
    within = promise.within or timedelta()
    hours: defaultdict[datetime, list[_Thing]] = defaultdict(list)
    for thing in _arrived(facts, table, within) if landed else _changed(facts, table, within):
        hour = thing.counted_at.replace(minute=0, second=0, microsecond=0)
        if since <= hour <= until - _HOUR:
            hours[hour].append(thing)
    for hour, things in sorted(hours.items()):
        done = [(at - thing.due, at) for thing in things if (at := thing.done) is not None]
        yield Outcome(
            table.name,
            promise.name,
            f"{hour:%Y-%m-%dT%HZ}",
            due_at=hour + _HOUR,
            things=len(things),
            kept=sum(thing.kept for thing in things),
            unfinished=len(things) - len(done),
            late=max((late for late, _ in done), default=None),
            done_at=max(at for _, at in done) if len(done) == len(things) else None,
        )


def _arrived(facts: Facts, table: DeclaredTable, within: timedelta) -> Iterator[_Thing]:
    for arrival in facts.arrivals.get(table.name, ()):
        due = arrival.landed_at + within
        if not arrival.unknown_since(due):
            thing = _Thing(due, due, arrival.ingested_at)
            yield thing if thing.kept else _Thing(due, max(due, arrival.seen_at), arrival.ingested_at)


def _changed(facts: Facts, table: DeclaredTable, within: timedelta) -> Iterator[_Thing]:
    here = facts.pasts.get(table.name, _NOTHING)
    for name in table.inputs:
        there = facts.pasts.get(name, _NOTHING)
        for at, day in there.changes:
            if there.remembered_since is not None and at < there.remembered_since:
                continue  # some of that hour are not known any more: nothing is counted rather than too few
            if table.contract.partition_column is None:
                done = here.made(at, None)
            elif day is not None:
                done = here.made(at, day)
            else:  # an undated input, such as a dimension: every date that there was is made once more
                any_date, done = here.remade(at)
                if not any_date:
                    continue
            thing = _Thing(at + within, at + within, done)
            forgotten = here.remembered_since is not None and at < here.remembered_since
            if thing.kept or not forgotten:
                yield thing


def _by_the_date(
    facts: Facts, table: DeclaredTable, promise: Promise, since: datetime, until: datetime
) -> Iterator[Outcome]:
    first = _first_commit(facts, table.name)
    if first is None:
        return
    decided = None
    for number in range(-2, (until - since).days + 2):
        deadline = promise.deadline(since.date() + number * _DAY)
        day = due_date(table, deadline)
        if decided == day or day < first.date():  # a weekly delivery is due once
            continue
        decided = day
        if since <= deadline <= until:
            done = _AsOf(facts, deadline, day).done(table.name)
            if done is not None:
                yield _on(table, promise, deadline, day, done)


def _on(
    table: DeclaredTable, promise: Promise, deadline: datetime, day: date, done: Sequence[datetime | None]
) -> Outcome:
    ready = None if None in done else max(at for at in done if at)
    return Outcome(
        table.name,
        promise.name,
        day.isoformat(),
        due_at=deadline,
        things=1,
        kept=int(ready is not None and ready <= deadline),
        unfinished=int(ready is None),
        late=None if ready is None else ready - deadline,
        done_at=ready,
    )


def due_date(table: DeclaredTable, deadline: datetime) -> date:
    """The newest date that can be complete at a deadline: that of the last delivery, or the last that is over."""
    if table.cadence.schedule is not None:
        return delivered_date(table.contract.layer, table.cadence.schedule, deadline)
    return deadline.date() - _DAY


def _first_commit(facts: Facts, name: str) -> datetime | None:
    """The first commit to a table, or to what it is made of."""
    own = facts.pasts.get(name, _NOTHING).commits
    found = [own[0].at] if own else []
    above = facts.tables[name].inputs if name in facts.tables else ()
    found += [first for parent in above if (first := _first_commit(facts, parent)) is not None]
    return min(found, default=None)


class _Forgotten(Exception):
    """The snapshots that would tell have expired."""


class _AsOf:
    """What had to be done for a date by a deadline, and when it was."""

    def __init__(self, facts: Facts, deadline: datetime, day: date) -> None:
        self._facts = facts
        self._deadline = deadline
        self._day = day
        self._found: dict[str, list[datetime | None]] = {}

    def done(self, name: str) -> list[datetime | None] | None:
        """When each was done, None for what was not; nothing if nothing was due, or nobody can know any more."""
        try:
            return self._done(name) or None
        except _Forgotten:
            return None

    def _done(self, name: str) -> list[datetime | None]:
        if name not in self._found:
            table, here = self._facts.tables[name], self._facts.pasts.get(name, _NOTHING)
            if here.remembered_since is not None and here.remembered_since > self._deadline:
                raise _Forgotten
            found = list(self._landed(table))
            if table.contract.partition_column is not None:
                held = here.held(due_date(table, self._deadline))
                if table.cadence.daily or table.cadence.schedule or (held is not None and held <= self._deadline):
                    found.append(held)
            for parent in table.inputs:
                if parent in self._facts.tables:
                    found += self._taken_from(parent, table, here)
            self._found[name] = found
        return self._found[name]

    def _landed(self, table: DeclaredTable) -> Iterator[datetime | None]:
        day = due_date(table, self._deadline)
        for arrival in self._facts.arrivals.get(table.name, ()):
            came = arrival.arrival_date == day and arrival.landed_at <= self._deadline - UNDER_WAY
            if came and not arrival.unknown_since(self._deadline):
                yield arrival.ingested_at

    def _taken_from(self, parent: str, table: DeclaredTable, here: Past) -> list[datetime | None]:
        """What had to be done above, and, if anything changed until that was done, the taking in of it."""
        above = self._done(parent)
        until = max([self._deadline - UNDER_WAY, *(at for at in above if at is not None)])
        undated, held = table.contract.partition_column is None, here.held(self._day)
        remade = held is not None and held <= until  # what changes without a date concerns the dates that there are
        about = [
            at
            for at, day in self._facts.pasts.get(parent, _NOTHING).changes
            if at <= until and (undated or day == self._day or (day is None and remade))
        ]
        if not about:
            return above
        return [*above, here.made(about[-1], None if undated else self._day)]

"""The figures of the pages as plain numbers, which the templates make SVG of: each with what it shows in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from platform_assets.lakehouse.durations import in_words
from platform_assets.lakehouse.freshness import FreshnessState, TableFreshness

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from platform_assets.lakehouse.freshness_history import Told

_COLUMN, _GAP, _BARS, _LEAST = 5, 1, 22, 2
_STRIP_COLUMNS = 30
# Longer than that without a word, nobody looked: no line is drawn over it.
_SILENCE = timedelta(hours=4)
_WORST_FIRST = ("FAIL", "WARN", "UNKNOWN", "PASS")


@dataclass(frozen=True)
class Promise:
    """How long a table has owed something, beside how long it may.

    Attributes:
        share: of the time after which it fails, in percent, at most 100.
        warn: where it begins to warn, in percent; None if it never does.
        text: `3 min of 2 h`.
    """

    share: float
    warn: float | None
    text: str


@dataclass(frozen=True)
class Column:
    """One partition: a bar as high as it has rows, relative to the fullest; its state is marked below."""

    x: int
    y: int
    height: int
    state: str
    title: str


@dataclass(frozen=True)
class Strip:
    """The last partitions, the newest to the right."""

    columns: Sequence[Column]
    label: str
    width: int = _STRIP_COLUMNS * (_COLUMN + _GAP)
    column: int = _COLUMN
    bars: int = _BARS


@dataclass(frozen=True)
class Mark:
    """A stretch of time in which a table warned or failed."""

    x: float
    width: float
    state: str
    title: str


@dataclass(frozen=True)
class LagLine:
    """Lag over time.

    Attributes:
        lines: points `x,y x,y …` of every stretch in which somebody looked.
        dots: points that stand alone.
        days: where each midnight (UTC) is, and its date.
        most: the largest lag, which is at the top; None if none is known.
    """

    width: int
    height: int
    lines: Sequence[str]
    dots: Sequence[tuple[float, float]]
    marks: Sequence[Mark]
    days: Sequence[tuple[float, datetime]]
    most: timedelta | None
    label: str


@dataclass(frozen=True)
class ScoreLine:
    """The score over the days, from 0 at the bottom to 100 at the top.

    Attributes:
        lines, dots, days: as those of `LagLine`.
    """

    width: int
    height: int
    lines: Sequence[str]
    dots: Sequence[tuple[float, float]]
    days: Sequence[tuple[float, date]]
    label: str


def promise(row: TableFreshness, now: datetime) -> Promise:
    """What is owed of what may be: `nothing, may be 5 min`, `3 min of 2 h`."""
    fail, warn = row.table.fail_window, row.table.warn_window
    at = None if warn is None or warn >= fail else 100 * (warn / fail)
    if row.owed_since is None:
        return Promise(0, at, f"0 s of {in_words(fail)}")
    age = max(now - row.owed_since, timedelta())
    return Promise(min(100, 100 * (age / fail)), at, f"{in_words(age)} of {in_words(fail)}")


def strip(row: TableFreshness) -> Strip | None:
    """The last partitions of a table; None if it has none."""
    if not row.partitions:
        return None
    fullest = max(day.rows for day in row.partitions) or 1
    columns = []
    for place, day in enumerate(row.partitions, start=_STRIP_COLUMNS - len(row.partitions)):
        height = max(_LEAST, round(_BARS * day.rows / fullest)) if day.rows else 0
        title = f"{day.partition}: {day.state}, {day.rows:,} rows"
        if day.waiting_since is not None:
            title += f", waiting since {day.waiting_since:%Y-%m-%d %H:%M} UTC"
        columns.append(Column(place * (_COLUMN + _GAP), _BARS - height, height, day.state.value, title))
    return Strip(columns, _strip_in_words(row))


def _strip_in_words(row: TableFreshness) -> str:
    """`30 partitions up to 2026-11-21: 29 PASS, 1 FAIL; not well: 2026-11-20 FAIL with 0 rows`."""
    counts = Counter(day.state for day in row.partitions)
    told = ", ".join(f"{counts[state]} {state}" for state in FreshnessState if counts[state])
    bad = [day for day in row.partitions if day.state is not FreshnessState.PASS]
    some = ", ".join(f"{day.partition} {day.state} with {day.rows:,} rows" for day in bad[-3:])
    more = f"; not well: {some}" if some else ""
    return f"{len(row.partitions)} partitions up to {row.partitions[-1].partition}: {told}{more}"


def lag_line(told: Sequence[Told], start: datetime, end: datetime, width: int, height: int) -> LagLine:
    """Lag from start to end in a field of that size, the largest at its top."""
    lags = [one.lag for one in told if one.lag is not None]
    most = max(lags, default=None)
    top = max(most or timedelta(), timedelta(seconds=1))

    def x(moment: datetime) -> float:
        return round(width * ((min(max(moment, start), end) - start) / (end - start)), 1)

    def y(lag: timedelta) -> float:
        return round(height - height * (max(lag, timedelta()) / top), 1)

    lines, dots = [], []
    for stretch in _stretches(told):
        points = [(x(one.at), y(one.lag)) for one in stretch if one.lag is not None]
        if len(points) > 1:
            lines.append(" ".join(f"{across:g},{down:g}" for across, down in points))
        else:
            dots += points
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    days = [midnight + timedelta(days=n) for n in range((end - midnight).days + 1)]
    marks = []
    for state, since, until in _bad(told, end):
        wide = max(2.0, round(x(until) - x(since), 1))  # to be seen at all
        marks.append(Mark(min(x(since), width - wide), wide, state, _from_to(state, since, until)))
    label = _lag_in_words(told, end - start, most)
    return LagLine(width, height, lines, dots, marks, [(x(day), day) for day in days], most, label)


def _stretches(told: Sequence[Told]) -> Iterator[list[Told]]:
    """Parts between which nobody looked for long, or there was no lag to tell."""
    part: list[Told] = []
    for one in told:
        if part and (one.lag is None or one.at - part[-1].at > _SILENCE):
            yield part
            part = []
        if one.lag is not None:
            part.append(one)
    if part:
        yield part


def _bad(told: Sequence[Told], end: datetime) -> Iterator[tuple[str, datetime, datetime]]:
    """State, beginning and end of every time that a table warned or failed without a break."""
    since: datetime | None = None
    for place, one in enumerate(told):
        after = told[place + 1] if place + 1 < len(told) else None
        until = min(after.at if after else end, one.at + _SILENCE)
        if one.state not in {"WARN", "FAIL"}:
            continue
        since = since or one.at
        if after is None or after.state != one.state or until < after.at:
            yield one.state, since, until
            since = None


def score_line(scores: Sequence[tuple[date, float | None]], end: date, days: int, size: tuple[int, int]) -> ScoreLine:
    """The score of each of the last days up to `end`, in a field of that size; no line over a day without one."""
    width, height = size
    known = [(day, score) for day, score in scores if score is not None]
    points = [(_across(day, end, days, width), round(height * (1 - score / 100), 1)) for day, score in known]
    ends = [0, *(n for n, ((one, _), (next_one, _)) in enumerate(pairwise(known), 1) if (next_one - one).days > 1)]
    parts = [points[start:stop] for start, stop in pairwise([*ends, len(points)])]
    shown = [end - timedelta(days=back) for back in range(days, -1, -1)]
    return ScoreLine(
        width,
        height,
        [" ".join(f"{across:g},{down:g}" for across, down in part) for part in parts if len(part) > 1],
        [point for part in parts if len(part) == 1 for point in part],
        [(_across(day, end, days, width), day) for day in shown],
        _score_in_words([score for _, score in known], days),
    )


def _across(day: date, end: date, days: int, width: int) -> float:
    return round(width * (1 - (end - day).days / days), 1)


def _score_in_words(scores: Sequence[float], days: int) -> str:
    over = f"Score over the last {days} days"
    if not scores:
        return f"{over}: not known"
    return f"{over}: {min(scores):g} to {max(scores):g}, last {scores[-1]:g}"


def _from_to(state: str, start: datetime, end: datetime) -> str:
    return f"{state} from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"


def _lag_in_words(told: Sequence[Told], span: timedelta, most: timedelta | None) -> str:
    over = f"Lag over the last {in_words(span)}"
    if most is None:
        return f"{over}: not known"
    states = {one.state for one in told}
    worst = next(state for state in _WORST_FIRST if state in states)
    last = next(one.lag for one in reversed(told) if one.lag is not None)
    return f"{over}: at most {in_words(most)}, last {in_words(last)}; worst state {worst}"

"""Whether a date of a table has as many rows as is usual for it (S2-33), by the table's own history alone.

Pure: it is given the rows of every date, which Iceberg's metadata tells (`lakehouse.statistics`). How the expectation
is made is in `quality.seasonal`; here is what a date, a holiday and a missing partition mean for it.
docs/reference/volume-anomalies.md says how well it does and what it misses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from platform_assets.quality.findings import Finding, Watch
from platform_assets.quality.seasonal import Judgement, Method, judged

if TYPE_CHECKING:
    from platform_assets.lakehouse.declared import Cadence

_WEEK = 7
_HISTORY = 448  # days: a year to look back at, and twelve weeks before it to learn from
_GRACE = timedelta(hours=1)  # after midnight, for stragglers
_HABIT = 8  # weeks in which a weekday had rows every time: then it should have some
_BEGIN = 28  # days, of which half have rows where the history begins


class Watched(Protocol):
    """What is to be known of a table; `lakehouse.declared.DeclaredTable` is one."""

    @property
    def name(self) -> str:
        """`layer.table`."""

    @property
    def cadence(self) -> Cadence:
        """Whether every date has rows."""

    @property
    def fail_window(self) -> timedelta:
        """The time after which a date that has no rows is owed some."""


class Volume(NamedTuple):
    """The rows of one date beside those that are usual.

    Attributes:
        rows: None where none are known and none are owed.
        judgement: None where nothing can be said, because `known` dates are too few or the date is a new holiday.
        known: dates with a count before it.
    """

    partition: date
    rows: int | None
    judgement: Judgement | None
    known: int
    holiday: str = ""


def volume_findings(
    table: Watched,
    rows_by_partition: Mapping[date, int],
    now: datetime,
    *,
    holidays: Mapping[date, str] | None = None,
    recent: int = _WEEK,
    method: Method | None = None,
) -> list[Finding]:
    """Judges the newest dates that are over, each by those before it; a later correction is judged anew.

    A date that has rows is judged an hour after its midnight (UTC), one that has none when it is owed.

    Args:
        table: says whether it has rows every day, and how long after midnight they may come.
        rows_by_partition: rows of every partition that holds any; a table without partitions has no findings.
        now: with a time zone.
        holidays: dates and names, as `holidays.country_holidays` gives them. None are needed: a date on which the year
            before was just as far off is taken for the same holiday.
        recent: number of dates, the newest ones.
        method: how; by default as docs/reference/volume-anomalies.md says.

    Returns:
        oldest first; without `low` and `high` where there is no judgement yet, which the reason says.
    """
    moment = now.astimezone(UTC)
    newest = (moment - _GRACE).date() - timedelta(days=1)
    owed = (moment - table.fail_window).date()
    volumes = judged_volumes(rows_by_partition, newest, daily=table.cadence.daily, holidays=holidays, method=method)
    return [
        _finding(table.name, volume)
        for volume in volumes
        if (newest - volume.partition).days < recent
        and volume.rows is not None
        and (volume.rows or volume.partition < owed)
    ]


def judged_volumes(
    rows_by_partition: Mapping[date, int],
    newest: date,
    *,
    daily: bool,
    holidays: Mapping[date, str] | None = None,
    method: Method | None = None,
) -> Iterator[Volume]:
    """Judges every date of the history up to `newest`, one after the other, each by what was known before it.

    Yields:
        one for every date since the first, at most 64 weeks.
    """
    first = _first(rows_by_partition, newest)
    if first is None:
        return
    dates = [first + timedelta(days=day) for day in range((newest - first).days + 1)]
    rows = _filled(dates, rows_by_partition, daily=daily)
    names = [holidays.get(day, "") for day in dates] if holidays else [""] * len(dates)
    places: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        places.setdefault(name, []).append(index)

    def alike(index: int) -> Collection[int]:
        same = [place for place in places[names[index]] if place < index] if names[index] else []
        return [place for place in (*same, *_year_before(dates, index)) if rows[place]]

    judgements = judged(rows, _WEEK, method=method, alike=alike, special=lambda index: bool(names[index]))
    known = 0
    for day, count, judgement, name in zip(dates, rows, judgements, names, strict=True):
        yield Volume(day, count, judgement, known, name)
        known += count is not None


def _first(rows_by_partition: Mapping[date, int], newest: date) -> date | None:
    """The first date from which on the table is in use: what stands alone long before is a wrong event date."""
    start = newest - timedelta(days=_HISTORY - 1)
    dates = sorted(day for day, count in rows_by_partition.items() if count > 0 and start <= day <= newest)
    for place, day in enumerate(dates):
        later = place + _BEGIN // 2 - 1
        if later < len(dates) and (dates[later] - day).days < _BEGIN:
            return day
    gaps = [place for place in range(1, len(dates)) if (dates[place] - dates[place - 1]).days > _BEGIN]
    return dates[gaps[-1] if gaps else 0] if dates else None


def _filled(dates: list[date], rows_by_partition: Mapping[date, int], *, daily: bool) -> list[int | None]:
    """The rows of every date; none at all count as 0 where there should be some."""

    def owed(place: int) -> bool:
        before = [place - _WEEK * week for week in range(1, _HABIT + 1)]
        return daily or (before[-1] >= 0 and all(rows_by_partition.get(dates[index]) for index in before))

    return [
        count if (count := rows_by_partition.get(day)) is not None else (0 if owed(place) else None)
        for place, day in enumerate(dates)
    ]


def _year_before(dates: list[date], index: int) -> list[int]:
    """Where the year before has the same date, and the same weekday of the same week."""
    day = dates[index]
    same_date = (day - day.replace(year=day.year - 1)).days if (day.month, day.day) != (2, 29) else 366
    return [index - days for days in (same_date, 52 * _WEEK) if index >= days]


def _finding(table: str, volume: Volume) -> Finding:
    rows, judgement = volume.rows or 0, volume.judgement
    if judgement is None:
        return Finding(Watch.VOLUME, table, volume.partition, rows, unusual=False, reason=_not_judged(volume))
    low, high = round(judgement.low, 1), round(judgement.high, 1)
    reason = _in_words(volume, judgement)
    return Finding(Watch.VOLUME, table, volume.partition, rows, judgement.unusual, reason, low=low, high=high)


def _not_judged(volume: Volume) -> str:
    if volume.holiday:
        return f"{_rows(volume.rows or 0)}, not judged: it is {volume.holiday}, and no one like it is known."
    return (
        f"{_rows(volume.rows or 0)}, not judged yet: only {volume.known} dates before it are known, and a judgement "
        f"needs three weeks of them with two of its weekday."
    )


def _in_words(volume: Volume, judgement: Judgement) -> str:
    rows, expected, weekday = volume.rows or 0, judgement.expected, f"{volume.partition:%A}"
    usual = f"{judgement.low:,.0f} to {judgement.high:,.0f}, most likely {expected:,.0f}"
    if judgement.unusual and rows == 0:
        return f"No rows, where a {weekday} usually has {usual}."
    if judgement.unusual and rows < expected:
        return f"{_rows(rows)}, {1 - rows / expected:.0%} fewer than expected: usual for a {weekday} are {usual}."
    if judgement.unusual:
        more = f"{rows / expected:,.1f} times as many as" if expected >= 1 else "where hardly any were"
        return f"{_rows(rows)}, {more} expected: usual for a {weekday} are {usual}."
    if judgement.seen_before:
        what = volume.holiday or "the same day of the year before"
        return f"{_rows(rows)}, unusual for a {weekday}, but not against {what}: usual are {usual}."
    return f"{_rows(rows)}: usual for a {weekday} are {usual}."


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"

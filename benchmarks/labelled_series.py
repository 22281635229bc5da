"""Reads labelled series as they are published, and counts which labelled anomalies a detector finds.

The formats are in docs/reference/volume-anomalies.md. Nothing that a file may hold makes the reading fail but a file
that has no numbers at all: times may be irregular, twice, out of order; values may be missing.
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

Window = tuple[datetime, datetime]
DAY = timedelta(days=1)
_TIMES, _VALUES, _LABELS = ("timestamp", "time", "date", "ds"), ("value", "count", "rows", "y"), ("label", "anomaly")
_SPARSE = 20  # steps for each value, above which the times cannot be a grid


@dataclass(frozen=True)
class Series:
    """Values in equal distances, with the labelled windows, both ends included.

    Attributes:
        start: time of the first value; each stands for what happened from its time to the next one's.
    """

    name: str
    start: datetime
    step: timedelta
    values: Sequence[float | None]
    windows: Sequence[Window] = ()

    @property
    def periods(self) -> tuple[int, ...]:
        """The seasons that it is long enough for, shortest first: a day, a week, 52 weeks; 1 if it is for none."""
        length = len(self.values) * self.step
        seasons = [(DAY, 4), (7 * DAY, 5)] if self.step <= DAY else [(364 * DAY, 4)]
        fitting = [
            season // self.step
            for season, least in seasons
            if self.step < season and length >= least * season and not season % self.step
        ]
        return tuple(fitting) or (1,)

    def time(self, index: int) -> datetime:
        """When the value at an index begins."""
        return self.start + index * self.step

    def within(self, index: int, windows: Iterable[Window]) -> bool:
        """Whether any of the time of a value is in a window."""
        begin = self.time(index)
        return any(begin <= end and begin + self.step > start for start, end in windows)


@dataclass(frozen=True)
class Score:
    """What a detector did on a series.

    Attributes:
        windows, found: labelled windows of which any point could be judged, and those in which any was unusual.
        alarms, true: an alarm is an unusual point with those of the 24 hours after it; true if any is in a window.
        points, points_found, flagged, flagged_true: the same for each point by itself.
    """

    windows: int = 0
    found: int = 0
    alarms: int = 0
    true: int = 0
    points: int = 0
    points_found: int = 0
    flagged: int = 0
    judged: int = 0
    days: float = field(default=0.0)

    def __add__(self, other: Score) -> Score:
        return Score(**{name: getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__})

    def as_json(self) -> dict[str, Any]:
        """The counts and what follows from them; null where nothing was counted."""
        precision, recall = _share(self.true, self.alarms), _share(self.found, self.windows)
        by_point = _share(self.points_found, self.flagged), _share(self.points_found, self.points)
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__},
            "precision": precision,
            "recall": recall,
            "f1": _harmonic(precision, recall),
            "point_precision": by_point[0],
            "point_recall": by_point[1],
            "point_f1": _harmonic(*by_point),
        }


def score(series: Series, unusual: Sequence[bool | None], judged: Sequence[bool]) -> Score:
    """Counts what was found; only points that `judged` says are looked at, so that detectors can be compared."""
    looked = [index for index, is_judged in enumerate(judged) if is_judged]
    windows = [window for window in series.windows if any(series.within(index, [window]) for index in looked)]
    flagged = [index for index in looked if unusual[index]]
    alarms: list[list[int]] = []
    for index in flagged:
        if alarms and series.time(index) < series.time(alarms[-1][0]) + DAY:
            alarms[-1].append(index)
        else:
            alarms.append([index])
    inside = {index for index in looked if series.within(index, windows)}
    return Score(
        windows=len(windows),
        found=sum(any(series.within(index, [window]) for index in flagged) for window in windows),
        alarms=len(alarms),
        true=sum(any(index in inside for index in alarm) for alarm in alarms),
        points=len(inside),
        points_found=sum(index in inside for index in flagged),
        flagged=len(flagged),
        judged=len(looked),
        days=len(looked) * series.step / DAY,
    )


def read_series(path: Path, labels: Path | None = None, *, step: timedelta | None = None, name: str = "") -> Series:
    """Reads a CSV and its labels onto a grid.

    Args:
        path: with a header; the first column that is called like a time, or the first, and like a value, or the second.
        labels: as of the Numenta Anomaly Benchmark, or a list of windows; by default the file's column of labels.
        step: distance of the grid, on which values are added up; by default the most frequent distance of the times,
            on which values of the same time are averaged.
        name: by default that of the file.

    Raises:
        ValueError: no row has a time and a number.
    """
    rows = sorted(_rows(path), key=lambda row: row[0])
    if not rows:
        raise ValueError(f"{path}: no row has a time and a number; expected a header and rows like 2026-01-31,1234")
    native = _most_frequent(rows)
    grid = step or native
    start, buckets = _floor(rows[0][0], grid if step else native), dict[int, list[float]]()
    if (rows[-1][0] - start) / grid > _SPARSE * len(rows) + 1_000:  # a wrong time among them: by position instead
        rows = [(start + place * grid, value, label) for place, (_, value, label) in enumerate(rows)]
    for time, value, _ in rows:
        buckets.setdefault((time - start) // grid, []).append(value)
    values = [_together(buckets.get(place), add=step is not None) for place in range(max(buckets) + 1)]
    if step and rows[-1][0] + native < start + len(values) * grid:
        values.pop()  # it is not over
    if step and rows[0][0] - native >= start and values:
        values[0] = None
    windows = read_labels(labels, path) if labels else list(_labelled(rows, native))
    return Series(name or path.name, start, grid, values, windows)


def read_labels(path: Path, series: Path) -> list[Window]:
    """The windows of one series: a list of them (or of moments), or that list by the name of the file."""
    content = json.loads(path.read_text())
    if isinstance(content, dict):
        named = [windows for name, windows in content.items() if Path(name).name == series.name]
        if not named:
            raise ValueError(f"{path} has no windows for {series.name}; it has them for {', '.join(content) or 'none'}")
        content = named[0]
    return [tuple(map(_time, window if isinstance(window, list) else [window] * 2)) for window in content]  # type: ignore[misc]


def counts(series: Series) -> list[float | None]:
    """The values, where they are no counts in a unit in which they are about a thousand: as much noise as counts have.

    The unit is taken from the first three seasons, in which nothing is judged.
    """
    first = [abs(value) for value in series.values[: 3 * series.periods[0]] if value]
    if not first or all(value is None or value == int(value) for value in series.values):
        return list(series.values)
    unit = median(first) / 1_000
    return [None if value is None else value / unit for value in series.values]


def _rows(path: Path) -> Iterator[tuple[datetime, float, bool]]:
    with path.open(newline="") as file:
        reader = csv.reader(file)
        header = [name.strip().lower() for name in next(reader, [])]
        time, value = _column(header, _TIMES, 0), _column(header, _VALUES, 1)
        label = next((header.index(name) for name in (*_LABELS, "is_anomaly") if name in header), None)
        for row in reader:
            try:
                when, number = _time(row[time]), float(row[value])
            except (ValueError, IndexError, OverflowError):
                continue  # a row without a time or a number is one that is missing
            if math.isfinite(number):
                is_labelled = label is not None and row[label : label + 1] in (["1"], ["1.0"], ["True"], ["true"])
                yield when, number, is_labelled


def _column(header: Sequence[str], names: Iterable[str], otherwise: int) -> int:
    return next((header.index(name) for name in names if name in header), otherwise)


def _time(text: str | float) -> datetime:
    """ISO 8601 or seconds since 1970, in UTC without saying so."""
    try:
        seconds = float(text)
    except ValueError:
        time = datetime.fromisoformat(str(text).strip())
        return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def _most_frequent(rows: Sequence[tuple[datetime, float, bool]]) -> timedelta:
    gaps = Counter(later[0] - earlier[0] for earlier, later in pairwise(rows))
    return next((gap for gap, _ in gaps.most_common() if gap > timedelta(0)), DAY)


def _floor(time: datetime, step: timedelta) -> datetime:
    """The midnight before, and from there on the last multiple of the step; as it is if a day has no whole number."""
    midnight = time.replace(hour=0, minute=0, second=0, microsecond=0)
    return time if step < DAY and DAY % step else midnight + (time - midnight) // step * step


def _together(values: list[float] | None, *, add: bool) -> float | None:
    if values is None:
        return None
    return math.fsum(values) if add else math.fsum(value / len(values) for value in values)


def _labelled(rows: Sequence[tuple[datetime, float, bool]], native: timedelta) -> Iterator[Window]:
    """Labelled points that follow each other are one window."""
    window: Window | None = None
    for time, _, is_labelled in rows:
        if is_labelled and window and time - window[1] <= native:
            window = (window[0], time)
        elif is_labelled:
            if window:
                yield window
            window = (time, time)
    if window:
        yield window


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _harmonic(precision: float | None, recall: float | None) -> float | None:
    if precision is None or recall is None:
        return None
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

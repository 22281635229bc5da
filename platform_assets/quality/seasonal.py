"""What the next value of an equally spaced series should be, from those before it: pure, of any season.

Exponential smoothing of level and season on a logarithmic scale, made robust: what is unusual is neither learned nor
lets the band grow, a level that stays is learned after three values. After Gelper, Fried and Croux, Robust forecasting
with exponential and Holt-Winters smoothing, Journal of Forecasting 29 (2010). docs/adr/0013 compares it with libraries.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

_PERIODS = 3  # seasons before the first judgement
_VALUES = 10  # and values in them
_SEEN = 2  # values of a phase before one is judged
_WINDOW = 8  # seasons whose surprises are the noise
_LEAST_WINDOW = 56  # and values in them
_LARGEST = 700.0  # above it the exponential is not a number


@dataclass(frozen=True)
class Method:
    """How a series is judged; the defaults are those of tables by date, chosen on generated tables only.

    Attributes:
        threshold: width of the band, in standard deviations on each side.
        level, season: share of a usual value's surprise that is learned.
        least_noise: relative deviation below which no series is taken to be; 0.05 x 4 tolerates a fifth.
        new_level: unusual values in a row, all above or all below, after which they are the new level.
        young: how much wider the band is after one season; after n of them that much divided by the square of n.
    """

    threshold: float = 4.0
    level: float = 0.15
    season: float = 0.15
    least_noise: float = 0.05
    new_level: int = 3
    young: float = 6.0


class Judgement(NamedTuple):
    """What was known of a value before it came, in its unit.

    Attributes:
        low, high: the usual is between these, both included; `low` is below 0 only where a value was.
        seen_before: only usual because an earlier value that may be alike was as far off.
    """

    expected: float
    low: float
    high: float
    unusual: bool
    seen_before: bool = False


def judged(
    values: Sequence[float | None],
    *periods: int,
    method: Method | None = None,
    alike: Callable[[int], Collection[int]] = lambda _: (),
    special: Callable[[int], bool] = lambda _: False,
) -> Iterator[Judgement | None]:
    """Judges every value by those before it.

    Args:
        values: in equal distances; None or not finite where there is none.
        periods: values in a season; of several seasons that which says most precisely what was to come is believed.
        method: how; by default as tables are judged.
        alike: indices of earlier values that may be off in the same way, as the same holiday of the year before.
        special: whether a value is known to be off. It is never learned, and judged only where one alike was seen.

    Yields:
        one per value; None as long as too little is known, or where there is no value.
    """
    seasons = [_Series(period, method or Method()) for period in periods]
    for index, value in enumerate(values):
        scaled = _scaled(value) if value is not None and math.isfinite(value) else None
        found = [season.take(scaled, alike, special=special(index)) for season in seasons]
        yield found[0] if len(found) == 1 else _most_precise(found, seasons)


def _most_precise(found: Sequence[Judgement | None], seasons: Sequence[_Series]) -> Judgement | None:
    return min(zip(found, seasons, strict=True), key=lambda pair: (pair[0] is None, pair[1].width))[0]


class _Series:
    """What is known after some values; surprises are differences on the logarithmic scale."""

    def __init__(self, period: int, method: Method) -> None:
        self.period, self.method = period, method
        self.index = -1
        self.first: list[float | None] = []  # the values until there are enough of them
        self.begun = False
        self.level = 0.0
        self.season = [0.0] * period
        self.seen = [0] * period
        self.empty = [False] * period  # whether nothing at all was usual there
        self.noise = _Noise(max(_LEAST_WINDOW, _WINDOW * period))
        self.width = math.inf
        self.below_zero = False
        self.unusual: dict[int, float] = {}
        self.shift: list[float] = []

    def take(self, value: float | None, alike: Callable[[int], Collection[int]], *, special: bool) -> Judgement | None:
        self.index += 1
        phase = self.index % self.period
        self.below_zero |= value is not None and value < 0
        if not self.begun:
            self.first.append(None if special else value)
            self._begin()
            return None
        if value is None:
            return None
        if self.seen[phase] < _SEEN:
            self.seen[phase] += 1
            self.season[phase] = value - self.level
            return None
        return self._judge(self.level + self.season[phase], value, alike, special=special)

    def _begin(self) -> None:
        """Level and season are medians: one value in three may be off."""
        known = [value for value in self.first if value is not None]
        if len(self.first) < _PERIODS * self.period or len(known) < max(_VALUES, self.period):
            return
        middle = median(known)
        for phase in range(self.period):
            here = [value for value in self.first[phase :: self.period] if value is not None]
            self.seen[phase] = len(here)
            self.season[phase] = median(here) - middle if here else 0.0
            self.empty[phase] = bool(here) and median(here) == 0
        flat = [(i, v - self.season[i % self.period]) for i, v in enumerate(self.first) if v is not None]
        newest = [value for index, value in flat if index >= len(self.first) - 2 * self.period]
        self.begun, self.level = True, median(newest) if newest else middle
        for _, value in flat:
            self.noise.add(value - middle)
        self.first.clear()

    def _judge(
        self, expected: float, value: float, alike: Callable[[int], Collection[int]], *, special: bool
    ) -> Judgement | None:
        likely = _counted(expected)
        count = abs(likely)
        threshold = self.method.threshold * (1 + self.method.young * (self.period / self.index) ** 2)
        below, above = self.noise.deviations(self.method.least_noise)
        fewer, more = _by_chance(count, threshold)
        below, above = max(threshold * below, fewer), max(threshold * above, more)
        self.width = below + above
        surprise, low, high = value - expected, -below, above
        plain = low <= surprise <= high
        earlier = () if plain and not special else [i for i in alike(self.index) if i in self.unusual]
        for index in earlier:
            low, high = min(low, self.unusual[index] - below), max(high, self.unusual[index] + above)
        unusual = not low <= surprise <= high
        phase = self.index % self.period
        self.empty[phase] |= plain and value == 0
        nothing = value == 0 and not self.empty[phase]
        if not (unusual and nothing):  # however often: it makes neither the band wider nor a new level
            self.noise.add(min(max(surprise, -below), above))
        if plain and not special:
            self._learn(min(max(surprise, -below / 2), above / 2))
        else:
            self.unusual[self.index] = surprise
        if unusual and not special and not nothing:
            self._new_level(surprise)
        if special and not earlier:
            return None
        least = -math.inf if self.below_zero else 0.0
        lowest, highest = max(_counted(expected + low), least), _counted(expected + high)
        return Judgement(max(likely, least), lowest, highest, unusual, not unusual and not plain)

    def _learn(self, surprise: float) -> None:
        self.level += self.method.level * surprise
        self.season[self.index % self.period] += self.method.season * (1 - self.method.level) * surprise
        self.shift.clear()

    def _new_level(self, surprise: float) -> None:
        if self.shift and (self.shift[-1] > 0) != (surprise > 0):
            self.shift.clear()
        self.shift.append(surprise)
        if len(self.shift) >= self.method.new_level:
            self.level += median(self.shift)
            self.shift.clear()


class _Noise:
    """The newest surprises; a few large ones among them do not count, nor does any for ever."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.newest: deque[float] = deque()
        self.ordered: list[float] = []

    def add(self, surprise: float) -> None:
        insort(self.ordered, surprise)
        self.newest.append(surprise)
        if len(self.newest) > self.window:
            del self.ordered[bisect_left(self.ordered, self.newest.popleft())]

    def deviations(self, least: float) -> tuple[float, float]:
        """Standard deviations below and above, each by two quantiles: most series are not as likely to rise as to fall.

        Args:
            least: what there is at least.
        """
        count = len(self.ordered)
        below = -min(self.ordered[int(count * 0.16)], self.ordered[int(count * 0.04)] / 2)
        above = max(self.ordered[int(count * 0.84)], self.ordered[int(count * 0.96)] / 2)
        return math.hypot(max(below, 0.0), least), math.hypot(max(above, 0.0), least)


def _by_chance(count: float, threshold: float) -> tuple[float, float]:
    """How far below and above a count may be if things come independently: their root has a deviation of a half."""
    share = threshold / 2 / math.sqrt(count + 1)
    return -2 * math.log(max(1 - share, 1e-3)), 2 * math.log(1 + share)


def _scaled(value: float) -> float:
    """The logarithm, also of zero and of what is below."""
    return math.copysign(math.log1p(abs(value)), value)


def _counted(scaled: float) -> float:
    return math.copysign(math.expm1(min(abs(scaled), _LARGEST)), scaled)

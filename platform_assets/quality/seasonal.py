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


@dataclass(frozen=True)
class Judgement:
    """What was known of a value before it came, in its unit.

    Attributes:
        low, high: the usual is between these, both included.
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
        found = [(season, season.take(scaled, alike(index), special=special(index))) for season in seasons]
        yield min(found, key=lambda pair: (pair[1] is None, pair[0].width))[1]


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
        self.noise = _Noise(max(_LEAST_WINDOW, _WINDOW * period))
        self.width = math.inf
        self.unusual: dict[int, float] = {}
        self.shift: list[float] = []

    def take(self, value: float | None, alike: Collection[int], *, special: bool) -> Judgement | None:
        self.index += 1
        phase = self.index % self.period
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
        flat = [(i, v - self.season[i % self.period]) for i, v in enumerate(self.first) if v is not None]
        newest = [value for index, value in flat if index >= len(self.first) - 2 * self.period]
        self.begun, self.level = True, median(newest) if newest else middle
        for _, value in flat:
            self.noise.add(value - middle)
        self.first.clear()

    def _judge(self, expected: float, value: float, alike: Collection[int], *, special: bool) -> Judgement | None:
        count = abs(_counted(expected))
        below, above = self.noise.deviations(self.method.least_noise**2 + 1 / (count + 1))
        width = self.method.threshold * (1 + self.method.young * (self.period / self.index) ** 2)
        below, above = width * below, width * above
        self.width = below + above
        surprise = value - expected
        plain = -below <= surprise <= above
        earlier = [self.unusual[index] for index in alike if index in self.unusual]
        low, high = min([-below, *(off - below for off in earlier)]), max([above, *(off + above for off in earlier)])
        unusual = not low <= surprise <= high
        self.noise.add(min(max(surprise, -below), above))
        if plain and not special:
            self._learn(min(max(surprise, -below / 2), above / 2))
        else:
            self.unusual[self.index] = surprise
        if unusual and not special and not (value == 0 and count >= 1):  # nothing at all is never a level
            self._new_level(surprise)
        if special and not earlier:
            return None
        limits = _counted(expected + low), _counted(expected + high)
        return Judgement(_counted(expected), *limits, unusual, seen_before=not unusual and not plain)

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
            least: the variance that there is at least.
        """
        count = len(self.ordered)
        below = -min(self.ordered[int(count * 0.16)], self.ordered[int(count * 0.04)] / 2)
        above = max(self.ordered[int(count * 0.84)], self.ordered[int(count * 0.96)] / 2)
        return math.sqrt(max(below, 0.0) ** 2 + least), math.sqrt(max(above, 0.0) ** 2 + least)


def _scaled(value: float) -> float:
    """The logarithm, also of zero and of what is below."""
    return math.copysign(math.log1p(abs(value)), value)


def _counted(scaled: float) -> float:
    return math.copysign(math.expm1(min(abs(scaled), _LARGEST)), scaled)

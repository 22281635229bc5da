"""Rows per date of tables as a company has them, with incidents of which it is known what they are.

Weekdays, growth, a season of the year, holidays, noise that follows on itself and sometimes is large, level shifts.
The same seed always gives the same table.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random
from typing import Any

from platform_assets.quality.seasonal import Method
from platform_assets.quality.volume import Volume, judged_volumes

HOLIDAYS = {(1, 1), (4, 27), (5, 5), (7, 4), (11, 28), (12, 24), (12, 25), (12, 26), (12, 31)}
_SHIFTED = 28  # days after a shift in which an alarm is no false one
_FACTORS = {"drop": (0.05, 0.7), "missing": (0, 0), "spike": (1.6, 8), "twice": (2, 2), "partial": (0.3, 0.7)}
_CLEAR = 5  # deviations of the noise, from which on an incident is clear to see


@dataclass
class GeneratedTable:
    """Rows of every date since `start`.

    Attributes:
        incidents: what happened to a date, by its place: drop, partial, missing, spike or twice, and the factor.
        shifts: places from which on the level is another.
        holidays: places that are holidays with an effect.
        noise: standard deviation of the logarithm, without that of counting.
    """

    start: date
    rows: list[int]
    noise: float
    incidents: dict[int, tuple[str, float]] = field(default_factory=dict)
    shifts: list[int] = field(default_factory=list)
    holidays: set[int] = field(default_factory=set)

    @property
    def by_partition(self) -> dict[date, int]:
        """As `TableStatistics.rows_by_partition`: a date without rows is not in it."""
        return {self.start + timedelta(days=place): count for place, count in enumerate(self.rows) if count}


def generated_table(seed: int, days: int = 540, incidents_a_year: float = 4) -> GeneratedTable:
    """A table of its own kind for every seed."""
    random = Random(f"volumes/{seed}")
    noise, heavy = random.choice([0.02, 0.05, 0.08, 0.12, 0.2]), random.random() < 0.3
    weekdays = _weekdays(random)
    level, growth = 10 ** random.uniform(1.5, 6.5), random.uniform(-0.2, 1.2)
    yearly, phase = random.uniform(0, 0.2), random.uniform(0, 2 * math.pi)
    effects = {
        day: random.uniform(0.3, 0.8) if random.random() < 0.8 else random.uniform(1.3, 1.8) for day in sorted(HOLIDAYS)
    }
    keeps_holidays = random.random() < 0.5
    table = GeneratedTable(date(2024, 1, 1) + timedelta(days=random.randrange(7)), [], noise)
    if incidents_a_year and random.random() < 0.4 and days > 200:
        table.shifts.append(random.randrange(120, days - 60))
    shift = random.choice([0.4, 0.5, 0.6, 1.8, 2.5, 4.0])
    planned = _incidents(random, days, round(days / 365 * incidents_a_year), table.shifts)
    off = 0.0
    for place in range(days):
        day = table.start + timedelta(days=place)
        off = 0.3 * off + 0.95 * noise * random.gauss(0, 1) * (2.5 if heavy and random.random() < 0.03 else 1)
        mean = level * weekdays[day.weekday()] * (1 + growth) ** (place / 365) * math.exp(off)
        mean *= 1 + yearly * math.sin(2 * math.pi * place / 365 + phase)
        mean *= shift if table.shifts and place >= table.shifts[0] else 1
        if keeps_holidays and (day.month, day.day) in effects:
            mean *= effects[day.month, day.day]
            table.holidays.add(place)
        if place in planned and mean >= 1:
            table.incidents[place] = planned[place]
            mean *= planned[place][1]
        table.rows.append(_poisson(random, mean))
    return table


def assess(tables: Iterable[GeneratedTable], *, method: Method | None = None) -> dict[str, Any]:
    """Judges every date of the tables and counts what was found.

    Returns:
        `recall` of the incidents, also by kind and of those that are clear (5 deviations of the noise); `precision`, of
        all alarms and without those on holidays; `false_alarms_a_year` for each table, and those on holidays;
        `shift_alarms`, how often each level shift was told of in 60 days.
    """
    counted: Counter[str] = Counter()
    shift_alarms: list[int] = []
    for table in tables:
        volumes = _judged(table, method)
        for place, volume in enumerate(volumes):
            if volume.judgement:
                counted.update(_outcome(table, place, volume))
        for shift in table.shifts:
            after = [place for place in range(shift, min(shift + 60, len(volumes))) if place not in table.incidents]
            shift_alarms.append(sum(_is_unusual(volumes[place]) for place in after))
    years = counted["judged"] / 365
    kinds = sorted(name.removeprefix("incident ") for name in counted if name.startswith("incident "))
    return {
        "table_years": years,
        "incidents": counted["incident"],
        "recall": counted["found"] / counted["incident"] if counted["incident"] else None,
        "recall_of_clear": counted["found clear"] / counted["clear"] if counted["clear"] else None,
        "recall_by_kind": {kind: counted[f"found {kind}"] / counted[f"incident {kind}"] for kind in kinds},
        "precision": counted["found"] / max(1, counted["found"] + counted["false"] + counted["holiday"]),
        "precision_without_holidays": counted["found"] / max(1, counted["found"] + counted["false"]),
        "false_alarms_a_year": counted["false"] / years,
        "holiday_alarms_a_year": counted["holiday"] / years,
        "shift_alarms": sorted(shift_alarms),
    }


def _judged(table: GeneratedTable, method: Method | None) -> Sequence[Volume]:
    newest = table.start + timedelta(days=len(table.rows) - 1)
    judged = {v.partition: v for v in judged_volumes(table.by_partition, newest, daily=True, method=method)}
    dates = [table.start + timedelta(days=place) for place in range(len(table.rows))]
    return [judged.get(day, Volume(day, None, None, 0)) for day in dates]


def _outcome(table: GeneratedTable, place: int, volume: Volume) -> Iterable[str]:
    yield "judged"
    unusual = _is_unusual(volume)
    if place in table.incidents and volume.judgement:
        kind, factor = table.incidents[place]
        deviation = math.sqrt(table.noise**2 + 1 / max(1.0, volume.judgement.expected))
        clear = abs(math.log(max(factor, 1e-3))) > _CLEAR * deviation
        names = ["incident", f"incident {kind}", *(["clear"] if clear else [])]
        yield from names
        if unusual:
            yield from ("found", f"found {kind}", *(["found clear"] if clear else []))
    elif unusual and not any(0 <= place - shift < _SHIFTED for shift in table.shifts):
        yield "holiday" if place in table.holidays else "false"


def _is_unusual(volume: Volume) -> bool:
    return volume.judgement is not None and volume.judgement.unusual


def _weekdays(random: Random) -> list[float]:
    weekdays = [random.uniform(0.9, 1.1) for _ in range(7)]
    low, high = {"alike": (1, 1), "less": (0.2, 0.6), "more": (1.3, 2), "closed": (0, 0)}[
        random.choice(["alike", "less", "more", "closed"])
    ]
    return [*weekdays[:5], *(share * random.uniform(low, high) for share in weekdays[5:])]


def _incidents(random: Random, days: int, count: int, shifts: Sequence[int]) -> dict[int, tuple[str, float]]:
    planned: dict[int, tuple[str, float]] = {}
    for _ in range(count):
        place, kind = (
            random.randrange(35, days),
            random.choice(["drop", "drop", "missing", "spike", "twice", "partial"]),
        )
        lowest, highest = {
            "drop": (0.05, 0.7),
            "missing": (0, 0),
            "spike": (1.6, 8),
            "twice": (2, 2),
            "partial": (0.3, 0.7),
        }[kind]
        factor = random.uniform(lowest, highest)
        if any(abs(place - other) < 12 for other in (*planned, *shifts)):
            continue
        for day in range(place, min(days, place + (1 if random.random() < 0.7 else 2))):
            planned[day] = (kind, factor)
    return planned


def _poisson(random: Random, mean: float) -> int:
    if mean >= 50:
        return max(0, round(random.gauss(mean, math.sqrt(mean))))
    count, product, limit = 0, random.random(), math.exp(-mean)
    while product > limit:
        count += 1
        product *= random.random()
    return count

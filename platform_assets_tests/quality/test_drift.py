"""What counts as drift, over generated profiles: planted drift is found, usual months give next to no finding."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.quality.drift import column_findings, distance, schema_finding
from platform_assets.quality.profiles import ColumnProfile, Profile, bucket_in_words

FIRST = date(2026, 9, 1)
DAY = timedelta(days=1)
counts = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 1000), max_size=6)
Draw = Callable[[random.Random, date], float | None]


def profile(day: date, values: Sequence[float | None]) -> Profile:
    """A profile as DuckDB would make it of a column of numbers."""
    buckets = Counter(f"+{math.floor(4 * math.log2(value))}" for value in values if value is not None)
    column = ColumnProfile("amount", "double", values.count(None), len(set(values)), buckets)
    at = datetime.combine(day + DAY, time(1), UTC)
    return Profile("silver.orders", day, "1", 1, at, len(values), (column,))


def found(profiles: Sequence[Profile]) -> list[tuple[date | None, str]]:
    """What is unusual, judging each day by those before it."""
    return [
        (finding.partition, finding.watch.value)
        for number, look in enumerate(profiles)
        for finding in column_findings(look, profiles[: number + 1])
        if finding.unusual
    ]


def usual_amount(chance: random.Random, day: date) -> float | None:
    """Lognormal, dearer and more often unknown at weekends; 1 in 100 is null, at weekends 6."""
    weekend = day.weekday() >= 5
    if chance.random() < (0.06 if weekend else 0.01):
        return None
    return chance.lognormvariate(3.5 if weekend else 3.0, 1.0)


def month(seed: int, draw: Draw = usual_amount, days: int = 60, planted: Draw | None = None) -> list[Profile]:
    """Days of 200 to 2,000 rows, the last of them drawn otherwise."""
    chance = random.Random(seed)  # noqa: S311 - test data
    dates = [FIRST + number * DAY for number in range(days)]
    return [
        profile(
            day,
            [(planted or draw if day == dates[-1] else draw)(chance, day) for _ in range(chance.randint(200, 2000))],
        )
        for day in dates
    ]


def test_usual_months_give_next_to_no_false_alarm() -> None:
    judged = alarms = 0
    for seed in range(5):
        profiles = month(seed)
        alarms += len(found(profiles))
        judged += sum(len(column_findings(look, profiles)) for look in profiles)
    assert judged > 500
    assert alarms / judged < 0.005, f"{alarms} of {judged}"


@pytest.mark.parametrize(
    ("planted", "watch"),
    [
        (lambda _c, _d: None, "null_rate"),
        (lambda c, d: None if c.random() < 0.15 else usual_amount(c, d), "null_rate"),
        (lambda c, d: (usual_amount(c, d) or 1) * 100, "distribution"),
        (lambda c, d: (usual_amount(c, d) or 1) * 4, "distribution"),
        (lambda c, d: 1.0 if c.random() < 0.3 else usual_amount(c, d), "distribution"),
    ],
    ids=["all null", "15 % null", "times 100", "times 4", "30 % a default"],
)
def test_planted_drift_is_found_in_every_month(planted: Draw, watch: str) -> None:
    for seed in range(5):
        profiles = month(seed, planted=planted, days=40)
        assert watch in {finding.watch.value for finding in column_findings(profiles[-1], profiles) if finding.unusual}


def test_a_new_level_becomes_usual_within_a_month_and_is_no_alarm_for_ever() -> None:
    chance = random.Random(1)  # noqa: S311 - test data
    profiles = [
        profile(FIRST + n * DAY, [chance.lognormvariate(3.0 if n < 30 else 5.0, 1.0) for _ in range(400)])
        for n in range(70)
    ]
    alarms = {day for day, _ in found(profiles)}
    assert FIRST + 30 * DAY in alarms
    assert all(day is not None and day <= FIRST + 58 * DAY for day in alarms)


def test_one_bad_day_does_not_make_the_next_ones_unusual() -> None:
    profiles = month(3, planted=lambda _c, _d: None, days=30)
    chance = random.Random(9)  # noqa: S311 - test data
    after = [
        profile(FIRST + (30 + n) * DAY, [usual_amount(chance, FIRST + (30 + n) * DAY) for _ in range(800)])
        for n in range(7)
    ]
    assert {day for day, _ in found([*profiles, *after]) if day and day >= FIRST + 20 * DAY} == {FIRST + 29 * DAY}


@pytest.mark.parametrize(("rows", "known"), [(1000, 6), (199, 30)], ids=["new table", "small partitions"])
def test_new_tables_and_small_partitions_are_not_judged(rows: int, known: int) -> None:
    profiles = [profile(FIRST + n * DAY, [float(10 ** (n % 9))] * rows) for n in range(known)]
    assert column_findings(profile(FIRST + known * DAY, [None] * rows), profiles) == []


def test_a_table_without_dates_is_compared_with_its_earlier_days() -> None:
    looks = [replace(look, partition=None) for look in month(4, days=12)]
    changed = replace(profile(FIRST + 12 * DAY, [None] * 500), partition=None)
    (told,) = [finding for finding in column_findings(changed, looks) if finding.unusual]
    assert (told.watch.value, told.partition) == ("null_rate", None)
    assert column_findings(changed, looks[:6]) == []


def test_columns_that_come_and_go_are_told_for_a_day_unless_the_contract_has_a_new_version() -> None:
    profiles = month(1, days=3)
    last = profiles[-1].profiled_at

    def told(hours: int, version: int, **present: str) -> tuple[str, bool]:
        found = schema_finding("silver.orders", present, version, profiles, last + timedelta(hours=hours))
        assert found is not None
        return found.reason, found.unusual

    assert told(24, 1, amount="double") == ("as it was", False)
    assert told(24, 1, price="double") == (
        "price came, amount went since 2026-09-04 01:00, under the same contract version",
        True,
    )
    assert told(24, 2, amount="double", price="double") == (
        "price came since 2026-09-04 01:00, with version 2 of the contract",
        False,
    )
    assert told(23, 1, price="double")[0].endswith("since 2026-09-03 01:00, under the same contract version")
    assert schema_finding("silver.orders", {}, 1, [], last) is None


@given(counts, counts)
def test_the_distance_is_a_distance_between_0_and_1(one: dict[str, int], other: dict[str, int]) -> None:
    far = distance(one, other)
    assert 0 <= far <= 1 + 1e-9
    assert far == pytest.approx(distance(other, one))
    assert distance(one, {key: 3 * count for key, count in one.items()}) == pytest.approx(0, abs=1e-6)


def test_the_distance_of_what_has_nothing_in_common_is_1() -> None:
    assert distance({"a": 7}, {"b": 1}) == pytest.approx(1)
    # J. Lin's definition by hand: p = (1/2, 1/2), q = (1, 0).
    divergence = (0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(0.5 / 0.25) + math.log2(1 / 0.75)) / 2
    assert distance({"a": 1, "b": 1}, {"a": 5}) == pytest.approx(math.sqrt(divergence))


def test_a_changed_type_is_told_and_the_column_is_not_compared_with_what_it_was() -> None:
    profiles = month(1, days=20)
    now = profiles[-1].profiled_at + DAY
    told = schema_finding("silver.orders", {"amount": "string"}, 1, profiles, now)
    assert told is not None
    assert told.unusual
    assert told.reason.startswith("amount was double, is string since 2026-09-21 01:00")
    column = ColumnProfile("amount", "string", 900, 1, {"#1": 100})
    changed = Profile("silver.orders", FIRST + 20 * DAY, "1", 1, now, 1000, (column,))
    assert column_findings(changed, profiles) == []


@pytest.mark.parametrize(
    ("bucket", "words"),
    [
        ("=paid", "`paid`"),
        ("#7", "one of 32 groups of values"),
        ("0", "zero"),
        ("+24", "64 to 76.11"),
        ("--4", "-0.5 to -0.5946"),
    ],
)
def test_a_bucket_has_a_name(bucket: str, words: str) -> None:
    assert bucket_in_words(bucket) == words

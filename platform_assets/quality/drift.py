"""Whether a column looks as it usually does: null rate, distribution, the columns themselves. Pure.

A partition is compared with the 28 before it, and with those of the same weekday of the last 8 weeks: what is usual for
either is usual, so that a weekend is no drift. A column is not judged before 7 partitions of 200 rows are known, nor in
a partition with fewer, and its distribution not before the day is over.

Null rate: unusual beyond both 2 percentage points and 5 standard deviations from the median. The deviation is that of
earlier partitions (1.4826 times the median absolute deviation) together with that of a sample of so many rows.

Distribution: the Jensen-Shannon distance (J. Lin, "Divergence measures based on the Shannon entropy", IEEE Trans. Inf.
Theory 37.1, 1991; base 2: 0 is the same, 1 has nothing in common) to what the earlier partitions hold together. Unusual
beyond all of: 0.1, the usual threshold for it; the median of the distances at which each of the earlier ones lies from
the others, and 5 deviations; and what a sample of so many rows can differ by (the divergence of two samples of the same
distribution is about chi-squared, with one degree of freedom less than there are buckets).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any

from platform_assets.quality.findings import Finding, Watch
from platform_assets.quality.profiles import bucket_in_words

if TYPE_CHECKING:
    from platform_assets.quality.profiles import ColumnProfile, Profile

MINIMUM_ROWS = 200
MINIMUM_PARTITIONS = 7
_RECENT = 28
_WEEKS = 8
_DEVIATIONS = 5.0
_NULL_RATE_POINTS = 0.02
_DISTANCE = 0.1
_TOLD_FOR = timedelta(days=1)
_TO_DEVIATION = 1.4826  # of a normal distribution, by its median absolute deviation


@dataclass(frozen=True)
class _Usual:
    """What to compare a partition with, in words and profiles."""

    words: str
    profiles: Sequence[Profile]


def column_findings(profile: Profile, history: Sequence[Profile]) -> list[Finding]:
    """The judgements about every column of a partition; none where too little is known.

    Args:
        profile: the partition.
        history: every look at the table, oldest first; later ones and other partitions as well.
    """
    if profile.rows < MINIMUM_ROWS:
        return []
    usual = _usual(profile, history)
    day_is_over = profile.partition is None or profile.profiled_at.date() > profile.partition
    found = []
    for column in profile.columns:
        found.append(_nearest([_null_rate(profile, column, u) for u in usual]))
        if day_is_over and column.histogram:
            found.append(_nearest([_distribution(profile, column, u) for u in usual]))
    return [finding for finding in found if finding is not None]


def schema_finding(
    table: str, present: Mapping[str, str], contract_version: int, history: Sequence[Profile], now: datetime
) -> Finding | None:
    """Columns that came, went or changed type since yesterday's last look; None if nobody ever looked.

    Args:
        table: `layer.table`.
        present: logical type by column, as it is now.
        contract_version: version of the contract that says so.
        history: every look at the table, oldest first.
        now: of the judgement; a change is told for a day.
    """
    if not history:
        return None
    before = next((look for look in reversed(history) if now - look.profiled_at >= _TOLD_FOR), history[0])
    was = before.types
    changes = [f"{name} came" for name in present if name not in was]
    changes += [f"{name} went" for name in was if name not in present]
    changes += [f"{n} was {was[n]}, is {present[n]}" for n in present if n in was and was[n] != present[n]]
    announced = contract_version != before.contract_version
    version = f"with version {contract_version} of the contract" if announced else "under the same contract version"
    reason = f"{', '.join(changes)} since {before.profiled_at:%Y-%m-%d %H:%M}, {version}" if changes else "as it was"
    unusual = bool(changes) and not announced
    return Finding(Watch.SCHEMA, table, None, float(len(changes)), unusual, reason, low=0.0, high=0.0)


def distance(one: Mapping[Any, int], other: Mapping[Any, int]) -> float:
    """The Jensen-Shannon distance of two histograms, base 2; 0 if one of them is empty."""
    rows, others = sum(one.values()), sum(other.values())
    if not rows or not others:
        return 0.0
    divergence = 0.0
    for bucket in one.keys() | other.keys():
        p, q = one.get(bucket, 0) / rows, other.get(bucket, 0) / others
        middle = (p + q) / 2
        divergence += sum(share * math.log2(share / middle) for share in (p, q) if share) / 2
    return math.sqrt(max(divergence, 0.0))


def _usual(profile: Profile, history: Sequence[Profile]) -> list[_Usual]:
    if profile.partition is None:
        days = {p.profiled_at.date(): p for p in history if p.profiled_at.date() < profile.profiled_at.date()}
        known = [look for look in days.values() if look.rows >= MINIMUM_ROWS]
        weekdays: list[Profile] = []
    else:
        today = profile.partition
        dated = {p.partition: p for p in history if p.partition is not None and p.partition < today}
        known = [dated[day] for day in sorted(dated) if dated[day].rows >= MINIMUM_ROWS]
        same = {today - timedelta(weeks=week) for week in range(1, _WEEKS + 1)}
        weekdays = [look for look in known if look.partition in same]
    if len(known) < MINIMUM_PARTITIONS:
        return []
    recent = known[-_RECENT:]
    found = [_Usual(f"in the last {len(recent)}", recent)]
    if weekdays:
        found.append(_Usual(f"on this weekday, of which {len(weekdays)} are known,", weekdays))
    return found


def _nearest(judgements: Sequence[Finding | None]) -> Finding | None:
    """The first that finds it usual, or else the first."""
    found = [judgement for judgement in judgements if judgement is not None]
    return next((finding for finding in found if not finding.unusual), found[0] if found else None)


def _null_rate(profile: Profile, column: ColumnProfile, usual: _Usual) -> Finding | None:
    before = [(look.rows, known.nulls) for look, known in _same_column(column, usual)]
    if not before:
        return None
    rates = [nulls / rows for rows, nulls in before]
    middle, spread = _middle_and_deviation(rates)
    # The rule of succession: that none was ever null does not mean that none can be.
    likely = (sum(nulls for _, nulls in before) + 1) / (sum(rows for rows, _ in before) + 2)
    sampled = likely * (1 - likely) / profile.rows
    width = max(_NULL_RATE_POINTS, _DEVIATIONS * math.sqrt(spread**2 + sampled))
    low, high, rate = max(middle - width, 0.0), min(middle + width, 1.0), column.nulls / profile.rows
    unusual = not low <= rate <= high
    reason = (
        f"{rate:.1%} of {profile.rows:,} rows are null; {usual.words} it was {middle:.1%}, up to {high:.1%} is usual"
    )
    return Finding(Watch.NULL_RATE, profile.table, profile.partition, rate, unusual, reason, column.name, low, high)


def _distribution(profile: Profile, column: ColumnProfile, usual: _Usual) -> Finding | None:
    known = [known.histogram for _, known in _same_column(column, usual)]
    together = sum(map(Counter, known), Counter[str]())
    rows, others = sum(column.histogram.values()), sum(together.values())
    if rows < MINIMUM_ROWS or others < MINIMUM_ROWS:
        return None
    group = grouping(together)
    now, all_before, before = group(column.histogram), group(together), [group(counts) for counts in known]
    middle, spread = _middle_and_deviation([distance(counts, all_before - counts) for counts in before])
    by_chance = _by_chance(len(now.keys() | all_before.keys()), rows, others)
    high, far = max(_DISTANCE, middle + _DEVIATIONS * spread, by_chance), distance(now, all_before)
    reason = f"values lie {far:.2f} from those {usual.words}; up to {high:.2f} is usual"
    if far > high:
        reason += f"; {_most_changed(column.histogram, together)}"
    return Finding(
        Watch.DISTRIBUTION, profile.table, profile.partition, far, far > high, reason, column.name, 0.0, high
    )


def grouping(together: Mapping[str, int]) -> Callable[[Mapping[str, int]], Counter[int]]:
    """How buckets are put together before they are compared, so that chance does not fill or empty one.

    Numbers: neighbours, until they hold a twelfth of the rows, as the deciles of a population stability index; what
    lies beyond all of them belongs to the outermost. Anything else: what holds less than a fiftieth is one group.
    """
    rows = sum(together.values())
    if any(place is None for place in map(_place, together)):
        large = {bucket: number for number, bucket in enumerate(together, 1) if 50 * together[bucket] >= rows}
        return lambda counts: _summed((large.get(bucket, 0), count) for bucket, count in counts.items())
    ends: list[tuple[int, int]] = []
    held = 0
    for place, count in sorted((_place(bucket) or (0, 0), count) for bucket, count in together.items()):
        held += count
        if 12 * held >= rows:
            ends.append(place)
            held = 0
    return lambda counts: _summed((bisect_left(ends, _place(bucket) or (0, 0)), n) for bucket, n in counts.items())


def _place(bucket: str) -> tuple[int, int] | None:
    """Where a bucket of numbers lies on the line; None for one of anything else."""
    sign = {"-": -1, "0": 0, "+": 1}.get(bucket[:1])
    if sign is None:
        return None
    size = bucket[1:] or "0"
    return sign, sign * (int(size) if size.lstrip("-").isdigit() else 1 << 20)


def _summed(counts: Iterable[tuple[int, int]]) -> Counter[int]:
    total = Counter[int]()
    for group, count in counts:
        total[group] += count
    return total


def _same_column(column: ColumnProfile, usual: _Usual) -> list[tuple[Profile, ColumnProfile]]:
    """What earlier partitions say of the column, as long as it had this type."""
    return [
        (look, known)
        for look in usual.profiles
        for known in look.columns
        if known.name == column.name and known.type == column.type
    ]


def _middle_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    middle = median(values)
    return middle, _TO_DEVIATION * median(abs(value - middle) for value in values)


def _by_chance(buckets: int, rows: int, others: int) -> float:
    """The distance that two samples of one distribution hardly ever exceed."""
    freedom = max(buckets - 1, 1)
    unlikely = freedom + _DEVIATIONS * math.sqrt(2 * freedom)
    return math.sqrt(unlikely * (1 / rows + 1 / others) / (8 * math.log(2)))


def _most_changed(counts: Mapping[str, int], together: Mapping[str, int]) -> str:
    """The bucket of which the share changed most."""
    rows, others = sum(counts.values()), sum(together.values())
    shares = {
        key: (counts.get(key, 0) / rows, together.get(key, 0) / others) for key in counts.keys() | together.keys()
    }
    bucket, (now, was) = max(shares.items(), key=lambda share: (abs(share[1][0] - share[1][1]), share[0]))
    return f"{bucket_in_words(bucket)}: {now:.1%} of the rows, {was:.1%} before"

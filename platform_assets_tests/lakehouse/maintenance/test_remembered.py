"""What is left of expired commits tells the same as all of them did."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from platform_assets.lakehouse.commits import Commit
from platform_assets.lakehouse.progress import progress_of
from platform_assets.lakehouse.remembered import (
    REMEMBERED,
    Remembered,
    _read,
    arrivals_of,
    as_property,
    essential,
    with_expired,
)

START = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
DAYS = [date(2026, 3, day) for day in (1, 2, 3)]


@st.composite
def histories(draw: st.DrawFn) -> list[Commit]:
    """Commits of a table, of which each says all or little."""
    at, found = START, []
    for _ in range(draw(st.integers(0, 12))):
        at += timedelta(minutes=draw(st.integers(1, 400)))
        found.append(
            Commit(
                at,
                draw(st.sampled_from([None, *DAYS])),
                draw(st.sampled_from(["1-a", "1-b", "2-c"])),
                rows=draw(st.integers(0, 2)),
                touched=draw(st.none() | st.lists(st.sampled_from(DAYS), unique=True).map(tuple)),
                rows_in=draw(st.none() | st.integers(0, 9)),
                rows_duplicate=draw(st.none() | st.integers(0, 9)),
                made_of=draw(st.sampled_from([None, "x", "y"])),
            )
        )
    return found


@given(histories(), st.integers(0, 12), st.integers(0, 12))
def test_progress_is_the_same_whenever_commits_expire(commits: list[Commit], first: int, second: int) -> None:
    cut, end = sorted((min(first, len(commits)), min(second, len(commits))))
    told = with_expired(Remembered(), cut, commits[:cut])
    told = with_expired(told, end, commits[cut:end])
    left = [*told.commits, *commits[end:]]
    assert replace(progress_of(left), arrivals=()) == replace(progress_of(commits), arrivals=())
    assert essential(told.commits) == told.commits


@given(histories())
def test_a_property_says_what_was_put_into_it(commits: list[Commit]) -> None:
    told = with_expired(Remembered(), len(commits), commits)
    assert _read(as_property(told)[REMEMBERED]) == told


@given(histories())
def test_of_each_hour_the_first_and_the_last_arrival_are_kept(commits: list[Commit]) -> None:
    known, kept = arrivals_of(commits), with_expired(Remembered(), 1, commits).arrivals
    assert set(kept) <= set(known)
    for arrival in known:
        in_hour = [one for one in kept if one.replace(minute=0) == arrival.replace(minute=0)]
        assert min(in_hour) <= arrival <= max(in_hour)
        assert len(in_hour) <= 2


def test_little_is_kept_of_many_arrivals() -> None:
    moments = [START + number * timedelta(minutes=10) for number in range(5_000)]
    commits = [Commit(at, at.date(), f"1-{at}", touched=(at.date(),)) for at in moments]
    told = with_expired(Remembered(), len(commits), commits)
    assert len(told.commits) == len({commit.partition for commit in commits})
    assert len(told.arrivals) <= 2 * 24 * 36
    assert len(as_property(told)[REMEMBERED]) < 30_000

"""`ops.quality`: what is kept of every look, and how it is read back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from platform_assets.lakehouse import publisher
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.publisher import ConcurrentPublish
from platform_assets.lakehouse.query import query
from platform_assets.quality.findings import Finding, Watch
from platform_assets.quality.store import current, judged_after, latest, record
from platform_assets_tests.quality.tables import DAY, FIRST, noon

NOW = noon(FIRST + 3 * DAY)
HOUR = timedelta(hours=1)
VOLUME = Finding(Watch.VOLUME, "gold.orders", FIRST, 400.0, unusual=False, reason="it's so", low=300.5, high=500.0)
NULLS = Finding(Watch.NULL_RATE, "gold.orders", FIRST, 0.5, unusual=True, reason="half", subject="amount")


def test_what_is_judged_or_measured_otherwise_is_added_and_shifting_bounds_are_no_news(lakehouse: Lakehouse) -> None:
    assert record(lakehouse, [], NOW) == []
    assert lakehouse.tables() == []
    assert record(lakehouse, [VOLUME, NULLS], NOW) == [VOLUME, NULLS]
    assert record(lakehouse, [replace(VOLUME, low=299.0, reason="alike"), NULLS], NOW + HOUR) == []
    usual = replace(NULLS, unusual=False)
    more = replace(VOLUME, observed=401.0)
    assert record(lakehouse, [more, usual], NOW + 2 * HOUR) == [more, usual]
    other_day = replace(VOLUME, partition=FIRST + DAY)
    whole = replace(VOLUME, partition=None)
    assert record(lakehouse, [other_day, whole, more], NOW + 3 * HOUR) == [other_day, whole]
    assert query(lakehouse, "SELECT count(*), count(DISTINCT judged_at) FROM ops.quality")[1] == [(6, 3)]
    assert record(lakehouse, [more], NOW + 36 * DAY) == [more]  # what was told long ago is told again


def test_findings_are_read_back_as_they_were_the_newest_partition_first(lakehouse: Lakehouse) -> None:
    next_day = replace(NULLS, partition=FIRST + DAY, unusual=False, observed=0.0)
    record(lakehouse, [VOLUME, NULLS], NOW)
    record(lakehouse, [next_day], NOW + HOUR)
    assert [(found.finding, found.at) for found in latest(lakehouse, NOW + DAY)] == [
        (next_day, NOW + HOUR),
        (NULLS, NOW),
        (VOLUME, NOW),
    ]
    assert [found.finding for found in current(lakehouse, NOW + DAY)] == [next_day, VOLUME]
    assert [found.finding for found in judged_after(lakehouse, NOW)] == [next_day]
    assert [found.finding for found in judged_after(lakehouse, NOW - HOUR)] == [NULLS, VOLUME, next_day]
    assert latest(lakehouse, NOW + 40 * DAY) == []


def test_nothing_is_known_before_the_first_look(lakehouse: Lakehouse) -> None:
    assert (latest(lakehouse, NOW), current(lakehouse, NOW), judged_after(lakehouse, NOW)) == ([], [], [])


def test_two_that_record_at_the_same_time_tell_it_once(lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    append, others = publisher.append, [1]

    def overtaken(*arguments: Any, **options: Any) -> object:  # noqa: ANN401 - the publisher's
        if others:
            others.clear()
            record(lakehouse, [VOLUME], NOW)
        return append(*arguments, **options)

    record(lakehouse, [NULLS], NOW - HOUR)
    monkeypatch.setattr(publisher, "append", overtaken)
    assert record(lakehouse, [VOLUME, NULLS], NOW + HOUR) == []
    assert query(lakehouse, "SELECT count(*) FROM ops.quality")[1] == [(2,)]


def test_who_is_always_overtaken_gives_up_and_says_so(lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    def overtaken(*_: object, **__: object) -> object:
        raise ConcurrentPublish("busy")

    monkeypatch.setattr(publisher, "append", overtaken)
    with pytest.raises(ConcurrentPublish):
        record(lakehouse, [VOLUME], NOW)

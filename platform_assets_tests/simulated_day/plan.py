"""What happens on the simulated day: which records arrive when, which of them late, bad or twice, and who is silent."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

from platform_assets_tests.arrivals import json_lines, web_event

DAY = date(2026, 3, 12)
STEP, HALF_STEP = timedelta(hours=1), timedelta(minutes=30)
FIRST = datetime(2026, 3, 11, 23, 5, tzinfo=UTC)
CARTS, EVENTS = "fakestore_carts", "web_events"
SNAPSHOTS = ("fakestore_products", "fakestore_users")
# Onboarded from a sample, one file format each; they deliver at five past every hour.
HOURLY = {
    "harbour_readings": "jsonl",
    "north_readings": "csv",
    "south_readings": "jsonl",
    "west_readings": "csv",
}
_COLUMNS = ("reading_id", "station_id", "measured_at", "temperature_celsius", "state")
_STATES = ("ok", "low", "high")
_OBJECTS_AN_HOUR, _READINGS = 20, 12
_OBJECTS_OF_EVENTS, _EVENTS = 30, 20
_CARTS = 50
_LATE_STEPS = 4  # every so many steps, late records come: 5 % of all
_LATE, _BAD, _TWICE = 0.2, 0.01, 0.01


@dataclass(frozen=True)
class Outage:
    """A source that is silent from a moment on, and whether it delivers what it owes when it is back."""

    source: str
    since: datetime
    until: datetime
    owes: bool


OUTAGES = (
    Outage(
        "north_readings", datetime(2026, 3, 12, 7, 30, tzinfo=UTC), datetime(2026, 3, 12, 12, tzinfo=UTC), owes=True
    ),
    Outage(
        "south_readings", datetime(2026, 3, 12, 15, 30, tzinfo=UTC), datetime(2026, 3, 12, 19, tzinfo=UTC), owes=False
    ),
    Outage(EVENTS, datetime(2026, 3, 12, 9, 30, tzinfo=UTC), datetime(2026, 3, 12, 12, 30, tzinfo=UTC), owes=True),
)


@dataclass
class Step:
    """What arrives at one moment.

    Attributes:
        objects: name and content of what is dropped into the landing bucket.
        messages: what is published to the shop's topic.
        touched: of each source, the dates of its events.
        late, bad, records: how many there are.
    """

    at: datetime
    objects: list[tuple[str, bytes]] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    touched: dict[str, set[date]] = field(default_factory=dict)
    late: int = 0
    bad: int = 0
    records: int = 0

    @property
    def arrivals(self) -> int:
        """Objects and messages."""
        return len(self.objects) + len(self.messages)


def plan(steps: int, seed: int = 7) -> list[Step]:
    """The first steps of the day; the same seed gives the same day."""
    made = _Day(Random(seed))  # noqa: S311 - a day that can be repeated
    return [made.step(number) for number in range(steps)]


def _outage(source: str, at: datetime) -> Outage | None:
    return next((outage for outage in OUTAGES if outage.source == source and outage.since <= at < outage.until), None)


class _Day:
    def __init__(self, random: Random) -> None:
        self._random = random
        self._number = 0
        self._owed: dict[str, list[tuple[str, bytes, set[date]]]] = {}
        self._before: dict[str, dict[str, Any]] = {}

    def step(self, number: int) -> Step:
        step = Step(FIRST + number * STEP)
        late = number % _LATE_STEPS == _LATE_STEPS - 1
        for source, file_format in HOURLY.items():
            self._deliver(step, source, _OBJECTS_AN_HOUR, _READINGS, file_format, late=late)
        self._deliver(step, EVENTS, _OBJECTS_OF_EVENTS, _EVENTS, "jsonl.gz", late=late)
        records = list(self._records(step, CARTS, _CARTS, late=late))
        step.messages = [json.dumps(record).encode() for record, _ in records]
        step.touched[CARTS] = {day for _, day in records}
        return step

    def _deliver(self, step: Step, source: str, objects: int, records: int, file_format: str, *, late: bool) -> None:
        owed = self._owed.setdefault(source, [])
        for number in range(objects):
            found = list(self._records(step, source, records, late=late))
            name = f"{step.at:%H%M}-{number:02}.{file_format}"
            content = _content([record for record, _ in found], file_format)
            if late and number == 0:
                content = content[: len(content) // 2]  # cut off on its way: what can be read of it is taken
            owed.append((name, content, {day for _, day in found}))
        outage = _outage(source, step.at)
        if outage is None:
            for name, content, days in owed:
                step.objects.append((f"source={source}/date={step.at:%Y-%m-%d}/{name}", content))
                step.touched.setdefault(source, set()).update(days)
        if outage is None or not outage.owes:
            owed.clear()

    def _records(self, step: Step, source: str, count: int, *, late: bool) -> Iterator[tuple[dict[str, Any], date]]:
        for _ in range(count):
            self._number += 1
            step.records += 1
            happened = step.at - timedelta(seconds=self._random.randint(0, 3_300))
            if late and self._random.random() < _LATE:
                happened -= timedelta(days=self._random.randint(1, 3))
                step.late += 1
            record = _RECORDS.get(source, _reading)(self._number, happened, self._random)
            if self._random.random() < _BAD:
                record.update(_BROKEN.get(source, {"state": "melted"}))
                step.bad += 1
            elif self._random.random() < _TWICE and source in self._before:
                record = self._before[source]
            self._before[source] = record
            yield record, date.fromisoformat(record[_EVENT_TIME.get(source, "measured_at")][:10])


def _reading(number: int, happened: datetime, random: Random) -> dict[str, Any]:
    return {
        "reading_id": f"r{number:07}",
        "station_id": f"s{random.randint(1, 9)}",
        "measured_at": f"{happened:%Y-%m-%dT%H:%M:%SZ}",
        "temperature_celsius": round(random.uniform(-5, 30), 1),
        "state": random.choice(_STATES),
    }


def _event(number: int, happened: datetime, random: Random) -> dict[str, Any]:
    return web_event(
        number,
        "",
        event_timestamp=f"{happened:%Y-%m-%dT%H:%M:%S.000Z}",
        user_id=f"user_{random.randint(1, 300)}",
        event_type=random.choice(("page_view", "add_to_cart", "purchase")),
        email=f"user{random.randint(1, 300)}@example.com",
    )


def _cart(number: int, happened: datetime, random: Random) -> dict[str, Any]:
    lines = [
        {"product_id": random.randint(1, 20), "quantity": random.randint(1, 4)} for _ in range(random.randint(1, 3))
    ]
    return {
        "event_id": str(uuid.UUID(int=number)),
        "event_type": "cart_created",
        "extracted_at": f"{happened:%Y-%m-%dT%H:%M:%SZ}",
        "published_at": f"{happened:%Y-%m-%dT%H:%M:%SZ}",
        "cart_id": 10_000 + number,
        "user_id": random.randint(1, 10),
        "cart_date": f"{happened:%Y-%m-%dT%H:%M:%SZ}",
        "products": lines,
    }


def sample(rows: int = 60) -> list[dict[str, Any]]:
    """Readings to onboard a source from."""
    random = Random(1)  # noqa: S311 - as above
    return [_reading(number, FIRST - timedelta(hours=number), random) for number in range(1, rows + 1)]


def text_of(records: list[dict[str, Any]], file_format: str) -> bytes:
    """A file of readings."""
    return _content(records, file_format)


def _content(records: list[dict[str, Any]], file_format: str) -> bytes:
    if file_format == "csv":
        rows = [_COLUMNS, *([str(record[name]) for name in _COLUMNS] for record in records)]
        return "".join(f"{','.join(row)}\n" for row in rows).encode()
    lines = json_lines(records)
    return gzip.compress(lines, mtime=0) if file_format.endswith(".gz") else lines


_RECORDS = {EVENTS: _event, CARTS: _cart}
_BROKEN: dict[str, dict[str, Any]] = {EVENTS: {"event_type": "teleport"}, CARTS: {"user_id": 999}}
_EVENT_TIME = {EVENTS: "event_timestamp", CARTS: "cart_date"}

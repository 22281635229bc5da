"""In whatever order publishes and maintenance come, the rows are those of the publishes alone."""

from __future__ import annotations

import tempfile
from datetime import date, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.maintenance.expiry import expire
from platform_assets.lakehouse.maintenance.orphans import remove_orphans
from platform_assets.lakehouse.maintenance.retention import Keep, delete_expired
from platform_assets.lakehouse.progress import Progress, progress
from platform_assets.settings import Settings
from platform_assets_tests.lakehouse.bronze_rows import PII_KEY
from platform_assets_tests.lakehouse.maintenance import events
from platform_assets_tests.lakehouse.maintenance.events import DAY, EVENTS, NEXT, Rows

DAYS = st.sampled_from([DAY, NEXT])


class AnyOrder(RuleBasedStateMachine):
    """Publishes, maintenance, and readers that plan at any moment and read at any later one."""

    def __init__(self) -> None:
        """A table with one arrival, and nobody who reads it yet."""
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.lakehouse = Lakehouse(Settings(home=Path(self._folder.name), pii_key=PII_KEY))
        self.expected: Rows = []
        self.readers: list[tuple[str, Rows]] = []
        self.known = Progress()
        self.number = 0

    @initialize()
    def first(self) -> None:
        """The first arrival."""
        self.arrival(DAY)

    @rule(day=DAYS)
    def arrival(self, day: date) -> None:
        """A file more."""
        self.number += 10
        events.append(self.lakehouse, day, 2, self.number)
        self._expect([*self.expected, *self._of(day)])

    @rule(day=DAYS)
    def rebuild(self, day: date) -> None:
        """A partition replaced."""
        self.number += 10
        events.replace(self.lakehouse, day, 2, self.number)
        self._expect([*(row for row in self.expected if row[-1] != day), *self._of(day)])

    @rule()
    def plan(self) -> None:
        """Somebody begins to read."""
        self.readers.append((events.planned(self.lakehouse), self.expected))

    @rule()
    def compact(self) -> None:
        """Small files are merged."""
        events.merge(self.lakehouse)

    @precondition(lambda self: not self.readers)
    @rule()
    def expire_all(self) -> None:
        """All but the newest snapshot expire and their files go: whoever planned before has long finished."""
        expire(self.lakehouse, EVENTS.table, events.later())
        events.age(self.lakehouse)
        remove_orphans(self.lakehouse, EVENTS.table, events.days_ago(3))

    @rule()
    def expire_old(self) -> None:
        """Snapshots expire; the files that they had stay for the time being."""
        expire(self.lakehouse, EVENTS.table, events.later())

    @rule()
    def finish(self) -> None:
        """Whoever reads comes to an end."""
        for source, rows in self.readers:
            assert events.read(self.lakehouse, source) == rows
        self.readers.clear()

    @rule()
    def retain(self) -> None:
        """Old partitions go."""
        delete_expired(self.lakehouse, Keep(EVENTS.table, "day", 1), NEXT + timedelta(days=1))
        self.expected = [row for row in self.expected if row[-1] == NEXT]

    @invariant()
    def rows_are_as_published(self) -> None:
        """No row came, went or changed, and nobody sees a publish that was none."""
        if self.number:
            assert events.rows(self.lakehouse) == self.expected
            assert progress(self.lakehouse.catalog.load_table(EVENTS.table)) == self.known

    def _of(self, day: date) -> Rows:
        with self.lakehouse.connect() as connection:
            of_contract = "SELECT * REPLACE (CAST(amount AS DECIMAL(18, 2)) AS amount)"
            return connection.execute(f"{of_contract} FROM {events.rows_of(day, 2, self.number)}").fetchall()

    def _expect(self, rows: Rows) -> None:
        self.expected = sorted(rows, key=lambda row: int(str(row[0])))  # rows of one id are the same
        self.known = progress(self.lakehouse.catalog.load_table(EVENTS.table))

    def teardown(self) -> None:
        """Readers come to an end, and the table goes."""
        self.finish()
        self._folder.cleanup()


AnyOrder.TestCase.settings = settings(max_examples=6, stateful_step_count=8, deadline=None)
TestAnyOrder = AnyOrder.TestCase


@given(st.lists(st.tuples(DAYS, st.integers(1, 4)), min_size=2, max_size=6))
@settings(max_examples=4, deadline=None)
def test_a_table_is_the_same_with_and_without_maintenance(arrivals: list[tuple[date, int]]) -> None:
    found = []
    for maintained in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            lakehouse = Lakehouse(Settings(home=Path(folder), pii_key=PII_KEY))
            for number, (day, count) in enumerate(arrivals):
                events.append(lakehouse, day, count, number)
                if maintained:
                    events.merge(lakehouse)
                    expire(lakehouse, EVENTS.table, events.later())
                    events.age(lakehouse)
                    remove_orphans(lakehouse, EVENTS.table, events.days_ago(3))
            found.append(events.rows(lakehouse))
            if maintained:
                assert len(events.live_files(lakehouse)) == len({day for day, _ in arrivals})
    assert found[0] == found[1]

"""Told once, repeated seldom, told when over: for any course of events."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from platform_assets.automation.alerts.incidents import (
    CLEAR_AFTER,
    Incident,
    Kind,
    Observation,
    Verdict,
    advance,
    is_over,
    owed,
    told,
)
from platform_assets.sources.model import AlertSeverity

START = datetime(2026, 11, 20, 8, tzinfo=UTC)
QUIET = timedelta(hours=4)
ROUTES = ("slack-data", "pagerduty")
STORED = TypeAdapter(dict[str, Incident])
LATE = Observation(Kind.FRESHNESS, "gold.fact_orders", "materialised 3 h ago", START)


class Tick(NamedTuple):
    """What happens at one evaluation."""

    failing: bool | None  # None: nothing was observed
    minutes: int = 1
    silenced: bool = False
    reached: frozenset[str] = frozenset(ROUTES)


class Told(NamedTuple):
    """A message that arrived."""

    at: datetime
    route: str
    recovered: bool


class Simulation:
    """The pure logic with a clock and with routes that are sometimes out of reach; restarted at every tick."""

    def __init__(self, *, lasting: bool) -> None:
        self.now, self.lasting = START, lasting
        self.incidents: dict[str, Incident] = {}
        self.told: list[Told] = []

    def tick(self, tick: Tick) -> None:
        """One evaluation, and a restart."""
        self.now += timedelta(minutes=tick.minutes)
        seen = []
        if tick.failing is not None and (tick.failing or self.lasting):
            seen = [replace(LATE, failing=tick.failing, since=self.now, lasting=self.lasting)]
        surveyed = set() if self.lasting or tick.failing is None else {Kind.FRESHNESS}
        verdict = Verdict("Late", AlertSeverity.WARNING, ROUTES)
        moved = advance(self.incidents, seen, surveyed, lambda _: verdict, self.now)
        moved, due = owed(moved, lambda _: tick.silenced, self.now, QUIET)
        for route, fingerprints in due.items():
            if route in tick.reached:
                for fingerprint in fingerprints:
                    self.told.append(Told(self.now, route, not moved[fingerprint].open))
                    moved[fingerprint] = told(moved[fingerprint], route, self.now)
        restarted = STORED.validate_json(STORED.dump_json(moved))
        assert restarted == moved
        self.incidents = {key: incident for key, incident in restarted.items() if not is_over(incident)}

    def run(self, *ticks: Tick) -> list[Told]:
        """Several of them; returns all that ever arrived."""
        for tick in ticks:
            self.tick(tick)
        return self.told


BAD, GOOD, UNSEEN = Tick(failing=True), Tick(failing=False), Tick(failing=None)
TICKS = st.lists(
    st.builds(
        Tick,
        failing=st.sampled_from([True, False, None]),
        minutes=st.integers(1, 300),
        silenced=st.booleans(),
        reached=st.frozensets(st.sampled_from(ROUTES)),
    ),
    max_size=20,
)


@given(ticks=TICKS, lasting=st.booleans())
def test_who_hears_of_the_beginning_hears_of_the_end_and_repeats_are_rare(ticks: list[Tick], lasting: bool) -> None:
    simulation = Simulation(lasting=lasting)
    simulation.run(*ticks, *[GOOD] * (CLEAR_AFTER + 1))
    assert simulation.incidents == {}
    for route in ROUTES:
        messages = [message for message in simulation.told if message.route == route]
        assert not messages or messages[-1].recovered
        for before, after in pairwise(messages):
            if not before.recovered and not after.recovered:
                assert after.at - before.at >= QUIET


@given(ticks=TICKS, lasting=st.booleans())
def test_a_route_that_is_always_reached_hears_no_end_without_a_beginning(ticks: list[Tick], lasting: bool) -> None:
    simulation = Simulation(lasting=lasting)
    simulation.run(*(tick._replace(reached=frozenset(ROUTES)) for tick in ticks))
    messages = [message for message in simulation.told if message.route == ROUTES[0]]
    assert not messages or not messages[0].recovered
    assert not any(before.recovered and after.recovered for before, after in pairwise(messages))


@given(ticks=TICKS)
def test_nobody_hears_less_than_the_other_who_was_always_reached(ticks: list[Tick]) -> None:
    always = Simulation(lasting=False).run(*(tick._replace(reached=frozenset(ROUTES)) for tick in ticks))
    first = next((message for message in always if not message.recovered), None)
    broken = Simulation(lasting=False)
    broken.run(*(tick._replace(reached=frozenset()) for tick in ticks))
    assert broken.told == []
    broken.run(*[GOOD] * CLEAR_AFTER)
    assert {message.route for message in broken.told} == (set(ROUTES) if first else set())


@given(flaps=st.lists(st.sampled_from([BAD, GOOD]), min_size=1, max_size=40))
def test_what_flaps_without_two_clear_looks_in_a_row_is_one_incident(flaps: list[Tick]) -> None:
    ticks = [BAD]
    for flap in flaps:
        ticks.append(BAD if ticks[-1] == GOOD else flap)
    begun = Simulation(lasting=False).run(*ticks)
    assert [(message.route, message.recovered) for message in begun] == [(route, False) for route in ROUTES]


def test_an_incident_is_told_once_and_again_after_the_quiet_period() -> None:
    simulation = Simulation(lasting=False)
    simulation.run(*[BAD] * 200)
    assert len(simulation.told) == len(ROUTES)
    simulation.run(*[BAD] * 41)
    assert len(simulation.told) == 2 * len(ROUTES)


def test_maintenance_holds_the_message_back_until_it_is_over() -> None:
    simulation = Simulation(lasting=False)
    assert simulation.run(*[BAD._replace(silenced=True)] * 3) == []
    assert [message.route for message in simulation.run(BAD)] == [*ROUTES]


def test_trouble_that_came_and_went_during_maintenance_is_told_to_nobody() -> None:
    simulation = Simulation(lasting=False)
    assert simulation.run(BAD._replace(silenced=True), GOOD, GOOD, GOOD) == []
    assert simulation.incidents == {}


def test_what_was_not_looked_at_is_neither_good_nor_bad() -> None:
    simulation = Simulation(lasting=False)
    simulation.run(BAD, *[UNSEEN] * 5)
    assert not any(message.recovered for message in simulation.told)


def test_a_failed_run_stays_an_incident_until_a_run_succeeds() -> None:
    simulation = Simulation(lasting=True)
    simulation.run(BAD, *[UNSEEN] * 5)
    assert not any(message.recovered for message in simulation.told)
    simulation.run(GOOD, UNSEEN)
    assert [message.route for message in simulation.told if message.recovered] == [*ROUTES]


def test_what_no_rule_is_about_becomes_no_incident() -> None:
    assert advance({}, [LATE], set(), lambda _: None, START) == {}

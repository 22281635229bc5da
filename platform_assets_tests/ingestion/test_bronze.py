"""Landing to bronze on a real object store: a partition holds exactly what landing holds for its date (I3, I4)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from platform_assets.ingestion.bronze import TOUCHED, Ingested, ingest, unannounced_dates
from platform_assets.ingestion.landing import ArrivalVanished, Landing, LandingObject
from platform_assets.ingestion.ledger import Ledger
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.query import query
from platform_assets.settings import Settings
from platform_assets.sources.contracts import bronze_contract
from platform_assets.sources.model import Source
from platform_assets.sources.registry import load_sources
from platform_assets_tests.arrivals import drop, drop_at, json_lines, remove, web_event
from platform_assets_tests.graph_runner import GraphRunner
from platform_assets_tests.lakehouse.bronze_rows import object_schema, write_source

ARRIVED = date(2026, 3, 10)
DAY, DAY_BEFORE, DAY_AFTER = "2026-03-10", "2026-03-09", "2026-03-11"
SOURCE = "web_events"
Ingest = Callable[..., Ingested]


@pytest.fixture
def lakehouse(settings: Settings) -> Lakehouse:
    return Lakehouse(settings)


@pytest.fixture
def source() -> Source:
    return next(source for source in load_sources() if source.name == SOURCE)


@pytest.fixture
def take(settings: Settings, lakehouse: Lakehouse, source: Source) -> Ingest:
    """Ingests the date; by default what is new."""

    def ingest_date(*, rebuild: bool = False) -> Ingested:
        return ingest(settings, lakehouse, source, ARRIVED, rebuild=rebuild, run_id="test")

    return ingest_date


def _rows(lakehouse: Lakehouse, columns: str = "event_id") -> list[tuple[object, ...]]:
    return query(lakehouse, f"select {columns} from bronze.{SOURCE} order by all")[1]


def _ids(*numbers: int) -> list[tuple[object]]:
    return [(web_event(number, DAY)["event_id"],) for number in numbers]


def _snapshots(lakehouse: Lakehouse) -> list[dict[str, str]]:
    """What the table's snapshots were stamped with, oldest first."""
    table = lakehouse.catalog.load_table(f"bronze.{SOURCE}")
    return [snapshot.summary.additional_properties for snapshot in table.snapshots() if snapshot.summary]


def _touched(lakehouse: Lakehouse) -> list[str]:
    touched: list[str] = json.loads(_snapshots(lakehouse)[-1][TOUCHED])
    return touched


def test_a_run_takes_what_is_new_and_commits_nothing_when_nothing_is(
    settings: Settings, lakehouse: Lakehouse, take: Ingest
) -> None:
    drop(settings, SOURCE, DAY, "a.jsonl", json_lines([web_event(1, DAY), web_event(2, DAY_BEFORE)]))
    first = take()
    assert (first.rows, len(first.objects)) == (2, 1)
    drop(settings, SOURCE, DAY, "b.jsonl", json_lines([web_event(3, DAY)]))
    second = take()
    assert (second.rows, len(second.objects)) == (1, 2)
    assert _rows(lakehouse) == _ids(1, 2, 3)
    before = _snapshots(lakehouse)
    assert [(stamp["platform.objects"], stamp["platform.rows"]) for stamp in before] == [("1", "2"), ("1", "1")]
    assert [json.loads(stamp[TOUCHED]) for stamp in before] == [[DAY_BEFORE, DAY], [DAY]]

    again = take()

    assert (again.rows, again.publication, again.objects) == (0, None, second.objects)
    last = lakehouse.catalog.load_table(f"bronze.{SOURCE}").snapshots()[-1]
    assert second.committed_at == again.committed_at == datetime.fromtimestamp(last.timestamp_ms / 1000, UTC)
    assert first.committed_at is not None
    assert first.committed_at < second.committed_at
    assert _snapshots(lakehouse) == before


def test_a_row_says_where_it_came_from(settings: Settings, lakehouse: Lakehouse, take: Ingest) -> None:
    uri = drop(settings, SOURCE, DAY, "a.jsonl", b"\n" + json_lines([web_event(1, DAY), web_event(2, DAY)]))
    (arrival,) = take().objects
    assert _rows(lakehouse, "_landing_uri, _landing_generation, _landed_at, _row_number, _arrival_date") == [
        (uri, arrival.generation, arrival.landed_at, number, ARRIVED) for number in (1, 2)
    ]


def test_an_overwritten_object_replaces_its_old_rows_and_touches_the_dates_of_both(
    settings: Settings, lakehouse: Lakehouse, take: Ingest
) -> None:
    drop(settings, SOURCE, DAY, "kept.jsonl", json_lines([web_event(1, DAY)]))
    drop(settings, SOURCE, DAY, "a.jsonl", json_lines([web_event(2, DAY_BEFORE), web_event(3, DAY_BEFORE)]))
    take()
    drop(settings, SOURCE, DAY, "a.jsonl", json_lines([web_event(4, DAY_AFTER)]))

    take()

    assert _rows(lakehouse) == _ids(1, 4)
    assert _touched(lakehouse) == [DAY_BEFORE, DAY, DAY_AFTER]
    assert take().publication is None


def test_an_object_overwritten_by_nothing_takes_its_rows_away(
    settings: Settings, lakehouse: Lakehouse, take: Ingest
) -> None:
    drop(settings, SOURCE, DAY, "a.jsonl", json_lines([web_event(1, DAY_BEFORE)]))
    take()
    drop(settings, SOURCE, DAY, "a.jsonl", b"")
    take()
    assert _rows(lakehouse) == []
    assert _touched(lakehouse) == [DAY_BEFORE]


def test_a_rebuild_gives_exactly_what_is_in_landing(settings: Settings, lakehouse: Lakehouse, take: Ingest) -> None:
    drop(settings, SOURCE, DAY, "a.jsonl", json_lines([web_event(1, DAY)]))
    removed = drop(settings, SOURCE, DAY, "b.jsonl", json_lines([web_event(2, DAY_BEFORE)]))
    take()
    remove(settings, removed)
    drop(settings, SOURCE, DAY, "c.jsonl", json_lines([web_event(3, DAY)]))
    assert take().rows == 1
    assert _rows(lakehouse) == _ids(1, 2, 3)  # what arrived once stays until somebody asks for a rebuild

    assert take(rebuild=True).rows == 2

    assert _rows(lakehouse) == _ids(1, 3)
    assert _touched(lakehouse) == [DAY_BEFORE, DAY]
    before = _rows(lakehouse, "* exclude (_ingested_at)")
    take(rebuild=True)
    assert _rows(lakehouse, "* exclude (_ingested_at)") == before


def test_other_arrival_dates_are_left_alone(settings: Settings, lakehouse: Lakehouse, take: Ingest) -> None:
    drop(settings, SOURCE, DAY, "a.jsonl", json_lines([web_event(1, DAY)]))
    drop(settings, SOURCE, DAY_AFTER, "b.jsonl", json_lines([web_event(2, DAY)]))
    take()
    assert _rows(lakehouse) == _ids(1)
    source = next(source for source in load_sources() if source.name == SOURCE)
    ingest(settings, lakehouse, source, ARRIVED + timedelta(days=1), rebuild=True, run_id="test")
    take(rebuild=True)
    assert _rows(lakehouse) == _ids(1, 2)


@pytest.mark.parametrize("changed", ["deleted", "overwritten"])
def test_an_object_that_changes_between_listing_and_reading_is_listed_again(
    settings: Settings, lakehouse: Lakehouse, take: Ingest, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    drop(settings, SOURCE, DAY, "a.jsonl", json_lines([web_event(1, DAY)]))
    uri = drop(settings, SOURCE, DAY, "b.jsonl", json_lines([web_event(2, DAY)]))
    listed = Landing.objects

    def listed_too_early(self: Landing, *arguments: object, **options: object) -> object:
        found = listed(self, *arguments, **options)  # type: ignore[arg-type]
        monkeypatch.setattr(Landing, "objects", listed)
        if changed == "deleted":
            remove(settings, uri)
        else:
            drop(settings, SOURCE, DAY, "b.jsonl", json_lines([web_event(3, DAY)]))
        return found

    monkeypatch.setattr(Landing, "objects", listed_too_early)
    take()
    assert _rows(lakehouse) == (_ids(1) if changed == "deleted" else _ids(1, 3))


def test_objects_that_never_stop_changing_are_an_error_and_nothing_is_published(
    settings: Settings, lakehouse: Lakehouse, take: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(settings, SOURCE, DAY, "a.jsonl", json_lines([web_event(1, DAY)]))

    def vanished(_self: Landing, objects: list[LandingObject], _folder: Path) -> list[Path]:
        raise ArrivalVanished(objects[0])

    monkeypatch.setattr(Landing, "download", vanished)
    with pytest.raises(ArrivalVanished, match="List the source again"):
        take()
    assert _snapshots(lakehouse) == []


def test_a_deleted_object_is_not_waited_for(settings: Settings, tmp_path: Path) -> None:
    kept = drop(settings, SOURCE, DAY, "a.jsonl", json_lines([web_event(1, DAY)]))
    gone = drop(settings, SOURCE, DAY, "b.jsonl", json_lines([web_event(2, DAY)]))
    ledger, landing = Ledger(settings), Landing(settings)
    ledger.record_seen(landing.objects(SOURCE))
    remove(settings, gone)
    graph = GraphRunner(settings, dg.DagsterInstance.ephemeral(str(tmp_path)))

    graph.tick(SOURCE)

    assert [run.success for run in graph.runs] == [True]
    assert ledger.pending(SOURCE) == {}
    assert not graph.tick(SOURCE).run_requests
    assert graph.ask(f"select _landing_uri from bronze.{SOURCE}") == [(kept,)]
    # Should it come back, it is new.
    drop(settings, SOURCE, DAY, "b.jsonl", json_lines([web_event(2, DAY)]))
    graph.tick(SOURCE)
    assert graph.ask(f"select _landing_uri from bronze.{SOURCE} order by all") == [(kept,), (gone,)]


def test_an_empty_object_brings_no_rows_and_harms_nothing(
    settings: Settings, lakehouse: Lakehouse, take: Ingest
) -> None:
    drop(settings, SOURCE, DAY, "a.jsonl", b"")
    drop(settings, SOURCE, DAY, "b.jsonl", b"\n \n")
    found = take()
    assert (found.rows, found.dead_letters, len(found.objects)) == (0, 0, 2)
    assert _touched(lakehouse) == []
    drop(settings, SOURCE, DAY, "c.jsonl", json_lines([web_event(1, DAY)]))
    assert take().rows == 1
    assert take(rebuild=True).rows == 1
    assert _rows(lakehouse) == _ids(1)


def test_arrival_dates_outside_of_the_partitions_are_reported_and_stop_nothing(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    odd = drop(settings, SOURCE, "1999-12-31", "a.jsonl", json_lines([web_event(1, DAY)]))
    far = drop(settings, SOURCE, "2999-01-01", "a.jsonl", json_lines([web_event(2, DAY)]))
    drop_at(settings, f"source={SOURCE}/date=2026-02-30/a.jsonl", b"{}")
    drop(settings, SOURCE, DAY, "a.jsonl", json_lines([web_event(3, DAY)]))
    graph = GraphRunner(settings, dg.DagsterInstance.ephemeral(str(tmp_path)))

    result = graph.tick(SOURCE)

    assert [request.partition_key for request in result.run_requests or ()] == [DAY]
    assert graph.ask(f"select event_id from bronze.{SOURCE}") == _ids(3)
    said = capsys.readouterr().err + caplog.text
    assert f"{odd} is dated outside of the partitions" in said
    assert f"{far} is dated outside of the partitions" in said


@pytest.mark.parametrize(
    ("timestamp", "event_date"),
    [
        pytest.param("2026-03-10T00:00:00Z", DAY, id="first moment of the day"),
        pytest.param("2026-03-09T23:59:59.999Z", DAY_BEFORE, id="last moment of the day before"),
        pytest.param("2026-03-09T23:30:00-05:00", DAY, id="another zone"),
        pytest.param("2026-03-11T23:59:59Z", DAY_AFTER, id="clock runs ahead by a day"),
        pytest.param("2026-03-12T00:00:00Z", DAY, id="further ahead than a clock may run"),
        pytest.param("2015-01-01T00:00:00Z", "2015-01-01", id="first partition"),
        pytest.param("2014-12-31T23:59:59Z", DAY, id="before the first partition"),
        pytest.param("yesterday", DAY, id="no timestamp"),
        pytest.param("epoch", DAY, id="a word that only the engine takes for a timestamp"),
        pytest.param("", DAY, id="empty"),
        pytest.param(None, DAY, id="missing"),
        pytest.param(1773100800, DAY, id="a number"),
    ],
)
def test_a_row_belongs_to_the_date_of_its_event_if_that_can_be(
    settings: Settings, lakehouse: Lakehouse, take: Ingest, timestamp: object, event_date: str
) -> None:
    drop(settings, SOURCE, DAY, "a.jsonl", json_lines([web_event(1, DAY, event_timestamp=timestamp)]))
    take()
    assert _rows(lakehouse, "_event_date") == [(date.fromisoformat(event_date),)]
    assert _touched(lakehouse) == [event_date]


def test_only_snapshots_after_the_announced_one_are_walked(
    settings: Settings, lakehouse: Lakehouse, take: Ingest
) -> None:
    table = lakehouse.ensure(bronze_contract(next(s for s in load_sources() if s.name == SOURCE)))
    assert unannounced_dates(table, None) == ([], None)
    newest = []
    for number, day in enumerate((DAY_BEFORE, DAY, DAY_AFTER)):
        drop(settings, SOURCE, DAY, f"{number}.jsonl", json_lines([web_event(number, day)]))
        publication = take().publication
        assert publication is not None
        newest.append(publication.snapshot_id)
    table = lakehouse.catalog.load_table(f"bronze.{SOURCE}")
    days = [date.fromisoformat(day) for day in (DAY_BEFORE, DAY, DAY_AFTER)]
    assert unannounced_dates(table, None) == (days, newest[2])
    assert unannounced_dates(table, newest[0]) == (days[1:], newest[2])
    assert unannounced_dates(table, newest[1]) == (days[2:], newest[2])
    assert unannounced_dates(table, newest[2]) == ([], newest[2])


def test_secrets_do_not_reach_bronze_however_deep_they_lie(
    settings: Settings, lakehouse: Lakehouse, tmp_path: Path
) -> None:
    text = {"type": "string"}
    card = object_schema(number=text, holder=text)
    schema = object_schema("id", id={"type": "integer"}, pin=text, card=card, login=object_schema(token=text))
    secret = {"pin": "secret", "card.number": "secret", "login": "secret"}
    source = write_source(tmp_path / "accounts", schema, classification=secret)
    lines = json_lines(
        [
            {
                "id": 1,
                "pin": "hidden-1",
                "card": {"number": "hidden-2", "holder": "ada"},
                "login": {"token": "hidden-3"},
            },
            {"id": 2, "card": [{"number": "hidden-4"}], "login": "hidden-5", "new": {"PIN": "hidden-6"}},
            {"id": 3, "card": {"number": {"deeper": "hidden-7"}}},
        ]
    )
    drop(settings, "accounts", DAY, "a.jsonl", lines)
    ingest(settings, lakehouse, source, ARRIVED, rebuild=False, run_id="test")

    columns, rows = query(lakehouse, "select * from bronze.accounts order by id")

    assert not {"pin", "login"} & set(columns)
    assert "hidden" not in str(rows)
    cards = [row[list(columns).index("card")] for row in rows]
    assert json.loads(str(cards[0])) == {"holder": "ada"}
    assert [row[list(columns).index("id")] for row in rows] == ["1", "2", "3"]

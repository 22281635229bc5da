"""Web events from dropped files to marts: the numbers of the generator's report, late events, rebuilding (I2, I3)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from platform_assets.lakehouse.catalog import Lakehouse, local_path
from platform_assets.local.web_events import EventBatch, generate, upload
from platform_assets.quality.look import look_across
from platform_assets.settings import Settings, load_settings
from platform_assets_tests.arrivals import drop, drop_at, json_lines, web_event
from platform_assets_tests.graph_runner import GraphRunner

SOURCE = "web_events"
FIRST_DAY = date(2026, 3, 10)
DERIVED = (
    "silver.events_clean",
    "quarantine.events_clean",
    "gold.event_metrics",
    "gold.user_metrics",
    "mart.business_metrics",
)


@pytest.fixture
def graph(settings: Settings, tmp_path: Path) -> GraphRunner:
    return GraphRunner(settings, dg.DagsterInstance.ephemeral(str(tmp_path)))


def _drop_batch(settings: Settings, folder: Path, *, events: int, days: int, late_days: int = 1) -> EventBatch:
    batch = generate(
        folder, events=events, first_day=FIRST_DAY, days=days, objects=2 * days, seed=11, late_days=late_days
    )

    def put(name: str, content: bytes) -> None:
        drop_at(settings, name, content)

    upload(folder, put)
    return batch


def test_every_event_is_in_silver_in_quarantine_or_a_counted_duplicate(graph: GraphRunner, tmp_path: Path) -> None:
    batch = _drop_batch(graph.settings, tmp_path / "generated", events=20_000, days=3)

    ran = graph.settle(SOURCE)

    assert [run for run in ran if not run.success] == []
    assert graph.ask(f"select count(*) from bronze.{SOURCE}") == [(batch.events,)]
    assert graph.ask("select count(*), count(distinct event_id) from silver.events_clean") == [
        (batch.distinct_valid_event_ids, batch.distinct_valid_event_ids)
    ]
    assert graph.ask("select count(*) from quarantine.events_clean") == [(batch.quarantined,)]
    by_date = graph.ask("select event_date::varchar, count(*) from silver.events_clean group by all")
    assert {str(day): rows for day, rows in by_date} == batch.rows_by_event_date
    accounting = _accounting(Lakehouse(graph.settings))
    assert {day: counts["out"] for day, counts in accounting.items()} == batch.rows_by_event_date
    for counts in accounting.values():
        assert counts["in"] == counts["out"] + counts["quarantined"] + counts["duplicate"]
    totals = {kind: sum(counts[kind] for counts in accounting.values()) for kind in ("in", "quarantined", "duplicate")}
    assert totals == {"in": batch.events, "quarantined": batch.quarantined, "duplicate": batch.duplicates}
    assert graph.ask("select * from mart.business_metrics order by all") == _business_metrics(tmp_path / "generated")
    assert graph.settle(SOURCE) == []
    agree = look_across(Lakehouse(graph.settings), datetime.now(UTC) + timedelta(hours=2))
    assert {(found.subject, str(found.partition), found.unusual) for found in agree} == {
        (name, day, False)
        for name in ("every_event_is_accounted_for", "purchases_reach_the_mart")
        for day in batch.rows_by_event_date
    }


def _accounting(lakehouse: Lakehouse) -> dict[str, dict[str, int]]:
    """What the newest snapshot of each partition of silver was stamped with."""
    found: dict[str, dict[str, int]] = {}
    for snapshot in lakehouse.catalog.load_table("silver.events_clean").snapshots():
        assert snapshot.summary is not None
        stamp = snapshot.summary.additional_properties
        kinds = ("in", "out", "quarantined", "duplicate")
        found[stamp["platform.partition"]] = {kind: int(stamp[f"platform.rows-{kind}"]) for kind in kinds}
    return found


def _business_metrics(folder: Path) -> list[tuple[object, ...]]:
    """The mart, straight from the files: their valid events, each once."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(f"""
            WITH events AS (
                SELECT
                    event_id, user_id, session_id, event_type, email, currency,
                    TRY_CAST(event_timestamp AS TIMESTAMPTZ)::DATE AS event_date,
                    CASE WHEN amount LIKE '"%' THEN NULL ELSE amount::DECIMAL(18, 2) END AS amount,
                    amount LIKE '"%' AS odd_amount
                FROM read_json('{folder}/*/*/*.jsonl.gz', hive_partitioning = false, columns = {{
                    event_id: VARCHAR, user_id: VARCHAR, session_id: VARCHAR, event_type: VARCHAR, email: VARCHAR,
                    currency: VARCHAR, event_timestamp: VARCHAR, amount: JSON}})
            ),
            valid AS (
                SELECT DISTINCT event_id, user_id, event_type, event_date, amount
                FROM events
                WHERE TRY_CAST(event_id AS UUID) IS NOT NULL
                    AND user_id IS NOT NULL AND event_date IS NOT NULL AND event_type <> 'teleport'
                    AND NOT coalesce(odd_amount, false) AND coalesce(amount, 0) >= 0
                    AND coalesce(currency, 'USD') IN ('USD', 'EUR', 'GBP') AND coalesce(email, 'a@b') LIKE '%@%'
            )
            SELECT
                event_date,
                count(DISTINCT user_id),
                coalesce(sum(amount) FILTER (event_type = 'purchase'), 0)::DECIMAL(18, 2)
            FROM valid GROUP BY ALL ORDER BY ALL
        """).fetchall()


def _files(settings: Settings) -> dict[str, dict[str, set[str]]]:
    """For each derived table the data files of each partition; files never change, so that their names say it all."""
    lakehouse = Lakehouse(settings)
    found: dict[str, dict[str, set[str]]] = {}
    for name in DERIVED:
        table = lakehouse.catalog.load_table(name)
        for task in table.scan().plan_files():
            day = task.file.partition[0]
            text = (date(1970, 1, 1) + timedelta(days=day)).isoformat() if isinstance(day, int) else str(day)
            found.setdefault(name, {}).setdefault(text, set()).add(local_path(task.file.file_path))
    return found


def test_an_event_that_comes_three_days_late_rebuilds_exactly_its_date_everywhere(
    graph: GraphRunner, tmp_path: Path
) -> None:
    _drop_batch(graph.settings, tmp_path / "generated", events=600, days=4)
    graph.settle(SOURCE)
    before = _files(graph.settings)
    late_day = FIRST_DAY.isoformat()
    ((users, revenue),) = graph.ask(
        f"select daily_active_users, daily_revenue::double from mart.business_metrics where event_date = '{late_day}'"
    )
    arrived = (FIRST_DAY + timedelta(days=3)).isoformat()
    drop(graph.settings, SOURCE, arrived, "late.jsonl", json_lines([web_event(1, late_day, amount=2.25)]))

    ran = graph.settle(SOURCE)

    assert [(run.partition, sorted(run.assets)) for run in ran] == [
        (arrived, [f"bronze/{SOURCE}"]),
        (late_day, sorted(name.replace(".", "/") for name in DERIVED)),
    ]
    after = _files(graph.settings)
    for name in DERIVED:
        changed = {day for day in before[name].keys() | after[name] if before[name].get(day) != after[name].get(day)}
        assert changed == {late_day}, name
    ((users_now, revenue_now),) = graph.ask(
        f"select daily_active_users, daily_revenue::double from mart.business_metrics where event_date = '{late_day}'"
    )
    assert (users_now, revenue_now) == (int(str(users)) + 1, float(str(revenue)) + 2.25)


def test_every_table_rebuilt_from_landing_elsewhere_has_the_same_rows(
    graph: GraphRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A history that a rebuild must not need to know: an overwritten object, a second arrival, a duplicate.
    graph.automate()
    day = FIRST_DAY.isoformat()
    for numbers in ((1, 2), (2, 3)):
        drop(graph.settings, SOURCE, day, "changing.jsonl", json_lines([web_event(n, day) for n in numbers]))
        graph.tick(SOURCE)
    _drop_batch(graph.settings, tmp_path / "generated", events=600, days=1)
    graph.settle(SOURCE)
    drop(graph.settings, SOURCE, FIRST_DAY + timedelta(days=1), "again.jsonl", json_lines([web_event(3, day)]))
    graph.settle(SOURCE)

    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path / "second"))
    second = GraphRunner(load_settings(), dg.DagsterInstance.ephemeral(str(tmp_path / "second")))
    assert second.settings.landing_bucket == graph.settings.landing_bucket
    assert [run for run in second.settle(SOURCE) if not run.success] == []

    for table in (f"bronze.{SOURCE}", *DERIVED):
        columns = "* exclude (_ingested_at)" if table.startswith("bronze") else "*"
        rows = graph.ask(f"select {columns} from {table} order by all")
        assert rows, table
        assert second.ask(f"select {columns} from {table} order by all") == rows, table

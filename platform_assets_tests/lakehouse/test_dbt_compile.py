"""What dbt compiles, when it does, and what a run does with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from platform_assets.lakehouse.catalog import Lakehouse, LakehouseError
from platform_assets.lakehouse.dbt_run import build
from platform_assets.settings import CHECKOUT, Settings
from platform_assets_tests.lakehouse.test_dbt import (
    EVENT_MODELS,
    FIRST,
    SECOND,
    copy_project,
    event,
    publish_silver,
    rows,
    statuses,
)

_BUILD = """
import sys
from datetime import date
from platform_assets.lakehouse.dbt_run import build
from platform_assets.settings import load_settings
results = build(load_settings(), ["event_metrics", "user_metrics"], date(2026, 3, 1), "run-2")
assert {result.status for result in results} == {"success"}, results
print(sorted({name.split(".")[0] for name in sys.modules} & {"dbt", "dbt_common", "dagster"}))
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home and a dbt project of this test's own."""
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path / "home"))
    project = copy_project(tmp_path)
    monkeypatch.setenv("PLATFORM_DBT_PROJECT", str(project))
    return Settings(home=tmp_path / "home", dbt_project=project)


@pytest.fixture
def events(settings: Settings) -> Lakehouse:
    """Three events of two dates in silver."""
    lakehouse = Lakehouse(settings)
    publish_silver(lakehouse, "events_clean", [event(1, FIRST, "ann", "click"), event(2, FIRST, "ben", "click")], FIRST)
    publish_silver(lakehouse, "events_clean", [event(3, SECOND, "ann", "click")], SECOND)
    return lakehouse


@pytest.mark.usefixtures("events")
def test_a_run_of_what_is_compiled_imports_no_dbt(settings: Settings) -> None:
    build(settings, ["event_metrics", "user_metrics"], SECOND, "run-1")

    ran = subprocess.run([sys.executable, "-c", _BUILD], capture_output=True, text=True, check=False, env=os.environ)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip().splitlines()[-1] == "[]"


def test_a_changed_macro_compiles_anew(settings: Settings, events: Lakehouse) -> None:
    build(settings, ["event_metrics"], FIRST, "run-1")
    macros = settings.dbt_project / "macros/portable.sql"
    macros.write_text(macros.read_text().replace("cast({{ expression }} as", "cast(7 + {{ expression }} as"))

    build(settings, ["event_metrics"], FIRST, "run-2")

    assert [float(amount) for (amount,) in rows(events, "gold.event_metrics", "amount")] == [7.0]


def test_sql_that_reads_the_environment_is_compiled_for_every_run(
    settings: Settings, events: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = settings.dbt_project / "models/gold/event_metrics.sql"
    query.write_text(query.read_text().replace("count(*) as events", "{{ env_var('HOW_MANY') }} + count(*) as events"))
    seen = []
    for more in ("10", "20"):
        monkeypatch.setenv("HOW_MANY", more)
        build(settings, ["event_metrics"], FIRST, f"run-{more}")
        seen.append(rows(events, "gold.event_metrics", "events"))

    assert seen == [[(12,)], [(22,)]]


@pytest.mark.usefixtures("events")
@pytest.mark.parametrize(("severity", "then"), [("error", ("fail", "skipped")), ("warn", ("success", "success"))])
def test_a_singular_test_that_finds_rows_holds_back_what_reads_its_model(
    settings: Settings, severity: str, then: tuple[str, str]
) -> None:
    test = settings.dbt_project / "tests/nobody_called_ben.sql"
    test.parent.mkdir()
    test.write_text(
        f"{{{{ config(severity='{severity}') }}}}\nselect * from {{{{ ref('user_metrics') }}}} where user_id = 'ben'"
    )

    found = statuses(build(settings, EVENT_MODELS, FIRST, "run-1"))

    assert (found["user_metrics"], found["event_metrics"]) == ("success", "success")
    assert (found["nobody_called_ben"], found["business_metrics"]) == then


@pytest.mark.parametrize(
    ("configured", "refused"),
    [
        ("materialized: view", "this one is 'view' with 0 hooks"),
        ("post_hook: select 1", "this one is 'lakehouse' with 1 hooks"),
    ],
)
def test_a_model_that_a_run_cannot_compute_is_refused_by_name(
    settings: Settings, configured: str, refused: str
) -> None:
    described = settings.dbt_project / "models/gold/event_metrics.yml"
    described.write_text(described.read_text().replace("    config:\n", f"    config:\n      {configured}\n"))

    with pytest.raises(LakehouseError, match=f"event_metrics.*{refused}"):
        build(settings, ["event_metrics"], FIRST, "run-1")


def test_what_dbt_refuses_is_told_in_its_words(settings: Settings) -> None:
    query = settings.dbt_project / "models/gold/event_metrics.sql"
    query.write_text("{{ no_such_macro() }}\n" + query.read_text())

    with pytest.raises(LakehouseError, match=r"(?s)event_metrics.*'no_such_macro' is undefined"):
        build(settings, ["event_metrics"], FIRST, "run-1")


def test_dbt_build_by_hand_publishes_the_same(settings: Settings, events: Lakehouse) -> None:
    build(settings, EVENT_MODELS, None, "run-1")
    before = {name: rows(events, f"gold.{name}", "*") for name in EVENT_MODELS[:2]}
    publish_silver(events, "events_clean", [], FIRST)
    publish_silver(events, "events_clean", [event(1, FIRST, "ann", "click"), event(2, FIRST, "ben", "click")], FIRST)
    dbt = [str(Path(sys.executable).parent / "dbt"), "build", "--profiles-dir", ".", "--target-path", "target"]

    ran = subprocess.run(
        [*dbt, "--select", *EVENT_MODELS, "--exclude", "test_type:generic"],
        cwd=settings.dbt_project,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout
    assert {name: rows(events, f"gold.{name}", "*") for name in before} == before
    table = events.find("gold.event_metrics")
    assert table is not None
    newest = table.current_snapshot()
    assert newest is not None
    assert newest.summary is not None
    assert newest.summary.additional_properties["platform.run-id"] == ""

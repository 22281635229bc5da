"""What is left out because it is unchanged is what recomputing would give: whatever changed, ran, failed, expired."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.contracts.dbt_yaml import DbtModel, load_models
from platform_assets.contracts.model import Column, Contract
from platform_assets.lakehouse.declared import DeclaredTable
from platform_assets.lakehouse.lateness import Known, waiting_partitions
from platform_assets.lakehouse.progress import Commit, Progress, progress_of
from platform_assets.lakehouse.statistics import TableStatistics
from platform_assets.lakehouse.unchanged import Held, definitions_of, made_of, repeatable, unchanged
from platform_assets.settings import CHECKOUT

DAYS = (date(2026, 3, 1), date(2026, 3, 2))
START = datetime(2026, 3, 3, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
EVENTS, LINES, PRODUCTS = "silver.events", "silver.lines", "silver.products"


def model(table: str, *reads: str, whole: tuple[str, ...] = ()) -> DbtModel:
    layer, name = table.split(".")
    contract = Contract(table, (Column("day", "date"),), partition_column="day")
    window: dict[str, int | None] = {"freshness_warn_minutes": None, "freshness_fail_minutes": 5}
    said = {"owner": "team:test", "domain": "commerce", "description": "", "materialized": "lakehouse"}
    return DbtModel(name, layer, contract, depends_on=reads, reads_whole=whole, sql_path=Path(), **window, **said)  # type: ignore[arg-type]


MODELS = (  # not in the order in which they are built
    model("mart.revenue", "gold.orders", LINES, whole=(LINES,)),
    model("gold.orders", "gold.order_lines", EVENTS),
    model("gold.order_lines", LINES, PRODUCTS, whole=(PRODUCTS,)),
    model("mart.visits", EVENTS),
    model("mart.totals", LINES, whole=(LINES,)),
)
VISITS = MODELS[3]
ORDER = (MODELS[2], MODELS[1], MODELS[0], VISITS, MODELS[4])


@dataclass
class Platform:
    """Tables of which every partition holds one number; a run computes what `unchanged` does not leave out."""

    commits: dict[str, list[Commit]] = field(default_factory=dict)
    numbers: dict[tuple[str, date | None], int] = field(default_factory=dict)
    definitions: dict[str, int] = field(default_factory=lambda: {model.name: 0 for model in MODELS})
    forgotten: set[str] = field(default_factory=set)
    now: datetime = START

    def held(self) -> dict[str, Held]:
        """What all tables hold."""
        return {name: Held(self.progress(name), 0) for name in self.commits}

    def progress(self, name: str) -> Progress:
        """What has become of a table."""
        commits = self.commits[name]
        return replace(progress_of(commits), remembered_since=commits[0].at if name in self.forgotten else None)

    def publish(self, table: str, day: date | None, number: int, stamp: str | None = None) -> None:
        """A minute later."""
        self.now += MINUTE
        self.commits.setdefault(table, []).append(Commit(self.now, day, str(number), made_of=stamp))
        self.numbers[table, day] = number

    def computed(self, one: DbtModel, day: date) -> int:
        """The number that a model gives now; of few, so that it is often the same."""
        total = self.definitions[one.name]
        for name in one.depends_on:
            whole = name in one.reads_whole
            total += sum(n for (table, at), n in self.numbers.items() if table == name and (whole or at == day))
        return total % 3

    def definition(self, one: DbtModel) -> str:
        """As `definitions_of` would say it."""
        return str(self.definitions[one.name])

    def left_out(self, day: date) -> frozenset[str]:
        """What a run would leave out now."""
        return unchanged(MODELS, {one.name: self.definition(one) for one in MODELS}, self.held(), day)

    def build(self, day: date, left_out: frozenset[str], failing: str | None = None) -> None:
        """As dbt does: what reads a model that failed is skipped."""
        failed: set[str] = set()
        for one in ORDER:
            if one.table in left_out:
                continue
            if one.table == failing or failed & set(one.depends_on):
                failed.add(one.table)
            else:
                stamp = made_of(one, self.definition(one), self.held(), day)
                self.publish(one.table, day, self.computed(one, day), stamp)

    def expire(self, table: str) -> None:
        """Forgets its oldest snapshot."""
        if len(self.commits.get(table, ())) > 1:
            del self.commits[table][0]
            self.forgotten.add(table)

    def waiting(self, day: date) -> dict[str, object]:
        """What freshness says waits of the date."""
        known = {
            name: Known(TableStatistics(name, 1, 1, 1, day, self.now, self.now), self.progress(name))
            for name in self.commits
        }
        waits: dict[str, object] = {}
        for one in MODELS:
            told = DeclaredTable(one.contract, "commerce", "team:test", None, 5 * MINUTE, inputs=one.depends_on)
            found = waiting_partitions(told, known)
            if day in found:
                waits[one.table] = found[day]
        return waits


days = st.sampled_from(DAYS)
tables = st.sampled_from([EVENTS, LINES, PRODUCTS, *(one.table for one in MODELS)])
changes = st.tuples(st.just("change"), st.sampled_from([EVENTS, LINES, PRODUCTS]), days, st.integers(0, 2))
steps = st.one_of(
    changes,
    st.tuples(st.just("run"), days),
    st.tuples(st.just("run"), days),
    st.tuples(st.just("fail"), days, st.sampled_from([one.table for one in MODELS])),
    st.tuples(st.just("overtaken"), days, changes),
    st.tuples(st.just("by hand"), days),
    st.tuples(st.just("redefine"), st.sampled_from([one.name for one in MODELS]), st.integers(0, 2)),
    st.tuples(st.just("expire"), tables),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=25))
def test_whatever_happened_a_run_leaves_what_recomputing_would_give_and_nothing_waits(history: list[tuple]) -> None:  # type: ignore[type-arg]
    platform = Platform()
    for table, day in ((EVENTS, DAYS[0]), (LINES, DAYS[0]), (EVENTS, DAYS[1]), (LINES, DAYS[1]), (PRODUCTS, None)):
        platform.publish(table, day, 0)
    for kind, *told in history:
        if kind == "change":
            _change(platform, *told)
        elif kind == "redefine":
            platform.definitions[told[0]] = told[1]
        elif kind == "expire":
            platform.expire(told[0])
        elif kind == "fail":
            platform.build(told[0], platform.left_out(told[0]), failing=told[1])
        elif kind == "overtaken":  # something that it reads changes after it was decided what to leave out
            left_out = platform.left_out(told[0])
            _change(platform, *told[1][1:])
            platform.build(told[0], left_out)
        else:
            day = told[0]
            platform.build(day, platform.left_out(day) if kind == "run" else frozenset())
            for one in ORDER:
                assert platform.numbers[one.table, day] == platform.computed(one, day), one.table
            assert platform.waiting(day) == {}


def _change(platform: Platform, table: str, day: date, number: int) -> None:
    platform.publish(table, None if table == PRODUCTS else day, number)


@pytest.fixture
def platform() -> Platform:
    """Everything made once, on both dates."""
    made = Platform()
    for day in DAYS:
        made.publish(EVENTS, day, 1)
        made.publish(LINES, day, 1)
    made.publish(PRODUCTS, None, 1)
    for day in DAYS:
        made.build(day, frozenset())
    return made


def test_the_same_rows_again_leave_everything_out(platform: Platform) -> None:
    platform.publish(EVENTS, DAYS[0], 1)
    assert platform.left_out(DAYS[0]) == {one.table for one in MODELS}


@pytest.mark.parametrize(
    ("table", "recomputed"),
    [
        (EVENTS, {"gold.orders", "mart.revenue", "mart.visits"}),
        (LINES, {"gold.order_lines", "gold.orders", "mart.revenue", "mart.totals"}),
        (PRODUCTS, {"gold.order_lines", "gold.orders", "mart.revenue"}),
    ],
)
def test_what_reads_a_change_is_recomputed_and_what_reads_that(
    platform: Platform, table: str, recomputed: set[str]
) -> None:
    _change(platform, table, DAYS[0], 2)
    assert {one.table for one in MODELS} - platform.left_out(DAYS[0]) == recomputed


def test_a_change_of_another_date_concerns_only_what_reads_all_dates(platform: Platform) -> None:
    platform.publish(EVENTS, DAYS[1], 2)
    platform.publish(LINES, DAYS[1], 2)
    assert {one.table for one in MODELS} - platform.left_out(DAYS[0]) == {"mart.revenue", "mart.totals"}


def test_another_definition_is_recomputed(platform: Platform) -> None:
    platform.definitions["orders"] = 1
    assert {one.table for one in MODELS} - platform.left_out(DAYS[0]) == {"gold.orders", "mart.revenue"}


def test_what_changed_and_changed_back_is_recomputed_because_it_would_count_as_waiting(platform: Platform) -> None:
    platform.publish(EVENTS, DAYS[0], 2)
    platform.publish(EVENTS, DAYS[0], 1)
    assert "mart.visits" not in platform.left_out(DAYS[0])


def test_what_has_no_stamp_or_was_never_made_is_recomputed(platform: Platform) -> None:
    platform.publish("gold.orders", DAYS[0], 2)
    assert {"gold.orders", "mart.revenue"}.isdisjoint(platform.left_out(DAYS[0]))
    del platform.commits["mart.visits"]
    assert "mart.visits" not in platform.left_out(DAYS[0])


def test_what_reads_all_dates_is_recomputed_as_long_as_one_of_them_is_forgotten(platform: Platform) -> None:
    for number, day in ((1, DAYS[1]), (1, DAYS[0])):
        platform.publish(LINES, day, number)
    for _ in range(3):
        platform.expire(LINES)  # all that is left is that of the first date, as it was
    platform.build(DAYS[0], frozenset())
    platform.publish(LINES, DAYS[1], 2)
    platform.publish(LINES, DAYS[0], 1)
    for _ in range(2):
        platform.expire(LINES)
    platform.commits["mart.totals"][-1] = replace(platform.commits["mart.totals"][-1], at=platform.now)
    assert "mart.totals" not in platform.left_out(DAYS[0])


def test_other_columns_of_an_input_are_a_change(platform: Platform) -> None:
    held = {**platform.held(), EVENTS: Held(platform.progress(EVENTS), 1)}
    found = unchanged(MODELS, {one.name: platform.definition(one) for one in MODELS}, held, DAYS[0])
    assert found == {"gold.order_lines", "mart.totals"}


@pytest.mark.parametrize(
    "sql",
    [
        "select now() as day from silver.events",
        "select current_date as day from silver.events",
        "select random () from silver.events",
        "select getvariable('other') from silver.events",
        "select max(_landed_at) from silver.events",
        "select * from silver.events using sample 10",
        "select * from read_parquet('a.parquet')",
        "select * from 'a.parquet'",
        "select * from silver.lines",
        "select * from SILVER . LINES",
        "select '--', NOW() from silver.events",
        'select "a--b", random() from silver.events',
        'select * from memory."mart"."visits"',
    ],
)
def test_what_is_no_function_of_its_tables_has_no_stamp(sql: str) -> None:
    assert not repeatable(VISITS, sql)


def test_comments_names_and_values_are_no_reason_to_recompute() -> None:
    sql = """
    -- as of now(): current_date, _landed_at
    select day, current_price, 'error' /* random() */ from "dev"."silver_partition"."events"
    where (day = getvariable('platform_partition') or getvariable('platform_partition') is null)
    """
    assert repeatable(VISITS, sql)


def test_every_function_that_duckdb_calls_unstable_is_known() -> None:
    with duckdb.connect() as connection:
        functions = connection.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() "
            "WHERE stability <> 'CONSISTENT' OR macro_definition SIMILAR TO '.*(current_|now\\(|random).*'"
        ).fetchall()
    assert len(functions) > 20
    assert [name for (name,) in functions if repeatable(VISITS, f"select {name}() from silver.events")] == []


def test_a_definition_changes_with_sql_contract_and_macros_and_is_unknown_where_it_reads_the_environment(
    tmp_path: Path,
) -> None:
    project = shutil.copytree(CHECKOUT / "dbt_project", tmp_path / "dbt_project")
    models = [one for one in load_models(project) if one.name in {"fact_orders", "user_metrics"}]
    before = definitions_of(project, models)
    assert definitions_of(project, models) == before
    assert set(before) == {"fact_orders", "user_metrics"}

    for path in ("models/gold/fact_orders.sql", "models/gold/fact_orders.yml", "macros/portable.sql"):
        (project / path).write_text((project / path).read_text() + "\n\n")
        now = definitions_of(project, models)
        assert now["fact_orders"] != before["fact_orders"], path
        assert (now["user_metrics"] != before["user_metrics"]) == path.startswith("macros"), path
        before = now

    query = project / "models/gold/fact_orders.sql"
    query.write_text(query.read_text() + "-- {# env_var('A') #}\n")
    assert "fact_orders" in definitions_of(project, models)
    told = query.read_text()
    for outside in ("env_var('A')", "adapter.get_columns_in_relation(this)", "graph.nodes | length"):
        query.write_text(f"{told}where {{{{ {outside} }}}}\n")
        assert set(definitions_of(project, models)) == {"user_metrics"}, outside
    query.write_text(told)
    package = project / "dbt_packages/of_others/macros/asks.sql"
    package.parent.mkdir(parents=True)
    package.write_text("{% macro asks() %}{{ run_query('select 1') }}{% endmacro %}")
    assert definitions_of(project, models) == {}

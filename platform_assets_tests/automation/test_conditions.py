"""Automation conditions, tick by tick, on small graphs and on the platform's own; Dagster evaluates them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import dagster as dg
import pytest

from platform_assets.automation.conditions import (
    automation_sensors,
    on_arrival,
    on_update,
    on_update_of_dated,
    sensor_names,
    with_conditions,
)
from platform_assets.definitions import build_definitions
from platform_assets_tests.automation.evaluations import Evaluations, emptied, operation

DAILY = dg.DailyPartitionsDefinition("2026-01-01", end_offset=2)
DAY, OLD_DAY = "2026-03-10", "2026-01-02"
WHOLE = None


def _table(
    key: str,
    deps: Iterable[str],
    condition: dg.AutomationCondition[dg.AssetKey] | None = None,
    *,
    dated: bool = True,
    layer: str = "",
    domain: str | None = None,
) -> dg.AssetsDefinition:
    """An asset with a blocking check."""
    name = dg.AssetKey.from_user_string(key)
    partitions = DAILY if dated else None
    spec = dg.AssetSpec(
        name,
        deps=[dg.AssetKey.from_user_string(dep) for dep in deps],
        partitions_def=partitions,
        automation_condition=condition,
        tags={"layer": layer} if layer else {},
        group_name=domain,
    )
    check = dg.AssetCheckSpec("contract", asset=name, blocking=True, partitions_def=partitions)

    return operation(key.replace("/", "_"), [spec], [check], can_subset=False)


@pytest.fixture
def instance(tmp_path: Path) -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral(str(tmp_path))


def _evaluations(instance: dg.DagsterInstance, *assets: dg.AssetsDefinition | dg.AssetSpec) -> Evaluations:
    evaluations = Evaluations(dg.Definitions(assets=assets), instance)
    assert evaluations.tick() == {}
    return evaluations


@pytest.fixture
def chain(instance: dg.DagsterInstance) -> Evaluations:
    """An arrival, what is made of it, and what is made of that."""
    return _evaluations(
        instance,
        dg.AssetSpec("arrival", partitions_def=DAILY),
        _table("silver", ["arrival"], on_arrival(readers=[dg.AssetKey("gold")])),
        _table("gold", ["silver"], on_update()),
    )


@pytest.fixture
def star(instance: dg.DagsterInstance) -> Evaluations:
    """Facts by day that read a dimension without days."""
    dimension = dg.AssetSelection.assets("dimension")
    return _evaluations(
        instance,
        _table("events", []),
        _table("dimension", [], dated=False),
        _table("facts", ["events", "dimension"], on_update_of_dated(dimension)),
    )


@pytest.fixture
def platform(instance: dg.DagsterInstance) -> Evaluations:
    evaluations = Evaluations(emptied(build_definitions()), instance)
    assert evaluations.tick() == {}
    return evaluations


def test_an_update_fires_exactly_its_own_partition_however_old_it_is(chain: Evaluations) -> None:
    chain.update("arrival", OLD_DAY)
    assert chain.tick() == {OLD_DAY: {"silver", "gold"}}
    assert chain.tick() == {}


def test_two_updates_between_two_ticks_are_one_run(chain: Evaluations) -> None:
    chain.update("arrival", DAY)
    chain.update("arrival", DAY)
    assert chain.tick() == {DAY: {"silver", "gold"}}
    assert chain.tick() == {}


@pytest.mark.parametrize("ticks_before", [0, 1], ids=["right after the request", "later"])
def test_two_updates_while_a_run_is_in_progress_are_exactly_one_more_run(chain: Evaluations, ticks_before: int) -> None:
    chain.update("arrival", DAY)
    assert chain.tick() == {DAY: {"silver", "gold"}}
    run = chain.start(["silver", "gold"], DAY)
    for _ in range(ticks_before):
        assert chain.tick() == {}
    chain.update("arrival", DAY)  # the run has read its input by now
    assert chain.tick() == {}
    chain.update("arrival", DAY)
    assert chain.tick() == {}
    chain.finish(run)
    assert chain.tick() == {DAY: {"silver", "gold"}}
    chain.finish(chain.start(["silver", "gold"], DAY))
    assert chain.tick() == {}
    assert chain.tick() == {}


def test_what_a_run_made_itself_does_not_fire_what_it_also_made(chain: Evaluations) -> None:
    chain.finish(chain.start(["silver", "gold"], DAY))
    assert chain.tick() == {}
    chain.finish(chain.start(["silver"], DAY))
    assert chain.tick() == {DAY: {"gold"}}


def test_runs_of_many_dates_between_two_ticks_fire_nothing_of_what_they_made(chain: Evaluations) -> None:
    days = [f"2026-02-0{number}" for number in range(1, 6)]
    for day in days:
        chain.update("arrival", day)
    assert chain.tick() == {day: {"silver", "gold"} for day in days}
    for day in days:
        chain.finish(chain.start(["silver", "gold"], day))
    assert chain.tick() == {}


def test_silver_waits_for_a_run_that_reads_it_and_both_are_rebuilt_together(chain: Evaluations) -> None:
    reading = chain.start(["gold"], DAY)
    chain.update("arrival", DAY)
    chain.update("arrival", OLD_DAY)
    assert chain.tick() == {OLD_DAY: {"silver", "gold"}}
    chain.finish(reading)
    assert chain.tick() == {DAY: {"silver", "gold"}}


def test_a_run_of_one_date_does_not_hold_back_another(chain: Evaluations) -> None:
    chain.start(["silver", "gold"], DAY)
    chain.update("arrival", OLD_DAY)
    assert chain.tick() == {OLD_DAY: {"silver", "gold"}}


def test_gold_waits_for_the_run_that_rebuilds_its_silver(chain: Evaluations) -> None:
    chain.update("silver", DAY)
    run = chain.start(["silver"], DAY)
    assert chain.tick() == {}
    chain.finish(run)
    assert chain.tick() == {DAY: {"gold"}}


def test_a_failed_blocking_check_stops_downstream_until_it_is_kept_again(chain: Evaluations) -> None:
    chain.update("silver", DAY)
    chain.break_contract("silver", DAY)
    assert chain.tick() == {}
    chain.update("silver", OLD_DAY)
    assert chain.tick() == {OLD_DAY: {"gold"}}  # another date is not concerned
    chain.update("silver", DAY)
    assert chain.tick() == {DAY: {"gold"}}


def test_a_failed_check_does_not_stop_the_run_that_may_mend_it(chain: Evaluations) -> None:
    chain.break_contract("silver", DAY)
    chain.update("arrival", DAY)
    assert chain.tick() == {DAY: {"silver", "gold"}}


def test_data_without_a_check_result_stops_downstream(instance: dg.DagsterInstance, chain: Evaluations) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization("silver", partition=DAY))
    assert chain.tick() == {}


@pytest.mark.parametrize("good", [True, False])
def test_a_dimension_that_is_ignored_neither_fires_nor_blocks(instance: dg.DagsterInstance, good: bool) -> None:
    users = dg.AssetSelection.assets("users")
    evaluations = _evaluations(
        instance,
        dg.AssetSpec("arrival", partitions_def=DAILY),
        _table("users", [], dated=False),
        _table("orders", ["arrival", "users"], on_arrival(ignored=users)),
    )
    evaluations.update("orders", DAY)
    evaluations.tick()
    evaluations.update("users", version="1")
    if not good:
        evaluations.break_contract("users")
    assert evaluations.tick() == {}
    evaluations.start(["users"], None)
    evaluations.update("arrival", DAY)
    assert evaluations.tick() == {DAY: {"orders"}}


def test_a_dimension_fires_facts_only_when_its_rows_changed_and_only_dates_that_exist(star: Evaluations) -> None:
    star.update("dimension", version="1")
    star.tick()
    for day in (OLD_DAY, DAY):
        star.update("events", day)
        assert star.tick() == {day: {"facts"}}
        star.finish(star.start(["facts"], day))
    assert star.tick() == {}
    star.update("dimension", version="1")
    assert star.tick() == {}
    star.update("dimension", version="2")
    assert star.tick() == {OLD_DAY: {"facts"}, DAY: {"facts"}}
    assert star.tick() == {}


def test_facts_wait_for_a_dimension_that_has_never_been_made_or_broke_its_contract(star: Evaluations) -> None:
    star.update("events", DAY)
    assert star.tick() == {}
    star.update("dimension", version="1")
    assert star.tick() == {DAY: {"facts"}}
    star.break_contract("dimension")
    star.update("events", OLD_DAY)
    assert star.tick() == {}
    star.update("dimension", version="1")
    assert star.tick() == {OLD_DAY: {"facts"}}


def test_a_dimension_that_changed_while_its_facts_were_made_fires_once_more(star: Evaluations) -> None:
    star.update("dimension", version="1")
    star.update("events", DAY)
    assert star.tick() == {DAY: {"facts"}}
    star.finish(star.start(["facts"], DAY))
    star.tick()
    run = star.start(["facts"], DAY)
    star.update("dimension", version="2")
    assert star.tick() == {}
    star.finish(run)
    assert star.tick() == {DAY: {"facts"}}
    assert star.tick() == {}


def test_each_layer_gets_its_condition() -> None:
    tables = [
        _table("bronze/orders", [], layer="bronze"),
        _table("silver/users", [], dated=False, layer="silver"),
        _table("silver/orders", ["bronze/orders", "silver/users"], layer="silver"),
        _table("gold/orders", ["silver/orders", "silver/users"], layer="gold"),
        _table("mart/orders", ["gold/orders"], layer="mart"),
    ]
    labels = {
        spec.key.to_user_string(): spec.automation_condition.get_label() if spec.automation_condition else None
        for definition in with_conditions(tables)
        for spec in definition.specs
    }
    assert labels == {
        "bronze/orders": None,
        "silver/users": "on_arrival",
        "silver/orders": "on_arrival",
        "gold/orders": "on_update_of_dated",
        "mart/orders": "on_update",
    }


# Several sensors, each of which knows only what it asked for itself.


@pytest.fixture
def domains(instance: dg.DagsterInstance) -> tuple[Evaluations, Evaluations]:
    """The sensor of sales, and that of finance, whose gold table also reads a silver table of sales."""
    tables = [
        _table("silver/sales", ["arrival/sales"], layer="silver", domain="sales"),
        _table("gold/sales", ["silver/sales"], layer="gold", domain="sales"),
        _table("silver/finance", ["arrival/finance"], layer="silver", domain="finance"),
        _table("gold/finance", ["silver/finance", "silver/sales"], layer="gold", domain="finance"),
    ]
    arrivals = [dg.AssetSpec(dg.AssetKey(["arrival", name]), partitions_def=DAILY) for name in ("sales", "finance")]
    defs = dg.Definitions(assets=[*arrivals, *with_conditions(tables)])
    finance, sales = (Evaluations(defs, instance, sensor.asset_selection) for sensor in automation_sensors(tables))
    for silver in ("silver/sales", "silver/finance"):
        sales.update(silver, DAY)
    assert (sales.tick(), finance.tick()) == ({}, {})
    return sales, finance


def test_a_sensor_of_its_own_for_each_domain(domains: tuple[Evaluations, Evaluations]) -> None:
    sales, finance = domains
    for arrival in ("arrival/sales", "arrival/finance"):
        sales.update(arrival, DAY)
    assert sales.tick() == {DAY: {"silver/sales", "gold/sales"}}
    assert finance.tick() == {DAY: {"silver/finance", "gold/finance"}}


def test_what_another_domain_reads_fires_it_when_it_has_been_made(domains: tuple[Evaluations, Evaluations]) -> None:
    sales, finance = domains
    sales.update("arrival/sales", OLD_DAY)
    finance.update("silver/finance", OLD_DAY)
    assert finance.tick() == {}  # it has never been made, and cannot without sales
    assert sales.tick() == {OLD_DAY: {"silver/sales", "gold/sales"}}
    run = sales.start(["silver/sales", "gold/sales"], OLD_DAY)
    assert finance.tick() == {}
    sales.finish(run)
    assert finance.tick() == {OLD_DAY: {"gold/finance"}}
    finance.finish(finance.start(["gold/finance"], OLD_DAY))
    assert (sales.tick(), finance.tick()) == ({}, {})


def test_silver_waits_for_a_reader_of_another_domain(domains: tuple[Evaluations, Evaluations]) -> None:
    sales, finance = domains
    reading = finance.start(["gold/finance"], DAY)
    sales.update("arrival/sales", DAY)
    assert sales.tick() == {}
    finance.finish(reading)
    assert sales.tick() == {DAY: {"silver/sales", "gold/sales"}}


@pytest.mark.parametrize("last", ["sales", "finance"])
def test_two_sensors_that_ask_at_the_same_moment_lose_no_update(
    domains: tuple[Evaluations, Evaluations], last: str
) -> None:
    """Neither sees the run of the other yet: the reader may have read what the other was about to replace."""
    sales, finance = domains
    sales.update("arrival/sales", DAY)
    sales.update("arrival/finance", DAY)
    assert sales.tick() == {DAY: {"silver/sales", "gold/sales"}}
    assert finance.tick() == {DAY: {"silver/finance", "gold/finance"}}
    runs = [
        sales.start(["silver/sales", "gold/sales"], DAY),
        finance.start(["silver/finance", "gold/finance"], DAY),
    ]
    assert (sales.tick(), finance.tick()) == ({}, {})
    for run in runs if last == "finance" else reversed(runs):
        sales.finish(run)
    assert sales.tick() == {}
    assert finance.tick() == {DAY: {"gold/finance"}}
    finance.finish(finance.start(["gold/finance"], DAY))
    assert (sales.tick(), finance.tick()) == ({}, {})


def test_what_one_operation_makes_is_looked_after_by_one_sensor() -> None:
    specs = [
        dg.AssetSpec(dg.AssetKey(["gold", name]), group_name=name, tags={"layer": "gold"})
        for name in ("sales", "finance")
    ]
    together = operation("dbt", specs, [], can_subset=False)
    alone = _table("silver/iot", [], layer="silver", domain="iot")
    names = {key.to_user_string(): name for key, name in sensor_names([together, alone]).items()}
    shared = "keep_up_to_date_finance"
    assert names == {"gold/sales": shared, "gold/finance": shared, "silver/iot": "keep_up_to_date_iot"}
    assert [sensor.name for sensor in automation_sensors([together, alone])] == [shared, "keep_up_to_date_iot"]


def test_every_table_with_a_condition_has_exactly_one_sensor() -> None:
    defs = build_definitions()
    graph = defs.resolve_asset_graph()
    sensors = [sensor for sensor in defs.sensors or () if isinstance(sensor, dg.AutomationConditionSensorDefinition)]
    looked_after = [key for sensor in sensors for key in sensor.asset_selection.resolve(graph)]
    assert len(looked_after) == len(set(looked_after))
    assert {key for key in graph.get_all_asset_keys() if graph.get(key).automation_condition} <= set(looked_after)


EVENT_TABLES = {
    "silver/events_clean",
    "quarantine/events_clean",
    "gold/event_metrics",
    "gold/user_metrics",
    "mart/business_metrics",
}
ORDER_TABLES = {
    "silver/fakestore_carts",
    "quarantine/fakestore_carts",
    "silver/fakestore_cart_lines",
    "quarantine/fakestore_cart_lines",
    "gold/fact_orders",
    "gold/fact_order_lines",
    "mart/revenue_by_day",
}


def test_late_events_reach_the_mart_in_one_tick_as_one_run_per_date(platform: Evaluations) -> None:
    late = ["2021-05-04", DAY]
    for day in late:
        platform.update("arrival/events_clean", day)
    assert platform.tick() == dict.fromkeys(late, EVENT_TABLES)
    assert sorted(str(request.partition_key) for request in platform.requests) == late
    for request in platform.requests:
        assert {key.to_user_string() for key in request.asset_selection or ()} == EVENT_TABLES
    assert platform.tick() == {}


@pytest.mark.parametrize("reader", ["gold/event_metrics", "mart/business_metrics"])
def test_events_wait_for_whatever_reads_them_of_that_date(platform: Evaluations, reader: str) -> None:
    run = platform.start([reader], DAY)
    platform.update("arrival/events_clean", DAY)
    platform.update("arrival/events_clean", OLD_DAY)
    assert platform.tick() == {OLD_DAY: EVENT_TABLES}
    platform.finish(run)
    assert platform.tick() == {DAY: EVENT_TABLES}


def test_a_silver_table_that_broke_its_contract_stops_its_marts_and_no_other_source(platform: Evaluations) -> None:
    platform.update("silver/events_clean", DAY)
    platform.break_contract("silver/events_clean", DAY)
    platform.update("silver/fakestore_users", version="1")
    assert platform.tick() == {WHOLE: {"gold/dim_users"}}
    platform.update("silver/events_clean", DAY)
    assert platform.tick() == {DAY: {"gold/event_metrics", "gold/user_metrics", "mart/business_metrics"}}


def test_a_gold_table_that_broke_its_contract_is_made_again_with_its_silver(platform: Evaluations) -> None:
    platform.break_contract("gold/user_metrics", DAY)
    assert platform.tick() == {}
    platform.update("silver/events_clean", DAY)
    assert platform.tick() == {DAY: {"gold/event_metrics", "gold/user_metrics", "mart/business_metrics"}}


def test_carts_become_orders_in_one_run_whatever_the_customers_do(platform: Evaluations) -> None:
    platform.update("silver/fakestore_products", version="1")
    platform.tick()
    platform.start(["silver/fakestore_users", "quarantine/fakestore_users"], None)
    platform.break_contract("silver/fakestore_users")
    for table in ("fakestore_carts", "fakestore_cart_lines"):
        platform.update(f"arrival/{table}", DAY)
    assert platform.tick() == {DAY: ORDER_TABLES}


def test_the_daily_poll_of_unchanged_products_rebuilds_no_order(platform: Evaluations) -> None:
    platform.update("silver/fakestore_products", version="1")
    platform.tick()
    for day in (OLD_DAY, DAY):
        for table in sorted(ORDER_TABLES):
            platform.update(table, day)
    platform.tick()
    for day in (OLD_DAY, DAY):
        platform.finish(platform.start(sorted(ORDER_TABLES), day))
    assert platform.tick() == {}
    platform.update("silver/fakestore_products", version="1")
    assert platform.tick() == {WHOLE: {"gold/dim_products"}}
    platform.finish(platform.start(["gold/dim_products"], WHOLE))
    platform.tick()
    platform.update("silver/fakestore_products", version="2")
    facts = {"gold/fact_order_lines", "gold/fact_orders", "mart/revenue_by_day"}
    assert platform.tick() == {WHOLE: {"gold/dim_products"}, OLD_DAY: facts, DAY: facts}

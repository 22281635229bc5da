"""The graph, assembled from its rooms. Loading it touches nothing but the project's own files (I6)."""

from __future__ import annotations

import dagster as dg

from platform_assets.assets.bronze import bronze_asset
from platform_assets.assets.freshness import freshness_checks
from platform_assets.assets.landing import landing_specs
from platform_assets.assets.maintenance import maintenance_asset, maintenance_schedule
from platform_assets.assets.silver import silver_asset
from platform_assets.assets.warehouse import warehouse_assets
from platform_assets.automation.alerts.sensor import alerts_sensor
from platform_assets.automation.arrival_sensors import arrival_sensors
from platform_assets.automation.broken_sources import broken_sources_sensors
from platform_assets.automation.conditions import automation_sensors, with_conditions
from platform_assets.automation.failures import mend_failed_sensor
from platform_assets.automation.freshness import freshness_sensor
from platform_assets.automation.quality import quality_sensor
from platform_assets.loading import kept_for_good
from platform_assets.settings import load_settings
from platform_assets.sources.registry import load_sources, read_sources


def build_definitions() -> dg.Definitions:
    """Fresh definitions of every asset, check, sensor and schedule."""
    sources = load_sources()
    broken = read_sources(load_settings().sources).broken
    tables = [
        *(bronze_asset(source) for source in sources),
        *(silver_asset(source, table, sources) for source in sources for table in source.file.silver),
        *warehouse_assets(load_settings().dbt_project),
    ]
    maintenance = maintenance_asset()
    return dg.Definitions(
        assets=[*(spec for source in sources for spec in landing_specs(source)), *with_conditions(tables), maintenance],
        asset_checks=freshness_checks(tables),
        sensors=[
            *arrival_sensors(sources),
            *automation_sensors(tables),
            freshness_sensor(),
            quality_sensor(),
            mend_failed_sensor(),
            *broken_sources_sensors(broken.values()),
            alerts_sensor(),
        ],
        schedules=[maintenance_schedule(maintenance)],
        executor=dg.in_process_executor,
    )


with kept_for_good():
    defs = build_definitions()

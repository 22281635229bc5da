"""Says without pause that source folders cannot be used, where the platform runs on without them (docs/adr/0009)."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from platform_assets.sources.yaml_file import SourceError


def broken_sources_sensors(broken: Iterable[SourceError]) -> list[dg.SensorDefinition]:
    """The sensor `broken_sources`, of which every tick fails with what is wrong; none if nothing is."""
    errors = [str(error) for error in broken]
    if not errors:
        return []
    heading = f"{len(errors)} source folder(s) cannot be used and are left out of the graph"

    @dg.sensor(
        name="broken_sources",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="\n".join((f"{heading}; their data waits in landing.", *(f"- {error}" for error in errors))),
    )
    def tell() -> dg.SkipReason:
        raise SourceError("\n".join((f"{heading}. Mend them, then reload the code location:", *errors)))

    return [tell]

"""Every table that the platform declares, published or not: contract, owner, promise, what it is made of, and when.

Needs no engine, no Dagster.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from platform_assets.contracts.dbt_yaml import load_models
from platform_assets.contracts.sla import Promise, promises_of
from platform_assets.sources.contracts import contracts_of
from platform_assets.sources.registry import load_sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from platform_assets.contracts.model import Contract
    from platform_assets.sources.model import Source

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Cadence:
    """When data is promised to come.

    Attributes:
        schedule: cron expression (UTC) of the deliveries, if the source declares one.
        daily: whether every day has data: the source promises no less than that. A stream promises no moment at which
            something comes, only that what came is in time.
    """

    schedule: str | None = None
    daily: bool = False


@dataclass(frozen=True)
class DeclaredTable:
    """A table as its source file or dbt model declares it.

    Attributes:
        warn_window: age of the last materialisation above which the table warns, if it does.
        fail_window: age above which it fails.
        inputs: tables that it is made of. Tables that a foreign key of silver refers to are not among them: they give
            it no rows.
        cadence: that of the sources that it comes from.
        counted_in: the bronze table of which silver accounts for every row, one by one (I2), if any.
        sla: what it promises about time (`contracts.sla`), measured in `lakehouse.outcomes`.
    """

    contract: Contract
    domain: str
    owner: str
    warn_window: timedelta | None
    fail_window: timedelta
    inputs: tuple[str, ...] = ()
    cadence: Cadence = Cadence()
    counted_in: str | None = None
    sla: tuple[Promise, ...] = ()

    @property
    def name(self) -> str:
        """`layer.table`."""
        return self.contract.table


def declared_tables(dbt_project: Path) -> list[DeclaredTable]:
    """All tables, layer by layer in the way of a row, then by name."""
    order = ("bronze", "silver", "quarantine", "gold", "mart")
    of_sources = list(_source_tables())
    cadences = {table.name: table.cadence for table in of_sources}
    tables = [*of_sources, *_with_cadence(list(_model_tables(dbt_project)), cadences)]
    return sorted(tables, key=lambda table: (order.index(table.contract.layer), table.name))


def _source_tables() -> Iterator[DeclaredTable]:
    for source in load_sources():
        promise = source.file.freshness
        bronze = f"bronze.{source.name}"
        schedule = source.file.ingestion.schedule
        cadence = Cadence(schedule, daily=schedule is None and promise.fail_window >= ONE_DAY)
        exploded = {f"silver.{table.table}" for table in source.file.silver if table.explode}
        for contract in contracts_of(source):
            counted = contract.layer == "silver" and contract.table not in exploded
            yield DeclaredTable(
                contract,
                source.file.domain,
                source.file.owner,
                promise.warn_window,
                promise.fail_window,
                inputs=() if contract.layer == "bronze" else (bronze,),
                cadence=cadence,
                counted_in=bronze if counted else None,
                sla=_promises(source, contract),
            )


def _promises(source: Source, contract: Contract) -> tuple[Promise, ...]:
    """What a table of a source promises about time. Of bad rows nobody is promised anything."""
    if contract.layer == "quarantine":
        return ()
    own = {f"silver.{table.table}": table.sla for table in source.file.silver}.get(contract.table)
    return promises_of(contract.layer, own or source.file.sla, dated=contract.partition_column is not None)


def _model_tables(dbt_project: Path) -> Iterator[DeclaredTable]:
    for model in load_models(dbt_project):
        warn = model.freshness_warn_minutes
        yield DeclaredTable(
            model.contract,
            model.domain,
            model.owner,
            None if warn is None else timedelta(minutes=warn),
            timedelta(minutes=model.freshness_fail_minutes),
            inputs=model.depends_on,
            sla=promises_of(model.layer, model.sla, dated=model.partition_column is not None),
        )


def _with_cadence(models: Sequence[DeclaredTable], known: Mapping[str, Cadence]) -> Iterator[DeclaredTable]:
    """A model has the cadence that all its sources share; if they differ, every day has data only if in each it has."""
    by_name = {model.name: model for model in models}

    def cadences(name: str) -> set[Cadence]:
        if name in known:
            return {known[name]}
        return set().union(*map(cadences, by_name[name].inputs)) if name in by_name else set()

    for model in models:
        found = cadences(model.name)
        same = next(iter(found)) if len(found) == 1 else Cadence(daily=all(c.daily for c in found) and bool(found))
        yield replace(model, cadence=same)

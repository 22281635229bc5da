"""Every table that the platform declares, published or not: contract, owner, promise. Needs no engine, no Dagster."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from platform_assets.contracts.dbt_yaml import load_models
from platform_assets.sources.contracts import contracts_of
from platform_assets.sources.registry import load_sources

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from platform_assets.contracts.model import Contract


@dataclass(frozen=True)
class DeclaredTable:
    """A table as its source file or dbt model declares it.

    Attributes:
        warn_window: age of the last materialisation above which the table warns, if it does.
        fail_window: age above which it fails.
    """

    contract: Contract
    domain: str
    owner: str
    warn_window: timedelta | None
    fail_window: timedelta

    @property
    def name(self) -> str:
        """`layer.table`."""
        return self.contract.table


def declared_tables(dbt_project: Path) -> list[DeclaredTable]:
    """All tables, layer by layer in the way of a row, then by name."""
    order = ("bronze", "silver", "quarantine", "gold", "mart")
    tables = [*_source_tables(), *_model_tables(dbt_project)]
    return sorted(tables, key=lambda table: (order.index(table.contract.layer), table.name))


def _source_tables() -> Iterator[DeclaredTable]:
    for source in load_sources():
        promise = source.file.freshness
        for contract in contracts_of(source):
            yield DeclaredTable(
                contract, source.file.domain, source.file.owner, promise.warn_window, promise.fail_window
            )


def _model_tables(dbt_project: Path) -> Iterator[DeclaredTable]:
    for model in load_models(dbt_project):
        warn = model.freshness_warn_minutes
        yield DeclaredTable(
            model.contract,
            model.domain,
            model.owner,
            None if warn is None else timedelta(minutes=warn),
            timedelta(minutes=model.freshness_fail_minutes),
        )

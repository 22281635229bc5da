"""Brings a source to life in the configured environment: the seven steps of S1-68, each safe to repeat."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from platform_assets.dagit import Dagit, DagitError
from platform_assets.sources.alerts import alert_rules
from platform_assets.sources.contracts import contracts_of
from platform_assets.sources.pattern import Pattern
from platform_assets.sources.registry import load_folder, read_sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from platform_assets.settings import Settings
    from platform_assets.sources.model import Source

Outcome = Literal["done", "unchanged", "not needed", "waiting", "failed"]


@dataclass(frozen=True)
class Step:
    """One of the seven.

    Attributes:
        outcome: `waiting` is for something that this environment cannot do and a person can: `detail` says what.
    """

    number: int
    title: str
    outcome: Outcome
    detail: str

    def as_json(self) -> dict[str, object]:
        """One flat object."""
        return asdict(self)


def deploy(settings: Settings, folder: Path) -> Iterator[Step]:
    """Takes the steps one after the other; ends after one that failed.

    Raises:
        SourceError: the source folder is wrong, before anything is made.
    """
    sources = load_folder(folder)
    read_sources.cache_clear()
    broken = read_sources(folder.parent).broken  # with all others: names and references
    if folder in broken:
        raise broken[folder]
    tables = [contract.table for source in sources for contract in contracts_of(source)]
    yield Step(1, "validate the configuration", "done", f"{len(tables)} tables: {', '.join(tables)}")
    yield _resources(settings, sources)
    connector = _connector(settings, sources)
    yield connector
    if connector.outcome == "failed":
        return
    yield _pipeline(settings, sources)
    yield _schemas(settings, sources)
    yield _monitoring(sources)
    yield _alerts(sources)


def _resources(settings: Settings, sources: Sequence[Source]) -> Step:
    from platform_assets.ingestion.resources import ensure_for

    title = "create buckets, topic and subscription"
    new = [name for source in sources for name in ensure_for(settings, source)]
    if new:
        return Step(2, title, "done", f"made {', '.join(new)}")
    return Step(2, title, "unchanged", "everything that the source needs is there")


def _connector(settings: Settings, sources: Sequence[Source]) -> Step:
    """The connector is a sensor of the code location: it runs as soon as the definitions are loaded anew."""
    title = "start the connector"
    wanted = [f"arrivals_{source.name}" for source in sources]
    if settings.dagit_url is None:
        detail = "no Dagster runs here: start `platform-assets up`, or set PLATFORM_DAGIT_URL and deploy again"
        return Step(3, title, "waiting", detail)
    dagit = Dagit(settings.dagit_url)
    try:
        dagit.reload()
        sensors = dagit.sensors()
    except DagitError as error:
        return Step(3, title, "failed", str(error))
    missing = [name for name in wanted if name not in sensors]
    if missing:
        detail = f"Dagster does not know {', '.join(missing)}: does it read the same folder (PLATFORM_SOURCES)?"
        return Step(3, title, "failed", detail)
    stopped = [name for name in wanted if sensors[name] != "RUNNING"]
    if stopped:
        return Step(3, title, "waiting", f"switched off in Dagit: {', '.join(stopped)}; switch it on there")
    return Step(3, title, "done", f"{', '.join(wanted)} {'runs' if len(wanted) == 1 else 'run'}{_origin(sources)}")


def _origin(sources: Sequence[Source]) -> str:
    """What somebody else has to set up, because the platform only takes what arrives."""
    ingestion = sources[0].file.ingestion
    if ingestion.pattern is Pattern.CLOUD_TRANSFER:
        origin = f"{ingestion.source_type}://{ingestion.source_bucket}/{ingestion.source_path or ''}"
        return f"; the transfer service has to copy {origin} to {ingestion.destination}"
    if ingestion.pattern is Pattern.DATABASE_CDC:
        return f"; the replication service has to write to {ingestion.location or 'landing'}"
    return ""


def _pipeline(settings: Settings, sources: Sequence[Source]) -> Step:
    from platform_assets.lakehouse.catalog import Lakehouse

    lakehouse = Lakehouse(settings)
    contracts = [contract for source in sources for contract in contracts_of(source)]
    before = set(lakehouse.tables())
    for contract in contracts:
        lakehouse.ensure(contract)
    new = [contract.table for contract in contracts if contract.table not in before]
    if new:
        return Step(4, "create the pipeline's tables", "done", f"made {', '.join(new)}")
    return Step(4, "create the pipeline's tables", "unchanged", f"{len(contracts)} tables are there")


def _schemas(settings: Settings, sources: Sequence[Source]) -> Step:
    """Each contract beside its table, as properties in the Iceberg catalog, for whoever finds the table there."""
    from platform_assets.lakehouse.catalog import Lakehouse

    lakehouse = Lakehouse(settings)
    registered = []
    for source in sources:
        for contract in contracts_of(source):
            table = lakehouse.catalog.load_table(contract.table)
            wanted = {
                "comment": contract.description,
                "owner": source.file.owner,
                "platform.contract-version": str(contract.version),
                "platform.contract": json.dumps(asdict(contract), default=str, sort_keys=True),
            }
            if any(table.properties.get(name) != value for name, value in wanted.items()):
                with table.transaction() as transaction:
                    transaction.set_properties(wanted)
                registered.append(contract.table)
    version = f"schema version {sources[0].schema_version}" if sources[0].record_schema else "no schema yet"
    if registered:
        return Step(5, "register the schema in the catalog", "done", f"{version}, {len(registered)} contracts")
    return Step(5, "register the schema in the catalog", "unchanged", version)


def _monitoring(sources: Sequence[Source]) -> Step:
    promise = sources[0].file.freshness
    warns = f"warns after {promise.warn_minutes} min, " if promise.warn_minutes else ""
    detail = f"freshness: {warns}fails after {promise.fail_minutes} min; see `platform-assets freshness`"
    return Step(6, "watch its freshness", "done", detail)


def _alerts(sources: Sequence[Source]) -> Step:
    rules = alert_rules(sources[0])
    if not rules:
        return Step(7, "configure alerts", "not needed", "the source names nobody to tell: `monitoring.alert_email`")
    return Step(7, "configure alerts", "done", "; ".join(f"{rule.condition} → {rule.notification}" for rule in rules))

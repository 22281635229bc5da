"""Rebuilds a silver table, or one partition of it, with its quarantine sibling: a pure function of bronze (I2, I3)."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from platform_assets.contracts.drift import explain_drift
from platform_assets.contracts.iceberg_schema import duckdb_type
from platform_assets.contracts.rules import REFERENCES, literal, quote
from platform_assets.lakehouse import publisher
from platform_assets.lakehouse.catalog import LakehouseError
from platform_assets.lakehouse.conform import Accounting, Conformed, conform
from platform_assets.lakehouse.drift import drifted
from platform_assets.lakehouse.reader import relation
from platform_assets.lakehouse.transforms import transformed
from platform_assets.lakehouse.values import typed_value
from platform_assets.sources.contracts import BROKEN_RULES, EVENT_DATE, quarantine_contract, silver_contract

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    import duckdb

    from platform_assets.contracts.model import Contract
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.publisher import Publication
    from platform_assets.sources.model import SilverTable, Source


class PublishBlocked(Exception):
    """Too many rows broke the contract: something is wrong with the source, and readers keep the last good data."""

    def __init__(self, table: str, accounting: Accounting, limit: float, drift: Sequence[str]) -> None:
        self.accounting = accounting
        self.drift = tuple(drift)
        super().__init__(
            f"{table}: {accounting.rows_quarantined} of {accounting.rows_in} rows break the contract "
            f"({accounting.quarantine_ratio:.1%}); the source allows {limit:.1%}. Nothing was published, readers keep "
            f"the last good data. What changed: {'; '.join(drift)}. Mend the source or its contract, then materialise "
            "the partition again."
        )


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild published and how its rows add up.

    Attributes:
        broken_rules: how many rows broke which combination of rules.
        warnings: for every rule of severity `warn`, how many published rows break it, also 0.
    """

    silver: Publication
    quarantine: Publication
    accounting: Accounting
    broken_rules: dict[str, int]
    warnings: dict[str, int]


def rebuild(
    lakehouse: Lakehouse,
    source: Source,
    table: SilverTable,
    *,
    partition: date | None,
    run_id: str,
    references_in: Lakehouse | None = None,
) -> Rebuilt:
    """Publishes silver and quarantine from all bronze rows of the partition (None: of a table without partitions).

    Args:
        lakehouse: where bronze is read and both are published.
        source: what arrives.
        table: the silver table.
        partition: its event date.
        run_id: stamped on the snapshots.
        references_in: where the tables are that it refers to, if they are elsewhere.

    Raises:
        PublishBlocked: more rows break the contract than the source allows.
        ContractBroken: what was about to be published breaks the contract.
        LakehouseError: a dated table without a partition, or the other way around; or bronze does not exist.
    """
    silver, quarantine = silver_contract(source, table), quarantine_contract(source, table)
    if (partition is None) != (silver.partition_column is None):
        raise LakehouseError(f"{silver.table} is rebuilt {'date by date' if partition is None else 'as a whole'}")
    with conformed(lakehouse, source, table, partition=partition, references_in=references_in) as (connection, split):
        accounting = split.accounting
        limit = source.file.quarantine
        if accounting.rows_in >= limit.minimum_rows and accounting.quarantine_ratio > limit.max_ratio:
            drift = _drift(lakehouse, source, silver, partition, connection, accounting)
            raise PublishBlocked(silver.table, accounting, limit.max_ratio, drift)
        properties = _properties(accounting, partition, run_id)
        # Silver first: if its audit fails, quarantine stays as it was too.
        good = publisher.replace(
            lakehouse,
            split.contract.published(),
            connection,
            split.accepted,
            partition=partition,
            properties=properties,
        )
        broken = publisher.replace(
            lakehouse, quarantine, connection, split.quarantined, partition=partition, properties=properties
        )
        if (good.rows, broken.rows) != (accounting.rows_out, accounting.rows_quarantined) or not accounting.balanced:
            raise LakehouseError(f"{silver.table}: published {good.rows} and {broken.rows} rows, counted {accounting}")
        warnings = {finding.rule: finding.rows for finding in good.warnings} | dict(split.warnings)
        return Rebuilt(good, broken, accounting, _counts(connection), warnings)


@contextmanager
def conformed(
    lakehouse: Lakehouse,
    source: Source,
    table: SilverTable,
    *,
    partition: date | None,
    references_in: Lakehouse | None = None,
) -> Iterator[tuple[duckdb.DuckDBPyConnection, Conformed]]:
    """The split of the partition's bronze rows, on a connection that is open as long as the block."""
    bronze = relation(lakehouse, f"bronze.{source.name}", where={EVENT_DATE: partition} if partition else None)
    if bronze is None:
        raise LakehouseError(f"bronze.{source.name} was never published; materialise it before silver.{table.table}")
    contract = silver_contract(source, table)
    with lakehouse.connect() as connection:
        yield (
            connection,
            conform(
                connection,
                transformed(connection, bronze, table.transforms, source.folder),
                contract,
                key=lakehouse.settings.require_pii_key(),
                partition=partition,
                explode=table.explode,
                references=known_values(references_in or lakehouse, contract),
            ),
        )


def reopened_partitions(lakehouse: Lakehouse, source: Source, table: SilverTable) -> list[date]:
    """Partitions with rows that were quarantined for an unknown reference which is known by now.

    A cart may arrive before its customer: when the customer has come, the cart's date is rebuilt.
    """
    contract = silver_contract(source, table)
    broken = relation(lakehouse, f"quarantine.{table.table}")
    if broken is None or contract.partition_column is None:
        return []
    references = known_values(lakehouse, contract)
    days: set[date] = set()
    for rule in contract.rules:
        if rule.kind == REFERENCES:
            value = typed_value(contract.column(rule.column), quote(rule.column))
            found = lakehouse.ask(
                f"SELECT DISTINCT {quote(contract.partition_column)} FROM {broken} "
                f"WHERE list_contains(string_split({BROKEN_RULES}, ', '), {literal(rule.name)}) AND {value} IN "
                f"(SELECT value FROM {references[str(rule.argument)]})"
            )
            days.update(day for (day,) in found)
    return sorted(days)


def _drift(
    lakehouse: Lakehouse,
    source: Source,
    contract: Contract,
    partition: date | None,
    connection: duckdb.DuckDBPyConnection,
    accounting: Accounting,
) -> list[str]:
    """What changed at the source, in words (S0-59)."""
    where = {EVENT_DATE: partition} if partition else None
    unexpected = drifted(lakehouse, f"bronze.{source.name}", where=where)
    members = {(member.name, member.json_type): member.records for member in unexpected}
    return explain_drift(contract, _counts(connection), accounting.rows_in, members)


def known_values(lakehouse: Lakehouse, contract: Contract) -> dict[str, str]:
    """For every `layer.table.column` that the contract refers to, SQL after FROM over its values."""
    found = {}
    for rule in contract.rules:
        if rule.kind == REFERENCES:
            target = str(rule.argument)
            table, _, column = target.rpartition(".")
            rows = relation(lakehouse, table)
            nothing = f"(SELECT NULL::{duckdb_type(contract.column(rule.column))} AS value WHERE FALSE)"
            found[target] = f"(SELECT {quote(column)} AS value FROM {rows})" if rows else nothing
    return found


def _properties(accounting: Accounting, partition: date | None, run_id: str) -> dict[str, str]:
    return {
        "platform.run-id": run_id,
        "platform.partition": partition.isoformat() if partition else "",
        "platform.rows-in": str(accounting.rows_in),
        "platform.rows-out": str(accounting.rows_out),
        "platform.rows-quarantined": str(accounting.rows_quarantined),
        "platform.rows-duplicate": str(accounting.rows_duplicate),
    }


def _counts(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    rows = connection.execute(
        f"SELECT {BROKEN_RULES}, count(*) FROM staged WHERE {BROKEN_RULES} IS NOT NULL "
        "GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20"
    ).fetchall()
    return {str(rules): int(rows) for rules, rows in rows}

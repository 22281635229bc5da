"""`silver/<table>` with its sibling `quarantine/<table>`: what bronze says, conformed to the contract.

No `from __future__ import annotations` here: Dagster does not resolve the annotation of a run's context then.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_assets.assets.failures import RETRIES, PermanentFailure, told_apart
from platform_assets.assets.landing import arrival_key
from platform_assets.assets.tables import (
    CONTRACT_CHECK,
    WHOLE_TABLE,
    asset_key,
    check_spec,
    contract_check,
    kept_contract,
    materialized,
    run_partition,
    source_facts,
    table_spec,
)
from platform_assets.contracts.model import Severity
from platform_assets.contracts.rules import REFERENCES
from platform_assets.settings import load_settings
from platform_assets.sources.contracts import quarantine_contract, silver_contract
from platform_assets.sources.model import Kind

if TYPE_CHECKING:
    from platform_assets.contracts.model import Contract
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.silver import Rebuilt
    from platform_assets.sources.model import SilverTable, Source

ROW_ACCOUNTING_CHECK = "row_accounting"
QUARANTINE_CHECK = "quarantine"
WARNINGS_CHECK = "warnings"
_WHOLE_TABLE_REASONS = {
    Kind.CURRENT_STATE: f"{WHOLE_TABLE}: the latest state of every key, whenever it arrived",
    Kind.SCD2: f"{WHOLE_TABLE}: every version of every key, which holds until the next one",
}


def silver_asset(source: "Source", table: "SilverTable", sources: "Sequence[Source]") -> dg.AssetsDefinition:
    """Silver and quarantine of one table.

    Args:
        source: what arrives.
        table: the silver table.
        sources: all sources, of which some tables may refer to this one.
    """
    contract, broken = silver_contract(source, table), quarantine_contract(source, table)
    silver, quarantine = _specs(source, table, contract, broken)

    @dg.multi_asset(
        name=f"silver_{table.table}",
        specs=[silver, quarantine],
        check_specs=_check_specs(source, contract, silver, quarantine),
        pool=f"silver_{table.table}",
        retry_policy=RETRIES,
    )
    @told_apart
    def conform(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        from platform_assets.lakehouse.audit import ContractBroken
        from platform_assets.lakehouse.catalog import Lakehouse
        from platform_assets.lakehouse.decisions import decided_rows
        from platform_assets.lakehouse.silver import PublishBlocked, rebuild

        lakehouse = Lakehouse(load_settings())
        partition = run_partition(context)
        try:
            rebuilt = rebuild(lakehouse, source, table, partition=partition, run_id=context.run.run_id)
        except (ContractBroken, PublishBlocked) as error:
            yield dg.AssetCheckResult(
                passed=False, asset_key=silver.key, check_name=CONTRACT_CHECK, description=str(error)
            )
            raise PermanentFailure(str(error)) from error
        decided = decided_rows(lakehouse, table.table, partition=partition)
        yield from _results(contract, broken, rebuilt, decided)
        reopen(context.instance, lakehouse, table, sources)

    return conform


def reopen(
    instance: dg.DagsterInstance, lakehouse: "Lakehouse", table: "SilverTable", sources: "Sequence[Source]"
) -> None:
    """Announces dates at which rows were quarantined for want of a row that is here now.

    Looks at the tables that refer to `table`, and at `table` itself: what it refers to may have been published between
    its reading and its publishing, by a run that could not yet see what this one was about to quarantine.
    """
    from platform_assets.lakehouse.silver import reopened_partitions

    prefix = f"silver.{table.table}."
    for source in sources:
        for other in source.file.silver:
            if other == table or any(target.startswith(prefix) for target in other.references.values()):
                for day in reopened_partitions(lakehouse, source, other):
                    instance.report_runless_asset_event(
                        dg.AssetMaterialization(arrival_key(other), partition=day.isoformat())
                    )


def _specs(
    source: "Source", table: "SilverTable", contract: "Contract", broken: "Contract"
) -> tuple[dg.AssetSpec, dg.AssetSpec]:
    facts = source_facts(source, _WHOLE_TABLE_REASONS.get(table.kind))
    arrives = arrival_key(table) if table.kind is Kind.EVENTS else dg.AssetKey(["bronze", source.name])
    referred = {str(rule.argument).rpartition(".")[0] for rule in contract.rules if rule.kind == REFERENCES}
    deps = [arrives, *(asset_key(name) for name in sorted(referred))]
    return (
        table_spec(contract.published(), facts, deps),
        table_spec(broken, facts, deps),
    )


def _check_specs(
    source: "Source", contract: "Contract", silver: dg.AssetSpec, quarantine: dg.AssetSpec
) -> list[dg.AssetCheckSpec]:
    limit = source.file.quarantine
    warned = check_spec(
        silver, WARNINGS_CHECK, "No published row breaks a rule of severity `warn`, which only counts.", blocking=False
    )
    return [
        *([warned] if any(rule.severity is Severity.WARN for rule in contract.rules) else []),
        contract_check(silver),
        contract_check(quarantine),
        check_spec(
            silver,
            ROW_ACCOUNTING_CHECK,
            "Rows in = out + quarantined + duplicate: nothing is lost.",
            blocking=True,
        ),
        check_spec(
            silver,
            QUARANTINE_CHECK,
            f"No row that broke the contract is open. Above {limit.max_ratio:.0%} (from {limit.minimum_rows} rows on) "
            "nothing is published.",
            blocking=False,
        ),
    ]


def _results(
    contract: "Contract", broken: "Contract", rebuilt: "Rebuilt", decided: int
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    accounting, silver, quarantine = rebuilt.accounting, asset_key(contract.table), asset_key(broken.table)
    counts = {
        "rows_in": accounting.rows_in,
        "rows_out": accounting.rows_out,
        "rows_quarantined": accounting.rows_quarantined,
        "rows_duplicate": accounting.rows_duplicate,
    }
    yield materialized(silver, rebuilt.silver, counts)
    yield materialized(quarantine, rebuilt.quarantine, {"broken_rules": rebuilt.broken_rules})
    yield kept_contract(contract.published(), rebuilt.silver.rows)
    yield kept_contract(broken, rebuilt.quarantine.rows)
    if rebuilt.warnings:
        yield dg.AssetCheckResult(
            passed=not any(rebuilt.warnings.values()),
            asset_key=silver,
            check_name=WARNINGS_CHECK,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"rows_checked": accounting.rows_out, **{f"broken/{k}": n for k, n in rebuilt.warnings.items()}},
        )
    yield dg.AssetCheckResult(
        passed=accounting.balanced, asset_key=silver, check_name=ROW_ACCOUNTING_CHECK, metadata=counts
    )
    yield dg.AssetCheckResult(
        passed=accounting.rows_quarantined == decided,
        asset_key=silver,
        check_name=QUARANTINE_CHECK,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "rows_quarantined": accounting.rows_quarantined,
            "rows_open": accounting.rows_quarantined - decided,
            "rows_decided": decided,
            "quarantine_ratio": accounting.quarantine_ratio,
            "broken_rules": rebuilt.broken_rules,
        },
    )

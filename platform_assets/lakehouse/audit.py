"""Audits staged files against their contract with Pandera. Findings name rules and counts, never values (I7)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from platform_assets.contracts.expert import load_expert
from platform_assets.contracts.model import Contract, Rule, Severity
from platform_assets.contracts.pandera_schema import pandera_schema
from platform_assets.contracts.rules import REFERENCES, TABLE_RULES, audited
from platform_assets.contracts.windows import resolved

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandera.polars as pa
    import polars as pl


@dataclass(frozen=True)
class Finding:
    """One broken promise: the rule and how many rows break it."""

    rule: str
    rows: int


class ContractBroken(Exception):
    """Staged rows break their contract; they were not published."""

    def __init__(self, table: str, findings: tuple[Finding, ...]) -> None:
        self.table = table
        self.findings = findings
        listed = "; ".join(f"{finding.rule} broken by {finding.rows} rows" for finding in findings)
        super().__init__(f"{table}: not published, because the staged rows break the contract: {listed}")


def audit(contract: Contract, staged: Sequence[Path]) -> tuple[Finding, ...]:
    """Checks every promise of the contract on staged Parquet files, each one partition.

    Returns:
        What only counts: for every rule of severity `warn` that can be judged here, how many rows break it, also 0.

    Raises:
        ContractBroken: with every broken rule and its count.
        ContractError: the expert's schema cannot be loaded.
    """
    import polars as pl

    contract = resolved(contract, datetime.now(UTC))
    schema = pandera_schema(contract)
    expert = load_expert(contract.expert) if contract.expert else None
    broken: Counter[str] = Counter()
    counted = Counter({rule.name: 0 for rule in _counted(contract)})
    for path in staged:
        frame = pl.read_parquet(path)
        broken.update(_broken(contract, schema, frame))
        if expert is not None:
            broken.update(_expert_broken(contract, expert, frame))
        counted.update(_rows_breaking(_counted(contract), frame))
    if broken:
        raise ContractBroken(contract.table, _findings(broken))
    return _findings(counted)


def audits_no_rows(contract: Contract) -> bool:
    """Whether also an empty table can break the contract, so that a file without rows must be audited."""
    return contract.expert is not None or any(rule.kind in TABLE_RULES for rule in contract.rules)


def _findings(counts: Counter[str]) -> tuple[Finding, ...]:
    return tuple(Finding(rule, rows) for rule, rows in sorted(counts.items()))


def _broken(contract: Contract, schema: pa.DataFrameSchema, frame: pl.DataFrame) -> dict[str, int]:
    found: Counter[str] = Counter()
    for check, column, rows in _failures(schema, frame):
        found[_rule(contract, check, column)] += rows
    # Pandera says of a whole table only that it breaks a rule.
    tables = [rule for rule in contract.rules if rule.kind in TABLE_RULES and rule.name in found]
    return {**found, **_rows_breaking(tables, frame)}


def _expert_broken(contract: Contract, schema: pa.DataFrameSchema, frame: pl.DataFrame) -> dict[str, int]:
    name = contract.expert.name if contract.expert else ""
    return {".".join(filter(None, (name, column, check))): rows for check, column, rows in _failures(schema, frame)}


def _failures(schema: pa.DataFrameSchema, frame: pl.DataFrame) -> Iterator[tuple[str, str, int]]:
    """Check, column (empty if it is about several) and number of rows of everything that a schema finds."""
    import pandera.errors

    try:
        schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        for row in error.failure_cases.group_by("check", "column").len().iter_rows(named=True):
            column = "" if row["column"] in {None, schema.name} else str(row["column"])
            yield str(row["check"]), column, int(row["len"])


def _rule(contract: Contract, check: str, column: str) -> str:
    """The contract's name for one of Pandera's own checks; our rules carry their names already."""
    if check == "multiple_fields_uniqueness":
        return f"{', '.join(contract.key)}.unique"
    return f"{column}.{check}" if check in {"not_nullable", "field_uniqueness"} or check.startswith("dtype(") else check


def _counted(contract: Contract) -> list[Rule]:
    return [rule for rule in contract.rules if rule.severity is Severity.WARN and rule.kind != REFERENCES]


def _rows_breaking(rules: Sequence[Rule], frame: pl.DataFrame) -> dict[str, int]:
    if not rules:
        return {}
    counts = {
        rule.name: TABLE_RULES[rule.kind].polars(rule) if rule.kind in TABLE_RULES else (~audited(rule)).sum()
        for rule in rules
    }
    return {name: int(rows) for name, rows in frame.select(**counts).row(0, named=True).items()}

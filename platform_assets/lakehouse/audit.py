"""Audits a staged file against its contract with Pandera. Findings name rules and counts, never values (I7)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from platform_assets.contracts.pandera_schema import pandera_schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from platform_assets.contracts.model import Contract


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


def audit(contract: Contract, staged: Sequence[Path]) -> None:
    """Checks every promise of the contract on staged Parquet files, each one partition.

    Raises:
        ContractBroken: with every broken rule and its count.
    """
    import pandera.errors
    import polars as pl

    schema = pandera_schema(contract)
    broken: Counter[str] = Counter()
    for path in staged:
        try:
            schema.validate(pl.read_parquet(path), lazy=True)
        except pandera.errors.SchemaErrors as error:
            for row in error.failure_cases.group_by("check", "column").len().iter_rows(named=True):
                broken[_rule(contract, str(row["check"]), str(row["column"]))] += int(row["len"])
    if broken:
        raise ContractBroken(contract.table, tuple(Finding(rule, rows) for rule, rows in sorted(broken.items())))


def _rule(contract: Contract, check: str, column: str) -> str:
    """The contract's name for one of Pandera's own checks; our rules carry their names already."""
    if check == "multiple_fields_uniqueness":
        return f"{', '.join(contract.key)}.unique"
    return f"{column}.{check}" if check in {"not_nullable", "field_uniqueness"} or check.startswith("dtype(") else check

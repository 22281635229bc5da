"""Audits staged files against their contract. Findings name rules and counts, never values (I7).

What a file's footer tells (types, nulls) is taken from there; rules about rows are judged by Pandera, slice by slice so
that memory does not grow with the table; what is about all rows together (the key, rules about the table) by DuckDB,
which spills.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from platform_assets.contracts.expert import load_expert
from platform_assets.contracts.model import Contract, Rule, Severity
from platform_assets.contracts.pandera_schema import pandera_schema, polars_type
from platform_assets.contracts.rules import REFERENCES, TABLE_RULES, audited, literal, quote
from platform_assets.contracts.windows import resolved

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import duckdb
    import pandera.polars as pa
    import polars as pl

_SLICE_ROWS = 4 * 122_880  # row groups of what is published


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


def audit(
    contract: Contract, partitions: Sequence[Sequence[Path]], connection: duckdb.DuckDBPyConnection
) -> tuple[Finding, ...]:
    """Checks every promise of the contract on staged Parquet files.

    Args:
        contract: what the rows must promise.
        partitions: the files of each partition.
        connection: a DuckDB that may read them.

    Returns:
        What only counts: for every rule of severity `warn` that can be judged here, how many rows break it, also 0.

    Raises:
        ContractBroken: with every broken rule and its count.
        ContractError: the expert's schema cannot be loaded.
    """
    contract = resolved(contract, datetime.now(UTC))
    broken: Counter[str] = Counter()
    counted = Counter({rule.name: 0 for rule in contract.rules if _counts(rule)})
    rows = _RowAudit(contract)
    for files in partitions:
        for path in files:
            broken.update(dict(_broken_by_footer(contract, path)))
            for frame in _slices(path, rows.columns):
                broken.update(rows.broken(frame))
                counted.update(rows.counted(frame))
        for rule, found in _broken_together(contract, files, connection):
            (counted if rule in counted else broken)[rule] += found
        if contract.expert is not None:
            broken.update(_broken_for_expert(contract, files))
    if broken:
        raise ContractBroken(contract.table, _findings(broken))
    return _findings(counted)


def audits_no_rows(contract: Contract) -> bool:
    """Whether also an empty table can break the contract, so that a file without rows must be audited."""
    return contract.expert is not None or any(rule.kind in TABLE_RULES for rule in contract.rules)


def _findings(counts: Counter[str]) -> tuple[Finding, ...]:
    return tuple(Finding(rule, rows) for rule, rows in sorted(counts.items()))


def _counts(rule: Rule) -> bool:
    return rule.severity is Severity.WARN and rule.kind != REFERENCES


def _broken_by_footer(contract: Contract, path: Path) -> Iterator[tuple[str, int]]:
    """Columns of another type, and nulls where none may be."""
    import polars as pl

    types = pl.read_parquet_schema(path)
    nulls = _nulls(path)
    for column in contract.columns:
        if types.get(column.name) != polars_type(column):
            yield f"{column.name}.dtype('{polars_type(column)}')", 1
        if not column.nullable and nulls[column.name]:
            yield f"{column.name}.not_nullable", nulls[column.name]


def _nulls(path: Path) -> dict[str, int]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    found: Counter[str] = Counter()
    for group in groups:
        for number in range(group.num_columns):
            chunk = group.column(number)
            found[chunk.path_in_schema] += chunk.statistics.null_count
    return found


def _slices(path: Path, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    import polars as pl

    if not columns:
        return
    whole = pl.scan_parquet(path).select(columns)
    start = 0
    while (frame := whole.slice(start, _SLICE_ROWS).collect()).height:
        yield frame
        start += _SLICE_ROWS


class _RowAudit:
    """The rules about rows, over the columns that they name."""

    def __init__(self, contract: Contract) -> None:
        rules = [rule for rule in contract.rules if rule.kind not in TABLE_RULES and rule.kind != REFERENCES]
        named = {name for rule in rules for name in rule.columns}
        judged = tuple(replace(column, nullable=True) for column in contract.columns if column.name in named)
        self.columns = [column.name for column in judged]
        self._warning = [rule for rule in rules if rule.severity is Severity.WARN]
        blocking = tuple(rule for rule in rules if rule.severity is Severity.ERROR)
        self._judged = Contract(contract.table, judged, rules=blocking)

    def broken(self, frame: pl.DataFrame) -> Counter[str]:
        """Rows that break each rule that blocks."""
        found: Counter[str] = Counter()
        for check, _, rows in _failures(self._schema, frame) if self._judged.rules else ():
            found[check] += rows
        return found

    @cached_property
    def _schema(self) -> pa.DataFrameSchema:
        return pandera_schema(self._judged)

    def counted(self, frame: pl.DataFrame) -> dict[str, int]:
        """Rows that break each rule that only counts, also 0."""
        if not self._warning:
            return {}
        counts = frame.select(**{rule.name: (~audited(rule)).sum() for rule in self._warning})
        return {name: int(rows) for name, rows in counts.row(0, named=True).items()}


def _broken_together(
    contract: Contract, files: Sequence[Path], connection: duckdb.DuckDBPyConnection
) -> Iterator[tuple[str, int]]:
    """Broken rules about all rows of a partition, and the key if rows share one."""
    relation = f"read_parquet([{', '.join(literal(str(path)) for path in files)}])"
    for rule in contract.rules:
        if rule.kind in TABLE_RULES:
            found = connection.execute(TABLE_RULES[rule.kind].sql(rule, relation)).fetchone()
            if found and found[0]:
                yield rule.name, int(found[0])
    key = ", ".join(map(quote, contract.key))
    # Different hashes are different keys, and much narrower; only where some are the same are the keys compared.
    if key and not _is_true(connection, f"SELECT count(DISTINCT hash({key})) = count(*) FROM {relation}"):
        sharing = f"SELECT count(*) AS n FROM {relation} GROUP BY {key} HAVING count(*) > 1"
        found = connection.execute(f"SELECT coalesce(sum(n), 0)::BIGINT FROM ({sharing})").fetchone()
        if found and found[0]:
            yield f"{', '.join(contract.key)}.unique", int(found[0])


def _is_true(connection: duckdb.DuckDBPyConnection, query: str) -> bool:
    found = connection.execute(query).fetchone()
    return bool(found and found[0])


def _broken_for_expert(contract: Contract, files: Sequence[Path]) -> Counter[str]:
    """An expert's schema may be about anything, so it sees all rows at once."""
    import polars as pl

    if contract.expert is None or not files:
        return Counter()
    schema = load_expert(contract.expert)
    found: Counter[str] = Counter()
    for check, column, rows in _failures(schema, pl.concat([pl.read_parquet(path) for path in files])):
        found[".".join(filter(None, (contract.expert.name, column, check)))] += rows
    return found


def _failures(schema: pa.DataFrameSchema, frame: pl.DataFrame) -> Iterator[tuple[str, str, int]]:
    """Check, column (empty if it is about several) and number of rows of everything that a schema finds."""
    import pandera.errors

    try:
        schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        for row in error.failure_cases.group_by("check", "column").len().iter_rows(named=True):
            column = "" if row["column"] in {None, schema.name} else str(row["column"])
            yield str(row["check"]), column, int(row["len"])

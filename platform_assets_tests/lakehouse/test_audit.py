"""The audit of staged files: whole tables, what only counts, an expert's schema, no value in a message (I1, I7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from platform_assets.contracts.model import Column, Contract, ExpertSchema, Rule, Severity
from platform_assets.lakehouse.audit import ContractBroken, Finding, audit, audits_no_rows

COLUMNS = (Column("id", "integer"), Column("name", "string"), Column("at", "timestamp"))
WARN = Severity.WARN
NOW = datetime.now(UTC)
SECRET = "ann@example.org"


def contract(*rules: Rule, expert: ExpertSchema | None = None) -> Contract:
    return Contract("silver.t", COLUMNS, rules=rules, expert=expert)


def staged(folder: Path, *rows: tuple[int | None, str | None, datetime | None]) -> list[Path]:
    """One file of those rows."""
    schema: dict[str, Any] = {"id": pl.Int64, "name": pl.String, "at": pl.Datetime("us", "UTC")}
    path = folder / f"{len(list(folder.iterdir()))}.parquet"
    pl.DataFrame(list(rows), schema=schema, orient="row").write_parquet(path)
    return [path]


def judged(promised: Contract, files: list[Path]) -> tuple[Finding, ...]:
    """The audit of files that are a partition each."""
    with duckdb.connect() as connection:
        return audit(promised, [[path] for path in files], connection)


def findings(promised: Contract, files: list[Path]) -> dict[str, int]:
    with pytest.raises(ContractBroken) as caught:
        judged(promised, files)
    assert SECRET not in str(caught.value)
    return {finding.rule: finding.rows for finding in caught.value.findings}


def test_rules_about_the_table_are_counted_in_rows(tmp_path: Path) -> None:
    files = staged(tmp_path, (1, SECRET, NOW), (1, SECRET, NOW), (1, None, NOW), (2, None, None))
    promised = contract(
        Rule("unique", "id", others=("name",)),
        Rule("null_ratio", "name", 0.25),
        Rule("null_ratio", "at", 0.25),
        Rule("row_count", "", (None, 3)),
    )
    assert findings(promised, files) == {"id.unique.name": 2, "name.null_ratio": 2, "row_count": 1}


def test_every_partition_is_judged_by_itself(tmp_path: Path) -> None:
    files = [*staged(tmp_path, (1, "a", NOW)), *staged(tmp_path, (1, "a", NOW))]
    assert judged(contract(Rule("unique", "id"), Rule("row_count", "", (1, 1))), files) == ()
    assert findings(contract(Rule("row_count", "", (2, None))), files) == {"row_count": 2}


def test_rules_that_compare_columns_and_free_sql_block_by_name(tmp_path: Path) -> None:
    files = staged(tmp_path, (5, SECRET, NOW), (2**62, "x", NOW), (None, SECRET, NOW))
    promised = contract(
        Rule("sql", "id", "id * 4 > length(name)", label="long_enough", others=("name",)),
        Rule("compare", "id", "<", others=("id",)),
    )
    assert findings(promised, files) == {"long_enough": 1, "id.compare.id": 2}


def test_what_only_counts_is_returned_and_blocks_nothing(tmp_path: Path) -> None:
    files = [*staged(tmp_path, (1, "a", NOW), (-1, None, NOW)), *staged(tmp_path, (-2, None, NOW))]
    promised = contract(
        Rule("positive", "id", severity=WARN),
        Rule("length", "name", (1, 9), WARN),
        Rule("null_ratio", "name", 0.5, WARN),
        Rule("row_count", "", (2, None), WARN),
        Rule("sql", "id", "id > -2", WARN, "big_enough"),
        Rule("references", "id", "silver.others.id", WARN),
    )
    assert judged(promised, files) == (
        Finding("big_enough", 1),
        Finding("id.positive", 2),
        Finding("name.length", 0),
        Finding("name.null_ratio", 1),
        Finding("row_count", 1),
    )


def test_a_relative_window_is_that_of_the_audit(tmp_path: Path) -> None:
    rule = Rule("window", "at", ("now - 1 day", "now + 1 day"))
    judged(contract(rule), staged(tmp_path, (1, "a", NOW), (2, "b", NOW + timedelta(hours=23)), (3, "c", None)))
    late = staged(tmp_path, (1, "a", NOW), (2, "b", NOW + timedelta(days=2)), (3, "c", NOW - timedelta(days=2)))
    assert findings(contract(rule), late) == {"at.window": 2}


EXPERT = """
import pandera.polars as pa
import polars as pl


class Things(pa.DataFrameModel):
    id: int = pa.Field(gt=0, nullable=True)
    name: str = pa.Field(isin=["a", "b"], nullable=True)

    @pa.dataframe_check
    def ids_differ(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col("id").is_unique())
"""


@pytest.fixture
def expert(tmp_path: Path) -> ExpertSchema:
    (tmp_path / "checks").mkdir()
    file = tmp_path / "checks" / "things.py"
    file.write_text(EXPERT, encoding="utf-8")
    return ExpertSchema(file, "Things")


def test_an_experts_schema_is_checked_on_top_and_named(tmp_path: Path, expert: ExpertSchema) -> None:
    good = staged(tmp_path, (1, "a", NOW), (2, "b", NOW))
    judged(contract(expert=expert), good)
    bad = staged(tmp_path, (0, SECRET, NOW), (1, "a", NOW), (1, SECRET, NOW))
    found = findings(contract(Rule("row_count", "", (9, None)), expert=expert), bad)
    assert found == {
        "row_count": 6,
        "Things.id.greater_than(0)": 1,
        "Things.name.isin(['a', 'b'])": 2,
        "Things.ids_differ": 2,
    }


@pytest.mark.parametrize(
    "body", [f'raise ValueError("{SECRET}")', 'return data.lazyframe.select(pl.col("name").cast(pl.Int64).gt(0))']
)
def test_an_experts_check_that_fails_itself_blocks_without_its_message(
    tmp_path: Path, expert: ExpertSchema, body: str
) -> None:
    failing = EXPERT.replace('return data.lazyframe.select(pl.col("id").is_unique())', body)
    failing = failing.replace('["a", "b"]', f'["{SECRET}"]')
    expert.file.write_text(failing, encoding="utf-8")
    with pytest.raises(ContractBroken) as caught:
        judged(contract(expert=expert), staged(tmp_path, (1, SECRET, NOW)))
    assert caught.value.findings == (Finding("Things.ids_differ", 1),)
    assert SECRET not in str(caught.value)


def test_an_experts_schema_is_not_loaded_where_there_is_nothing_to_audit_for_it(tmp_path: Path) -> None:
    assert judged(contract(), []) == ()
    assert not audits_no_rows(contract(Rule("positive", "id")))
    assert audits_no_rows(contract(Rule("row_count", "", (1, None))))
    assert audits_no_rows(contract(expert=ExpertSchema(tmp_path / "x.py", "X")))

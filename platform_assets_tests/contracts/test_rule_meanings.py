"""The SQL and the Polars meaning of every kind of rule are the same, row by row, and so is Pandera's verdict (I5)."""

from __future__ import annotations

from functools import cache

import duckdb
import pandera.errors
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_assets.contracts.iceberg_schema import duckdb_type
from platform_assets.contracts.kinds import TableKind
from platform_assets.contracts.model import Contract, Severity
from platform_assets.contracts.pandera_schema import pandera_schema, polars_type
from platform_assets.contracts.rules import RULES, TABLE_RULES, audited, kind_of, predicate, quote
from platform_assets_tests.contracts.rule_strategies import ROW_RULES, TABLE_CASES, Case

GENERATED = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def load(case: Case) -> pl.DataFrame:
    """The rows as the DuckDB table `given`, and as the frame that an audit would read."""
    connection = _engine()
    columns = ", ".join(f"{quote(column.name)} {duckdb_type(column)}" for column in case.columns)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE given (place INT, {columns})")
    for number, row in enumerate(case.rows):
        connection.execute(f"INSERT INTO given VALUES (?{', ?' * len(row)})", [number, *row])
    return pl.DataFrame(
        {
            column.name: pl.Series([row[number] for row in case.rows], dtype=polars_type(column), strict=True)
            for number, column in enumerate(case.columns)
        }
    )


def broken_in_pandera(case: Case, frame: pl.DataFrame) -> int:
    """How many rows of the frame the contract's Pandera schema refuses for the rule."""
    contract = Contract("silver.t", case.columns, rules=(case.rule,))
    try:
        pandera_schema(contract).validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        found = error.failure_cases
    else:
        return 0
    assert set(found["check"]) == {case.rule.name}
    return int(found.height)


@pytest.mark.parametrize("kind", sorted(RULES))
@GENERATED
@given(data=st.data())
def test_a_rule_about_rows_means_the_same_in_sql_in_polars_and_in_pandera(kind: str, data: st.DataObject) -> None:
    case = data.draw(st.composite(ROW_RULES[kind])(), label="case")
    frame = load(case)
    sql = [row[0] for row in _engine().execute(f"SELECT {predicate(case.rule)} FROM given ORDER BY place").fetchall()]
    polars = frame.select(audited(case.rule).alias("holds"))["holds"].to_list()
    assert sql == polars, (case.rule, case.rows)
    assert all(isinstance(said, bool) for said in sql)
    assert broken_in_pandera(case, frame) == sql.count(False)


@pytest.mark.parametrize("kind", sorted(TABLE_RULES))
@GENERATED
@given(data=st.data())
def test_a_rule_about_a_table_counts_the_same_in_both_engines(kind: str, data: st.DataObject) -> None:
    case = data.draw(st.composite(TABLE_CASES[kind])(), label="case")
    frame = load(case)
    meaning = kind_of(case.rule)
    assert isinstance(meaning, TableKind)
    sql = _engine().execute(meaning.sql(case.rule, "given")).fetchall()
    assert sql == [(frame.select(meaning.polars(case.rule)).item(),)]
    assert (broken_in_pandera(case, frame) > 0) == (sql[0][0] > 0)


@pytest.mark.parametrize("kind", sorted({*RULES, *TABLE_RULES}))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_rule_that_only_counts_refuses_nothing(kind: str, data: st.DataObject) -> None:
    from dataclasses import replace

    case = data.draw(st.composite({**ROW_RULES, **TABLE_CASES}[kind])(), label="case")
    counted = replace(case, rule=replace(case.rule, severity=Severity.WARN))
    assert broken_in_pandera(counted, load(case)) == 0


def test_every_kind_has_a_strategy_and_every_strategy_a_kind() -> None:
    assert set(ROW_RULES) == set(RULES)
    assert set(TABLE_CASES) == set(TABLE_RULES)

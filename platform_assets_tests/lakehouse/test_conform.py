"""The split of bronze rows: types, rules, references, duplicates; and that it agrees with the audit (I2, I5)."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pandera.errors
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_assets.contracts.model import Classification, Column, Contract, Rule, Severity
from platform_assets.contracts.pandera_schema import pandera_schema, polars_type
from platform_assets.contracts.rules import RULES, audited
from platform_assets.lakehouse.conform import Accounting, Conformed, conform
from platform_assets.sources.contracts import ELEMENT, LANDED_AT
from platform_assets_tests.lakehouse.bronze_rows import LANDED, RawTable
from platform_assets_tests.lakehouse.contract_strategies import DAY, KINDS, KNOWN, REGIONS, Value, contracts, rows

KEY = b"k" * 64
REUSED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
Row = tuple[Any, ...]


def fetch(connection: duckdb.DuckDBPyConnection, columns: str, source: str) -> list[Row]:
    return connection.execute(f"SELECT {columns} FROM {source} ORDER BY ALL").fetchall()


def reasons(connection: duckdb.DuckDBPyConnection, split: Conformed, row: str = "_row_number") -> dict[Any, set[str]]:
    """Broken rules of every quarantined row."""
    return {
        number: set(broken.split(", "))
        for number, broken in fetch(connection, f"{row}, _broken_rules", split.quarantined)
    }


# The split and the audit


def expected_reasons(contract: Contract, row: Mapping[str, Value], audited: set[str]) -> set[str]:
    """What the split has to say of a row of which the audit said `audited`."""
    mistyped = {name for name, value in row.items() if value.raw is not None and not value.fits}
    expected = {rule.replace("not_nullable", "not_null") for rule in audited}
    # The audit sees a null where the split still knows that a text of another type stood there.
    expected -= {f"{name}.not_null" for name in mistyped}
    expected |= {f"{name}.type" for name in mistyped}
    refused = {rule.name for rule in contract.rules if rule.severity is Severity.ERROR}
    if "region" in row and row["region"].raw not in {None, *KNOWN} and "region.references" in refused:
        expected.add("region.references")
    if "at" in row and row["at"].fits and row["at"].raw is not None:
        moment = datetime.fromisoformat(row["at"].raw)
        if moment.astimezone(UTC).date() != DAY:
            expected.add("at.outside_window")
    return expected


def audited_alone(contract: Contract, frame: pl.DataFrame) -> set[str]:
    """What Pandera says of a frame of one row."""
    try:
        pandera_schema(contract).validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases.select("check", "column").rows()
        return {f"{column}.{check}" if check == "not_nullable" else str(check) for check, column in cases}
    return set()


def typed_frame(connection: duckdb.DuckDBPyConnection, contract: Contract) -> pl.DataFrame:
    """The typed values of all rows, good and bad, by id."""
    names = ", ".join(f'"{column.name}"' for column in contract.columns)
    found = pl.from_arrow(connection.sql(f"SELECT {names} FROM staged ORDER BY _row_number").to_arrow_table())
    assert isinstance(found, pl.DataFrame)
    return found.cast({column.name: polars_type(column) for column in contract.columns})


@settings(REUSED, max_examples=40)
@given(data=st.data())
def test_the_split_and_the_audit_agree_on_every_row(connection: duckdb.DuckDBPyConnection, data: st.DataObject) -> None:
    contract = data.draw(contracts(), label="contract")
    given_rows = data.draw(rows(contract), label="rows")
    names = list(given_rows[0])
    bronze = RawTable(names, [tuple(row[name].raw for name in names) for row in given_rows]).load(connection)
    connection.execute("CREATE OR REPLACE TEMP TABLE regions AS SELECT unnest(['north', 'south', NULL]) AS value")
    dated = DAY if contract.partition_column else None
    split = conform(connection, bronze, contract, key=KEY, partition=dated, references={REGIONS: "regions"})
    broken = reasons(connection, split)
    accepted = {row[0] for row in fetch(connection, "id", split.accepted)}
    typed = typed_frame(connection, contract)
    for number, row in enumerate(given_rows):
        found = audited_alone(split.contract, typed.slice(number, 1))
        assert broken.get(number, set()) == expected_reasons(contract, row, found)
        assert (number in accepted) == (number not in broken)
        if number in accepted:
            assert not found
    assert split.accounting == Accounting(len(given_rows), len(accepted), len(broken), 0)
    published = typed.filter(pl.col("id").is_in(list(accepted)))
    assert {name: rows for name, rows in split.warnings.items() if name != "region.references"} == counted(
        split.contract, published
    )


def counted(contract: Contract, frame: pl.DataFrame) -> dict[str, int]:
    """How many rows of a frame break each rule that only counts, as an audit says."""
    rules = [rule for rule in contract.rules if rule.severity is Severity.WARN and rule.kind != "references"]
    promised = {f"{column.name}.not_null" for column in contract.columns if not column.nullable}
    return {rule.name: int(frame.select((~audited(rule)).sum()).item()) for rule in rules if rule.name not in promised}


def test_every_kind_of_rule_about_rows_is_among_the_contracts_above() -> None:
    assert set(RULES) == KINDS


# Accounting and the winner of a key

VERSIONED = Contract(
    table="silver.versions",
    columns=(
        Column("id", "integer", nullable=False, path=("id",)),
        Column("version", "integer", path=("version",)),
        Column("note", "string", path=("note",)),
        LANDED_AT,
    ),
    key=("id",),
    ordering=("version",),
    rules=(Rule("max_length", "note", 3),),
)


@st.composite
def versions(draw: st.DrawFn) -> list[Row]:
    """Rows id, version, note, landing time, row number: repeated keys, ties, nulls, and rows that are broken."""
    found = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["1", "2", "3", "x", None]),
                st.sampled_from(["1", "2", "10", None, '"2"']),
                st.sampled_from(["a", "b", "long enough to break", None]),
                st.integers(0, 2).map(lambda hours: LANDED + timedelta(hours=hours)),
            ),
            max_size=12,
        )
    )
    return [(*row, number) for number, row in enumerate(found)]


def load_versions(connection: duckdb.DuckDBPyConnection, found: Sequence[Row]) -> str:
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE bronze (id VARCHAR, version VARCHAR, note VARCHAR, _landed_at TIMESTAMPTZ, "
        "_row_number BIGINT, _landing_uri VARCHAR, _landing_generation BIGINT)"
    )
    for row in found:
        connection.execute("INSERT INTO bronze VALUES (?, ?, ?, ?, ?, 'gs://b/o', 1)", row)
    return "bronze"


def good(row: Row) -> bool:
    return row[0] in {"1", "2", "3"} and row[1] != '"2"' and row[2] != "long enough to break"


def winners(found: Sequence[Row]) -> list[Row]:
    """The latest good row of each id: by version (none is oldest), then landing time, then place."""
    best: dict[str, Row] = {}
    for row in filter(good, found):
        before = best.get(row[0])
        if before is None or age(row) > age(before):
            best[row[0]] = row
    return sorted((int(i), None if v is None else int(v), note, at) for i, v, note, at, _ in best.values())


def age(row: Row) -> tuple[int, datetime, int]:
    return (-1 if row[1] is None else int(row[1]), row[3], row[4])


@settings(REUSED, max_examples=40)
@given(found=versions(), seed=st.integers(0, 9))
def test_every_row_is_accepted_quarantined_or_a_duplicate_and_the_latest_of_a_key_wins(
    connection: duckdb.DuckDBPyConnection, found: list[Row], seed: int
) -> None:
    split = conform(connection, load_versions(connection, found), VERSIONED, key=KEY)
    accepted = connection.execute(f"SELECT * FROM {split.accepted} ORDER BY id").fetchall()
    quarantined = sorted(reasons(connection, split))
    assert accepted == winners(found)
    assert quarantined == [row[4] for row in found if not good(row)]
    accounting = split.accounting
    assert accounting.balanced
    assert accounting == Accounting(
        len(found), len(accepted), len(quarantined), len(found) - len(accepted) - len(quarantined)
    )

    shuffled = random.Random(seed).sample(found, len(found))  # noqa: S311 - an order, no secret
    again = conform(connection, load_versions(connection, shuffled), VERSIONED, key=KEY)
    assert connection.execute(f"SELECT * FROM {again.accepted} ORDER BY id").fetchall() == accepted
    assert sorted(reasons(connection, again)) == quarantined
    assert again.accounting == accounting


def test_no_rows_add_up_to_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    split = conform(connection, load_versions(connection, []), VERSIONED, key=KEY)
    assert split.accounting == Accounting(0, 0, 0, 0)
    assert split.accounting.quarantine_ratio == 0
    assert split.accounting.balanced


# Strict JSON typing


def typed(connection: duckdb.DuckDBPyConnection, type_: str, raw: str | None) -> object:
    """The value of a nullable column, or the reason why it has none."""
    contract = Contract(
        "silver.one", (Column("id", "integer", path=("id",)), Column("v", type_, path=("v",))), key=("id",)
    )
    split = conform(connection, RawTable(["id", "v"], [("1", raw)]).load(connection), contract, key=KEY)
    accepted = fetch(connection, "v", split.accepted)
    return accepted[0][0] if accepted else reasons(connection, split)[0]


REFUSED = {"v.type"}


@pytest.mark.parametrize(
    ("type_", "raw", "expected"),
    [
        ("double", "9.5", 9.5),
        ("double", '"9.5"', REFUSED),
        ("double", "7", 7.0),
        ("double", "1e2", 100.0),
        ("double", "true", REFUSED),
        ("double", "1e999", REFUSED),
        ("double", '""', REFUSED),
        ("double", "NaN", REFUSED),
        ("double", None, None),
        ("integer", "7", 7),
        ("integer", "7.0", 7),
        ("integer", "1.5", REFUSED),
        ("integer", "1e2", REFUSED),
        ("integer", '"7"', REFUSED),
        ("integer", "true", REFUSED),
        ("integer", "9223372036854775807", 2**63 - 1),
        ("integer", "-9223372036854775808", -(2**63)),
        ("integer", "9223372036854775808", REFUSED),
        ("integer", "null", None),
        ("decimal(18,2)", "22.33", "22.33"),
        ("decimal(18,2)", "22.330", "22.33"),
        ("decimal(18,2)", "22.333", REFUSED),
        ("decimal(18,2)", "0.30000000000000004", "0.30"),  # what a producer makes of 0.1 + 0.2
        ("decimal(18,2)", "1e2", "100.00"),
        ("decimal(18,2)", "1e-3", REFUSED),
        ("decimal(18,2)", "1e16", REFUSED),
        ("decimal(18,2)", "9999999999999999.99", "9999999999999999.99"),
        ("decimal(18,2)", '"22.33"', REFUSED),
        ("decimal(18,2)", "true", REFUSED),
        ("decimal(18,12)", "0.000000000001", "1E-12"),
        ("boolean", "true", True),
        ("boolean", "false", False),
        ("boolean", "1", REFUSED),
        ("boolean", '"true"', REFUSED),
        ("string", "", ""),
        ("string", "null", "null"),  # a JSON null is no text: bronze has none
        ("string", None, None),
        ("object", '{"a":null}', '{"a":null}'),
        ("object", '"john"', REFUSED),
        ("object", "[{}]", REFUSED),
        ("array", "[]", "[]"),
        ("array", "{}", REFUSED),
        ("array", '"[]"', REFUSED),
        ("date", "2026-11-21", date(2026, 11, 21)),
        ("date", "0001-01-01", date(1, 1, 1)),
        ("date", "9999-12-31", date(9999, 12, 31)),
        ("date", "10000-01-01", REFUSED),
        ("date", "0044-03-15 (BC)", REFUSED),
        ("date", "2026-02-29", REFUSED),
        ("date", "2024-1-5", date(2024, 1, 5)),  # lenient
        ("date", "2026-11-21T10:00:00Z", date(2026, 11, 21)),  # lenient: the day of a moment
        ("date", "21.11.2026", REFUSED),
        ("date", "yesterday", REFUSED),
        ("date", "", REFUSED),
        ("timestamp", "2026-11-21T10:00:00Z", datetime(2026, 11, 21, 10, tzinfo=UTC)),
        ("timestamp", "2026-11-21T10:00:00+02:00", datetime(2026, 11, 21, 8, tzinfo=UTC)),
        ("timestamp", "2026-11-21T00:30:00-05:30", datetime(2026, 11, 21, 6, tzinfo=UTC)),
        ("timestamp", "2026-11-21T10:00:00", datetime(2026, 11, 21, 10, tzinfo=UTC)),  # without offset it is UTC
        ("timestamp", "2026-11-21", datetime(2026, 11, 21, tzinfo=UTC)),
        ("timestamp", "2026-11-21T10:00:00.123456789Z", datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)),
        ("timestamp", "0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("timestamp", "9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        ("timestamp", "9999-12-31T23:59:59-01:00", REFUSED),
        ("timestamp", "10000-01-01T00:00:00Z", REFUSED),
        ("timestamp", "2026-11-21T23:59:60Z", REFUSED),
        ("timestamp", "2026-11-21t10:00:00z", REFUSED),  # RFC 3339 allows small letters; nobody sends them
        ("timestamp", "yesterday", REFUSED),
        ("timestamp", "infinity", REFUSED),
        ("timestamp", "epoch", REFUSED),
        ("timestamp", "1763719200", REFUSED),
        ("timestamp", "", REFUSED),
    ],
)
def test_a_value_is_taken_in_its_type_or_refused(
    connection: duckdb.DuckDBPyConnection, type_: str, raw: str | None, expected: object
) -> None:
    found = typed(connection, type_, raw)
    assert (str(found) if type_.startswith("decimal") and found != REFUSED else found) == expected


def test_a_missing_value_and_a_json_null_break_not_null_alike_and_an_empty_text_does_not(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    contract = Contract(
        "silver.one",
        (
            Column("id", "integer", path=("id",)),
            Column("t", "string", nullable=False, path=("t",)),
            Column("n", "integer", nullable=False, path=("n",)),
        ),
        key=("id",),
    )
    bronze = RawTable(["id", "t", "n"], [("1", None, "1"), ("2", "", "2"), ("3", "x", "null"), ("4", "x", None)])
    split = conform(connection, bronze.load(connection), contract, key=KEY)
    assert reasons(connection, split) == {0: {"t.not_null"}, 2: {"n.not_null"}, 3: {"n.not_null"}}


def test_a_row_names_every_rule_that_it_breaks(connection: duckdb.DuckDBPyConnection) -> None:
    contract = Contract(
        "silver.one",
        (
            Column("id", "integer", nullable=False, path=("id",)),
            Column("t", "string", path=("t",)),
            Column("n", "double", path=("n",)),
        ),
        key=("id",),
        rules=(Rule("max_length", "t", 1), Rule("pattern", "t", "^x"), Rule("minimum", "n", 0)),
    )
    split = conform(connection, RawTable(["id", "t", "n"], [(None, "abc", '"1"')]).load(connection), contract, key=KEY)
    assert reasons(connection, split) == {0: {"id.not_null", "t.max_length", "t.pattern", "n.type"}}


def test_quarantine_keeps_the_text_that_arrived(connection: duckdb.DuckDBPyConnection) -> None:
    contract = Contract(
        "silver.one", (Column("id", "integer", path=("id",)), Column("n", "double", path=("n",))), key=("id",)
    )
    split = conform(connection, RawTable(["id", "n"], [("1.0", '"9.5"')]).load(connection), contract, key=KEY)
    assert fetch(connection, "id, n, _broken_rules", split.quarantined) == [("1.0", '"9.5"', "n.type")]


# Nested records and elements

NESTED = Contract(
    table="silver.people",
    columns=(
        Column("id", "integer", nullable=False, path=("id",)),
        Column("name_first", "string", path=("name", "first")),
        Column("name_age", "integer", path=("name", "age")),
    ),
    key=("id",),
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ('{"first":"Ann","age":3}', [(1, "Ann", 3)]),
        ('{"first":null,"age":null}', [(1, None, None)]),
        ("{}", [(1, None, None)]),
        (None, [(1, None, None)]),
        ('{"first":7,"age":3}', [(1, "7", 3)]),  # lenient: a number where text is promised becomes its text
        ('{"first":"Ann","age":"3"}', {"name_age.type"}),
        ('"john doe"', {"name.type"}),
        ("[1]", {"name.type"}),
        ("7", {"name.type"}),
    ],
)
def test_a_nested_value_is_found_by_its_path(
    connection: duckdb.DuckDBPyConnection, name: str | None, expected: object
) -> None:
    split = conform(connection, RawTable(["id", "name"], [("1", name)]).load(connection), NESTED, key=KEY)
    found = fetch(connection, "*", split.accepted)
    assert (found or reasons(connection, split)[0]) == expected


@pytest.mark.parametrize("name", ["*", 'a"b', "a.b", "\\", "a/b", "~0", "$", "[0]", "ü ö", "'"])
def test_a_nested_name_with_special_characters_is_taken_literally(
    connection: duckdb.DuckDBPyConnection, name: str
) -> None:
    contract = Contract(
        "silver.one", (Column("id", "integer", path=("id",)), Column("v", "integer", path=("o", name))), key=("id",)
    )
    record = json.dumps({"other": 1, name: 2, "third": 3})
    split = conform(connection, RawTable(["id", "o"], [("1", record)]).load(connection), contract, key=KEY)
    assert fetch(connection, "v", split.accepted) == [(2,)]


def test_columns_called_like_what_the_split_makes_up_are_kept_apart(connection: duckdb.DuckDBPyConnection) -> None:
    names = ["amount", "raw_amount", "won", "place", "row_id", "token", "token_amount", "element", "elements", "value"]
    contract = Contract("silver.one", tuple(Column(name, "integer", path=(name,)) for name in names), key=("row_id",))
    values = tuple(str(number) for number in range(len(names)))
    split = conform(connection, RawTable(names, [values, values]).load(connection), contract, key=KEY)
    assert fetch(connection, "*", split.accepted) == [tuple(range(len(names)))]
    assert split.accounting == Accounting(2, 1, 0, 1)


LINES = Contract(
    table="silver.lines",
    columns=(
        Column("cart", "integer", nullable=False, path=("cart",)),
        Column("version", "integer", path=("version",)),
        Column("line_number", "integer", nullable=False),
        Column("product", "integer", nullable=False, path=(ELEMENT, "product")),
        Column("label_text", "string", path=(ELEMENT, "label", "text")),
    ),
    key=("cart", "line_number"),
    ordering=("version",),
    rules=(Rule("minimum", "product", 1),),
)


def split_lines(connection: duckdb.DuckDBPyConnection, *records: tuple[str, str | None, str | None]) -> Conformed:
    """The split of carts given as cart, version and elements."""
    bronze = RawTable(["cart", "version", "elements"], list(records)).load(connection)
    return conform(connection, bronze, LINES, key=KEY, explode="elements")


def test_every_element_is_a_row_numbered_from_one(connection: duckdb.DuckDBPyConnection) -> None:
    split = split_lines(
        connection, ("1", "1", '[{"product":7,"label":{"text":"x"}},{"product":8}]'), ("2", "1", '[{"product":9}]')
    )
    assert fetch(connection, "*", split.accepted) == [(1, 1, 1, 7, "x"), (1, 1, 2, 8, None), (2, 1, 1, 9, None)]
    assert split.accounting == Accounting(3, 3, 0, 0)


def test_the_latest_record_wins_with_all_its_elements(connection: duckdb.DuckDBPyConnection) -> None:
    split = split_lines(
        connection,
        ("1", "2", '[{"product":5}]'),
        ("1", "1", '[{"product":6},{"product":7},{"product":8}]'),
    )
    assert fetch(connection, "line_number, product", split.accepted) == [(1, 5)]
    assert split.accounting == Accounting(4, 1, 0, 3)


def test_a_broken_element_leaves_its_siblings(connection: duckdb.DuckDBPyConnection) -> None:
    split = split_lines(connection, ("1", "1", '[{"product":0},{"product":7},{"product":"8"}]'))
    assert fetch(connection, "line_number, product", split.accepted) == [(2, 7)]
    assert reasons(connection, split, "line_number") == {1: {"product.minimum"}, 3: {"product.type"}}


@pytest.mark.parametrize("element", ['"x"', "7", "[]", "null", "true"])
def test_an_element_that_is_no_object_is_quarantined(connection: duckdb.DuckDBPyConnection, element: str) -> None:
    split = split_lines(connection, ("1", "1", f'[{{"product":7}},{element}]'))
    assert fetch(connection, "line_number", split.accepted) == [(1,)]
    assert reasons(connection, split, "line_number") == {2: {"element.type", "product.not_null"}}


@pytest.mark.parametrize("elements", ['"x"', "7", '{"product":7}', "false"])
def test_a_record_whose_array_is_none_is_quarantined_and_not_lost(
    connection: duckdb.DuckDBPyConnection, elements: str
) -> None:
    split = split_lines(connection, ("1", "1", elements), ("2", "1", '[{"product":7}]'))
    assert reasons(connection, split, "cart") == {"1": {"elements.type", "product.not_null"}}
    assert split.accounting == Accounting(2, 1, 1, 0)


@pytest.mark.parametrize("elements", ["[]", "null", None])
def test_a_record_without_elements_has_no_rows(connection: duckdb.DuckDBPyConnection, elements: str | None) -> None:
    split = split_lines(connection, ("1", "1", elements), ("2", "1", '[{"product":7}]'))
    assert split.accounting == Accounting(1, 1, 0, 0)


# References


def test_an_unknown_reference_is_quarantined_and_none_at_all_is_not(connection: duckdb.DuckDBPyConnection) -> None:
    contract = Contract(
        "silver.one",
        (Column("id", "integer", path=("id",)), Column("region", "string", path=("region",))),
        key=("id",),
        rules=(Rule("references", "region", REGIONS),),
    )
    bronze = RawTable(["id", "region"], [("1", "north"), ("2", "west"), ("3", None)]).load(connection)
    known = "(SELECT 'north' AS value UNION ALL SELECT NULL)"
    split = conform(connection, bronze, contract, key=KEY, references={REGIONS: known})
    assert fetch(connection, "id", split.accepted) == [(1,), (3,)]
    assert reasons(connection, split) == {1: {"region.references"}}


# PII in the split


def test_pii_is_judged_in_the_clear_and_shown_as_tokens(connection: duckdb.DuckDBPyConnection) -> None:
    contract = Contract(
        "silver.one",
        (
            Column("id", "integer", path=("id",), classification=Classification.PII),
            Column("mail", "string", path=("mail",), classification=Classification.PII),
        ),
        key=("id",),
        rules=(Rule("email", "mail"), Rule("minimum", "id", 1)),
    )
    bronze = RawTable(["id", "mail"], [("1", "ann@example.org"), ("0", "nobody"), ("x", None)]).load(connection)
    split = conform(connection, bronze, contract, key=KEY)
    shown = [*fetch(connection, "id, mail", split.accepted), *fetch(connection, "id, mail", split.quarantined)]
    assert reasons(connection, split) == {1: {"mail.email", "id.minimum"}, 2: {"id.type"}}
    assert all(value is None or len(value) == 64 for row in shown for value in row)
    assert sum(value is None for row in shown for value in row) == 1

"""What a profile says of a column, and what it must never hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from platform_assets.contracts.kinds import literal
from platform_assets.contracts.model import Classification, Column, Contract, Rule
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.query import query
from platform_assets.quality.look import look
from platform_assets.quality.profiles import Profile, _bucket, bucket_in_words, keep, looks_at, take_profile
from platform_assets_tests.quality.tables import DAY, FIRST, ORDERS, declare, noon, orders, publish

LAST = FIRST + DAY


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


def profiled(lakehouse: Lakehouse, contract: Contract = ORDERS) -> Profile:
    table = lakehouse.find(contract.table)
    assert table is not None
    return take_profile(lakehouse, table, contract, FIRST, "7", noon(LAST))


def test_a_profile_counts_what_the_rows_say(lakehouse: Lakehouse) -> None:
    publish(lakehouse, FIRST, orders(FIRST, 300, amount="CASE WHEN i < 30 THEN 0 ELSE 2.5 - i % 2 * 5 END"))
    publish(lakehouse, LAST)
    found = profiled(lakehouse)
    columns = {column.name: column for column in found.columns}
    assert (found.rows, list(columns)) == (300, ["order_id", "email", "city", "state", "amount"])
    assert {name: column.nulls for name, column in columns.items() if column.nulls} == {"email": 6}
    assert columns["state"].histogram == {"=paid": 200, "=open": 100}
    assert columns["amount"].histogram == {"0": 30, "+5": 135, "-5": 135}
    assert {bucket_in_words(bucket) for bucket in ("+5", "-5")} == {"2.378 to 2.828", "-2.378 to -2.828"}
    assert (columns["city"].distinct, sum(columns["city"].histogram.values())) == (5, 300)
    assert columns["email"].histogram == {}
    assert {bucket[0] for bucket in columns["order_id"].histogram} == {"#"}


def test_profiles_are_kept_and_read_back_as_they_were(lakehouse: Lakehouse) -> None:
    publish(lakehouse, FIRST)
    taken = profiled(lakehouse)
    found = replace(taken, columns=tuple(sorted(taken.columns, key=lambda column: column.name)))
    keep(lakehouse, [found], noon(LAST))
    later = replace(found, version="8", profiled_at=noon(LAST) + timedelta(hours=1))
    keep(lakehouse, [later], later.profiled_at)
    assert looks_at(lakehouse, ["silver.orders", "silver.other"]) == {
        "silver.orders": [found, later],
        "silver.other": [],
    }


def test_no_value_of_a_row_gets_into_the_tables_of_the_watches(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch)
    for number in range(9):
        publish(lakehouse, FIRST + number * DAY)
    publish(lakehouse, FIRST + 9 * DAY, orders(FIRST + 9 * DAY, email="NULL", amount="77123.45"))
    look(lakehouse, noon(FIRST + 10 * DAY))
    _, rows = query(lakehouse, "SELECT * FROM ops.column_profiles UNION ALL BY NAME SELECT * FROM ops.quality")
    everything = "\n".join(map(str, rows))
    assert len(rows) > 50
    assert "email" in everything
    _, values = query(lakehouse, "SELECT DISTINCT unnest([email, city, amount::VARCHAR]) FROM silver.orders")
    texts = {str(value) for (value,) in values if value is not None and len(str(value)) > 4}
    assert len(texts) > 1000
    assert not any(text in everything for text in texts)


@given(text=st.text(min_size=1, max_size=20), kind=st.sampled_from([None, "enum", "pii"]))
def test_a_text_is_in_a_bucket_of_the_list_or_of_its_hash_or_in_none(
    connection: duckdb.DuckDBPyConnection, text: str, kind: str | None
) -> None:
    column = Column("c", "string", classification=Classification.PII if kind == "pii" else Classification.PUBLIC)
    rules = (Rule("one_of", "c", ("open", "paid")),) if kind == "enum" else ()
    bucket = _bucket(Contract("silver.t", (column,), rules=rules), column)
    if kind == "pii":
        assert bucket is None
        return
    (found,) = connection.execute(f"SELECT {bucket} FROM (SELECT {literal(text)} AS c)").fetchone() or ("",)
    if kind == "enum":
        assert found == (f"={text}" if text in {"open", "paid"} else "=other")
    else:
        lower = hashlib.md5(text.encode(), usedforsecurity=False).digest()[8:]
        assert found == f"#{int.from_bytes(lower, 'little') % 32}"


@given(number=st.floats(allow_nan=True, allow_infinity=True))
@example(number=1.7976931348623157e308)
@example(number=5e-324)
def test_a_number_is_in_the_bucket_of_its_order_of_magnitude(
    connection: duckdb.DuckDBPyConnection, number: float
) -> None:
    column = Column("c", "double")
    bucket = _bucket(Contract("silver.t", (column,)), column)
    (found,) = connection.execute(f"SELECT {bucket} FROM (SELECT ?::DOUBLE AS c)", [number]).fetchone() or ("",)
    words = bucket_in_words(found)
    if number == 0:
        assert words == "zero"
    elif number in {float("inf"), float("-inf")} or number != number:  # noqa: PLR0124 - NaN
        assert words == "what has no end"
    elif 1e-300 < abs(number) < 1e300:
        low, high = (float(bound) for bound in words.split(" to "))
        assert abs(low) * 0.999 <= abs(number) <= abs(high) * 1.001
        assert (low > 0) == (number > 0)

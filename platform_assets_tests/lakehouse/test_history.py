"""History tables (SCD type 2): every version of a key, when it held, and that the rows add up (I2, I3)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_assets.contracts.history import HISTORY_NAMES, as_history
from platform_assets.contracts.model import Classification, Column, Contract, ContractError, Rule, Severity
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.conform import Accounting, Conformed, conform
from platform_assets.lakehouse.reader import relation
from platform_assets.lakehouse.silver import Rebuilt, rebuild
from platform_assets.sources.contracts import LANDED_AT, quarantine_contract, silver_contract
from platform_assets.sources.model import Source
from platform_assets_tests.lakehouse.bronze_rows import (
    LANDED,
    Arrival,
    RawTable,
    object_schema,
    publish_bronze,
    write_source,
)

KEY = b"k" * 64
Row = tuple[Any, ...]
CUSTOMERS = as_history(
    Contract(
        table="silver.customers",
        columns=(
            Column("id", "integer", nullable=False, path=("id",)),
            Column("since", "timestamp", path=("since",)),
            Column("step", "integer", path=("step",)),
            Column("city", "string", path=("city",)),
            Column("points", "double", path=("points",)),
            LANDED_AT,
        ),
        key=("id",),
        ordering=("since", "step"),
        rules=(Rule("max_length", "city", 6),),
    )
)


def day(number: int) -> datetime:
    return datetime(2026, 11, number, tzinfo=UTC)


def split(connection: duckdb.DuckDBPyConnection, rows: Sequence[Row], order: Sequence[int] | None = None) -> Conformed:
    """The split of rows given as id, since (a day of the month), step, city, points."""
    names = ["id", "since", "step", "city", "points"]
    values = [
        tuple(
            None if value is None else day(value).isoformat() if name == "since" else str(value)
            for name, value in zip(names, row, strict=True)
        )
        for row in rows
    ]
    return conform(connection, RawTable(names, values).load(connection, order), CUSTOMERS, key=KEY)


def versions(connection: duckdb.DuckDBPyConnection, found: Conformed) -> list[Row]:
    """id, city, points, day from, day to, whether current; by id and time."""
    columns = "id, city, points, day(valid_from), day(valid_to), is_current"
    return connection.execute(f"SELECT {columns} FROM {found.accepted} ORDER BY id, valid_from").fetchall()


def test_a_version_holds_until_the_next_one(connection: duckdb.DuckDBPyConnection) -> None:
    found = split(
        connection, [(1, 3, 0, "Bonn", 1), (1, 1, 0, "Köln", 1), (2, 2, 0, "Ulm", None), (1, 5, 0, "Bonn", 2)]
    )
    assert versions(connection, found) == [
        (1, "Köln", 1, 1, 3, False),
        (1, "Bonn", 1, 3, 5, False),
        (1, "Bonn", 2, 5, None, True),
        (2, "Ulm", None, 2, None, True),
    ]
    assert found.accounting == Accounting(4, 4, 0, 0)


def test_versions_that_say_the_same_are_one_from_the_first_on(connection: duckdb.DuckDBPyConnection) -> None:
    rows = [(1, 1, 0, "Bonn", None), (1, 2, 9, "Bonn", None), (1, 3, 0, "Köln", None), (1, 4, 0, "Bonn", None)]
    found = split(connection, rows)
    assert versions(connection, found) == [
        (1, "Bonn", None, 1, 3, False),
        (1, "Köln", None, 3, 4, False),
        (1, "Bonn", None, 4, None, True),  # again is not still
    ]
    assert found.accounting == Accounting(4, 3, 0, 1)


def test_of_versions_that_begin_at_once_the_latest_wins(connection: duckdb.DuckDBPyConnection) -> None:
    by_ordering = split(connection, [(1, 1, 2, "Bonn", None), (1, 1, 1, "Köln", None)])
    assert versions(connection, by_ordering) == [(1, "Bonn", None, 1, None, True)]
    by_origin = split(connection, [(1, 1, 1, "Köln", None), (1, 1, 1, "Bonn", None)])
    assert versions(connection, by_origin) == [(1, "Bonn", None, 1, None, True)]
    assert by_origin.accounting == Accounting(2, 1, 0, 1)


def test_a_late_older_version_takes_its_place_in_time(connection: duckdb.DuckDBPyConnection) -> None:
    early = [(1, 1, 0, "Bonn", None), (1, 5, 0, "Bonn", None)]
    assert versions(connection, split(connection, early)) == [(1, "Bonn", None, 1, None, True)]
    late = split(connection, [*early, (1, 3, 0, "Köln", None)])
    assert versions(connection, late) == [
        (1, "Bonn", None, 1, 3, False),
        (1, "Köln", None, 3, 5, False),
        (1, "Bonn", None, 5, None, True),
    ]


def test_a_broken_version_leaves_its_neighbours_as_they_are(connection: duckdb.DuckDBPyConnection) -> None:
    rows = [(1, 1, 0, "Bonn", None), (1, 2, 0, "Düsseldorf", None), (1, 3, 0, "Bonn", None), (1, None, 0, "Ulm", None)]
    found = split(connection, rows)
    assert versions(connection, found) == [(1, "Bonn", None, 1, None, True)]
    quarantined = connection.execute(f"SELECT * FROM {found.quarantined}")
    assert not HISTORY_NAMES & {name for name, *_ in quarantined.description}
    reasons = connection.execute(f"SELECT _broken_rules FROM {found.quarantined} ORDER BY 1").fetchall()
    assert reasons == [("city.max_length",), ("since.not_null",)]
    assert found.accounting == Accounting(4, 1, 2, 1)


generated = st.lists(
    st.tuples(
        st.sampled_from([1, 2, "x"]),
        st.sampled_from([1, 2, 3, 4, None]),
        st.sampled_from([0, 1, None]),
        st.sampled_from(["Bonn", "Köln", None, "much too long"]),
        st.sampled_from([None, None, 1.5]),
    ),
    max_size=14,
)


def told(rows: Sequence[Row]) -> list[Row]:
    """What `versions` has to be, told row by row."""
    good = [(number, *row) for number, row in enumerate(rows) if row[0] != "x" and row[1] and row[3] != "much too long"]
    ordered = sorted(good, key=lambda r: (r[1], r[2], -1 if r[3] is None else r[3], r[0]))
    latest = {(row[1], row[2]): row for row in ordered}
    kept: list[list[Any]] = []
    for _, key, since, _, city, points in latest.values():
        previous = kept[-1] if kept and kept[-1][0] == key else None
        if previous and previous[1:3] == [city, points]:
            continue
        if previous:
            previous[4:] = [since, False]
        kept.append([key, city, points, since, None, True])
    return [tuple(row) for row in kept]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=generated, seed=st.integers(0, 9))
def test_a_history_is_what_its_versions_tell_in_whatever_order_they_arrive(
    connection: duckdb.DuckDBPyConnection, rows: list[Row], seed: int
) -> None:
    found = split(connection, rows)
    assert versions(connection, found) == told(rows)
    assert found.accounting.balanced
    assert found.accounting.rows_in == len(rows)
    assert found.accounting.rows_out == len(told(rows))
    shuffled = random.Random(seed).sample(range(len(rows)), len(rows))  # noqa: S311 - an order, no secret
    again = split(connection, rows, shuffled)
    assert versions(connection, again) == told(rows)
    assert again.accounting == found.accounting


def test_without_ordering_a_version_holds_from_when_it_landed(connection: duckdb.DuckDBPyConnection) -> None:
    contract = as_history(
        Contract(
            "silver.t",
            (Column("id", "integer", path=("id",)), Column("city", "string", path=("city",)), LANDED_AT),
            key=("id",),
        )
    )
    found = conform(
        connection, RawTable(["id", "city"], [("1", "Bonn"), ("1", "Ulm")]).load(connection), contract, key=KEY
    )
    rows = connection.execute(f"SELECT city, valid_from, valid_to FROM {found.accepted}").fetchall()
    assert rows == [("Ulm", LANDED, None)]


def test_a_version_may_begin_on_a_day_and_have_any_column_name(connection: duckdb.DuckDBPyConnection) -> None:
    names = ["row_id", "place", "said", "new", "versions", "staged"]
    columns = [Column(name, "string", path=(name,)) for name in names]
    contract = as_history(
        Contract(
            "silver.t",
            (*columns, Column("on", "date", path=("on",)), LANDED_AT),
            key=("row_id", "place"),
            ordering=("on",),
        )
    )
    rows: list[Row] = [("a", "b", "c", "d", "e", "f", "2026-11-02"), ("a", "b", "c", "d", "e", "g", "2026-11-03")]
    found = conform(connection, RawTable([*names, "on"], rows).load(connection), contract, key=KEY)
    read = connection.execute(f"SELECT staged, valid_from, valid_to FROM {found.accepted} ORDER BY 2").fetchall()
    assert read == [("f", day(2), day(3)), ("g", day(3), None)]


def test_a_history_of_keys_alone_has_one_version_of_each(connection: duckdb.DuckDBPyConnection) -> None:
    columns = (Column("id", "integer", path=("id",)), Column("on", "date", path=("on",)), LANDED_AT)
    contract = as_history(Contract("silver.t", columns, key=("id",), ordering=("on",)))
    bronze = RawTable(["id", "on"], [("1", "2026-11-03"), ("1", "2026-11-02")]).load(connection)
    found = conform(connection, bronze, contract, key=KEY)
    assert connection.execute(f"SELECT valid_from FROM {found.accepted}").fetchall() == [(day(2),)]


def test_pii_is_compared_in_the_clear_and_shown_as_tokens(connection: duckdb.DuckDBPyConnection) -> None:
    columns = tuple(
        replace(column, classification=Classification.PII) if column.name in {"id", "city"} else column
        for column in CUSTOMERS.columns
    )
    contract = replace(CUSTOMERS, columns=columns)
    names = ["id", "since", "step", "city", "points"]
    rows: list[Row] = [("1", day(1).isoformat(), "0", "Bonn", None), ("1", day(2).isoformat(), "0", "Bonn", None)]
    found = conform(connection, RawTable(names, rows).load(connection), contract, key=KEY)
    read = connection.execute(f"SELECT length(id), length(city), is_current FROM {found.accepted}").fetchall()
    assert read == [(64, 64, True)]


def test_what_only_counts_is_counted_in_the_versions_that_are_kept(connection: duckdb.DuckDBPyConnection) -> None:
    contract = replace(CUSTOMERS, rules=(*CUSTOMERS.rules, Rule("positive", "points", severity=Severity.WARN)))
    names = ["id", "since", "step", "city", "points"]
    rows: list[Row] = [("1", day(n).isoformat(), "0", "Bonn", "-1") for n in (1, 2)]
    found = conform(connection, RawTable(names, rows).load(connection), contract, key=KEY)
    assert found.warnings == {"points.positive": 1}


# The contract


def test_a_history_says_when_its_versions_hold() -> None:
    assert CUSTOMERS.key == ("id", "valid_from")
    assert not CUSTOMERS.column("since").nullable
    assert CUSTOMERS.column("valid_to").nullable
    assert "valid_from.compare.valid_to" in {rule.name for rule in CUSTOMERS.published().rules}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"ordering": ("step",)}, "ordered by when a version begins to hold; step is integer"),
        ({"partition_column": "day"}, "a history has no partitions"),
        (
            {"columns": (Column("id", "integer"), Column("since", "date", classification=Classification.PII))},
            "since is date",
        ),
        (
            {"columns": (Column("id", "integer"), Column("since", "date"), Column("valid_from", "date"))},
            "valid_from is decl",
        ),
    ],
)
def test_a_contract_that_can_have_no_history_is_refused(changes: dict[str, Any], why: str) -> None:
    columns = (Column("id", "integer"), Column("since", "date"), Column("step", "integer"), Column("day", "date"))
    contract = Contract("silver.t", columns, key=("id",), ordering=("since",))
    with pytest.raises(ContractError, match=why):
        as_history(replace(contract, **changes))


# A source


def customers(folder: Path, **changes: Any) -> Source:  # noqa: ANN401 - as YAML has it
    table = {"table": "customers", "kind": "scd2", "description": "Customers.", "key": ["id"], "ordering": ["since"]}
    schema = object_schema(
        "id",
        "since",
        id={"type": "integer"},
        since={"type": "string", "format": "date-time"},
        city={"type": ["string", "null"]},
        tags={"type": "array", "items": object_schema("a", a={"type": "string"})},
    )
    return write_source(folder / "customers", schema, silver=[{**table, **changes}])


def arrive(lakehouse: Lakehouse, source: Source, *records: tuple[int, int, str]) -> Rebuilt:
    arrivals = [Arrival({"id": i, "since": day(since).isoformat(), "city": city}) for i, since, city in records]
    publish_bronze(lakehouse, source, arrivals)
    return rebuild(lakehouse, source, source.file.silver[0], partition=None, run_id="r")


def published(lakehouse: Lakehouse) -> list[Row]:
    with lakehouse.connect() as connection:
        return connection.execute(
            f"SELECT id, city, CAST(valid_from AS DATE), CAST(valid_to AS DATE), is_current "
            f"FROM {relation(lakehouse, 'silver.customers')} ORDER BY 1, 3"
        ).fetchall()


def test_a_history_is_published_and_rebuilt_when_an_older_version_arrives(lakehouse: Lakehouse, tmp_path: Path) -> None:
    source = customers(tmp_path)
    arrive(lakehouse, source, (1, 2, "Bonn"), (2, 2, "Ulm"))
    built = arrive(lakehouse, source, (1, 9, "Köln"), (1, 4, "Bonn"))
    assert built.accounting == Accounting(4, 3, 0, 1)
    before = published(lakehouse)
    assert before == [
        (1, "Bonn", date(2026, 11, 2), date(2026, 11, 9), False),
        (1, "Köln", date(2026, 11, 9), None, True),
        (2, "Ulm", date(2026, 11, 2), None, True),
    ]
    version = built.silver.data_version
    again = rebuild(lakehouse, source, source.file.silver[0], partition=None, run_id="r")
    assert again.silver.data_version == version
    arrive(lakehouse, source, (1, 3, "Trier"))
    assert published(lakehouse) == [
        (1, "Bonn", date(2026, 11, 2), date(2026, 11, 3), False),
        (1, "Trier", date(2026, 11, 3), date(2026, 11, 4), False),
        (1, "Bonn", date(2026, 11, 4), date(2026, 11, 9), False),
        *before[1:],
    ]


def test_every_moment_has_at_most_one_version_of_a_key(lakehouse: Lakehouse, tmp_path: Path) -> None:
    source = customers(tmp_path)
    random_source = random.Random(7)  # noqa: S311 - data, no secret
    records = [
        (random_source.randrange(3), random_source.randrange(1, 28), random_source.choice("abc")) for _ in range(60)
    ]
    arrive(lakehouse, source, *records)
    with lakehouse.connect() as connection:
        rows = relation(lakehouse, "silver.customers")
        overlapping = connection.execute(
            f"SELECT count(*) FROM {rows} a JOIN {rows} b ON a.id = b.id AND a.valid_from < b.valid_from "
            "AND coalesce(a.valid_to, 'infinity') > b.valid_from"
        ).fetchone()
        current = connection.execute(f"SELECT id, count(*) FROM {rows} WHERE is_current GROUP BY 1").fetchall()
    assert overlapping == (0,)
    assert {count for _, count in current} == {1}


def test_quarantine_of_a_history_keeps_what_arrived_alone(tmp_path: Path) -> None:
    source = customers(tmp_path)
    table = source.file.silver[0]
    assert {column.name for column in silver_contract(source, table).columns} >= HISTORY_NAMES
    assert not HISTORY_NAMES & {column.name for column in quarantine_contract(source, table).columns}


@pytest.mark.parametrize("changes", [{"partition_column": "day"}, {"explode": "tags"}])
def test_a_history_has_neither_partitions_nor_elements(tmp_path: Path, changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"partition_column|scd2"):
        customers(tmp_path, **changes)

"""The one way into a table: nothing unaudited is visible, and a failed publish leaves no trace (I1)."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from platform_assets.contracts.model import Column, Contract, Rule
from platform_assets.lakehouse import publisher
from platform_assets.lakehouse.audit import ContractBroken
from platform_assets.lakehouse.catalog import Lakehouse, LakehouseError, local_path
from platform_assets.lakehouse.publisher import ConcurrentPublish, Publication
from platform_assets.lakehouse.reader import relation

ORDERS = Contract(
    table="silver.orders",
    columns=(
        Column("id", "integer", nullable=False),
        Column("amount", "decimal(18,2)"),
        Column("mail", "string"),
        Column("placed_at", "timestamp", nullable=False),
        Column("day", "date", nullable=False),
    ),
    key=("id", "mail"),
    event_time="placed_at",
    partition_column="day",
    rules=(Rule("minimum", "amount", 0), Rule("max_length", "mail", 20)),
)
REGIONS = Contract("silver.regions", (Column("id", "integer", nullable=False), Column("name", "string")), key=("id",))
DAY = date(2026, 11, 21)
NEXT = DAY + timedelta(days=1)
SECRET = "ann@example.org"


def orders(
    day: date = DAY, count: int = 3, *, number: str = "i", amount: str = "1.5", mail: str = f"'{SECRET}'"
) -> str:
    """SQL after FROM: `count` orders of a day."""
    return (
        f"(SELECT {number} AS id, {amount} AS amount, {mail} AS mail, "
        f"TIMESTAMPTZ '{day} 10:00:00+00' AS placed_at, DATE '{day}' AS day FROM range({count}) r(i))"
    )


def publish(lakehouse: Lakehouse, source: str, partition: date | None = DAY) -> Publication:
    """Replaces a partition."""
    with lakehouse.connect() as connection:
        return publisher.replace(
            lakehouse, ORDERS, connection, source, partition=partition, properties={"platform.x": "y"}
        )


def rows(lakehouse: Lakehouse, contract: Contract = ORDERS) -> list[tuple[object, ...]]:
    with lakehouse.connect() as connection:
        source = relation(lakehouse, contract.table)
        return connection.execute(f"SELECT * FROM {source} ORDER BY ALL").fetchall()


def snapshot(lakehouse: Lakehouse) -> int | None:
    table = lakehouse.find(ORDERS.table)
    found = table.current_snapshot() if table else None
    return found.snapshot_id if found else None


def parquet_files(lakehouse: Lakehouse) -> set[Path]:
    return set(Path(local_path(lakehouse.settings.resolved_warehouse)).rglob("*.parquet"))


def live_files(lakehouse: Lakehouse, contract: Contract = ORDERS) -> dict[object, set[str]]:
    """The files of the newest snapshot, by partition."""
    table = lakehouse.find(contract.table)
    assert table is not None
    found: dict[object, set[str]] = {}
    for task in table.scan().plan_files():
        day = date(1970, 1, 1) + timedelta(days=task.file.partition[0]) if table.spec().fields else None
        found.setdefault(day, set()).add(task.file.file_path)
    return found


def test_a_published_row_is_read_back_and_the_snapshot_says_what_it_holds(lakehouse: Lakehouse) -> None:
    published = publish(lakehouse, orders())
    assert (published.table, published.rows) == ("silver.orders", 3)
    assert len(rows(lakehouse)) == 3
    assert published.snapshot_id == snapshot(lakehouse)
    table = lakehouse.find(ORDERS.table)
    summary = table.current_snapshot().summary if table and table.current_snapshot() else None  # type: ignore[union-attr]
    assert summary is not None
    stamped = summary.additional_properties
    assert stamped["platform.x"] == "y"
    assert stamped["platform.rows"] == "3"
    assert stamped["platform.data-version"] == published.data_version
    assert stamped["platform.contract-version"] == "1"
    assert all(isinstance(value, str) for value in published.properties.values())


BROKEN = {
    "a value of another type": (orders(amount=f"CASE WHEN i = 1 THEN '{SECRET}' ELSE '1' END"), "amount.type", 1),
    "a number too large": (orders(amount="1e17"), "amount.type", 3),
    "a null": (orders(number="nullif(i, 1)"), "id.not_nullable", 1),
    "a rule": (orders(amount="0.5 - i"), "amount.minimum", 2),
    "a rule about text": (orders(mail=f"repeat('{SECRET}', 1 + i::INT)"), "mail.max_length", 2),
    "a doubled key": (orders(number="i // 2", count=4), "id, mail.unique", 4),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("published_before", [True, False])
def test_a_broken_contract_publishes_nothing_and_names_rule_and_count_but_no_value(
    lakehouse: Lakehouse, case: str, published_before: bool
) -> None:
    if published_before:
        publish(lakehouse, orders())
    good, files = snapshot(lakehouse), parquet_files(lakehouse)
    before = rows(lakehouse) if published_before else None
    source, rule, count = BROKEN[case]
    with pytest.raises(ContractBroken) as caught:
        publish(lakehouse, source)
    message = str(caught.value)
    assert message.startswith("silver.orders: not published")
    assert [(finding.rule, finding.rows) for finding in caught.value.findings] == [(rule, count)]
    assert f"{rule} broken by {count} rows" in message
    assert SECRET not in message
    assert SECRET not in "".join(str(error) for error in (caught.value.__cause__, caught.value.__context__))
    assert snapshot(lakehouse) == good
    assert parquet_files(lakehouse) == files
    if published_before:
        assert rows(lakehouse) == before


def test_every_broken_rule_is_named_at_once(lakehouse: Lakehouse) -> None:
    with pytest.raises(ContractBroken) as caught:
        publish(lakehouse, orders(amount="-1", mail="repeat('x', 21)", number="NULL"))
    found = {finding.rule: finding.rows for finding in caught.value.findings}
    assert found.items() >= {"amount.minimum": 3, "mail.max_length": 3, "id.not_nullable": 3}.items()


def test_a_failing_query_leaves_no_staged_file(lakehouse: Lakehouse) -> None:
    with pytest.raises(duckdb.Error):
        publish(
            lakehouse, "(SELECT error('no') AS id, 1 AS amount, 'x' AS mail, now() AS placed_at, current_date AS day)"
        )
    assert parquet_files(lakehouse) == set()


def test_replacing_a_partition_leaves_the_files_of_the_others_untouched(lakehouse: Lakehouse) -> None:
    publish(lakehouse, orders(DAY))
    publish(lakehouse, orders(NEXT, count=4), partition=NEXT)
    before = live_files(lakehouse)
    content = {path: Path(local_path(path)).read_bytes() for path in before[NEXT]}
    publish(lakehouse, orders(DAY, count=1))
    after = live_files(lakehouse)
    assert after[NEXT] == before[NEXT]
    assert after[DAY].isdisjoint(before[DAY])
    assert {path: Path(local_path(path)).read_bytes() for path in before[NEXT]} == content
    assert [row[0] for row in rows(lakehouse) if row[4] == DAY] == [0]
    assert len(rows(lakehouse)) == 5


def test_replacing_a_partition_by_no_rows_empties_it_and_says_so(lakehouse: Lakehouse) -> None:
    first = publish(lakehouse, orders(DAY))
    publish(lakehouse, orders(NEXT), partition=NEXT)
    emptied = publish(lakehouse, orders(DAY, count=0))
    assert emptied.rows == 0
    assert emptied.snapshot_id not in {None, first.snapshot_id}
    assert {row[4] for row in rows(lakehouse)} == {NEXT}
    assert len(parquet_files(lakehouse)) == 2  # those that the snapshots name


def test_publishing_no_rows_is_a_publication_too(lakehouse: Lakehouse) -> None:
    nothing = publish(lakehouse, orders(count=0))
    again = publish(lakehouse, orders(count=0))
    assert nothing.snapshot_id is not None
    assert again.snapshot_id not in {None, nothing.snapshot_id}
    assert rows(lakehouse) == []
    assert parquet_files(lakehouse) == set()


def test_rows_of_another_partition_than_announced_are_refused(lakehouse: Lakehouse) -> None:
    publish(lakehouse, orders())
    good, files = snapshot(lakehouse), parquet_files(lakehouse)
    with pytest.raises(LakehouseError, match="partition 2026-11-21 was to be published, the rows are of 2026-11-22"):
        publish(lakehouse, orders(NEXT), partition=DAY)
    both = f"(SELECT * FROM {orders(DAY)} UNION ALL SELECT * FROM {orders(NEXT)})"
    with pytest.raises(LakehouseError, match="the rows are of 2026-11-21, 2026-11-22"):
        publish(lakehouse, both, partition=DAY)
    assert (snapshot(lakehouse), parquet_files(lakehouse)) == (good, files)


def test_a_table_without_partitions_cannot_have_one_replaced(lakehouse: Lakehouse) -> None:
    with (
        lakehouse.connect() as connection,
        pytest.raises(LakehouseError, match=r"silver\.regions has no partition column"),
    ):
        publisher.replace(lakehouse, REGIONS, connection, "(SELECT 1)", partition=DAY, properties={})


def test_replacing_all_of_a_dated_table_writes_one_file_per_date(lakehouse: Lakehouse) -> None:
    publish(lakehouse, orders(DAY - timedelta(days=9)), partition=DAY - timedelta(days=9))
    days = [DAY + timedelta(days=number) for number in range(3)]
    source = "(" + " UNION ALL ".join(f"SELECT * FROM {orders(day, count=2)}" for day in days) + ")"
    published = publish(lakehouse, source, partition=None)
    assert published.rows == 6
    assert {day: len(files) for day, files in live_files(lakehouse).items()} == dict.fromkeys(days, 1)
    assert len(rows(lakehouse)) == 6


def test_replacing_all_checks_the_dates_for_null_too(lakehouse: Lakehouse) -> None:
    undated = orders().replace(f"DATE '{DAY}'", f"CASE WHEN i > 0 THEN DATE '{DAY}' END")
    with pytest.raises(ContractBroken, match=r"day\.not_nullable broken by 1 rows"):
        publish(lakehouse, undated, partition=None)
    assert parquet_files(lakehouse) == set()


def test_replacing_a_table_without_partitions_replaces_all_of_it(lakehouse: Lakehouse) -> None:
    with lakehouse.connect() as connection:
        for names in (("north", "south"), ("west",)):
            source = f"(SELECT generate_subscripts({list(names)}, 1) AS id, unnest({list(names)}) AS name)"
            publisher.replace(lakehouse, REGIONS, connection, source, partition=None, properties={})
    assert rows(lakehouse, REGIONS) == [(1, "west")]
    assert len(live_files(lakehouse, REGIONS)[None]) == 1


def test_an_append_adds_to_its_base(lakehouse: Lakehouse) -> None:
    publish(lakehouse, orders())
    with lakehouse.connect() as connection:
        source = orders(number="i + 100")
        base = lakehouse.ensure(ORDERS)
        publisher.append(lakehouse, ORDERS, connection, source, base=base, partition=DAY, properties={})
    assert len(rows(lakehouse)) == 6


def test_an_append_on_a_stale_base_publishes_nothing(lakehouse: Lakehouse) -> None:
    stale = lakehouse.ensure(ORDERS)
    publish(lakehouse, orders())
    good, files = snapshot(lakehouse), parquet_files(lakehouse)
    with lakehouse.connect() as connection, pytest.raises(ConcurrentPublish, match=r"silver\.orders: another run"):
        publisher.append(lakehouse, ORDERS, connection, orders(NEXT), base=stale, partition=NEXT, properties={})
    assert (snapshot(lakehouse), parquet_files(lakehouse)) == (good, files)
    assert len(rows(lakehouse)) == 3


def test_two_appends_on_the_same_base_publish_one(lakehouse: Lakehouse) -> None:
    bases = [lakehouse.ensure(ORDERS), lakehouse.ensure(ORDERS)]
    outcomes = []
    with lakehouse.connect() as connection:
        for base in bases:
            try:
                publisher.append(lakehouse, ORDERS, connection, orders(), base=base, partition=DAY, properties={})
                outcomes.append("published")
            except ConcurrentPublish:
                outcomes.append("refused")
    assert outcomes == ["published", "refused"]
    assert len(rows(lakehouse)) == 3


def test_two_threads_that_replace_different_partitions_both_succeed(lakehouse: Lakehouse) -> None:
    publish(lakehouse, orders(DAY - timedelta(days=1)), partition=DAY - timedelta(days=1))
    together = threading.Barrier(2)

    def rebuild(day: date) -> list[int]:
        own = Lakehouse(lakehouse.settings)
        together.wait()
        return [publish(own, orders(day, count=count), partition=day).rows for count in (1, 2, 3)]

    with ThreadPoolExecutor(2) as pool:
        assert [future.result() for future in [pool.submit(rebuild, day) for day in (DAY, NEXT)]] == [[1, 2, 3]] * 2
    published = [row[4] for row in rows(lakehouse)]
    assert [published.count(DAY + timedelta(days=offset)) for offset in (-1, 0, 1)] == [3, 3, 3]


def test_two_threads_that_create_the_same_table_both_succeed(lakehouse: Lakehouse) -> None:
    assert lakehouse.tables() == []  # the catalog's database is there
    together = threading.Barrier(2)

    def first(day: date) -> int:
        own = Lakehouse(lakehouse.settings)
        together.wait()
        return publish(own, orders(day), partition=day).rows

    with ThreadPoolExecutor(2) as pool:
        assert [future.result() for future in [pool.submit(first, day) for day in (DAY, NEXT)]] == [3, 3]
    assert len(rows(lakehouse)) == 6


def test_a_failure_at_the_second_of_several_dates_leaves_no_file_of_the_first(lakehouse: Lakehouse) -> None:
    late = f"CASE WHEN DATE '{NEXT}' = day THEN error('no')::BIGINT ELSE id END"
    both = f"(SELECT * REPLACE ({late} AS id) FROM (FROM {orders(DAY)} UNION ALL FROM {orders(NEXT)}))"
    with pytest.raises(duckdb.Error):
        publish(lakehouse, both, partition=None)
    assert parquet_files(lakehouse) == set()


def test_a_commit_that_fails_leaves_the_last_good_snapshot(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(lakehouse, orders())
    good = snapshot(lakehouse)

    def lost(*_: object, **__: object) -> None:
        raise OSError("the catalog is gone")

    with monkeypatch.context() as patched:
        patched.setattr(type(lakehouse.catalog), "commit_table", lost)
        with pytest.raises(OSError, match="the catalog is gone"):
            publish(lakehouse, orders(count=1))
    assert snapshot(lakehouse) == good
    assert len(rows(lakehouse)) == 3


def test_a_commit_whose_answer_is_lost_leaves_a_table_that_can_be_read(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(lakehouse, orders())
    commit = type(lakehouse.catalog).commit_table

    def unanswered(*arguments: Any, **settings: Any) -> None:  # noqa: ANN401 - the catalog's own
        commit(*arguments, **settings)
        raise OSError("no answer")

    with monkeypatch.context() as patched:
        patched.setattr(type(lakehouse.catalog), "commit_table", unanswered)
        with pytest.raises(OSError, match="no answer"):
            publish(lakehouse, orders(count=1))
    assert len(rows(lakehouse)) == 1


def test_the_data_version_tells_the_rows_and_nothing_else(lakehouse: Lakehouse) -> None:
    version = publish(lakehouse, orders()).data_version
    assert publish(lakehouse, f"(SELECT * FROM {orders()} ORDER BY id DESC)").data_version == version
    others = [orders(count=2), orders(amount="2"), orders(number="i + 1"), orders(count=0)]
    assert len({version, *(publish(lakehouse, other).data_version for other in others)}) == 5


def test_columns_are_taken_by_name_whatever_their_order(lakehouse: Lakehouse) -> None:
    publish(lakehouse, f"(SELECT day, mail, placed_at, id, amount, 'more' AS more FROM {orders(count=1)})")
    assert rows(lakehouse)[0][:3] == (0, duckdb.execute("SELECT 1.5::DECIMAL(18, 2)").fetchall()[0][0], SECRET)


def test_a_home_with_blanks_and_umlauts_in_its_path_works(lakehouse: Lakehouse, tmp_path: Path) -> None:
    home = tmp_path / "größe 2 'x'"
    elsewhere = Lakehouse(lakehouse.settings.model_copy(update={"home": home}))
    publish(elsewhere, orders())
    assert len(rows(elsewhere)) == 3
    assert os.path.commonpath([home, *parquet_files(elsewhere)]) == str(home)

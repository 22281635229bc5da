"""A table's metadata: one snapshot per publication, manifests as sorted pages, and nothing left of a failed commit."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import EqualTo
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Table

from platform_assets.contracts.model import Column, Contract
from platform_assets.lakehouse import manifests, publisher
from platform_assets.lakehouse.catalog import Lakehouse, LakehouseError, local_path
from platform_assets.lakehouse.manifests import Replaced, commit, partition_of
from platform_assets.lakehouse.progress import progress
from platform_assets.lakehouse.reader import table_relation
from platform_assets.lakehouse.statistics import statistics

TRIPS = Contract(
    "silver.trips",
    (Column("id", "integer", nullable=False), Column("day", "date")),
    key=("id",),
    partition_column="day",
)
ZONES = Contract("silver.zones", (Column("id", "integer", nullable=False),), key=("id",))
START = date(2026, 1, 1)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of 4 files, so that few files make many."""
    monkeypatch.setattr(manifests, "_PAGE", 4)


def day(number: int) -> date:
    return START + timedelta(days=number)


def write(lakehouse: Lakehouse, of: date | None, ids: list[int], contract: Contract = TRIPS) -> str:
    """A Parquet file of the table's folder that no snapshot names yet."""
    table = lakehouse.ensure(contract)
    folder = Path(local_path(table.location())) / "data"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid4()}.parquet"
    rows = f"unnest({ids}::BIGINT[]) AS id"
    if contract is TRIPS:
        rows += f", {'NULL' if of is None else repr(str(of))}::DATE AS day"
    field_ids = ", ".join(f"{column.name}: {number}" for number, column in enumerate(contract.columns, start=1))
    with lakehouse.connect() as connection:
        connection.execute(f"COPY (SELECT {rows}) TO '{path}' (FORMAT parquet, FIELD_IDS {{{field_ids}}})")
    return f"file://{path}"


def add(lakehouse: Lakehouse, number: int, ids: list[int], *, replacing: bool = False) -> None:
    """One commit of one file."""
    file = write(lakehouse, day(number), ids)
    replaced = Replaced(day(number)) if replacing else None
    commit(lakehouse.ensure(TRIPS), [file], replaced=replaced, properties={"platform.partition": str(day(number))})


def ids(lakehouse: Lakehouse, table: Table, where: date | None = None) -> list[int]:
    """As the platform reads them."""
    source = table_relation(table, where=None if where is None else {"day": where})
    with lakehouse.connect() as connection:
        return [row[0] for row in connection.execute(f"SELECT id FROM {source} ORDER BY id").fetchall()]


def pages(table: Table) -> list[list[date | None]]:
    """The dates of the live files of each manifest, in the order of the manifest list."""
    found = [[partition_of(entry.data_file) for entry in m.fetch_manifest_entry(table.io)] for m in _manifests(table)]
    return [page for page in found if page]


def pages_with(table: Table, of: date) -> int:
    """How many manifests a plan of the date has to read."""
    return sum(min(map(str, page)) <= str(of) <= max(map(str, page)) for page in pages(table))


def metadata_files(table: Table) -> Counter[str]:
    folder = Path(local_path(table.location())) / "metadata"
    return Counter("list" if path.name.startswith("snap") else path.suffix for path in folder.iterdir())


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_added_and_replaced_in_whatever_order_is_what_is_read(lakehouse: Lakehouse, seed: int) -> None:
    chance, expected = Random(seed), dict[int, list[int]]()  # noqa: S311 - an order
    for number in range(40):
        of, replacing = chance.randrange(12), chance.random() < 0.5
        add(lakehouse, of, [number], replacing=replacing)
        expected[of] = [number] if replacing else [*expected.get(of, []), number]
    table = lakehouse.ensure(TRIPS)
    assert ids(lakehouse, table) == sorted(n for numbers in expected.values() for n in numbers)
    assert {of: ids(lakehouse, table, day(of)) for of in expected} == expected
    assert sorted(table.scan().to_arrow()["id"].to_pylist()) == ids(lakehouse, table)


@pytest.mark.parametrize("order", ["in order", "in reverse", "at random"])
def test_a_date_is_in_one_page_in_whatever_order_the_dates_came(lakehouse: Lakehouse, order: str) -> None:
    numbers = list(range(40))
    if order == "in reverse":
        numbers.reverse()
    elif order == "at random":
        Random(7).shuffle(numbers)  # noqa: S311 - an order
    for number in numbers:
        add(lakehouse, number, [number])
    table = lakehouse.ensure(TRIPS)
    assert {pages_with(table, day(number)) for number in numbers} == {1}
    assert max(map(len, pages(table))) <= 4
    assert len(pages(table)) <= 20  # half full at worst


def test_a_commit_to_one_date_writes_one_page_and_leaves_the_others(lakehouse: Lakehouse) -> None:
    for number in range(12):
        add(lakehouse, number, [number])
    before = {manifest.manifest_path for manifest in _manifests(lakehouse.ensure(TRIPS))}
    add(lakehouse, 6, [100], replacing=True)
    after = {manifest.manifest_path for manifest in _manifests(lakehouse.ensure(TRIPS))}
    assert (len(before), len(before - after), len(after - before)) == (3, 1, 1)


def test_a_replacement_is_one_snapshot_that_counts_what_came_and_went(lakehouse: Lakehouse) -> None:
    add(lakehouse, 0, [1, 2])
    add(lakehouse, 1, [3])
    add(lakehouse, 0, [4, 5, 6], replacing=True)
    table = lakehouse.ensure(TRIPS)
    newest = table.current_snapshot()
    assert len(table.snapshots()) == 3
    assert newest is not None
    assert newest.summary is not None
    said = newest.summary.additional_properties
    assert newest.summary.operation.value == "overwrite"
    assert (said["added-records"], said["deleted-records"], said["total-records"]) == ("3", "2", "4")
    assert (said["added-data-files"], said["deleted-data-files"], said["total-data-files"]) == ("1", "1", "2")


def test_the_snapshot_before_a_replacement_is_read_as_it_was(lakehouse: Lakehouse) -> None:
    for number in range(9):
        add(lakehouse, number, [number])
    table = lakehouse.ensure(TRIPS)
    before, opened_before = table.current_snapshot(), ids(lakehouse, table)
    add(lakehouse, 4, [100], replacing=True)
    add(lakehouse, 4, [101])
    assert before is not None
    past = lakehouse.ensure(TRIPS).scan(snapshot_id=before.snapshot_id).to_arrow()["id"].to_pylist()
    assert sorted(past) == opened_before == list(range(9))
    assert ids(lakehouse, table) == list(range(9))  # a reader that has opened it before
    assert ids(lakehouse, lakehouse.ensure(TRIPS)) == [0, 1, 2, 3, 5, 6, 7, 8, 100, 101]


def test_no_rows_for_a_partition_take_its_rows_out(lakehouse: Lakehouse) -> None:
    add(lakehouse, 0, [1])
    add(lakehouse, 1, [2])
    commit(lakehouse.ensure(TRIPS), [], replaced=Replaced(day(0)), properties={})
    assert ids(lakehouse, lakehouse.ensure(TRIPS)) == [2]
    commit(lakehouse.ensure(TRIPS), [], replaced=Replaced(day(1)), properties={})
    assert ids(lakehouse, lakehouse.ensure(TRIPS)) == []
    add(lakehouse, 0, [3])
    assert pages(lakehouse.ensure(TRIPS)) == [[day(0)]]


def test_rows_without_a_date_are_kept_beside_those_with_one(lakehouse: Lakehouse) -> None:
    for number in range(6):
        add(lakehouse, number, [number])
    commit(lakehouse.ensure(TRIPS), [write(lakehouse, None, [100])], properties={})
    add(lakehouse, 0, [200], replacing=True)
    assert ids(lakehouse, lakehouse.ensure(TRIPS)) == [1, 2, 3, 4, 5, 100, 200]


def test_a_table_without_partitions_is_replaced_as_a_whole(lakehouse: Lakehouse) -> None:
    for number in range(6):
        commit(lakehouse.ensure(ZONES), [write(lakehouse, None, [number], ZONES)], properties={})
    assert ids(lakehouse, lakehouse.ensure(ZONES)) == list(range(6))
    commit(lakehouse.ensure(ZONES), [write(lakehouse, None, [9], ZONES)], replaced=Replaced(None), properties={})
    assert ids(lakehouse, lakehouse.ensure(ZONES)) == [9]


def test_a_table_that_another_writer_left_unsorted_is_put_in_order_by_the_next_commit(lakehouse: Lakehouse) -> None:
    table = lakehouse.ensure(TRIPS)
    numbers = list(range(30))
    Random(7).shuffle(numbers)  # noqa: S311 - an order
    for start in range(0, 30, 10):
        table.add_files([write(lakehouse, day(n), [n]) for n in numbers[start : start + 10]])
    assert pages_with(table, day(15)) == 3
    add(lakehouse, 15, [100], replacing=True)
    table = lakehouse.ensure(TRIPS)
    assert {pages_with(table, day(number)) for number in numbers} == {1}
    assert ids(lakehouse, table) == sorted({*numbers, 100} - {15})


def test_other_writers_can_go_on_with_what_the_platform_has_written(lakehouse: Lakehouse) -> None:
    for number in range(9):
        add(lakehouse, number, [number])
    table = lakehouse.ensure(TRIPS)
    table.delete(EqualTo("day", day(3).isoformat()))  # type: ignore[call-arg,misc]
    table.add_files([write(lakehouse, day(20), [20])])
    old = [task.file for task in table.scan(row_filter=EqualTo("day", day(7).isoformat())).plan_files()]  # type: ignore[call-arg,misc]
    with table.transaction() as transaction, transaction.update_snapshot().overwrite() as overwrite:
        overwrite.delete_data_file(old[0])
        overwrite.append_data_file(parquet_file_to_data_file(table.io, table.metadata, write(lakehouse, day(7), [70])))
    table.maintenance.expire_snapshots().by_ids([s.snapshot_id for s in table.snapshots()[:-1]]).commit()
    add(lakehouse, 4, [100], replacing=True)
    assert ids(lakehouse, lakehouse.ensure(TRIPS)) == [0, 1, 2, 5, 6, 8, 20, 70, 100]


def test_the_history_of_a_table_with_deletes_and_appends_of_their_own_is_read_on(lakehouse: Lakehouse) -> None:
    def stamps(version: str) -> dict[str, str]:
        return {"platform.partition": str(day(0)), "platform.data-version": version, "platform.rows": "1"}

    table = lakehouse.ensure(TRIPS)
    table.add_files([write(lakehouse, day(0), [1])], snapshot_properties=stamps("a"))
    with table.transaction() as transaction:  # as the platform replaced before
        transaction.delete(EqualTo("day", day(0).isoformat()), snapshot_properties=stamps("b"))  # type: ignore[call-arg,misc]
        transaction.add_files([write(lakehouse, day(0), [2])], snapshot_properties=stamps("b"))
    replaced_at = progress(table).changed_at(day(0))
    assert [s.summary.operation.value for s in table.snapshots() if s.summary] == ["append", "delete", "append"]
    commit(table, [write(lakehouse, day(0), [2])], replaced=Replaced(day(0)), properties=stamps("b"))
    known = progress(lakehouse.ensure(TRIPS))
    assert known.changed_at(day(0)) == replaced_at  # the same rows again are no change
    assert known.made_at(day(0)) != replaced_at
    commit(table, [write(lakehouse, day(0), [3])], replaced=Replaced(day(0)), properties=stamps("c"))
    known = progress(lakehouse.ensure(TRIPS))
    assert known.version(day(0)) == "c"
    assert known.changed_at(day(0)) == known.made_at(day(0)) != replaced_at


def test_a_commit_on_a_stale_table_leaves_no_file_of_metadata(lakehouse: Lakehouse) -> None:
    add(lakehouse, 0, [1])
    stale = lakehouse.ensure(TRIPS)
    add(lakehouse, 0, [2])
    before = metadata_files(stale)
    with pytest.raises(CommitFailedException):
        commit(stale, [write(lakehouse, day(0), [3])], properties={})
    assert metadata_files(stale) == before
    assert ids(lakehouse, lakehouse.ensure(TRIPS)) == [1, 2]


def test_a_commit_whose_answer_is_lost_keeps_its_metadata(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(lakehouse, 0, [1])
    table = lakehouse.ensure(TRIPS)
    done = type(table.catalog).commit_table

    def unanswered(*arguments: object, **settings: object) -> None:
        done(*arguments, **settings)  # type: ignore[arg-type]
        raise OSError("no answer")

    with monkeypatch.context() as patched:
        patched.setattr(type(table.catalog), "commit_table", unanswered)
        with pytest.raises(OSError, match="no answer"):
            commit(table, [write(lakehouse, day(0), [2])], properties={})
    assert ids(lakehouse, lakehouse.ensure(TRIPS)) == [1, 2]


def test_a_process_that_dies_before_the_commit_leaves_the_table_as_it_was(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    add(lakehouse, 0, [1])
    with monkeypatch.context() as patched:
        patched.setattr(manifests, "_publish", die)
        with pytest.raises(Killed):
            add(lakehouse, 0, [2], replacing=True)
    assert ids(lakehouse, lakehouse.ensure(TRIPS)) == [1]
    add(lakehouse, 0, [3], replacing=True)
    assert ids(lakehouse, lakehouse.ensure(TRIPS)) == [3]


def test_copies_of_the_metadata_do_not_pile_up(lakehouse: Lakehouse) -> None:
    for number in range(25):
        add(lakehouse, number % 3, [number])
    found = metadata_files(lakehouse.ensure(TRIPS))
    assert found[".json"] == 21  # the newest, and those before it that the properties promise
    assert found["list"] == 25


def test_a_table_made_before_is_given_todays_properties(lakehouse: Lakehouse) -> None:
    table = lakehouse.ensure(TRIPS)
    with table.transaction() as transaction:
        transaction.remove_properties("write.metadata.previous-versions-max")
    add(lakehouse, 0, [1])
    assert lakehouse.ensure(TRIPS).properties["write.metadata.previous-versions-max"] == "20"


def test_a_table_with_another_partitioning_in_it_is_refused(lakehouse: Lakehouse) -> None:
    add(lakehouse, 0, [1])
    with lakehouse.ensure(TRIPS).update_spec() as update:
        update.add_identity("id")
    with pytest.raises(LakehouseError, match=r"silver\.trips has .* two ways of being partitioned"):
        add(lakehouse, 0, [2])


def test_publishing_through_the_contract_sees_the_same_pages(lakehouse: Lakehouse) -> None:
    with lakehouse.connect() as connection:
        for number in (*range(10), 3, 3):
            source = f"(SELECT {number}::BIGINT AS id, DATE '{day(number)}' AS day)"
            publisher.replace(lakehouse, TRIPS, connection, source, partition=day(number), properties={})
    table = lakehouse.ensure(TRIPS)
    assert ids(lakehouse, table) == list(range(10))
    assert statistics(table, TRIPS).rows_by_partition == {day(number): 1 for number in range(10)}
    assert len(pages(table)) == 3


def _manifests(table: Table) -> list[ManifestFile]:
    snapshot = table.current_snapshot()
    return snapshot.manifests(table.io) if snapshot else []

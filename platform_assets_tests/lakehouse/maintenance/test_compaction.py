"""Compaction merges small files; no row changes, nothing that commits meanwhile is lost or fails."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace as changed
from pathlib import Path

import pytest

from platform_assets.contracts.model import Column
from platform_assets.lakehouse import publisher
from platform_assets.lakehouse.catalog import Lakehouse, LakehouseError
from platform_assets.lakehouse.maintenance import compaction
from platform_assets.lakehouse.maintenance.compaction import compact
from platform_assets.lakehouse.progress import progress
from platform_assets.lakehouse.publisher import ConcurrentPublish
from platform_assets.lakehouse.statistics import statistics
from platform_assets_tests.lakehouse.maintenance.events import (
    DAY,
    EVENTS,
    LOG,
    NEXT,
    append,
    files,
    live_files,
    merge,
    planned,
    read,
    replace,
    rows,
    write_log,
)


def test_the_files_of_a_partition_become_one_in_one_commit_and_the_rows_stay(lakehouse: Lakehouse) -> None:
    for number in range(6):
        append(lakehouse, DAY, first=number)
    append(lakehouse, NEXT)
    before, snapshots = rows(lakehouse), len(lakehouse.catalog.load_table(EVENTS.table).snapshots())

    done = compact(lakehouse, EVENTS.table, clustering=EVENTS.clustering)

    assert (done.partitions, done.merged, done.written, done.files) == (1, 6, 1, 2)
    assert 0 < done.bytes_after < done.bytes_before
    assert Counter(rows(lakehouse)) == Counter(before)
    assert max(Counter(before).values()) > 1  # also of rows that are there several times
    assert len(live_files(lakehouse)) == 2
    assert len(lakehouse.catalog.load_table(EVENTS.table).snapshots()) == snapshots + 1


def test_a_new_file_is_in_the_order_of_the_contract(lakehouse: Lakehouse) -> None:
    for number in range(3):
        append(lakehouse, count=20, first=20 * number)
    merge(lakehouse)
    (file,) = live_files(lakehouse)
    with lakehouse.connect() as connection:
        found = connection.execute(f"SELECT name, id FROM read_parquet('{file}')").fetchall()
    assert found == sorted(found, key=lambda row: (row[0] is None, row[0], row[1]))
    assert len(found) > 60


def test_a_table_without_partitions_is_merged_too(lakehouse: Lakehouse) -> None:
    for number in range(5):
        write_log(lakehouse, number)
    assert compact(lakehouse, LOG.table).written == 1
    assert rows(lakehouse, LOG.table) == [(number, f"line {number}") for number in range(5)]
    assert len(live_files(lakehouse, LOG.table)) == 1


def test_only_partitions_with_several_small_files_are_rewritten(lakehouse: Lakehouse) -> None:
    for number in range(4):
        append(lakehouse, DAY, first=number)
    before = live_files(lakehouse)
    assert compact(lakehouse, EVENTS.table).merged == 0  # fewer than are worth it
    small = min(Path(file).stat().st_size for file in before)
    assert compact(lakehouse, EVENTS.table, fewest_files=2, target_bytes=small).merged == 0  # each is large enough
    assert live_files(lakehouse) == before


def test_what_is_merged_at_once_is_no_more_than_a_file_should_hold(lakehouse: Lakehouse) -> None:
    for number in range(6):
        append(lakehouse, DAY, first=number)
    before = rows(lakehouse)
    largest = max(Path(file).stat().st_size for file in live_files(lakehouse))
    done = compact(lakehouse, EVENTS.table, fewest_files=2, target_bytes=2 * largest)
    assert (done.merged, done.written, done.files) == (6, 3, 3)
    assert rows(lakehouse) == before


def test_a_dry_run_tells_what_would_be_merged_and_writes_nothing(lakehouse: Lakehouse) -> None:
    for number in range(5):
        append(lakehouse, DAY, first=number)
    before = files(lakehouse)
    done = compact(lakehouse, EVENTS.table, dry_run=True)
    assert (done.merged, done.written, done.files) == (5, 1, 1)
    assert files(lakehouse) == before


def test_files_from_before_a_column_was_added_read_as_they_did(lakehouse: Lakehouse) -> None:
    for number in range(2):
        append(lakehouse, first=number)
    wider = changed(EVENTS, columns=(*EVENTS.columns, Column("country", "string")))
    lakehouse.ensure(wider)
    with lakehouse.connect() as connection:
        publisher.append(
            lakehouse,
            wider,
            connection,
            f"(SELECT 7 AS id, NULL AS name, 1 AS amount, TIMESTAMPTZ '{DAY} 10:00:00+00' AS at, DATE '{DAY}' AS day, "
            "'AT' AS country)",
            base=lakehouse.catalog.load_table(EVENTS.table),
            partition=DAY,
            properties={},
        )
    before = rows(lakehouse)
    assert merge(lakehouse).written == 1
    assert rows(lakehouse) == before
    assert {row[-1] for row in before} == {None, "AT"}


def test_who_planned_before_reads_the_same_afterwards(lakehouse: Lakehouse) -> None:
    for number in range(3):
        append(lakehouse, first=number)
    reader, before = planned(lakehouse), rows(lakehouse)
    merge(lakehouse)
    assert read(lakehouse, reader) == before


def test_nobody_sees_it_as_a_publish(lakehouse: Lakehouse) -> None:
    for number in range(3):
        append(lakehouse, first=number)
    table = lakehouse.catalog.load_table(EVENTS.table)
    before, published = progress(table), statistics(table, EVENTS).last_published_at
    merge(lakehouse)
    table = lakehouse.catalog.load_table(EVENTS.table)
    assert progress(table) == before
    assert statistics(table, EVENTS).last_published_at == published
    assert statistics(table, EVENTS).rows == len(rows(lakehouse))


def test_what_is_published_while_files_are_merged_stays_and_the_merge_counts_all_the_same(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        append(lakehouse, DAY, first=number)
        append(lakehouse, NEXT, first=number)
    commit = compaction._commit

    def meanwhile(*arguments: object) -> object:
        append(lakehouse, DAY, first=50)
        replace(lakehouse, NEXT, count=1, first=60)  # takes out files that were merged
        return commit(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(compaction, "_commit", meanwhile)
    before = [row for row in rows(lakehouse) if row[-1] == DAY]
    done = merge(lakehouse)
    assert (done.merged, done.written) == (3, 1)
    now = rows(lakehouse)
    assert [row for row in now if row[-1] == DAY and int(str(row[0])) < 50] == before
    assert sum(1 for row in now if int(str(row[0])) >= 60) == len([row for row in now if row[-1] == NEXT]) > 0
    left = {path for path in files(lakehouse) if path.suffix == ".parquet"}
    assert not [path for path in left if path.name not in _named(lakehouse)]  # what did not count is gone again


def test_a_publish_that_wins_the_commit_makes_compaction_look_again(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        append(lakehouse, first=number)
    live = compaction._live
    raced: list[int] = []

    def race(table: object) -> object:
        found = live(table)  # type: ignore[arg-type]
        if len(raced) < 2:  # the second look is that of the commit
            append(lakehouse, first=40 + len(raced))
            raced.append(1)
        return found

    monkeypatch.setattr(compaction, "_live", race)
    done = merge(lakehouse)
    assert (done.merged, done.written, done.files) == (3, 1, 3)
    assert {40, 41} <= {row[0] for row in rows(lakehouse)}


def test_a_table_that_is_too_busy_is_left_as_it_is(lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        append(lakehouse, first=number)
    live = compaction._live

    def busy(table: object) -> object:
        found = live(table)  # type: ignore[arg-type]
        append(lakehouse, first=90)
        return found

    monkeypatch.setattr(compaction, "_live", busy)
    with pytest.raises(ConcurrentPublish, match="next run tries again"):
        merge(lakehouse)
    assert {path.name for path in files(lakehouse) if path.suffix == ".parquet"} == _named(lakehouse)


def test_rows_that_differ_after_merging_are_not_committed(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        append(lakehouse, first=number)
    before, listed = rows(lakehouse), files(lakehouse)
    counted = compaction._rows
    answers: list[int] = []

    def wrong(*arguments: object) -> tuple[int, int]:
        answers.append(1)
        number, total = counted(*arguments)  # type: ignore[arg-type]
        return number, total + len(answers)

    monkeypatch.setattr(compaction, "_rows", wrong)
    with pytest.raises(LakehouseError, match="Nothing was changed"):
        merge(lakehouse)
    assert rows(lakehouse) == before
    assert files(lakehouse) == listed


def _named(lakehouse: Lakehouse) -> set[str]:
    """Data files of all snapshots."""
    table = lakehouse.catalog.load_table(EVENTS.table)
    return {
        entry.data_file.file_path.rsplit("/", 1)[1]
        for snapshot in table.snapshots()
        for manifest in snapshot.manifests(table.io)
        for entry in manifest.fetch_manifest_entry(table.io)
    }

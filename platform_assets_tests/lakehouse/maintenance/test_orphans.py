"""Orphans are removed, and nothing that a snapshot, a reader or a running publish still needs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from platform_assets.lakehouse import publisher
from platform_assets.lakehouse.catalog import Lakehouse, LakehouseError
from platform_assets.lakehouse.maintenance.expiry import expire
from platform_assets.lakehouse.maintenance.orphans import remove_orphans
from platform_assets_tests.lakehouse.maintenance.events import (
    EVENTS,
    age,
    append,
    days_ago,
    files,
    later,
    live_files,
    merge,
    planned,
    read,
    replace,
    rows,
)


def test_files_of_expired_snapshots_are_removed_and_the_rows_stay(lakehouse: Lakehouse) -> None:
    for number in range(3):
        append(lakehouse, first=number)
    merge(lakehouse)
    before, held = rows(lakehouse), len(files(lakehouse))
    age(lakehouse)
    assert remove_orphans(lakehouse, EVENTS.table, days_ago(3)).removed == 0  # snapshots still name them
    expire(lakehouse, EVENTS.table, later())
    done = remove_orphans(lakehouse, EVENTS.table, days_ago(3))
    assert done.removed >= 3 + 3 + 3  # data files, their manifests and manifest lists
    assert done.freed_bytes > 0
    assert {Path(name).suffix for name in done.names} == {".parquet", ".avro"}
    assert len(files(lakehouse)) == done.files < held + 1
    assert sum(path.stat().st_size for path in files(lakehouse)) == done.bytes
    assert rows(lakehouse) == before
    assert remove_orphans(lakehouse, EVENTS.table, days_ago(3)).removed == 0


def test_every_snapshot_that_is_left_can_be_read(lakehouse: Lakehouse) -> None:
    append(lakehouse, first=1)
    reader, before = planned(lakehouse), rows(lakehouse)
    replace(lakehouse, first=2)
    age(lakehouse)
    remove_orphans(lakehouse, EVENTS.table, days_ago(3))
    assert read(lakehouse, reader) == before


def test_what_a_running_publish_has_written_stays(lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    append(lakehouse)
    commit, removed = publisher._commit, []

    def slowly(*arguments: object, **options: object) -> object:
        removed.append(remove_orphans(lakehouse, EVENTS.table, days_ago(3)).removed)
        return commit(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(publisher, "_commit", slowly)
    append(lakehouse, first=10)
    assert removed == [0]
    assert {10, 0} <= {row[0] for row in rows(lakehouse)}


def test_what_a_killed_run_has_left_is_removed_after_a_while(lakehouse: Lakehouse) -> None:
    append(lakehouse)
    data = Path(live_files(lakehouse)[0]).parent
    left = [data / "killed.parquet", data / "tmp_killed.parquet", data.parent / "metadata" / "killed-m0.avro"]
    for path in left:
        path.write_bytes(b"half")
    stranger = data / "README.txt"
    stranger.write_text("not ours")
    assert remove_orphans(lakehouse, EVENTS.table, days_ago(3)).removed == 0
    age(lakehouse)
    done = remove_orphans(lakehouse, EVENTS.table, days_ago(3))
    assert {Path(name).name for name in done.names} == {path.name for path in left}
    assert done.freed_bytes == 4 * len(left)
    assert stranger.exists()


def test_a_dry_run_lists_them_and_removes_nothing(lakehouse: Lakehouse) -> None:
    append(lakehouse)
    left = Path(live_files(lakehouse)[0]).parent / "killed.parquet"
    left.write_bytes(b"half")
    age(lakehouse)
    done = remove_orphans(lakehouse, EVENTS.table, days_ago(3), dry_run=True)
    assert [Path(name).name for name in done.names] == [left.name]
    assert left.exists()


def test_a_file_that_is_committed_while_files_are_listed_stays(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    from platform_assets.lakehouse.maintenance import orphans

    append(lakehouse)
    written = orphans._written

    def then_committed(folder: Path) -> list[Path]:
        append(lakehouse, first=10)
        age(lakehouse)  # as if it had been staged for days
        return list(written(folder))

    monkeypatch.setattr(orphans, "_written", then_committed)
    before_files = remove_orphans(lakehouse, EVENTS.table, days_ago(3)).files
    assert {0, 10} <= {row[0] for row in rows(lakehouse)}
    assert before_files >= len(live_files(lakehouse))


def test_nothing_is_removed_if_the_files_are_not_where_the_table_says(lakehouse: Lakehouse) -> None:
    append(lakehouse)
    Path(live_files(lakehouse)[0]).rename(Path(live_files(lakehouse)[0]).with_name("elsewhere.parquet"))
    age(lakehouse)
    held = files(lakehouse)
    with pytest.raises(LakehouseError, match="Nothing was removed"):
        remove_orphans(lakehouse, EVENTS.table, days_ago(3))
    assert files(lakehouse) == held


def test_a_folder_that_is_reached_by_a_link_keeps_its_files(lakehouse: Lakehouse, tmp_path: Path) -> None:
    append(lakehouse)
    home = lakehouse.settings.home
    home.rename(tmp_path / "moved")
    home.symlink_to(tmp_path / "moved")
    then = time.time() - 30 * 86_400
    for path in files(lakehouse):
        os.utime(path, (then, then))
    before = rows(lakehouse)
    assert remove_orphans(lakehouse, EVENTS.table, days_ago(3)).removed == 0
    assert rows(lakehouse) == before

"""Local files under PyIceberg: what it may rely on, and that tables on them are read and written as on any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.local_files import LocalFile, LocalFiles
from platform_assets_tests.lakehouse.bronze_rows import Arrival, object_schema, publish_bronze, write_source


@pytest.fixture(params=["", "file://"])
def location(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A file in folders that do not exist yet, as a path and as a URI."""
    return f"{request.param}{tmp_path}/ö h/new/file"


def write(location: str, content: bytes, *, overwrite: bool = False) -> None:
    with LocalFiles().new_output(location).create(overwrite=overwrite) as stream:
        stream.write(content)


def read(location: str) -> bytes:
    with LocalFiles().new_input(location).open() as stream:
        return stream.read()


def test_what_was_written_is_read(location: str) -> None:
    assert not LocalFiles().new_input(location).exists()
    write(location, b"content")
    written = LocalFiles().new_output(location).to_input_file()
    assert (written.exists(), len(written), written.location, read(location)) == (True, 7, location, b"content")


def test_a_file_that_another_wrote_first_is_not_overwritten_unless_asked_to(location: str) -> None:
    write(location, b"first")
    with pytest.raises(FileExistsError):
        write(location, b"second")
    assert read(location) == b"first"
    write(location, b"third", overwrite=True)
    assert read(location) == b"third"


def test_what_is_not_there_is_told_as_such(location: str) -> None:
    with pytest.raises(FileNotFoundError):
        LocalFiles().new_input(location).open()
    with pytest.raises(FileNotFoundError):
        LocalFiles().delete(location)


def test_a_deleted_file_is_gone(location: str) -> None:
    for named in (location, LocalFile(location)):
        write(location, b"content")
        LocalFiles().delete(named)
        assert not LocalFiles().new_input(location).exists()


def test_pyiceberg_itself_reads_and_rewrites_tables_on_them(lakehouse: Lakehouse, tmp_path: Path) -> None:
    source = write_source(tmp_path / "things", object_schema("id", id={"type": "integer"}))
    publish_bronze(lakehouse, source, [Arrival({"id": number}) for number in range(3)])
    table = lakehouse.catalog.load_table("bronze.things")
    assert isinstance(table.io, LocalFiles)
    table.delete("id = '1'")  # which rewrites a file
    rows = lakehouse.catalog.load_table("bronze.things").scan().to_arrow()
    assert sorted(rows["id"].to_pylist()) == ["0", "2"]

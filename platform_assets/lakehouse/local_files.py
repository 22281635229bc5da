"""Local files as PyIceberg reads and writes them: metadata, manifests, and what it rewrites itself.

PyIceberg's own access is made for object stores: it imports all of pyarrow, and pandas with it, before a command that
asks for metadata alone has read its first byte. Nothing else belongs here; PyIceberg finds it by `py-io-impl`.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO

from pyiceberg.io import FileIO, InputFile, OutputFile  # noqa: TID253 - PyIceberg alone imports this module

from platform_assets.lakehouse.catalog import local_path


class LocalFile(InputFile, OutputFile):
    """One file at a path or a `file://` URI."""

    def __len__(self) -> int:
        """Bytes that it holds."""
        return self._path.stat().st_size

    def exists(self) -> bool:
        """Whether there is such a file."""
        return self._path.exists()

    def open(self, seekable: bool = True) -> IO[bytes]:  # noqa: ARG002, FBT001, FBT002 - `InputFile`
        """The file for reading.

        Raises:
            FileNotFoundError: there is none.
        """
        return self._path.open("rb")

    def create(self, overwrite: bool = False) -> IO[bytes]:  # noqa: FBT001, FBT002 - `OutputFile`
        """A new file for writing, with the folders above it.

        Raises:
            FileExistsError: there is one already, and it is not to be overwritten.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return self._path.open("wb" if overwrite else "xb")

    def to_input_file(self) -> LocalFile:
        """The same file, for reading."""
        return self

    @property
    def _path(self) -> Path:
        return Path(local_path(self.location))


class LocalFiles(FileIO):
    """The files of this machine."""

    def new_input(self, location: str) -> LocalFile:
        """The file at a path or a `file://` URI, for reading."""
        return LocalFile(location)

    def new_output(self, location: str) -> LocalFile:
        """The file at a path or a `file://` URI, for writing."""
        return LocalFile(location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Removes a file.

        Raises:
            FileNotFoundError: there is none.
        """
        Path(local_path(location if isinstance(location, str) else location.location)).unlink()

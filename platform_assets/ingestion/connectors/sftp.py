"""Fetches new files from a folder of an SFTP server (S1-71).

The secret is a password or a private key. `params`: `host`, `username`, `path` (the folder), and perhaps `port`,
`pattern` (`*.csv`) and `known_hosts`, a file beside the YAML; by default the one of the account that runs the platform.
A file is known by its name, size and time of change. One that is still being written is left alone: it is fetched when
two looks in a row have found it the same.
"""

from __future__ import annotations

import asyncio
import stat
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from platform_assets.ingestion.connectors.base import Collected, ConnectorError, landing_file_name

if TYPE_CHECKING:
    from asyncssh import SFTPClient, SSHClientConnection

    from platform_assets.ingestion.connectors.base import Context
    from platform_assets.ingestion.landing import LandingObject
    from platform_assets.sources.model import Source

PORT = 22
CONNECT_SECONDS = 15
SETTLED_SECONDS = 10.0  # between two looks at a file that may be growing
_FETCH_SECONDS = 40.0  # for all of a tick
_CHUNK = 8 * 2**20
_LOOKED = "looked"


def collect(source: Source, context: Context, /) -> Collected:
    """Lands the files that are new, each as it is.

    Raises:
        ConnectorError: the server cannot be reached, is not the one that is known, refuses us, or has no such folder.
    """
    return asyncio.run(_Folder(source, context).collect())


@dataclass(frozen=True)
class _File:
    name: str
    size: int
    changed_at: int

    @property
    def version(self) -> str:
        return f"{self.size}-{self.changed_at}"


class _Folder:
    def __init__(self, source: Source, context: Context) -> None:
        self._source, self._context = source, context
        self._params: Mapping[str, Any] = source.file.ingestion.params
        self._path = str(self._params["path"]).rstrip("/") or "/"

    async def collect(self) -> Collected:
        """One look, and what it brings."""
        import asyncssh

        try:
            async with await self._connect() as connection, connection.start_sftp_client() as client:
                collected = await self._collect(client)
        except asyncssh.SFTPNoSuchFile as error:
            raise ConnectorError(f"{self._server} has no folder {self._path!r} (ingestion.params.path).") from error
        except asyncssh.SFTPError as error:
            raise ConnectorError(f"{self._server} refuses {self._path!r}: {error.reason}.") from error
        return collected

    async def _collect(self, client: SFTPClient) -> Collected:
        files = await self._files(client)
        new = self._context.ledger.unseen(self._source.name, files)
        progress = self._context.ledger.progress(self._source.name)
        before = progress.position.get(_LOOKED, {})
        waiting = {files[name].name: files[name].version for name in sorted(new)}
        landed: list[LandingObject] = []
        latest = time.monotonic() + _FETCH_SECONDS
        for name in sorted(new):
            file = files[name]
            if before.get(file.name) == file.version and not self._context.time_is_up:
                found = await self._land(client, file, latest)
                if found is not None:
                    landed.append(found)
                    del waiting[file.name]
        self._context.ledger.save_progress(self._source.name, replace(progress, position={_LOOKED: waiting}))
        return Collected(landed, again_in=SETTLED_SECONDS if waiting else None)

    async def _files(self, client: SFTPClient) -> dict[str, _File]:
        """The files of the folder by the names that they would land under."""
        pattern = str(self._params.get("pattern", "*"))
        files: dict[str, _File] = {}
        async for entry in client.scandir(self._path):
            name, attributes = str(entry.filename), entry.attrs
            regular = attributes.permissions is None or stat.S_ISREG(attributes.permissions)
            if regular and attributes.size is not None and fnmatchcase(name, pattern):
                file = _File(name, attributes.size, attributes.mtime or 0)
                files[f"source={self._source.name}/date={self._day(file)}/{self._file_name(file)}"] = file
        return files

    def _day(self, file: _File) -> str:
        return self._context.arrival_date(datetime.fromtimestamp(file.changed_at, UTC)).isoformat()

    def _file_name(self, file: _File) -> str:
        return landing_file_name(file.name, file.version)

    async def _land(self, client: SFTPClient, file: _File, latest: float) -> LandingObject | None:
        """The file's object; None if the file changed meanwhile."""
        scratch = self._context.settings.home.resolve() / "spill"
        scratch.mkdir(parents=True, exist_ok=True)
        path = f"{self._path.rstrip('/')}/{file.name}"
        with tempfile.TemporaryDirectory(dir=scratch, prefix=f"{self._source.name}-") as folder:
            copy = Path(folder) / "file"
            async with client.open(path, "rb", encoding=None) as remote:
                with copy.open("wb") as local:
                    while part := await remote.read(_CHUNK):
                        local.write(cast("bytes", part))
                        if time.monotonic() > latest:
                            raise ConnectorError(
                                f"{path} of {self._server} could not be fetched within {_FETCH_SECONDS:.0f} s. Have it "
                                "written in smaller files."
                            )
                after = await remote.stat()
            if (after.size, after.mtime or 0) != (file.size, file.changed_at) or copy.stat().st_size != file.size:
                return None
            day = self._context.arrival_date(datetime.fromtimestamp(file.changed_at, UTC))
            return self._context.landing.put(
                self._source.name, day, self._file_name(file), copy, content_type="application/octet-stream"
            )

    @property
    def _server(self) -> str:
        return f"{self._params['host']}:{self._params.get('port', PORT)}"

    async def _connect(self) -> SSHClientConnection:
        import asyncssh

        ingestion = self._source.file.ingestion
        secret = self._context.settings.require_secret(str(ingestion.secret_name)).get_secret_value()
        try:
            return await asyncssh.connect(
                str(self._params["host"]),
                int(self._params.get("port", PORT)),
                username=str(self._params["username"]),
                known_hosts=self._known_hosts(),
                config=None,  # what is in ~/.ssh of whoever runs the platform decides nothing
                agent_path=None,
                connect_timeout=CONNECT_SECONDS,
                login_timeout=CONNECT_SECONDS,
                **_credential(secret),
            )
        except asyncssh.HostKeyNotVerifiable:
            raise ConnectorError(
                f"the key of {self._server} is not the one in {self._known_hosts()}: it is not known, or somebody "
                f"else answers. If it is new, compare it with its owner and add the line of `ssh-keyscan -p "
                f"{self._params.get('port', PORT)} {self._params['host']}`."
            ) from None
        except asyncssh.PermissionDenied:
            raise ConnectorError(
                f"{self._server} does not let {self._params['username']!r} in with the secret "
                f"{ingestion.secret_name!r}."
            ) from None
        except asyncssh.KeyImportError:
            raise ConnectorError(
                f"the secret {ingestion.secret_name!r} is no private key that can be read; it may have no passphrase."
            ) from None
        except (OSError, asyncssh.Error) as error:
            raise ConnectorError(
                f"{self._server} cannot be reached: {type(error).__name__}. Are ingestion.params.host and port right?"
            ) from None

    def _known_hosts(self) -> str:
        named = self._params.get("known_hosts")
        path = Path("~/.ssh/known_hosts").expanduser() if named is None else self._source.folder / str(named)
        if not path.is_file():
            raise ConnectorError(
                f"there is no file {path} with the key of {self._server}. Write it with `ssh-keyscan` and compare the "
                "key with its owner; ingestion.params.known_hosts names a file beside the YAML."
            )
        return str(path)


def _credential(secret: str) -> dict[str, Any]:
    import asyncssh

    if "-----BEGIN" in secret:
        return {"client_keys": [asyncssh.import_private_key(secret)], "password": None}
    return {"client_keys": None, "password": secret.strip()}

"""Fetching from a real SFTP server: what is new, complete and the known server's, and nothing else (S1-71)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import asyncssh
import pytest

from platform_assets.ingestion.connectors import ConnectorError, sftp
from platform_assets.settings import Settings
from platform_assets_tests.ingestion.connectors.ticks import Ticks, write_source

PASSWORD = "hunter2"


class SftpServer:
    """Serves a folder to `alice`, who knows the password or has the key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.client_key = asyncssh.generate_private_key("ssh-ed25519")
        self.logins = 0
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)
        self._thread.start()
        self._acceptor: Any = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(30)
        self.port: int = self._acceptor.get_port()

    def known_hosts(self, key: asyncssh.SSHKey | None = None) -> str:
        """The line that `ssh-keyscan` writes."""
        return f"[127.0.0.1]:{self.port} {(key or self.host_key).export_public_key().decode()}"

    def stop(self) -> None:
        """Close every connection."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> Any:  # noqa: ANN401 - asyncssh's acceptor
        server = self

        class Login(asyncssh.SSHServer):
            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, password: str) -> bool:
                server.logins += 1
                return (username, password) == ("alice", PASSWORD)

        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=Login,
            server_host_keys=[self.host_key],
            authorized_client_keys=asyncssh.import_authorized_keys(self.client_key.export_public_key().decode()),
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=os.fsencode(server.folder)),
        )

    async def _close(self) -> None:
        self._acceptor.close()
        await self._acceptor.wait_closed()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SftpServer]:
    (tmp_path / "served" / "out").mkdir(parents=True)
    server = SftpServer(tmp_path / "served")
    yield server
    server.stop()


def ticks(settings: Settings, server: SftpServer, **params: object) -> Ticks:
    given: dict[str, object] = {"host": "127.0.0.1", "port": server.port, "username": "alice", "path": "/out"}
    source = write_source(
        settings.home,
        "bank",
        pattern="batch_file",
        connector_type="sftp",
        secret_name="bank",
        params={**given, "known_hosts": "known_hosts", **params},
    )
    (settings.home / "bank" / "known_hosts").write_text(server.known_hosts(), encoding="utf-8")
    return Ticks(settings, source)


@pytest.fixture
def tick(settings: Settings, server: SftpServer, monkeypatch: pytest.MonkeyPatch) -> Ticks:
    monkeypatch.setenv("PLATFORM_SECRET_BANK", PASSWORD)
    return ticks(settings, server)


def put(server: SftpServer, name: str, content: bytes = b"a,b\n", at: int = 1_790_000_000) -> Path:
    path = server.folder / "out" / name
    path.write_bytes(content)
    os.utime(path, (at, at))
    return path


def test_a_file_lands_when_two_looks_have_found_it_the_same(tick: Ticks, server: SftpServer) -> None:
    put(server, "a.csv.gz", b"\x1f\x8b\x00")
    assert tick().objects == []
    assert tick(after=5).objects == ()  # not asked yet
    (landed,) = tick(after=6).objects
    assert landed.name.startswith("source=bank/date=2026-09-21/a-3-1790000000")
    assert landed.name.endswith(".csv.gz")
    assert tick.contents() == [b"\x1f\x8b\x00"]
    assert tick(after=61).objects == []
    assert len(tick.landed()) == 1


def test_a_file_that_is_still_being_written_waits(tick: Ticks, server: SftpServer) -> None:
    for size in range(1, 4):
        put(server, "a.csv", b"x" * size, at=1_790_000_000 + size)
        assert tick(after=11).objects == []
    assert len(tick(after=11).objects) == 1
    assert tick.contents() == [b"xxx"]


def test_a_file_that_was_replaced_is_a_new_arrival(tick: Ticks, server: SftpServer) -> None:
    for at, content in ((1_790_000_000, b"old"), (1_790_000_001, b"new")):
        put(server, "a.csv", content, at)
        tick(after=61)
        tick(after=11)
    assert sorted(tick.contents()) == [b"new", b"old"]


def test_a_large_file_and_odd_names_arrive_whole(tick: Ticks, server: SftpServer) -> None:
    large = os.urandom(20_000_000)
    put(server, "large.bin", large)
    put(server, "ü b#?.csv", b"1")
    put(server, "empty.csv", b"")
    tick()
    tick(after=11)
    assert sorted(tick.contents(), key=len) == [b"", b"1", large]


def test_only_files_that_match_the_pattern_are_fetched(
    settings: Settings, server: SftpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_SECRET_BANK", PASSWORD)
    tick = ticks(settings, server, pattern="*.csv")
    put(server, "a.csv")
    put(server, "a.tmp")
    (server.folder / "out" / "folder.csv").mkdir()
    tick()
    assert [landed.file_name[:2] for landed in tick(after=11).objects] == ["a-"]


def test_a_key_opens_as_well_as_a_password(
    settings: Settings, server: SftpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = settings.home / "secrets"
    folder.mkdir()
    (folder / "bank").write_bytes(server.client_key.export_private_key())
    (folder / "bank").chmod(0o600)
    tick = ticks(settings, server)
    put(server, "a.csv")
    tick()
    assert len(tick(after=11).objects) == 1
    assert server.logins == 0
    monkeypatch.setenv("PLATFORM_SECRET_BANK", "-----BEGIN OPENSSH PRIVATE KEY-----\nnonsense")
    with pytest.raises(ConnectorError, match="the secret 'bank' is no private key"):
        tick(after=61)


def test_another_server_than_the_known_one_is_given_no_password(tick: Ticks, server: SftpServer) -> None:
    known = tick.source.folder / "known_hosts"
    known.write_text(server.known_hosts(asyncssh.generate_private_key("ssh-ed25519")), encoding="utf-8")
    with pytest.raises(ConnectorError, match=rf"^bank: the key of 127.0.0.1:{server.port} is not the one in .*keyscan"):
        tick()
    known.unlink()
    with pytest.raises(ConnectorError, match=r"there is no file .*known_hosts with the key of"):
        tick(after=11)
    assert server.logins == 0


def test_a_wrong_password_folder_or_host_is_told(
    settings: Settings, server: SftpServer, tick: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(server, "a.csv")
    with pytest.raises(ConnectorError, match="has no folder '/nowhere'"):
        ticks(settings, server, path="/nowhere")()
    with pytest.raises(ConnectorError, match="cannot be reached: ConnectionRefusedError"):
        ticks(settings, server, port=1)(after=21)
    monkeypatch.setenv("PLATFORM_SECRET_BANK", "wrong-password")
    with pytest.raises(ConnectorError, match="does not let 'alice' in with the secret 'bank'") as error:
        tick(after=81)
    assert "wrong-password" not in repr(error.value)


def test_a_file_that_takes_too_long_is_told(tick: Ticks, server: SftpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    put(server, "a.csv")
    tick()
    monkeypatch.setattr(sftp, "_FETCH_SECONDS", -1.0)
    with pytest.raises(ConnectorError, match=r"/out/a\.csv of 127.* could not be fetched within"):
        tick(after=11)

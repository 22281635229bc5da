"""Environments of peers: made once, again when their lock changes, and honest about what cannot be installed."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import duckdb
import pytest

from benchmarks.comparisons import COMPARISONS
from benchmarks.peers.command import hmac_pads
from benchmarks.peers.environments import PEERS, PeerUnavailable, environment
from benchmarks.work.events import KEY


def lock(folder: Path, text: str) -> Path:
    path = folder / "requirements.lock"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_lock_that_cannot_be_installed_is_told_with_the_end_of_what_pip_said(tmp_path: Path) -> None:
    with pytest.raises(
        PeerUnavailable, match=r"(?s)^dlt cannot be installed: .*No matching distribution found for nobody"
    ):
        environment("dlt", tmp_path, lock=lock(tmp_path, "nobody-made-this==1.0\n"), options=("--no-index",))


def test_an_environment_is_made_once_and_again_when_its_lock_changes(tmp_path: Path) -> None:
    told: list[str] = []
    empty = lock(tmp_path, "# nothing\n")
    python = environment("dlt", tmp_path, lock=empty, options=("--no-index",), tell=told.append)
    assert python == tmp_path / "benchmarks" / "dlt" / "bin" / "python"
    assert python.exists()
    assert len(told) == 1
    environment("dlt", tmp_path, lock=empty, options=("--no-index",), tell=told.append)
    assert len(told) == 1
    environment("dlt", tmp_path, lock=lock(tmp_path, "# something else\n"), options=("--no-index",), tell=told.append)
    assert len(told) == 2


def test_an_environment_that_could_not_be_installed_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    broken = lock(tmp_path, "nobody-made-this==1.0\n")
    for _ in range(2):
        with pytest.raises(PeerUnavailable):
            environment("dlt", tmp_path, lock=broken, options=("--no-index",))
        assert (tmp_path / "benchmarks" / "dlt" / "bin" / "python").exists()


def test_a_peer_without_its_program_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(PeerUnavailable, match=r"pyspark needs the program `java`.*openjdk"):
        environment("pyspark", tmp_path)


def test_every_peer_has_a_lock_of_exact_versions() -> None:
    peers = {comparison.other.peer for comparison in COMPARISONS.values()} - {None}
    assert peers == {folder.parent.name for folder in PEERS.glob("*/side.py")}
    for peer in sorted(filter(None, peers)):
        lines = (PEERS / peer / "requirements.lock").read_text(encoding="utf-8").splitlines()
        assert lines
        assert all("==" in line and "://" not in line and not line.startswith("-") for line in lines)


def test_the_tokens_of_peers_are_hmacs_of_the_key() -> None:
    inner, outer = hmac_pads()
    sql = f"sha256(unhex('{outer}') || unhex(sha256(unhex('{inner}') || encode('somebody@example.org'))))"
    token = hmac.digest(KEY.encode(), b"somebody@example.org", hashlib.sha256).hex()
    with duckdb.connect() as connection:
        assert connection.execute(f"SELECT {sql}").fetchall() == [(token,)]

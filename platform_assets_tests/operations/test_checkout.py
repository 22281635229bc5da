"""An earlier state of a repository, read without touching the present one."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_assets.operations.checkout import CheckoutError, checked_out
from platform_assets_tests.operations.repositories import Repository, make_repository

SOURCES = Path("platform_assets/sources")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "repository")


def test_folders_are_as_they_were_and_gone_afterwards(repository: Repository) -> None:
    file = repository.sources / "orders" / "schema.v1.json"
    before = file.read_text(encoding="utf-8")
    file.write_text("{}", encoding="utf-8")
    with checked_out("HEAD", repository.root, (SOURCES, Path("never"))) as folder:
        assert (folder / SOURCES / "orders" / "schema.v1.json").read_text(encoding="utf-8") == before
        assert not (folder / "dbt_project").exists()
    assert not folder.exists()
    assert file.read_text(encoding="utf-8") == "{}"
    assert repository.git("worktree", "list").count("\n") == 0


def test_a_folder_below_the_repository_is_its_own_root(repository: Repository) -> None:
    with checked_out("HEAD", repository.root / "platform_assets", (Path("sources"),)) as folder:
        assert (folder / "sources" / "orders" / "source.yaml").is_file()


def test_an_unknown_commit_says_what_was_expected(repository: Repository) -> None:
    with (
        pytest.raises(CheckoutError, match=r"has no commit 'mian'; expected a commit, branch or tag, such as HEAD"),
        checked_out("mian", repository.root, (SOURCES,)),
    ):
        pass


@pytest.mark.parametrize("ref", ["--help", "-q", "HEAD:platform_assets", ""])
def test_what_is_no_commit_is_refused_and_never_taken_for_an_option(ref: str, repository: Repository) -> None:
    with pytest.raises(CheckoutError, match="has no commit"), checked_out(ref, repository.root, (SOURCES,)):
        pass


def test_a_shallow_clone_says_how_to_fetch_more(repository: Repository, tmp_path: Path) -> None:
    repository.commit()
    shallow = tmp_path / "shallow"
    repository.git("clone", "--quiet", "--depth", "1", repository.root.as_uri(), str(shallow))
    with pytest.raises(CheckoutError, match=r"`fetch-depth: 0` in CI"), checked_out("HEAD~1", shallow, (SOURCES,)):
        pass


def test_a_folder_in_no_repository_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(
            CheckoutError, match=rf"{tmp_path} is in no repository that git can read: .*not a git repository"
        ),
        checked_out("HEAD", tmp_path, (SOURCES,)),
    ):
        pass


def test_a_broken_repository_says_what_git_said(repository: Repository) -> None:
    (repository.root / ".git" / "HEAD").write_text("nonsense", encoding="utf-8")
    with (
        pytest.raises(CheckoutError, match="no repository that git can read"),
        checked_out("HEAD", repository.root, (SOURCES,)),
    ):
        pass


def test_a_machine_without_git_is_told_so(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CheckoutError, match="git is not installed"), checked_out("HEAD", repository.root, (SOURCES,)):
        pass

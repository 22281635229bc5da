"""Folders of the repository as they were at an earlier commit, read from git into a temporary folder."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class CheckoutError(RuntimeError):
    """An earlier state cannot be read; the message says whether git, the repository or the commit is missing."""


@contextmanager
def checked_out(ref: str, root: Path, paths: Sequence[Path]) -> Iterator[Path]:
    """A folder with `paths` as they were at `ref`, as long as the block is open; those not there yet are left out.

    The working tree, its index and its branches stay as they are.

    Args:
        ref: a commit, branch or tag, in any way that git understands.
        root: folder of the repository, or one below it.
        paths: folders relative to `root`.

    Raises:
        CheckoutError: git is not installed, `root` is in no repository, or there is no such commit.
    """
    commit = _commit(ref, root)
    listed = _git(root, "ls-tree", "-z", "--name-only", commit, "--", *map(str, paths)).decode()
    present = [name for name in listed.split("\0") if name]
    with tempfile.TemporaryDirectory(prefix="contracts-") as folder:
        if present:
            archive = _git(root, "archive", "--format=tar", commit, "--", *present)
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                # Python 3.11 before 3.11.4 knows no filters, and needs none for what git has written.
                tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
                tar.extractall(folder)  # noqa: S202 - filtered
        yield Path(folder).resolve()


def _commit(ref: str, root: Path) -> str:
    try:
        _git(root, "rev-parse", "--git-dir")
    except CheckoutError as error:
        raise CheckoutError(f"{root} is in no repository that git can read: {error}") from None
    try:
        found = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    except CheckoutError:
        shallow = _git(root, "rev-parse", "--is-shallow-repository").strip() == b"true"
        hint = (
            "this clone is shallow: fetch more of it (`git fetch --unshallow`, or `fetch-depth: 0` in CI)"
            if shallow
            else "expected a commit, branch or tag, such as HEAD, main or origin/main"
        )
        raise CheckoutError(f"{root} has no commit {ref!r}; {hint}") from None
    return found.decode().strip()


def _git(root: Path, *arguments: str) -> bytes:
    git = shutil.which("git")
    if git is None:
        raise CheckoutError("git is not installed; contracts are compared with those of an earlier commit")
    done = subprocess.run([git, "-C", str(root), *arguments], capture_output=True, check=False)  # noqa: S603 - no shell
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
        raise CheckoutError(f"git {arguments[0]}: {said}")
    return done.stdout

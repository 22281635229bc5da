"""A walk fails where a runbook shows what does not come out, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from platform_assets_tests.runbooks.walk import Walk

RUNBOOK = """
```console
$ list --all
  row                seen               why
 ───────────────────────────────────────────
  d2c0a95a57ab3cf7   2026-11-21 20:11   3 of 4, since 2 h 5 min: …
…
2 rows
$ release d2c0a95a57ab3cf7 \\
    --why x
```
"""
GOOD = "row seen why\n aaaa0a95a57ab3cf 2027-01-01 00:00  3 of 4, since 4 s: it broke\n more\n 2 rows\n"


@pytest.fixture
def walk(tmp_path: Path) -> Callable[[str], list[str]]:
    """Follows the runbook where `list` prints something; the commands that were run."""

    def walked(printed: str) -> list[str]:
        typed: list[str] = []
        path = tmp_path / "runbook.md"
        path.write_text(RUNBOOK, encoding="utf-8")

        def run(line: str) -> str:
            typed.append(" ".join(line.split()))
            return printed if line.startswith("list") else ""

        Walk(path, run, {}, list).follow()
        return typed

    return walked


def test_names_that_are_new_each_time_are_those_that_came_out(walk: Callable[[str], list[str]]) -> None:
    assert walk(GOOD) == ["list --all", "release aaaa0a95a57ab3cf --why x"]


@pytest.mark.parametrize(
    ("shown", "other"), [("3 of 4", "3 of 5"), ("2 rows", "3 rows"), ("00:00", "midnight"), ("row ", "")]
)
def test_what_comes_out_otherwise_fails(walk: Callable[[str], list[str]], shown: str, other: str) -> None:
    with pytest.raises(AssertionError, match=r"runbook\.md:3: shown"):
        walk(GOOD.replace(shown, other, 1))

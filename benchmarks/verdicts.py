"""What was measured against what was promised (performance.md, goals): each benchmark tells it, whoever collects reads.

A benchmark that is run by itself tells nobody: what it prints says it too.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

_VARIABLE = "BENCHMARK_VERDICTS"


@dataclass(frozen=True)
class Verdict:
    """One goal.

    Attributes:
        what: in words.
        measured: with its unit, and for a ratio the least and the most of the pairs.
        goal: in words.
        reached: whether it is; None if it could not be measured, of which `measured` says why.
    """

    what: str
    measured: str
    goal: str
    reached: bool | None

    @property
    def word(self) -> str:
        """As tables show it."""
        return {True: "reached", False: "NOT reached", None: "not measured"}[self.reached]


def tell(verdict: Verdict) -> None:
    """Adds a verdict to those of the command that collects, if there is one."""
    if path := os.environ.get(_VARIABLE):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(verdict)) + "\n")


def collected_in(path: Path) -> dict[str, str]:
    """The environment in which benchmarks tell their verdicts to a file."""
    return {_VARIABLE: str(path)}


def told(path: Path) -> list[Verdict]:
    """What is in such a file."""
    if not path.exists():
        return []
    return [Verdict(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]

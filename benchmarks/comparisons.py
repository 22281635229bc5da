"""What the platform is compared with, on which part of the work, and what was promised of it (performance.md, goals).

Every comparison runs both sides as processes of their own, in turns, and is worth something only because both have
found the same: a differing answer is an error. What a side needs from earlier layers is prepared outside the time.
"""

from __future__ import annotations

import shutil
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import measure
from benchmarks.measure import Ratio, Run
from benchmarks.peers.environments import environment, variables
from benchmarks.work.events import Input, events

Tell = Callable[[str], None]

_REPEATED = 4  # times in a warm process, of which the last count
_COUNTED = 2


class AnswersDiffer(RuntimeError):
    """Two sides did the same work and found different numbers; the message names the first."""


@dataclass(frozen=True)
class Goal:
    """What the ratio shall be.

    Attributes:
        limit: the ratio.
        faster: whether it is how many times faster the platform is, at least; else the share of the other's time that
            it takes, at most.
    """

    limit: float
    faster: bool

    def ratio(self, platform: Sequence[float], other: Sequence[float]) -> Ratio:
        """Of the seconds of both sides, pair by pair."""
        return Ratio.of(list(zip(other, platform, strict=True) if self.faster else zip(platform, other, strict=True)))

    def reached(self, ratio: Ratio) -> bool:
        """Whether the median is within the limit."""
        return ratio.median >= self.limit if self.faster else ratio.median <= self.limit

    def __str__(self) -> str:
        return f"at least {self.limit:g}x faster" if self.faster else f"at most {self.limit:g}x its time"


@dataclass(frozen=True)
class Side:
    """One side.

    Attributes:
        name: for people.
        module: `python -m <module> work INPUT OUTPUT` and `answer OUTPUT`.
        peer: whose environment it runs in; None for the platform's own.
        bronze: the module that writes bronze into its OUTPUT, where it starts from bronze.
        prepares: whether there is `prepare OUTPUT`, for what is made once for each state of a project.
    """

    name: str
    module: str
    peer: str | None = None
    bronze: str = "benchmarks.work.raw_duckdb"
    prepares: bool = False


_PLATFORM = Side("platform", "benchmarks.work.platform_side", bronze="benchmarks.work.platform_side", prepares=True)


@dataclass(frozen=True)
class Comparison:
    """The platform and somebody else on the same work.

    Attributes:
        layers: which of them are made, comma between; empty for the contract of the silver rows.
        warm: the last repetitions within a process are compared, not the whole process.
    """

    name: str
    title: str
    other: Side
    goal: Goal
    layers: str = "bronze,silver,gold"
    warm: bool = False
    platform: Side = _PLATFORM


_RAW = Side("raw DuckDB", "benchmarks.work.raw_duckdb")
_POLARS = Side("Polars", "benchmarks.work.hand_polars")
_DLT = Side("dlt", "benchmarks.peers.dlt.side", "dlt")
_DLT_ARROW = Side("dlt fed Arrow", "benchmarks.peers.dlt.arrow_side", "dlt")
_DBT = Side("dbt-duckdb", "benchmarks.peers.dbt_duckdb.side", "dbt_duckdb", prepares=True)
_SQLMESH = Side("SQLMesh", "benchmarks.peers.sqlmesh.side", "sqlmesh", prepares=True)
_SPARK = Side("PySpark", "benchmarks.peers.pyspark.side", "pyspark")
_EXPECTATIONS = Side("Great Expectations", "benchmarks.peers.great_expectations.side", "great_expectations")
_AUDIT = Side("platform", "benchmarks.work.contract_audit")

COMPARISONS = {
    comparison.name: comparison
    for comparison in (
        Comparison(
            "raw-duckdb-cold", "all layers, the same SQL into plain Parquet, cold", _RAW, Goal(1.3, faster=False)
        ),
        Comparison("raw-duckdb-warm", "the same in a warm process", _RAW, Goal(1.1, faster=False), warm=True),
        Comparison("polars-cold", "all layers, by hand into plain Parquet, cold", _POLARS, Goal(1.0, faster=False)),
        Comparison("dlt-json", "bronze in Iceberg, from JSON lines", _DLT, Goal(10, faster=True), "bronze"),
        Comparison("dlt-arrow", "bronze in Iceberg, dlt fed Arrow", _DLT_ARROW, Goal(3, faster=True), "bronze"),
        Comparison("dbt-duckdb", "silver and gold from bronze", _DBT, Goal(2, faster=True), "silver,gold"),
        Comparison("sqlmesh", "silver and gold from bronze", _SQLMESH, Goal(1.7, faster=True), "silver,gold"),
        Comparison("pyspark", "all layers, two local threads into plain Parquet", _SPARK, Goal(6, faster=True)),
        Comparison(
            "great-expectations",
            "the contract of the silver rows: every promise, and how many rows break it",
            _EXPECTATIONS,
            Goal(10, faster=True),
            layers="",
            platform=_AUDIT,
        ),
    )
}


@dataclass(frozen=True)
class Spent:
    """What the runs of one side took, in the order of the pairs.

    Attributes:
        seconds: by the clock, which is what is compared.
        processor_seconds: of the whole process and its children.
        peak_megabytes: that they held at once.
    """

    seconds: tuple[float, ...]
    processor_seconds: tuple[float, ...]
    peak_megabytes: tuple[float, ...]


@dataclass(frozen=True)
class Measured:
    """A comparison's outcome."""

    comparison: Comparison
    rows: int
    platform: Spent
    other: Spent
    answer: Mapping[str, str]

    @property
    def ratio(self) -> Ratio:
        """As the goal is worded."""
        return self.comparison.goal.ratio(self.platform.seconds, self.other.seconds)

    @property
    def reached(self) -> bool:
        """Whether the goal is."""
        return self.comparison.goal.reached(self.ratio)

    def as_json(self) -> dict[str, object]:
        """For whoever collects."""
        goal, ratio = self.comparison.goal, self.ratio
        return {
            "name": self.comparison.name,
            "title": self.comparison.title,
            "rows": self.rows,
            "platform": asdict(self.platform),
            "other": {"name": self.comparison.other.name, **asdict(self.other)},
            "ratio": {"median": ratio.median, "least": ratio.least, "most": ratio.most, "of": _ratio_of(goal)},
            "goal": str(goal),
            "reached": self.reached,
            "answer": self.answer,
        }


def _ratio_of(goal: Goal) -> str:
    return "the other's seconds by the platform's" if goal.faster else "the platform's seconds by the other's"


def compare(comparison: Comparison, home: Path, *, rows: int, pairs: int, tell: Tell = lambda _: None) -> Measured:
    """Measures a comparison.

    Args:
        comparison: which.
        home: `$PLATFORM_HOME`; environments, inputs and outputs go below its folder `benchmarks`.
        rows: of the input, of about 360 bytes each.
        pairs: how often both sides run.
        tell: told what goes on, in sentences.

    Raises:
        PeerUnavailable: the other side's environment cannot be made.
        SideFailed: a side could not do the work.
        AnswersDiffer: the sides do not agree, or not with what is known of the input.
    """
    workspace = home.resolve() / "benchmarks" / "work"
    sides = [
        _Runner(comparison, side, workspace / comparison.name / role, _python(side, home, tell))
        for role, side in (("platform", comparison.platform), ("other", comparison.other))
    ]
    tell(f"input: {rows:,} web events")
    given = events(workspace / "input", rows)
    if comparison.layers:
        folder, known = given.folder, _known(given, comparison.layers)
    else:
        folder, known = _rows_for_contract(sides, given, workspace, tell), {"rows": str(given.valid)}
    for side in sides:
        side.prepare(given.folder, tell)
    done = measure.in_turns(lambda: sides[0].run(folder), lambda: sides[1].run(folder), pairs, tell=tell)
    answers = [side.answer() for side in sides]
    agree(comparison, answers[0], answers[1])
    agree(comparison, {name: answers[0].get(name, "nothing") for name in known}, known, other="the input")
    for side in sides:
        side.clear()
    platform, other = (side.spent([pair[number] for pair in done]) for number, side in enumerate(sides))
    return Measured(comparison, given.rows, platform, other, answers[0])


def agree(
    comparison: Comparison, platform: Mapping[str, str], found: Mapping[str, str], *, other: str | None = None
) -> None:
    """Refuses two answers that are not the same.

    Raises:
        AnswersDiffer: with every number that differs.
    """
    names = [*platform, *(name for name in found if name not in platform)]
    differing = [
        f"{name}: {platform.get(name, 'nothing')} and {found.get(name, 'nothing')}"
        for name in names
        if platform.get(name) != found.get(name)
    ]
    if differing:
        told = other or comparison.other.name
        raise AnswersDiffer(f"{comparison.name}: the platform and {told} do not agree. {'; '.join(differing)}")


def _python(side: Side, home: Path, tell: Tell) -> Path:
    return environment(side.peer, home, tell=tell) if side.peer else Path(sys.executable)


def _known(given: Input, layers: str) -> dict[str, str]:
    if layers == "bronze":
        return {"bronze rows": str(given.rows)}
    return {"silver rows": str(given.valid), "quarantined rows": str(given.quarantined)}


def _rows_for_contract(sides: Sequence[_Runner], given: Input, workspace: Path, tell: Tell) -> Path:
    """Silver of the input, as the platform writes it; before that, both sides must find the same in a spoiled part."""
    tell("preparing silver")
    folder, lakehouse = workspace / "silver", workspace / "lakehouse"
    for path in (folder, lakehouse):
        shutil.rmtree(path, ignore_errors=True)
    own = [sys.executable, "-m"]
    work = [*own, "benchmarks.work.platform_side", "work", str(given.folder), str(lakehouse)]
    measure.run([*work, "--layers", "bronze,silver"], environment=variables())
    inputs = [*own, "benchmarks.work.contract_audit", "inputs", str(lakehouse), str(folder)]
    measure.run(inputs, environment=variables())
    shutil.rmtree(lakehouse)
    tell("looking whether both find the same faults")
    for side in sides:
        side.run(folder / "spoiled")
    found = [side.answer() for side in sides]
    agree(sides[0].comparison, found[0], found[1])
    return folder / "whole"


@dataclass(frozen=True)
class _Runner:
    """A side with OUTPUT, and beside it what OUTPUT holds before each run."""

    comparison: Comparison
    side: Side
    output: Path
    python: Path

    @property
    def _prepared(self) -> Path:
        return self.output.with_name(f"{self.output.name}-prepared")

    def prepare(self, given: Path, tell: Tell) -> None:
        """What a run finds in OUTPUT. Made where it will be, as a lakehouse holds absolute paths."""
        self.clear()
        if self.comparison.layers and "bronze" not in self.comparison.layers:
            tell(f"{self.side.name}: preparing bronze")
            command = [sys.executable, "-m", self.side.bronze, "work", str(given), str(self.output)]
            measure.run([*command, "--layers", "bronze"], environment=variables())
        if self.side.prepares and "gold" in self.comparison.layers:  # what is prepared is models
            tell(f"{self.side.name}: preparing")
            measure.run([*self._command("prepare"), str(self.output)], environment=variables())
        if self.output.exists():
            self.output.rename(self._prepared)

    def run(self, given: Path) -> Run:
        """The work, once, into an OUTPUT as it was prepared."""
        shutil.rmtree(self.output, ignore_errors=True)
        if self._prepared.exists():
            shutil.copytree(self._prepared, self.output)
        layers = ["--layers", self.comparison.layers] if self.comparison.layers else []
        repeat = ["--repeat", str(_REPEATED)] if self.comparison.warm else []
        return measure.run(
            [*self._command("work"), str(given), str(self.output), *layers, *repeat], environment=variables()
        )

    def spent(self, runs: Sequence[Run]) -> Spent:
        """What the runs took."""
        return Spent(
            tuple(map(self._seconds, runs)),
            tuple(run.processor_seconds for run in runs),
            tuple(run.peak_megabytes for run in runs),
        )

    def _seconds(self, run: Run) -> float:
        """Of the process, or of its last repetitions."""
        if not self.comparison.warm:
            return run.seconds
        return statistics.mean(float(sum(layers.values())) for layers in run.said["seconds"][-_COUNTED:])

    def answer(self) -> Mapping[str, str]:
        """What OUTPUT holds."""
        layers = ["--layers", "bronze"] if self.comparison.layers == "bronze" else []
        return measure.run([*self._command("answer"), str(self.output), *layers], environment=variables()).said

    def clear(self) -> None:
        """No output is left behind; those of two million events take a gigabyte together."""
        shutil.rmtree(self.output, ignore_errors=True)
        shutil.rmtree(self._prepared, ignore_errors=True)

    def _command(self, command: str) -> list[str]:
        return [str(self.python), "-m", self.side.module, command]

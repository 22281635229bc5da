"""Runs sides of a comparison as processes of their own, in turns, and tells how long they took and what they held.

A side is a command that does the work once and prints one line of JSON last. Times are only ever compared within one
run: a machine's speed changes from minute to minute, the ratio of two neighbouring runs hardly does.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

_LOOK_EVERY = 0.02  # seconds between two looks at the memory of the processes
_CHILDREN_EVERY = 10  # looks between two looks for children, which take a hundred times as long


class SideFailed(RuntimeError):
    """A side could not do its work; the message ends with what it said."""


@dataclass(frozen=True)
class Run:
    """One side, once.

    Attributes:
        seconds: from the start of the process to its end.
        peak_megabytes: the most that the process and its children held at once (resident, shared pages counted).
        said: its last line, as JSON.
        processor_seconds: of the process and its children, which a busy machine stretches less than those of the clock.
    """

    seconds: float
    peak_megabytes: float
    said: Mapping[str, Any]
    processor_seconds: float


@dataclass(frozen=True)
class Ratio:
    """Seconds of one side by those of the other, of runs that followed each other."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, float]]) -> Ratio:
        """Of pairs of seconds; each first is divided by its second."""
        ratios = [first / second for first, second in pairs]
        return cls(statistics.median(ratios), min(ratios), max(ratios))

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.least:.2f}-{self.most:.2f}]"


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    limit: float = 1_800,
    most_megabytes: float = math.inf,
) -> Run:
    """Runs a side.

    Args:
        command: program and arguments.
        environment: variables beside those of this process.
        limit: seconds after which it is ended.
        most_megabytes: of memory that it shares with no file, which the system could take back; it is ended as soon as
            it and its children hold more.

    Raises:
        SideFailed: it ended with an error, took too long or too much, or its last line is not JSON.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err, env={**os.environ, **(environment or {})})
        peak = _Peak(process.pid, most_megabytes * 1e6)
        try:
            code = process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            code = None
            peak.end_all()
            process.wait()
        except BaseException:
            peak.end_all()
            process.wait()
            raise
        finally:
            seconds = time.perf_counter() - began
            peak.stop()
        out.seek(0)
        err.seek(0)
        lines = out.read().decode(errors="replace").strip().splitlines()
        if code != 0:
            last = "\n".join([*lines, *err.read().decode(errors="replace").strip().splitlines()][-15:])
            became = f"was ended after {limit:.0f} s" if code is None else f"ended with {code}"
            if peak.too_much:
                became = f"was ended because it held more than {most_megabytes:,.0f} MB"
            raise SideFailed(f"{' '.join(command)} {became}:\n{last}")
    try:
        said = json.loads(lines[-1])
    except (IndexError, json.JSONDecodeError):
        raise SideFailed(f"{' '.join(command)}: its last line should be JSON, it is {lines[-1:]}") from None
    return Run(seconds, peak.bytes / 1e6, said, sum(peak.processor.values()))


def in_turns(
    first: Callable[[], Run], second: Callable[[], Run], times: int, *, tell: Callable[[str], None] = lambda _: None
) -> list[tuple[Run, Run]]:
    """Runs both sides in turns, A B A B, so that what the machine does besides meets both."""
    pairs = []
    for number in range(times):
        pair = (first(), second())
        tell(f"pair {number + 1} of {times}: {pair[0].seconds:.2f} s and {pair[1].seconds:.2f} s")
        pairs.append(pair)
    return pairs


class _Peak:
    """Looks at the memory of a process and all of its children until it is stopped; ends them if they hold too much."""

    def __init__(self, pid: int, most: float) -> None:
        self.bytes = 0
        self.too_much = False
        self._most = most
        self.processor: dict[int, float] = {}  # seconds by process, as last seen
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No more looks."""
        self._over.set()
        self._thread.join()

    def end_all(self) -> None:
        """Ends the processes."""
        for process in self._family():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue

    def _family(self) -> list[psutil.Process]:
        try:
            return [self._process, *self._process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _watch(self) -> None:
        family: list[psutil.Process] = []
        for look in itertools.count():
            if self._over.wait(_LOOK_EVERY):
                return
            if look % _CHILDREN_EVERY == 0:
                family = self._family()
            held = own = 0
            for process in family:
                try:
                    memory = process.memory_info()
                    held += memory.rss
                    own += memory.rss - getattr(memory, "shared", 0)
                    self.processor[process.pid] = sum(process.cpu_times()[:2])
                except psutil.NoSuchProcess:  # it has ended between the two looks
                    continue
            self.bytes = max(self.bytes, held)
            if own > self._most:
                self.too_much = True
                self.end_all()

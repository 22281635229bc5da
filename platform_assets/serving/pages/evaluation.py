"""When freshness is evaluated for the pages: at most every few seconds, beside the requests, never twice at once.

A page shows the newest evaluation that there is and says of when it is; a newer one is begun behind it. Only what is
older than anybody would want to see is waited for. What is evaluated is the same answer that the command line gives.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from anyio import to_thread

from platform_assets.contracts.dbt_yaml import load_models
from platform_assets.ingestion.waiting import landed_since
from platform_assets.lakehouse.freshness import table_freshness
from platform_assets.lakehouse.freshness_history import Told, lag_history
from platform_assets.serving.pages.standing import Standing, standing
from platform_assets.sources.registry import read_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.freshness import TableFreshness
    from platform_assets.settings import Settings

FRESH_SECONDS = 2.0
STALE_SECONDS = 30.0
PATIENCE_SECONDS = 10.0
LINE_DAYS = 7
_LINE_STEP = timedelta(hours=2)
_PAST_SECONDS = 60.0  # the sensor that writes it looks once a minute

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """How fresh every table was at one moment.

    Attributes:
        at: the moment that was asked about (UTC).
        rows: every declared table, in the way of a row.
        lines: what was told of each table in the last 7 days, every 2 hours.
        standing: promises kept and scores of the last 30 days; as the lines, at most a minute older than the rest.
        seconds: how long the evaluation took.
    """

    at: datetime
    rows: Sequence[TableFreshness]
    lines: Mapping[str, Sequence[Told]] = field(default_factory=dict)
    standing: Standing = field(default_factory=Standing)
    seconds: float = 0.0

    @cached_property
    def by_name(self) -> dict[str, TableFreshness]:
        """The rows by `layer.table`."""
        return {row.table.name: row for row in self.rows}


@dataclass(frozen=True)
class Problem:
    """Why the last attempt failed; what the error says is for the log, where its reader may see everything."""

    at: datetime
    kind: str


class NotEvaluatedError(Exception):
    """There is no evaluation to show yet: the first is under way, or failed."""


class Evaluator:
    """Evaluates the freshness of every table of a lakehouse; blocking, and one call at a time.

    Args:
        lakehouse: where the tables are.
        clock: tells the moment that is asked about (UTC).
    """

    def __init__(self, lakehouse: Lakehouse, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._lakehouse = lakehouse
        self._clock = clock
        self._declared: frozenset[tuple[str, int]] = frozenset()
        self._lines: Mapping[str, Sequence[Told]] = {}
        self._standing = Standing()
        self._past_due = 0.0

    def __call__(self) -> Evaluation:
        """The freshness of this moment."""
        began, at = time.monotonic(), self._clock()
        if self._forget_what_changed():
            self._past_due = began
        rows = table_freshness(self._lakehouse, at, landed_since(self._lakehouse.settings))
        if began >= self._past_due:
            self._lines = lag_history(self._lakehouse, at, LINE_DAYS, _LINE_STEP)
            self._standing = standing(self._lakehouse, at)
            self._past_due = time.monotonic() + _PAST_SECONDS
        return Evaluation(at, rows, self._lines, self._standing, time.monotonic() - began)

    def _forget_what_changed(self) -> bool:
        """Sources and models are read once a process; here a source that was added is to appear by itself."""
        declared = _stamps(self._lakehouse.settings)
        if declared == self._declared:
            return False
        read_sources.cache_clear()
        load_models.cache_clear()
        self._declared = declared
        return True


class Evaluations:
    """The newest evaluation, renewed when it is asked for.

    Args:
        evaluate: takes an evaluation; called in a thread.
        fresh_seconds: an evaluation that began no longer ago is not renewed.
        stale_seconds: one that began longer ago is not shown, if a newer one can be had; where evaluations take long,
            one that is older than they are when it is the turn of the next.
        patience_seconds: how long a newer one is waited for.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        evaluate: Callable[[], Evaluation],
        *,
        fresh_seconds: float = FRESH_SECONDS,
        stale_seconds: float = STALE_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.problem: Problem | None = None
        self._evaluate = evaluate
        self._fresh, self._stale, self._patience = fresh_seconds, stale_seconds, patience_seconds
        self._clock = clock
        self._newest: Evaluation | None = None
        self._began = self._rests_until = -float("inf")
        self._took = 0.0
        self._running: asyncio.Task[None] | None = None

    @property
    def renewing(self) -> bool:
        """Whether a newer evaluation is under way."""
        return self._running is not None and not self._running.done()

    @property
    def overdue(self) -> bool:
        """Whether the newest evaluation is older than anybody would want to see."""
        turn = 2 * (self._took + self._patience) if self._took > self._patience else 0.0
        return self._clock() - self._began > max(self._stale, turn)

    def renew(self) -> None:
        """Begins an evaluation, unless one is under way or the last is hardly over."""
        if not self.renewing and self._clock() >= self._rests_until:
            self._running = asyncio.create_task(self._run())

    async def newest(self, *, no_stale: bool = False) -> Evaluation:
        """The newest evaluation; with `no_stale`, one that began at most `fresh_seconds` ago is waited for.

        Raises:
            NotEvaluatedError: there is none yet.
        """
        renewable = self._clock() - self._began > self._fresh
        if renewable:
            self.renew()
        if (self.overdue or (no_stale and renewable)) and self._running is not None:
            await asyncio.wait({self._running}, timeout=self._patience)
        if self._newest is None:
            raise NotEvaluatedError
        return self._newest

    async def close(self) -> None:
        """Leaves an evaluation that is under way to itself."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})

    async def _run(self) -> None:
        began = self._clock()
        try:
            self._newest = await to_thread.run_sync(self._evaluate, abandon_on_cancel=True)
            self._began, self.problem = began, None
        except Exception as error:
            _LOGGER.exception("Freshness could not be evaluated")
            self.problem = Problem(datetime.now(UTC), type(error).__name__)
        finally:  # a slow one rests as long as it took, so that it never keeps a processor to itself
            self._took = self._clock() - began
            self._rests_until = began + self._took + min(max(self._fresh, self._took), self._patience)


def _stamps(settings: Settings) -> frozenset[tuple[str, int]]:
    """Names and times of the files that declare tables."""
    folders = (settings.sources, settings.dbt_project / "models")
    files = (file for folder in folders for file in folder.rglob("*") if file.suffix != ".pyc")
    return frozenset((str(file), file.stat().st_mtime_ns) for file in files if file.is_file())

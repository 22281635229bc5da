"""Which failure passes by itself and which does not: the one place that decides, for every operation of the graph.

What passes is tried again, by the operation first (`RETRIES`) and then by the platform (`automation.failures`). What
does not is a `PermanentFailure`, which nothing tries again before a person, new data or a new definition has changed
something.

No `from __future__ import annotations` here: Dagster does not resolve the annotation of a run's context then.
"""

import errno
import functools
import inspect
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

PERMANENT = "permanent"  # metadata of the failure, by which it is known from the event log
_STOP_RUN_RETRIES = "dagster/retry_on_asset_or_op_failure"
_FILE_ERRORS_THAT_STAY = (PermissionError, FileNotFoundError, NotADirectoryError, IsADirectoryError, FileExistsError)
# For what comes as text only: dbt and DuckDB keep no exception, SQLite has one class for everything.
_PASSING_WORDS = (
    "another run published to it in the meantime",
    "database is locked",
    "database table is locked",
    "database or disk is full",
    "no space left on device",
    "disk quota exceeded",
    "too many open files",
    "input/output error",
    "out of memory",
    "connection refused",
    "connection reset",
    "timed out",
)

# 2, 6 and 14 s, each more or less by chance so that those who met do not meet again. It holds for what passes by
# itself: Dagster tries neither a PermanentFailure nor a failed blocking check again.
RETRIES = dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)

Results = Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]
Compute = Callable[[dg.AssetExecutionContext], Results]


class PermanentFailure(dg.Failure):
    """What will fail again as long as neither the data nor the definition has changed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, metadata={PERMANENT: True}, allow_retries=False)


def told_apart(compute: Compute) -> Compute:
    """The same operation, of which every failure that does not pass is a `PermanentFailure`.

    Such a failure also tells Dagster not to start the run again, whatever `run_retries` of the instance says.
    """

    @functools.wraps(compute)
    def judged(context: dg.AssetExecutionContext) -> Results:
        try:
            yield from compute(context)
        except Exception as error:
            if passes(error):
                raise
            context.instance.add_run_tags(context.run.run_id, {_STOP_RUN_RETRIES: "false"})
            if isinstance(error, PermanentFailure):
                raise
            raise PermanentFailure(f"{type(error).__name__}: {error}") from error

    # Dagster asks each operation for them again and again, which was a tenth of the time that it took to make one.
    vars(judged).update(__signature__=inspect.signature(compute), __annotations__={"context": dg.AssetExecutionContext})
    return judged


def passes(error: BaseException) -> bool:
    """Whether the error, or what it was raised from, passes by itself: a conflict, a lock, the network, a full disk."""
    if isinstance(error, dg.Failure):
        return error.allow_retries
    return _passes(error) or (error.__cause__ is not None and passes(error.__cause__))


def passing_message(message: str) -> bool:
    """As `passes`, of an error of which only the text is left."""
    text = message.lower()
    return any(words in text for words in _PASSING_WORDS)


def _passes(error: BaseException) -> bool:
    import duckdb
    import httpx
    import requests
    from google.api_core.exceptions import Aborted, RetryError, ServerError, TooManyRequests
    from google.auth.exceptions import TransportError
    from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException, ServiceUnavailableError
    from sqlalchemy.exc import IntegrityError, OperationalError
    from sqlalchemy.exc import TimeoutError as NoConnectionFree

    from platform_assets.ingestion.landing import ArrivalVanished
    from platform_assets.lakehouse.publisher import ConcurrentPublish

    always = (
        *(ConcurrentPublish, ArrivalVanished, TransportError, httpx.TransportError, MemoryError),
        *(NoConnectionFree, IntegrityError),  # the latter: of the catalog, in which another run was quicker
        *(CommitFailedException, CommitStateUnknownException, ServiceUnavailableError),
        *(Aborted, RetryError, ServerError, TooManyRequests),
        *(requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError),
    )
    if isinstance(error, always):
        return True
    if isinstance(error, OperationalError):  # of a server it is about the connection, of SQLite about anything
        return not isinstance(error.orig, sqlite3.Error) or passing_message(str(error.orig))
    if isinstance(error, sqlite3.OperationalError | duckdb.IOException | duckdb.OutOfMemoryException):
        return passing_message(str(error))
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return not isinstance(error, _FILE_ERRORS_THAT_STAY) and error.errno != errno.EROFS
    return False

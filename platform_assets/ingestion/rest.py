"""Sources that are asked: the whole answer of a JSON API becomes one landing object a day, or none if nothing changed.

The name of the object is made from its content, so that polling again lands nothing new until the source changes.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from httpx import Response
    from tenacity import RetryCallState

    from platform_assets.ingestion.landing import Landing, LandingObject

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
PATIENCE_SECONDS = 30.0  # no new attempt after so long: a sensor's tick has a minute
TIMEOUT_SECONDS = 20.0
_TOO_MANY_REQUESTS = 429
_WORTH_ANOTHER_TRY = frozenset({408, 425, _TOO_MANY_REQUESTS, 500, 502, 503, 504})


class SourceUnavailable(RuntimeError):
    """The source gave no usable answer; the message says which address, and what came instead.

    Attributes:
        permanent: whether asking again would bring the same.
        retry_after: seconds that the source asks to be left alone, if it said so.
    """

    def __init__(self, message: str, *, permanent: bool, retry_after: float | None = None) -> None:
        self.permanent = permanent
        self.retry_after = retry_after
        super().__init__(message)


def fetch_json(url: str, *, attempts: int = 5, sleep: Callable[[float], None] = time.sleep) -> list[dict[str, object]]:
    """The JSON array of objects at `url` (S3-03).

    Args:
        url: the address; its query is never named in errors, since it may hold a key.
        attempts: how often to ask while the failure may pass: no connection, a timeout, 408, 425, 429 or 5xx.
        sleep: waits so many seconds: exponentially more with jitter, or as `Retry-After` says, at most 30.

    Raises:
        SourceUnavailable: it could not be had, or is no JSON array of objects.
    """
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay

    patient = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, SourceUnavailable) and not error.permanent),
        stop=stop_after_attempt(attempts) | stop_after_delay(PATIENCE_SECONDS),
        wait=_wait,
        sleep=sleep,
        reraise=True,
    )
    return _records(url, patient(_get, url))


def land_snapshot(landing: Landing, source: str, url: str, arrival_date: date) -> LandingObject:
    """Land what `url` answers as JSON lines, in its order; returns the object, new or landed before (S3-03).

    Raises:
        SourceUnavailable: see `fetch_json`; nothing is landed.
    """
    content = json_lines(fetch_json(url))
    name = f"{source}-{hashlib.sha256(content).hexdigest()[:16]}.jsonl"
    return landing.put(source, arrival_date, name, content)


def json_lines(records: Sequence[dict[str, object]]) -> bytes:
    """One line for each record, its values as they are."""
    return "".join(f"{json.dumps(record, ensure_ascii=False, separators=(',', ':'))}\n" for record in records).encode()


def _get(url: str) -> bytes:
    import httpx

    try:
        response = httpx.get(url, timeout=TIMEOUT_SECONDS, follow_redirects=True)
    except httpx.TransportError as error:
        raise SourceUnavailable(
            f"{_shown(url)} cannot be reached: {type(error).__name__}. Is the address right and the source up?",
            permanent=isinstance(error, httpx.UnsupportedProtocol),
        ) from None  # the request that it carries holds the whole address
    if not response.is_success:
        raise SourceUnavailable(
            f"{_shown(url)} answered {response.status_code} {response.reason_phrase}; expected 200.",
            permanent=response.status_code not in _WORTH_ANOTHER_TRY,
            retry_after=_retry_after(response),
        )
    return response.content


def _records(url: str, content: bytes) -> list[dict[str, object]]:
    def no_constant(name: str) -> object:
        raise ValueError(f"{name} is no JSON")

    try:
        answer = json.loads(content, parse_constant=no_constant)
    except (ValueError, RecursionError):
        raise _unexpected(url, f"{len(content):,} bytes that are not JSON") from None
    if not isinstance(answer, list):
        raise _unexpected(url, _kind(answer))
    for position, record in enumerate(answer, start=1):
        if not isinstance(record, dict):
            raise _unexpected(url, f"an array whose element {position} is {_kind(record)}")
    return answer


def _unexpected(url: str, what: str) -> SourceUnavailable:
    return SourceUnavailable(f"{_shown(url)} answered {what}; expected a JSON array of objects.", permanent=True)


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def _shown(url: str) -> str:
    import httpx

    try:
        return str(httpx.URL(url).copy_with(query=None, fragment=None, userinfo=b""))
    except httpx.InvalidURL:
        return "the source's address"


def _retry_after(response: Response) -> float | None:
    """Seconds of a `Retry-After` header, which is a number or a date (RFC 9110, 10.2.3)."""
    value: str = response.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        until: datetime = parsedate_to_datetime(value)
    except ValueError:
        return None
    aware = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, SourceUnavailable) and error.retry_after is not None:
        return min(error.retry_after, LONGEST_WAIT_SECONDS)
    # Half fixed, half random: many pollers of one source do not come back together, nor at once.
    ceiling = min(FIRST_WAIT_SECONDS * 2.0**state.attempt_number, LONGEST_WAIT_SECONDS)
    return random.uniform(ceiling / 2, ceiling)  # noqa: S311 - nothing secret

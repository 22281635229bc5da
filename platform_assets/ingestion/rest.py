"""JSON APIs: asking them with patience, page by page, and landing a whole answer as one object (S0-16, S3-03).

The name of that object is made from its content, so that asking again lands nothing new until the source changes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from platform_assets.settings import SettingsError

if TYPE_CHECKING:
    from httpx import Response
    from pydantic import SecretStr
    from tenacity import RetryCallState

    from platform_assets.ingestion.landing import Landing, LandingObject

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
PATIENCE_SECONDS = 30.0  # no new attempt after so long: a sensor's tick has a minute
TIMEOUT_SECONDS = 20.0
WHOLE_SECONDS = 45.0  # for all pages of an answer that is landed as a whole
MAX_PAGES = 1_000  # of such an answer
MAX_BYTES = 256 * 2**20  # of one page
_TOO_MANY_REQUESTS = 429
_WORTH_ANOTHER_TRY = frozenset({408, 425, _TOO_MANY_REQUESTS, 500, 502, 503, 504})
_ARRAYS = ("data", "items", "results", "records", "value")  # under which an answer may hold its records
_ADDRESS = ("http://", "https://", "/", "?")

Record = dict[str, object]


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


@dataclass(frozen=True)
class Page:
    """A part of an answer: its records in their order, and the address of the next part, if there is one."""

    records: list[Record]
    following: str | None


def fetch_json(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    attempts: int = 5,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Record]:
    """All records at `url`, page after page (S3-03). The arguments are those of `pages`.

    Raises:
        SourceUnavailable: they could not be had, are of another shape, or are too many to be had at once.
    """
    deadline = time.monotonic() + WHOLE_SECONDS
    records: list[Record] = []
    for number, page in enumerate(pages(url, headers=headers, attempts=attempts, sleep=sleep), start=1):
        records += page.records
        if page.following and (number == MAX_PAGES or time.monotonic() > deadline):
            raise SourceUnavailable(
                f"{_shown(url)} has more than {number:,} pages, which cannot be had at once. Use ingestion.pattern "
                "streaming_api, which goes on where it stopped, or ask for larger pages.",
                permanent=True,
            )
    return records


def pages(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    attempts: int = 5,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Page]:
    """The answer at `url`, and what follows it, one page at a time.

    A page is a JSON array of objects, or an object that holds one as `data`, `items`, `results`, `records` or `value`.
    What follows is told by a `Link` header (RFC 8288), by a member `next` or the like that is an address, or by
    `has_more`, as Stripe does it.

    Args:
        url: the address; its query is never named in errors, since it may hold a key.
        headers: what the source knows us by; sent to the host of `url` only.
        attempts: how often to ask while the failure may pass: no connection, a timeout, 408, 425, 429 or 5xx.
        sleep: waits so many seconds: exponentially more with jitter, or as `Retry-After` says, at most 30.

    Raises:
        SourceUnavailable: a page could not be had, is of another shape, or leads back or to another host.
    """
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay

    seen: set[str] = set()
    following: str | None = url
    while following is not None:
        seen.add(following)
        patient = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, SourceUnavailable) and not error.permanent),
            stop=stop_after_attempt(attempts) | stop_after_delay(PATIENCE_SECONDS),
            wait=_wait,
            sleep=sleep,
            reraise=True,
        )
        content, link = patient(_get, following, dict(headers or {}))
        page = read_page(following, content, link)
        if page.following in seen:
            raise SourceUnavailable(
                f"{_shown(url)} leads from page {len(seen)} back to a page that was read already.", permanent=True
            )
        yield page
        following = page.following


def credential_headers(auth_type: str, secret: SecretStr) -> dict[str, str]:
    """What proves to the source who asks.

    Args:
        auth_type: `bearer_token`, `api_key` (sent as `X-API-Key`, or as the header that a secret of the form
            `Header-Name: value` names) or `basic` (`user:password`).
        secret: the credential.
    """
    value = secret.get_secret_value().strip()
    if not value.isascii() or not value.isprintable():
        raise SettingsError(f"The secret for auth_type {auth_type} has characters that no HTTP header can hold.")
    if auth_type == "basic":
        if ":" not in value:
            raise SettingsError("The secret for auth_type basic has to be `user:password`.")
        return {"Authorization": f"Basic {base64.b64encode(value.encode()).decode()}"}
    if auth_type == "api_key":
        named = re.fullmatch(r"([A-Za-z][A-Za-z0-9-]*): +(\S.*)", value)
        return {named[1]: named[2]} if named else {"X-API-Key": value}
    return {"Authorization": f"Bearer {value}"}


def land_snapshot(
    landing: Landing, source: str, url: str, arrival_date: date, *, headers: Mapping[str, str] | None = None
) -> LandingObject:
    """Land what `url` answers as JSON lines, in its order; returns the object, new or landed before (S3-03).

    Raises:
        SourceUnavailable: see `fetch_json`; nothing is landed.
    """
    content = json_lines(fetch_json(url, headers=headers))
    name = f"{source}-{hashlib.sha256(content).hexdigest()[:16]}.jsonl"
    return landing.put(source, arrival_date, name, content)


def json_lines(records: Sequence[Record]) -> bytes:
    """One line for each record, its values as they are."""
    return "".join(f"{json.dumps(record, ensure_ascii=False, separators=(',', ':'))}\n" for record in records).encode()


def read_page(url: str, content: bytes, link: str | None) -> Page:
    """A page as it was answered.

    Args:
        url: where it came from.
        content: the body.
        link: what a `Link` header names as the next page.
    """
    answer = _json(url, content)
    records = answer
    if isinstance(answer, dict):
        arrays = [name for name in _ARRAYS if isinstance(answer.get(name), list)]
        if len(arrays) != 1:
            raise _unexpected(url, f"an object that holds {' and '.join(arrays)}" if arrays else "an object")
        records = answer[arrays[0]]
    if not isinstance(records, list):
        raise _unexpected(url, _kind(answer))
    for position, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise _unexpected(url, f"an array whose element {position} is {_kind(record)}")
    return Page(records, _same_host(url, link or (_following(url, answer, records) if answer is not records else None)))


def _get(url: str, headers: dict[str, str]) -> tuple[bytes, str | None]:
    """The body, and the next page that the `Link` header names."""
    import httpx

    try:
        # With a credential no redirect is followed: httpx would send an unknown header along to another host.
        with (
            httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=not headers, headers=headers) as client,
            client.stream("GET", url) as response,
        ):
            _check_status(url, response)
            content = bytearray()
            for part in response.iter_bytes():
                content += part
                if len(content) > MAX_BYTES:
                    raise SourceUnavailable(
                        f"{_shown(url)} answers more than {MAX_BYTES:,} bytes at once; ask for smaller pages.",
                        permanent=True,
                    )
            return bytes(content), response.links.get("next", {}).get("url")
    except httpx.TransportError as error:
        raise SourceUnavailable(
            f"{_shown(url)} cannot be reached: {type(error).__name__}. Is the address right and the source up?",
            permanent=isinstance(error, httpx.UnsupportedProtocol),
        ) from None  # the request that it carries holds the whole address
    except (httpx.InvalidURL, httpx.DecodingError, httpx.TooManyRedirects) as error:
        raise SourceUnavailable(f"{_shown(url)} cannot be read: {type(error).__name__}.", permanent=True) from None


def _check_status(url: str, response: Response) -> None:
    if response.is_success:
        return
    hint = ""
    if response.status_code in {401, 403}:
        hint = " Look at ingestion.auth_type and the secret that ingestion.secret_name names."
    elif response.is_redirect:
        hint = " A credential goes to no other address: write the one that it redirects to as ingestion.api_endpoint."
    raise SourceUnavailable(
        f"{_shown(url)} answered {response.status_code} {response.reason_phrase}; expected 200.{hint}",
        permanent=response.status_code not in _WORTH_ANOTHER_TRY,
        retry_after=_retry_after(response),
    )


def _json(url: str, content: bytes) -> Any:  # noqa: ANN401 - any JSON value
    def no_constant(name: str) -> object:
        raise ValueError(f"{name} is no JSON")

    try:
        return json.loads(content, parse_constant=no_constant)
    except (ValueError, RecursionError):
        raise _unexpected(url, f"{len(content):,} bytes that are not JSON") from None


def _following(url: str, answer: Mapping[str, Any], records: Sequence[Record]) -> str | None:
    """The next page by what the answer itself says."""
    import httpx

    links = answer.get("links")
    told = [answer.get("next"), answer.get("@odata.nextLink"), links.get("next") if isinstance(links, dict) else None]
    address = next((text for text in told if isinstance(text, str) and text.startswith(_ADDRESS)), None)
    if address is not None or answer.get("has_more") is not True:
        return address
    last = records[-1].get("id") if records else None
    if last is None:
        raise _unexpected(url, "`has_more` after a page whose last record has no `id`")
    return str(httpx.URL(url).copy_set_param("starting_after", str(last)))


def _same_host(url: str, following: str | None) -> str | None:
    """The full address of the next page. Neither a credential nor trust in the source reaches to another host."""
    import httpx

    if following is None:
        return None
    here, there = httpx.URL(url), httpx.URL(url).join(following)
    if (here.scheme, here.host, here.port) != (there.scheme, there.host, there.port):
        raise SourceUnavailable(
            f"{_shown(url)} names a next page on {there.scheme}://{there.netloc.decode()}, another host than its own, "
            "which is not asked.",
            permanent=True,
        )
    return str(there)


def _unexpected(url: str, what: str) -> SourceUnavailable:
    return SourceUnavailable(
        f"{_shown(url)} answered {what}; expected a JSON array of objects, or an object that holds one as "
        f"{', '.join(_ARRAYS)}.",
        permanent=True,
    )


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

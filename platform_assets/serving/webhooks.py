"""Receives the calls of sources with a `webhook_path`; publishes each body, unchanged, to the source's topic (S1-70).

A call is answered with 202 only after the broker has confirmed its message; anything else makes the sender call again.
A call that comes twice is published twice under one event id, and told by its key downstream.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from platform_assets.ingestion.pubsub import EVENT_ID, open_publisher, topic_path
from platform_assets.serving.signatures import WrongSignature, verify
from platform_assets.settings import Settings, SettingsError
from platform_assets.sources.yaml_file import SourceError

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import PublisherClient
    from starlette.requests import Request

    from platform_assets.sources.model import Source

MAX_BODY_BYTES = 9 * 2**20  # Pub/Sub takes messages of 10 MB
CONFIRM_SECONDS = 10.0  # most senders give up after that
_EVENT_NAMESPACE = uuid.UUID("1d1c5f5e-3b5a-5f0e-8d5e-5c8f6f0f2b1a")
_DELIVERY_HEADERS = ("x-github-delivery", "webhook-id", "svix-id", "idempotency-key")
_LONGEST_ATTRIBUTE = 256
_HEALTH = "/healthz"

_LOGGER = logging.getLogger(__name__)


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


def app(settings: Settings, sources: Sequence[Source]) -> Starlette:
    """The server: POST at each source's `webhook_path`, GET `/healthz`.

    Raises:
        SourceError: two sources have one path.
    """
    receivers: dict[str, _Receiver] = {}
    for source in sources:
        path = source.file.ingestion.webhook_path
        if path is None:
            continue
        if path in receivers or path == _HEALTH:
            other = receivers[path].source.name if path in receivers else "the server's own health check"
            raise SourceError(f"{source.name}: ingestion.webhook_path {path} is that of {other} already")
        receivers[path] = _Receiver(settings, source)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        with open_publisher() as publisher:
            for receiver in receivers.values():
                receiver.publisher = publisher
            yield

    routes = [Route(path, receiver.receive, methods=["POST"]) for path, receiver in receivers.items()]
    return Starlette(routes=[*routes, Route(_HEALTH, _healthy)], lifespan=lifespan)


def serve(settings: Settings, sources: Sequence[Source], *, host: str = "127.0.0.1", port: int = 8080) -> None:
    """Runs the server until it is interrupted."""
    import uvicorn

    uvicorn.run(app(settings, sources), host=host, port=port, log_level="warning", server_header=False)


async def _healthy(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


class _Receiver:
    """What answers at the path of one source."""

    publisher: PublisherClient

    def __init__(self, settings: Settings, source: Source) -> None:
        self.source = source
        self._settings = settings
        self._ingestion = source.file.ingestion
        self._topic = topic_path(settings, str(self._ingestion.topic))

    async def receive(self, request: Request) -> Response:
        """202 when the message is safe; 4xx if the call is wrong; 503 if the platform is, so that it is sent again."""
        try:
            body = await _body(request)
            self._verify(request, body)
            await self._publish(body, self._attributes(request, body))
        except _Refused as refused:
            _LOGGER.warning("%s: a call is answered with %d: %s", self.source.name, refused.status, refused)
            headers = {"Retry-After": "10"} if refused.status >= 500 else None
            return JSONResponse({"error": str(refused)}, status_code=refused.status, headers=headers)
        return JSONResponse({"status": "accepted"}, status_code=202)

    def _verify(self, request: Request, body: bytes) -> None:
        if self._ingestion.webhook_signature is None:
            return
        name = str(self._ingestion.webhook_secret_name or self._ingestion.secret_name)
        try:
            secret = self._settings.require_secret(name).get_secret_value().strip()
        except SettingsError as error:
            _LOGGER.error("%s: %s", self.source.name, error)  # noqa: TRY400 - the message says it all
            raise _Refused(503, "the receiver is not ready") from error
        try:
            verify(self._ingestion.webhook_signature, secret, request.headers, body, time.time())
        except WrongSignature as error:
            raise _Refused(401, str(error)) from error

    def _attributes(self, request: Request, body: bytes) -> dict[str, str]:
        """The event's id, the same each time that the call is sent, and its type."""
        record = _record(body)
        told = [*(request.headers.get(name) for name in _DELIVERY_HEADERS), record.get("id")]
        delivery = next((str(value) for value in told if isinstance(value, str | int) and value), None)
        key = f"id:{delivery}" if delivery else f"sha256:{hashlib.sha256(body).hexdigest()}"
        types = [self._ingestion.event_type, request.headers.get("x-github-event"), record.get("type")]
        event_type = next((kind for kind in types if isinstance(kind, str) and kind), f"{self.source.name}_event")
        event_id = str(uuid.uuid5(_EVENT_NAMESPACE, f"{self.source.name}/{key}"))
        return {EVENT_ID: event_id, "event_type": event_type[:_LONGEST_ATTRIBUTE]}

    async def _publish(self, body: bytes, attributes: dict[str, str]) -> None:
        from google.api_core.exceptions import GoogleAPIError, NotFound
        from google.api_core.retry import Retry

        # The client gives up when the sender is told so: nothing is published that nobody knows of any more.
        patience = {"retry": Retry(timeout=CONFIRM_SECONDS), "timeout": CONFIRM_SECONDS}
        try:
            future = self.publisher.publish(self._topic, body, **patience, **attributes)
            await asyncio.wait_for(asyncio.wrap_future(future), 2 * CONFIRM_SECONDS)
        except NotFound as error:
            _LOGGER.error("%s: there is no topic %s; create it", self.source.name, self._topic)  # noqa: TRY400
            raise _Refused(503, "the receiver is not ready") from error
        except (TimeoutError, GoogleAPIError) as error:
            raise _Refused(503, f"the message could not be stored: {type(error).__name__}") from error


async def _body(request: Request) -> bytes:
    """The body as it came, no more of it than may be."""
    told = request.headers.get("content-length", "")
    body = bytearray()
    if not told.isdigit() or int(told) <= MAX_BODY_BYTES:
        try:
            async for part in request.stream():
                body += part
                if len(body) > MAX_BODY_BYTES:
                    break
            else:
                return bytes(body)
        except ClientDisconnect as error:
            raise _Refused(400, "the call broke off") from error
    raise _Refused(413, f"the body has more than {MAX_BODY_BYTES:,} bytes")


def _record(body: bytes) -> dict[str, object]:
    try:
        record = json.loads(body)
    except (ValueError, RecursionError):
        raise _Refused(400, "the body is no JSON; expected one object") from None
    if not isinstance(record, dict):
        raise _Refused(400, "the body is JSON, but no object")
    return record

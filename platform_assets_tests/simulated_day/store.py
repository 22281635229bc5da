"""`python -m … EMULATOR PORT`: a door before the Cloud Storage emulator that dates objects by the simulated clock.

The emulator is a program of its own whose clock cannot be moved; everything else of its answers is passed on as it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from platform_assets.local.servers import HOST, free_port, http_ready, launch

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

    from platform_assets.local.servers import Server
    from platform_assets_tests.simulated_day.clock import Clock

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_OF_THE_CONNECTION = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}


@contextmanager
def dated_store(emulator: Server, clock: Clock, log: Path) -> Iterator[str]:
    """The address of the door, for as long as the block lasts."""
    port = free_port()
    command = [sys.executable, "-m", __name__, emulator.url, str(port)]
    ready = http_ready("/storage/v1/b?project=any")
    with launch("store", command, f"{HOST}:{port}", log, ready=ready, environment=clock.followed()) as door:
        yield door.url


def _app(emulator: str) -> Starlette:
    landed: dict[str, str] = {}

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with httpx.AsyncClient(base_url=emulator, timeout=60) as client:
            app.state.client = client
            yield

    async def forward(request: Request) -> Response:
        client: httpx.AsyncClient = request.app.state.client
        asked = client.build_request(
            request.method,
            httpx.URL(path=request.url.path, query=request.url.query.encode()),
            headers={name: value for name, value in request.headers.items() if name not in _OF_THE_CONNECTION},
            content=await request.body(),
        )
        answer = await client.send(asked, stream=True)
        content = b"".join([part async for part in answer.aiter_raw()])
        await answer.aclose()
        kept = {name: value for name, value in answer.headers.items() if name not in _OF_THE_CONNECTION}
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        if is_json and request.query_params.get("alt") != "media" and "content-encoding" not in kept:
            content = _dated(content, landed)
        return Response(content, answer.status_code, kept)

    return Starlette(routes=[Route("/{path:path}", forward, methods=_METHODS)], lifespan=lifespan)


def _dated(content: bytes, landed: dict[str, str]) -> bytes:
    """The answer with the time at which each object was first told of, which is when it was written."""
    found: Any = json.loads(content) if content else None
    if not isinstance(found, dict):
        return content
    for item in found.get("items", [found]):
        if "generation" in item:
            now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            item["timeCreated"] = item["updated"] = landed.setdefault(str(item["generation"]), now)
    return json.dumps(found).encode()


if __name__ == "__main__":
    uvicorn.run(_app(sys.argv[1]), host=HOST, port=int(sys.argv[2]), log_level="warning")

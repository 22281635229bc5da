"""The server of the pages: `/freshness`, its rows as CSV and JSON, promises and scores as JSON, a page for each table.

Nothing here decides how fresh a table is. Whoever can reach the server sees names, owners, counts and times of tables,
never a value of a row (I7); who may reach it is for a proxy in front to say.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from platform_assets.contracts.words import nearest
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.serving.pages import exports, rendering
from platform_assets.serving.pages.evaluation import Evaluation, Evaluations, Evaluator, NotEvaluatedError
from platform_assets.serving.pages.table import Past, past
from platform_assets.serving.pages.view import Page, View, ViewError

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from platform_assets.serving.pages.standing import Standing
    from platform_assets.settings import Settings

_STATIC = Path(__file__).parent / "static"
_KEPT_PASTS = 64
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def app(settings: Settings, evaluations: Evaluations | None = None) -> ASGIApp:
    """The server.

    Args:
        settings: where the tables are, and where Dagit is.
        evaluations: what is shown; by default the freshness of the lakehouse that the settings name.
    """
    lakehouse = Lakehouse(settings)
    shown = evaluations or Evaluations(Evaluator(lakehouse))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        shown.renew()  # for whoever comes first
        yield
        await shown.close()

    site = _Site(shown, lakehouse)
    routes = [
        Route("/", _home),
        Route("/freshness", site.overview),
        Route("/freshness.json", site.json),
        Route("/freshness.csv", site.csv),
        Route("/freshness/{table}", site.table),
        Route("/sla.json", site.sla),
        Route("/quality.json", site.quality),
        Route("/healthz", _healthy),
        Mount("/static", StaticFiles(directory=_STATIC)),
    ]
    handlers: dict[Any, Callable[..., Any]] = {
        HTTPException: _http_error,
        ViewError: _view_error,
        NotEvaluatedError: site.not_evaluated,
        Exception: _own_error,
    }
    zipped = [Middleware(GZipMiddleware, minimum_size=1_000, compresslevel=5)]
    return _WithHeaders(Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers, middleware=zipped))


def serve(settings: Settings, *, host: str = "127.0.0.1", port: int = 8090) -> None:
    """Runs the server until it is interrupted."""
    import uvicorn

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    uvicorn.run(app(settings), host=host, port=port, log_level="warning", server_header=False)


class _Site:
    """What answers at the paths that show freshness."""

    def __init__(self, evaluations: Evaluations, lakehouse: Lakehouse) -> None:
        self._evaluations = evaluations
        self._lakehouse = lakehouse
        self._dagit = (lakehouse.settings.dagit_url or "").rstrip("/")
        # What is kept of a table is read once for each evaluation that its page shows.
        self._past = lru_cache(maxsize=_KEPT_PASTS)(self._read_past)

    async def overview(self, request: Request) -> Response:
        """Every table, as far as the query string asks for it."""
        found = await self._newest(request)
        view = View.of(request.query_params, found.rows)

        def render() -> str:
            return rendering.overview(found, view, Page.of(view, found), self._dagit, self._evaluations)

        return _page(await run_in_threadpool(render))

    async def json(self, request: Request) -> Response:
        """The rows of all pages of the view."""
        found = await self._newest(request)
        view = View.of(request.query_params, found.rows)
        text = await run_in_threadpool(lambda: exports.as_json(view.select(found)))
        return Response(text, media_type="application/json", headers=_no_cache(found.at))

    async def sla(self, request: Request) -> Response:
        """What the tables of the view promise and how they kept it, in the order of the command."""
        found, names = await self._chosen(request)
        told = [one for one in found.attainments if one.table.name in names]
        return Response(exports.as_json(told), media_type="application/json", headers=_no_cache(found.at))

    async def quality(self, request: Request) -> Response:
        """The scorecards of the tables of the view, in the order of the command."""
        found, names = await self._chosen(request)
        told = [card for card in found.scorecards if card.table in names]
        return Response(exports.as_json(told), media_type="application/json", headers=_no_cache(found.at))

    async def csv(self, request: Request) -> Response:
        """The same, flat."""
        found = await self._newest(request)
        view = View.of(request.query_params, found.rows)
        text = await run_in_threadpool(lambda: exports.as_csv(view.select(found)))
        headers = _no_cache(found.at) | {"Content-Disposition": 'attachment; filename="freshness.csv"'}
        return Response(text, media_type="text/csv; charset=utf-8", headers=headers)

    async def table(self, request: Request) -> Response:
        """All about one table."""
        found, name = await self._newest(request), request.path_params["table"]
        row = found.by_name.get(name)
        if row is None:
            raise HTTPException(404, f"There is no table {name}{nearest(name, found.by_name) or '.'}")

        def render() -> str:
            return rendering.table(found, row, self._past(name, found.at), self._dagit, self._evaluations)

        return _page(await run_in_threadpool(render))

    async def not_evaluated(self, request: Request, _: Exception) -> Response:
        """Nothing can be shown yet."""
        problem = self._evaluations.problem
        if problem is None:
            message = "The first look at all tables is under way. Load this page again in a few seconds."
        else:
            message = (
                f"Freshness could not be evaluated at {problem.at:%H:%M:%S} UTC ({problem.kind}). The log of "
                "`platform-assets pages` says why; `platform-assets doctor` says what to do."
            )
        return _error(request, 503, message, {"Retry-After": "5"})

    async def _chosen(self, request: Request) -> tuple[Standing, set[str]]:
        found = await self._newest(request)
        view = View.of(request.query_params, found.rows)
        return found.standing, {row.table.name for row in view.select(found)}

    def _read_past(self, name: str, at: datetime) -> Past:
        return past(self._lakehouse, name, at)

    async def _newest(self, request: Request) -> Evaluation:
        """Whoever asks without any cache (a forced reload) waits for what is new."""
        return await self._evaluations.newest(no_stale="no-cache" in request.headers.get("cache-control", ""))


async def _home(_: Request) -> Response:
    return RedirectResponse("/freshness")


async def _healthy(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _page(html: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return HTMLResponse(html, status, {"Cache-Control": "no-cache", **(headers or {})})


def _no_cache(at: datetime) -> dict[str, str]:
    return {"Cache-Control": "no-cache", "Evaluated-At": at.isoformat()}


def _http_error(request: Request, error: HTTPException) -> Response:
    return _error(request, error.status_code, error.detail, dict(error.headers or {}))


def _view_error(request: Request, error: Exception) -> Response:
    return _error(request, 400, str(error))


def _own_error(request: Request, _: Exception) -> Response:
    return _error(request, 500, "The page could not be made. Its log says why; the fault is the platform's, not yours.")


def _error(request: Request, status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """As a page, or as JSON for a program."""
    if request.url.path.endswith((".json", ".csv")):
        return JSONResponse({"error": message}, status, headers)
    return _page(rendering.error(status, message), status, headers)


class _WithHeaders:
    """Gives every answer, also those of errors, the headers that tell a browser what it may not do."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on, with headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        await self._inner(scope, receive, send_with_headers)

"""Polling a JSON API: a real HTTP server that answers as it is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from platform_assets.ingestion.landing import Landing
from platform_assets.ingestion.rest import SourceUnavailable, fetch_json, land_snapshot
from platform_assets.settings import Settings

DAY = date(2026, 1, 2)
Answer = tuple[int, dict[str, str], bytes]


class Api:
    """Gives its answers one after the other, and the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked = 0
        api = self

        class Answering(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = api.answers.pop(0) if len(api.answers) > 1 else api.answers[0]
                api.asked += 1
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/carts?key=hunter2"

    def says(self, *bodies: object) -> None:
        """Answer with these values."""
        self.answers = [(200, {}, json.dumps(body).encode()) for body in bodies]


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()
    thread = Thread(target=api.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield api
    api.server.shutdown()
    api.server.server_close()
    thread.join()


@pytest.fixture
def waits() -> list[float]:
    return []


def test_records_come_in_the_order_given(api: Api) -> None:
    api.says([{"id": 2}, {"id": 1, "price": 109.95, "name": "ü"}])
    assert fetch_json(api.url) == [{"id": 2}, {"id": 1, "price": 109.95, "name": "ü"}]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_failure_is_tried_again_with_growing_pauses(api: Api, waits: list[float], status: int) -> None:
    api.answers = [*((status, dict[str, str](), b"") for _ in range(3)), (200, {}, b'[{"id":1}]')]
    assert fetch_json(api.url, sleep=waits.append) == [{"id": 1}]
    assert [low <= wait <= 2 * low for low, wait in zip((0.5, 1, 2), waits, strict=True)] == [True] * 3


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(api: Api, waits: list[float], status: int) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=9), usegmt=True)
    answers = [{"Retry-After": "7"}, {"Retry-After": soon}, {"Retry-After": "9999"}, {"Retry-After": "?"}]
    api.answers = [*((status, headers, b"") for headers in answers), (200, {}, b"[]")]
    assert fetch_json(api.url, sleep=waits.append) == []
    assert waits[0] == 7
    assert 5 <= waits[1] <= 9
    assert waits[2] == 30
    assert 4 <= waits[3] <= 8


def test_failure_that_stays_is_raised_after_the_last_attempt(api: Api, waits: list[float]) -> None:
    api.answers = [(503, {}, b"")]
    with pytest.raises(SourceUnavailable, match="answered 503 Service Unavailable") as error:
        fetch_json(api.url, attempts=3, sleep=waits.append)
    assert (api.asked, len(waits), error.value.permanent) == (3, 2, False)


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_permanent_failure_is_not_tried_again(api: Api, waits: list[float], status: int) -> None:
    api.answers = [(status, {}, b"")]
    with pytest.raises(SourceUnavailable, match=str(status)) as error:
        fetch_json(api.url, sleep=waits.append)
    assert (api.asked, waits, error.value.permanent) == (1, [], True)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"<html>", "6 bytes that are not JSON"),
        (b"", "0 bytes that are not JSON"),
        (b"[NaN]", "5 bytes that are not JSON"),
        (b'{"id":1}', "an object"),
        (b"null", "null"),
        (b'[{"id":1},[]]', "an array whose element 2 is an array"),
        (b"[1]", "an array whose element 1 is a number"),
        (b'[{"id":"\xff"}]', "bytes that are not JSON"),
    ],
)
def test_answer_of_another_shape_lands_nothing(api: Api, settings: Settings, body: bytes, what: str) -> None:
    api.answers = [(200, {}, body)]
    landing = Landing(settings)
    with pytest.raises(SourceUnavailable, match=f"/carts answered .*{what}; expected a JSON array of objects"):
        land_snapshot(landing, "carts", api.url, DAY)
    assert landing.objects("carts") == []


def test_source_that_is_down_is_named_without_its_key(api: Api, waits: list[float]) -> None:
    url = api.url.replace("http://", "http://me:hunter2@").replace(str(api.server.server_address[1]), "1")
    with pytest.raises(
        SourceUnavailable, match=r"http://127\.0\.0\.1:1/carts cannot be reached: ConnectError"
    ) as error:
        fetch_json(url, attempts=2, sleep=waits.append)
    assert "hunter2" not in str(error.value)
    assert len(waits) == 1
    assert not error.value.permanent


def test_same_answer_on_the_same_day_lands_once(api: Api, settings: Settings, tmp_path: Path) -> None:
    landing = Landing(settings)
    api.says([{"id": 1, "name": "ü", "price": 109.95}, {"id": 2}])
    first = land_snapshot(landing, "products", api.url, DAY)
    assert land_snapshot(landing, "products", api.url, DAY) == first
    assert landing.download([first], tmp_path)[0].read_text(encoding="utf-8") == (
        '{"id":1,"name":"ü","price":109.95}\n{"id":2}\n'
    )
    tomorrow = land_snapshot(landing, "products", api.url, DAY + timedelta(days=1))
    api.says([{"id": 1}])
    changed = land_snapshot(landing, "products", api.url, DAY)
    assert landing.objects("products") == sorted([first, changed, tomorrow], key=lambda a: a.name)

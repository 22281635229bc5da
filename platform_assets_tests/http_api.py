"""A real HTTP server that answers as a test tells it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qsl, urlsplit

Answer = tuple[int, dict[str, str], bytes]


class HttpApi:
    """Gives its answers one after the other, and the last one for ever; or what `respond` says."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.respond: Callable[[str, Mapping[str, str]], Answer] | None = None
        self.asked: list[tuple[str, dict[str, str]]] = []  # path with query, headers
        api = self

        class Answering(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api.asked.append((self.path, dict(self.headers.items())))
                parts = urlsplit(self.path)
                if api.respond is not None:
                    status, headers, body = api.respond(parts.path, dict(parse_qsl(parts.query)))
                else:
                    status, headers, body = api.answers.pop(0) if len(api.answers) > 1 else api.answers[0]
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.root = f"http://127.0.0.1:{self.server.server_address[1]}"

    def says(self, *bodies: object) -> None:
        """Answer with these values."""
        self.answers = [json_answer(body) for body in bodies]


def json_answer(body: object, **headers: str) -> Answer:
    """A value as it is answered."""
    return 200, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode()


@contextmanager
def http_api() -> Iterator[HttpApi]:
    """The server, until the end of the block."""
    api = HttpApi()
    thread = Thread(target=api.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield api
    finally:
        api.server.shutdown()
        api.server.server_close()
        thread.join()

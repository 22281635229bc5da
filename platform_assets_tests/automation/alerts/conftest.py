"""Real servers that take what is delivered: HTTP, and SMTP with encryption and a password."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import dagster as dg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from dagster._daemon.types import DaemonHeartbeat

from platform_assets.local.servers import free_port
from platform_assets.settings import Settings, load_settings


class Call(NamedTuple):
    """A request that was received."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> Any:  # noqa: ANN401 - JSON
        """Its body."""
        return json.loads(self.body)


class Receiver:
    """Answers with the statuses of `answers`, one after the other, then with 200; keeps what it took."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.calls: list[Call] = []
        receiver = self

        class Receiving(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.answers.pop(0) if receiver.answers else 200
                receiver.calls.append(Call(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Receiving)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    taking = Receiver()
    thread = Thread(target=taking.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield taking
    taking.server.shutdown()
    taking.server.server_close()
    thread.join()


class Mails(Message):
    """Keeps what it is sent; refuses the address `nobody@example.com`."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[Any] = []

    def handle_message(self, message: Any) -> None:  # noqa: ANN401 - email.message.Message
        """Keeps one."""
        self.received.append(message)

    async def handle_RCPT(  # noqa: N802, PLR6301, RUF100 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Whether an address is taken."""
        if address == "nobody@example.com":
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"


class MailServer(NamedTuple):
    """Where it is, whom it trusts, what it took."""

    port: int
    certificate: Path
    mails: Mails


@pytest.fixture
def mail_server(tmp_path: Path) -> Iterator[MailServer]:
    """An SMTP server that wants STARTTLS, then `platform` with the password `s3cret`."""
    certificate = tmp_path / "smtp.pem"
    _write_certificate(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    mails = Mails()

    def authenticate(_s: SMTP, _session: Session, _e: Envelope, _mechanism: str, data: LoginPassword) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"platform", b"s3cret"), handled=False)

    controller = Controller(
        mails,
        hostname="127.0.0.1",
        port=free_port(),
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=authenticate,
    )
    controller.start()
    yield MailServer(controller.port, certificate, mails)
    controller.stop()


def _write_certificate(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of this test alone, which the environment has as well; no servers."""
    sources, routes = tmp_path / "sources", tmp_path / "alert_routes.yaml"
    sources.mkdir()
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path))
    monkeypatch.setenv("PLATFORM_SOURCES", str(sources))
    monkeypatch.setenv("PLATFORM_ALERT_ROUTES", str(routes))
    monkeypatch.setenv("PLATFORM_DAGIT_URL", "https://dagit.example.com")
    monkeypatch.delenv("PLATFORM_OPERATIONS_URI", raising=False)
    return load_settings()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster"), {"telemetry": {"enabled": False}}) as temporary:
        beat(temporary, datetime.now(UTC))
        yield temporary


def beat(instance: dg.DagsterInstance, at: datetime, daemons: Sequence[str] | None = None) -> None:
    for name in daemons or instance.get_required_daemon_types():
        instance.add_daemon_heartbeat(DaemonHeartbeat(at.timestamp(), name, None))

"""Every way out, against a real server: what arrives, what is tried again, what an error says and does not say."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from platform_assets.automation.alerts.channels import DeliveryFailed, deliver
from platform_assets.automation.alerts.incidents import Incident, Kind, Observation
from platform_assets.automation.alerts.messages import Message
from platform_assets.automation.alerts.rules import AlertSettings
from platform_assets.serving.signatures import WrongSignature, verify
from platform_assets.settings import Settings
from platform_assets.sources.model import AlertSeverity
from platform_assets_tests.automation.alerts.conftest import MailServer, Receiver

START = datetime(2026, 11, 20, 8, tzinfo=UTC)
LATE = Incident(
    Observation(
        Kind.FRESHNESS,
        "gold.fact_orders",
        "materialised 3 h ago, more than 2 h",
        START,
        owner="team:shop",
        look="/assets/gold/fact_orders",
        late_ancestor="bronze.carts",
    ),
    "Late for its readers",
    AlertSeverity.CRITICAL,
    ("any",),
    START,
)
OVER = Incident(
    Observation(Kind.RUN_FAILED, "silver.<b>&", "its step failed", START, look="/runs/1"),
    "Pipeline failure",
    AlertSeverity.WARNING,
    ("any",),
    START,
    recovered_at=START + timedelta(minutes=90),
)
MESSAGE = Message([OVER, LATE], START + timedelta(hours=2), "https://dagit.example.com/")


def routes(**route: object) -> AlertSettings:
    return AlertSettings.model_validate({"routes": {"it": route}})


def test_slack_is_told_everything_in_one_escaped_message(
    here: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_SECRET_SLACK", f"{receiver.url}/services/T0/B0")
    deliver(here, routes(kind="slack", url_secret="slack"), "it", MESSAGE)
    (call,) = receiver.calls
    assert call.path == "/services/T0/B0"
    assert call.said == {
        "text": "[critical] Late for its readers: gold.fact_orders (and 1 more)\n\n"
        "[critical] Late for its readers: gold.fact_orders\n"
        "materialised 3 h ago, more than 2 h\n"
        "since 2026-11-20 08:00:00 UTC\n"
        "first late table upstream: bronze.carts\n"
        "owner: team:shop\n"
        "https://dagit.example.com/assets/gold/fact_orders\n"
        "runbook: docs/runbooks/performance-degradation.md\n\n"
        "[recovered] Pipeline failure: silver.&lt;b&gt;&amp;\n"
        "was: its step failed\n"
        "from 2026-11-20 08:00:00 UTC to 2026-11-20 09:30:00 UTC (1 h 30 min)\n"
        "https://dagit.example.com/runs/1"
    }


def test_a_webhook_is_signed_so_that_the_receiver_can_tell_who_calls(
    here: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_SECRET_AUDIT", "between-us")
    deliver(here, routes(kind="webhook", url=f"{receiver.url}/in", signing_secret="audit"), "it", MESSAGE)
    (call,) = receiver.calls
    verify("github", "between-us", call.headers, call.body, 0)
    with pytest.raises(WrongSignature):
        verify("github", "between-us", call.headers, call.body + b" ", 0)
    assert [(one["status"], one["severity"], one["link"]) for one in call.said["incidents"]] == [
        ("firing", "critical", "https://dagit.example.com/assets/gold/fact_orders"),
        ("recovered", "warning", "https://dagit.example.com/runs/1"),
    ]


def test_pagerduty_gets_a_trigger_and_a_resolve_that_finds_it(
    here: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_SECRET_PD", "R0UT1NG")
    deliver(here, routes(kind="pagerduty", routing_key_secret="pd", url=receiver.url), "it", MESSAGE)
    trigger, resolve = receiver.calls
    assert trigger.path == resolve.path == "/v2/enqueue"
    assert trigger.said == {
        "routing_key": "R0UT1NG",
        "event_action": "trigger",
        "dedup_key": hashlib.sha256(b"freshness_failed//gold.fact_orders").hexdigest(),
        "payload": {
            "summary": "Late for its readers: gold.fact_orders: materialised 3 h ago, more than 2 h",
            "source": "gold.fact_orders",
            "severity": "critical",
            "timestamp": "2026-11-20T08:00:00+00:00",
            "class": "freshness_failed",
            "custom_details": {
                "owner": "team:shop",
                "late_ancestor": "bronze.carts",
                "runbook": "docs/runbooks/performance-degradation.md",
            },
        },
        "links": [{"href": "https://dagit.example.com/assets/gold/fact_orders", "text": "Dagit"}],
    }
    assert resolve.said == {
        "routing_key": "R0UT1NG",
        "event_action": "resolve",
        "dedup_key": hashlib.sha256(OVER.seen.fingerprint.encode()).hexdigest(),
    }


def mail_settings(server: MailServer, **changes: object) -> AlertSettings:
    smtp = {
        "host": "localhost",
        "port": server.port,
        "sender": "platform@example.com",
        "user": "platform",
        "password_secret": "smtp",
        "ca_file": str(server.certificate),
        **changes,
    }
    return AlertSettings.model_validate({"smtp": smtp})


def test_an_address_gets_an_encrypted_and_authenticated_mail(
    here: Settings, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_SECRET_SMTP", "s3cret")
    deliver(here, mail_settings(mail_server), "data-team@example.com", MESSAGE)
    (mail,) = mail_server.mails.received
    assert (mail["From"], mail["To"]) == ("platform@example.com", "data-team@example.com")
    assert mail["Subject"] == "[critical] Late for its readers: gold.fact_orders (and 1 more)"
    assert "since 2026-11-20 08:00:00 UTC" in mail.get_payload()


@pytest.mark.parametrize(
    ("password", "to", "trusted", "expected"),
    [
        ("wrong", "data-team@example.com", True, "answers 535"),
        ("s3cret", "nobody@example.com", True, "refuses: SMTPRecipientsRefused"),
        ("s3cret", "data-team@example.com", False, "SSLCertVerificationError"),
    ],
)
def test_mail_that_is_not_taken_is_told_without_the_password(
    here: Settings,
    mail_server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
    *,
    password: str,
    to: str,
    trusted: bool,
    expected: str,
) -> None:
    monkeypatch.setenv("PLATFORM_SECRET_SMTP", password)
    with pytest.raises(DeliveryFailed, match=expected) as failed:
        deliver(here, mail_settings(mail_server, **({} if trusted else {"ca_file": None})), to, MESSAGE)
    assert password not in str(failed.value)
    assert mail_server.mails.received == []


@pytest.mark.parametrize(("answers", "calls"), [([503, 429], 3), ([500], 2), ([], 1)])
def test_what_may_pass_is_tried_again(here: Settings, receiver: Receiver, answers: list[int], calls: int) -> None:
    receiver.answers = answers
    deliver(here, routes(kind="webhook", url=receiver.url), "it", MESSAGE)
    assert len(receiver.calls) == calls


def test_a_refusal_is_not_tried_again(here: Settings, receiver: Receiver) -> None:
    receiver.answers = [403]
    with pytest.raises(DeliveryFailed, match="route 'it': refuses with 403"):
        deliver(here, routes(kind="webhook", url=receiver.url), "it", MESSAGE)
    assert len(receiver.calls) == 1


def test_the_address_of_a_slack_channel_is_in_no_error(here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM_SECRET_SLACK", "http://127.0.0.1:1/services/T0/B0/very-secret")
    with pytest.raises(DeliveryFailed, match="does not answer: ConnectError") as failed:
        deliver(here, routes(kind="slack", url_secret="slack"), "it", MESSAGE)
    assert "very-secret" not in str(failed.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nowhere", "route 'nowhere' is not declared"),
        ("someone@example.com", "`smtp` is not set"),
        ("it", "No secret 'missing'"),
    ],
)
def test_what_is_not_set_up_is_told_with_what_to_do(here: Settings, name: str, expected: str) -> None:
    with pytest.raises(DeliveryFailed, match=expected):
        deliver(here, routes(kind="slack", url_secret="missing"), name, MESSAGE)


def test_a_long_message_names_twenty_and_counts_the_rest() -> None:
    text = Message([LATE] * 25, START).text
    assert text.count("[critical]") == 20
    assert text.endswith("… and 5 more: `platform-assets alerts list`")

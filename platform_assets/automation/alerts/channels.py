"""The ways out: Slack, any webhook, PagerDuty, e-mail. Each either delivers the whole message or raises.

What it raises names the route and the kind of failure, never an address that is a secret.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import smtplib
import ssl
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

from platform_assets.automation.alerts.rules import (
    AlertSettings,
    EmailRoute,
    PagerDutyRoute,
    Route,
    SlackRoute,
    Smtp,
    WebhookRoute,
)
from platform_assets.settings import SettingsError

if TYPE_CHECKING:
    from platform_assets.automation.alerts.messages import Message
    from platform_assets.settings import Settings

SIGNATURE_HEADER = "X-Hub-Signature-256"  # `sha256=<hex>` over the body, which GitHub's libraries verify
_TIMEOUT = 4.0
_ATTEMPTS = 3
_MOST_EVENTS = 20  # PagerDuty takes one event a request
_HEADER_LENGTH = 200


class DeliveryFailed(Exception):
    """A route did not take the message; the text says why and what to do."""


class _Transient(DeliveryFailed):
    """It may well take it in a moment."""


def route_of(alerts: AlertSettings, name: str) -> Route:
    """What a name, or an e-mail address, stands for.

    Raises:
        DeliveryFailed: nothing.
    """
    if name in alerts.routes:
        return alerts.routes[name]
    if "@" in name:
        return EmailRoute(kind="email", to=(name,))
    known = ", ".join(alerts.routes) or "none"
    raise DeliveryFailed(
        f"route {name!r} is not declared (known: {known}); add it to `routes` of PLATFORM_ALERT_ROUTES"
    )


def at_once(alerts: AlertSettings, name: str) -> int | None:
    """How many incidents the route takes in one message; None for any number."""
    return _MOST_EVENTS if isinstance(alerts.routes.get(name), PagerDutyRoute) else None


def deliver(settings: Settings, alerts: AlertSettings, name: str, message: Message) -> None:
    """Sends a message to a route, again after a moment where that may help.

    Raises:
        DeliveryFailed: it was not taken.
    """
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

    route = route_of(alerts, name)
    patient = Retrying(
        retry=retry_if_exception_type(_Transient),
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.2, max=2),
        reraise=True,
    )
    try:
        patient(_send, settings, alerts, route, message)
    except (SettingsError, DeliveryFailed) as error:
        raise DeliveryFailed(f"route {name!r}: {error}") from None


def _send(settings: Settings, alerts: AlertSettings, route: Route, message: Message) -> None:
    if isinstance(route, SlackRoute):
        url = settings.require_secret(route.url_secret).get_secret_value()
        _post(url, {"text": _for_slack(f"{message.title}\n\n{message.text}")})
    elif isinstance(route, WebhookRoute):
        secret = settings.require_secret(route.signing_secret) if route.signing_secret else None
        _post(route.url, message.as_json(), secret.get_secret_value() if secret else None)
    elif isinstance(route, PagerDutyRoute):
        key = settings.require_secret(route.routing_key_secret).get_secret_value()
        for event in pagerduty_events(message):
            _post(f"{route.url.rstrip('/')}/v2/enqueue", {"routing_key": key, **event})
    else:
        _mail(settings, alerts.smtp, route.to, message)


def pagerduty_events(message: Message) -> list[dict[str, Any]]:
    """The message as events of PagerDuty's Events API v2: a trigger or a resolve for each incident."""
    events: list[dict[str, Any]] = []
    for incident in [*message.firing, *message.recovered]:
        one = message.one(incident)
        key = hashlib.sha256(one["fingerprint"].encode()).hexdigest()
        if not incident.open:
            events.append({"event_action": "resolve", "dedup_key": key})
            continue
        payload = {
            "summary": f"{incident.rule}: {incident.seen.subject}: {incident.seen.what}"[:1024],
            "source": incident.seen.subject,
            "severity": incident.severity.value,
            "timestamp": one["since"],
            "class": one["kind"],
            "custom_details": {name: one[name] for name in ("owner", "late_ancestor", "runbook")},
        }
        links = [{"href": one["link"], "text": "Dagit"}] if one["link"] else []
        events.append({"event_action": "trigger", "dedup_key": key, "payload": payload, "links": links})
    return events


def _post(url: str, body: Mapping[str, Any], secret: str | None = None) -> None:
    import httpx

    content = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    if secret is not None:
        headers[SIGNATURE_HEADER] = f"sha256={hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()}"
    try:
        answer = httpx.post(url, content=content, headers=headers, timeout=_TIMEOUT)
    except httpx.InvalidURL:
        raise DeliveryFailed("its address is no URL") from None
    except httpx.HTTPError as error:
        raise _Transient(f"does not answer: {type(error).__name__}") from None
    if answer.status_code == 429 or answer.status_code >= 500:
        raise _Transient(f"answers {answer.status_code}")
    if not answer.is_success:
        raise DeliveryFailed(f"refuses with {answer.status_code}; is its address, or its key, still right?")


def _mail(settings: Settings, smtp: Smtp | None, to: Sequence[str], message: Message) -> None:
    if smtp is None:
        raise DeliveryFailed("is e-mail, and `smtp` is not set in PLATFORM_ALERT_ROUTES")
    mail = EmailMessage()
    mail["From"], mail["To"] = smtp.sender, ", ".join(to)
    mail["Subject"] = " ".join(message.title.split())[:_HEADER_LENGTH]
    mail.set_content(message.text)
    try:
        with smtplib.SMTP(smtp.host, smtp.port, timeout=_TIMEOUT) as server:
            if smtp.starttls:
                server.starttls(context=ssl.create_default_context(cafile=smtp.ca_file))
            if smtp.user is not None and smtp.password_secret is not None:
                server.login(smtp.user, settings.require_secret(smtp.password_secret).get_secret_value())
            refused = server.send_message(mail)
    except smtplib.SMTPResponseException as error:
        kind = _Transient if 400 <= error.smtp_code < 500 else DeliveryFailed
        raise kind(f"{smtp.host}:{smtp.port} answers {error.smtp_code}") from None
    except (smtplib.SMTPRecipientsRefused, smtplib.SMTPNotSupportedError) as error:
        raise DeliveryFailed(f"{smtp.host}:{smtp.port} refuses: {type(error).__name__}") from None
    except (OSError, smtplib.SMTPException) as error:
        raise _Transient(f"{smtp.host}:{smtp.port} does not answer: {type(error).__name__}") from None
    if refused:
        raise DeliveryFailed(f"{smtp.host}:{smtp.port} refuses {len(refused)} of {len(to)} addresses")


def _for_slack(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

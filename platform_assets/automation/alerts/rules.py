"""The file of the routes and of the rules that hold for the whole platform: `alert_routes.yaml`, typed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from platform_assets.automation.alerts.incidents import Incident, Kind, Observation, Verdict
from platform_assets.sources.alerts import alert_rules
from platform_assets.sources.model import AlertSeverity, Source
from platform_assets.sources.problems import refused
from platform_assets.sources.yaml_file import read_yaml

_SECRET = Field(description="Name of a secret: `PLATFORM_SECRET_<NAME>`, or the file `secrets/<name>` under home.")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SlackRoute(_Strict):
    """A channel's incoming webhook, of which the address is the secret."""

    kind: Literal["slack"]
    url_secret: Annotated[str, _SECRET]


class WebhookRoute(_Strict):
    """Any address that takes JSON, signed with HMAC-SHA256 if there is a secret."""

    kind: Literal["webhook"]
    url: Annotated[str, Field(pattern="^https?://")]
    signing_secret: Annotated[str | None, _SECRET] = None


class PagerDutyRoute(_Strict):
    """A service of PagerDuty, by the Events API v2."""

    kind: Literal["pagerduty"]
    routing_key_secret: Annotated[str, _SECRET]
    url: Annotated[str, Field(pattern="^https?://")] = "https://events.pagerduty.com"


class EmailRoute(_Strict):
    """Addresses under one name; a single address needs no route."""

    kind: Literal["email"]
    to: tuple[str, ...] = Field(min_length=1)


Route = Annotated[SlackRoute | WebhookRoute | PagerDutyRoute | EmailRoute, Field(discriminator="kind")]


class Smtp(_Strict):
    """The server that sends e-mail."""

    host: str
    port: int = Field(default=587, ge=1, le=65535)
    sender: str
    starttls: bool = True
    ca_file: Path | None = Field(default=None, description="Certificates to trust beside the system's.")
    user: str | None = None
    password_secret: Annotated[str | None, _SECRET] = None

    @model_validator(mode="after")
    def _never_in_clear(self) -> Smtp:
        if (self.user is None) != (self.password_secret is None):
            raise ValueError("`user` and `password_secret` belong together; give both or neither")
        if self.user is not None and not self.starttls:
            raise ValueError("a password is not sent without encryption: set `starttls: true`, or leave out `user`")
        return self


class Rule(_Strict):
    """What is told of trouble of one kind."""

    name: str
    when: Kind
    severity: AlertSeverity
    subjects: tuple[str, ...] = Field(default=("*",), description="Patterns, such as `gold.*`.")
    notify: tuple[str, ...] | None = Field(default=None, description="Instead of the file's `notify`.")


class Maintenance(_Strict):
    """A time in which nobody is told that something begins to fail."""

    starts: datetime = Field(alias="from")
    ends: datetime = Field(alias="to")
    subjects: tuple[str, ...] = ("*",)
    reason: str = Field(min_length=1)

    @field_validator("starts", "ends")
    @classmethod
    def _with_zone(cls, moment: datetime) -> datetime:
        if moment.tzinfo is None:
            raise ValueError(f"{moment:%Y-%m-%dT%H:%M} has no time zone; write it as `{moment:%Y-%m-%dT%H:%M}Z`")
        return moment.astimezone(UTC)

    @model_validator(mode="after")
    def _forward(self) -> Maintenance:
        if self.ends <= self.starts:
            raise ValueError("`to` is not after `from`")
        return self


class AlertSettings(_Strict):
    """The whole of the file."""

    notify: tuple[str, ...] = Field(default=(), description="Routes or e-mail addresses of the platform's own rules.")
    routes: dict[str, Route] = Field(default_factory=dict)
    smtp: Smtp | None = None
    rules: tuple[Rule, ...] = ()
    maintenance: tuple[Maintenance, ...] = ()
    quiet_minutes: int = Field(default=240, ge=1, description="An open incident is told again after so long.")

    @property
    def quiet(self) -> timedelta:
        """Time between two messages of one incident that lasts."""
        return timedelta(minutes=self.quiet_minutes)

    def judge(self, own: Mapping[tuple[str, str], Verdict]) -> Callable[[Observation], Verdict | None]:
        """What finds the first rule that an observation falls under; of a metric, the source's `own`."""

        def judged(seen: Observation) -> Verdict | None:
            if seen.kind is Kind.METRIC:
                return own.get((seen.subject, seen.name))
            for rule in self.rules:
                if rule.when is seen.kind and _matches(seen.subject, rule.subjects):
                    return Verdict(rule.name, rule.severity, self.notify if rule.notify is None else rule.notify)
            return None

        return judged

    def silence(self, incident: Incident, now: datetime) -> Maintenance | None:
        """The declared maintenance that an incident falls into."""
        for window in self.maintenance:
            if window.starts <= now < window.ends and _matches(incident.seen.subject, window.subjects):
                return window
        return None


def own_rules(sources: Sequence[Source]) -> dict[tuple[str, str], Verdict]:
    """The sources' own rules, by source and name."""
    return {
        (source.name, rule.name): Verdict(rule.name, rule.severity, (rule.notification,))
        for source in sources
        for rule in alert_rules(source)
    }


def _matches(subject: str, patterns: tuple[str, ...]) -> bool:
    """A pattern is about a whole subject, or about its table whatever the partition."""
    table = re.split(r"[ :]", subject, maxsplit=1)[0]
    return any(fnmatchcase(subject, pattern) or fnmatchcase(table, pattern) for pattern in patterns)


def read_alert_settings(path: Path) -> AlertSettings:
    """The file's content; read again whenever it has changed.

    Raises:
        SourceError: it is not there, is no YAML, or says what no file can mean; the message names the line.
    """
    stamp = path.stat().st_mtime_ns if path.is_file() else 0
    return _read(path, stamp)


@lru_cache(maxsize=4)
def _read(path: Path, _: int) -> AlertSettings:
    yaml = read_yaml(path)
    try:
        return AlertSettings.model_validate(dict(yaml.data))
    except ValidationError as error:
        raise refused(yaml, AlertSettings, error, ()) from None

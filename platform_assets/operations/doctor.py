"""Finds out what is wrong with an installation, and says what to do: one finding per thing that can be wrong."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from platform_assets.settings import SettingsError, expanded

if TYPE_CHECKING:
    from platform_assets.settings import Settings

State = Literal["ok", "warning", "broken"]
_PACKAGES = ("dagster", "dagster-webserver", "dagster-dbt", "dbt-core", "dbt-duckdb", "duckdb", "pandera", "pyiceberg")
_OLDEST_PYTHON = (3, 11)
_UNREACHABLE = (
    "if this machine should run it: `platform-assets up`; in the cloud: check the credentials "
    "(GOOGLE_APPLICATION_CREDENTIALS) and GOOGLE_CLOUD_PROJECT"
)
_ADVICE = {
    "landing bucket": f"{_UNREACHABLE}, PLATFORM_LANDING_BUCKET",
    "Pub/Sub": _UNREACHABLE,
    "lakehouse": "check PLATFORM_CATALOG_URI and PLATFORM_WAREHOUSE",
}
_SHOWN = 5  # of a list
_LITTLE_SPACE = 2 * 1024**3  # bytes


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, its state, what was seen, and what to do if it is not ok."""

    what: str
    state: State
    seen: str
    advice: str = ""

    def as_json(self) -> dict[str, object]:
        """One flat object."""
        return {"what": self.what, "state": self.state, "seen": self.seen, "advice": self.advice}


def diagnose(settings: Settings) -> list[Finding]:
    """Looks at everything; a look that fails is a finding itself."""
    looks: list[tuple[str, Callable[[Settings], Iterator[Finding]]]] = [
        ("python", _python),
        ("packages", _packages),
        ("home", _home),
        ("PII key", _pii_key),
        ("sources", _sources),
        ("graph", _graph),
        ("lakehouse", _lakehouse),
        ("parked partitions", _parked),
        ("landing bucket", _landing),
        ("Pub/Sub", _pubsub),
        ("APIs", _apis),
    ]
    findings: list[Finding] = []
    for what, look in looks:
        try:
            findings.extend(look(settings))
        except Exception as error:  # noqa: BLE001 - whatever a look meets is what the doctor has to tell
            seen = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            findings.append(Finding(what, "broken", seen, _ADVICE.get(what, "")))
    return findings


def _python(_: Settings) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < _OLDEST_PYTHON:
        yield Finding("python", "broken", version, "install Python 3.11 or newer and run `make install` again")
    else:
        yield Finding("python", "ok", version)


def _packages(_: Settings) -> Iterator[Finding]:
    for package in _PACKAGES:
        try:
            yield Finding(package, "ok", importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(package, "broken", "not installed", "run `make install`")


def _home(settings: Settings) -> Iterator[Finding]:
    home = settings.home.resolve()
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    seen = f"{home}, {free / 1024**3:.1f} GiB free"
    if free < _LITTLE_SPACE:
        yield Finding("home", "warning", seen, "make room, or set PLATFORM_HOME to a larger disk")
    else:
        yield Finding("home", "ok", seen)


def _pii_key(settings: Settings) -> Iterator[Finding]:
    try:
        settings.require_pii_key()
    except SettingsError as error:
        yield Finding("PII key", "warning", "none", str(error))
    else:
        yield Finding("PII key", "ok", "present")


def _sources(settings: Settings) -> Iterator[Finding]:
    from platform_assets.sources.registry import read_sources

    found = read_sources(settings.sources)
    for folder, error in found.broken.items():
        yield Finding(
            f"source {folder.name}", "broken", str(error), "mend it; `platform-assets source validate` checks"
        )
    yield Finding("sources", "ok", f"{len(found.sources)} can be used in {settings.sources}")


def _graph(settings: Settings) -> Iterator[Finding]:
    from platform_assets.lakehouse.declared import declared_tables

    yield Finding("graph", "ok", f"{len(declared_tables(settings.dbt_project))} tables declared")


def _lakehouse(settings: Settings) -> Iterator[Finding]:
    from platform_assets.lakehouse.catalog import Lakehouse

    names = Lakehouse(settings).tables()
    seen = f"{len(names)} tables in {settings.resolved_warehouse}"
    yield Finding("lakehouse", "ok" if names else "warning", seen, "" if names else "run `platform-assets up`")


def _parked(settings: Settings) -> Iterator[Finding]:
    from platform_assets.operations.parked import parked_partitions

    waiting = [one for one in parked_partitions(settings) if one.waits]
    if waiting:
        listed = ", ".join(f"{one.asset} {one.partition}".rstrip() for one in waiting[:_SHOWN])
        seen = f"{len(waiting)}: {listed}{', …' if len(waiting) > _SHOWN else ''}"
        advice = "`platform-assets partitions parked` says why; `partitions release` lets one go once that is mended"
        yield Finding("parked partitions", "warning", seen, advice)
    else:
        yield Finding("parked partitions", "ok", "none")


def _landing(settings: Settings) -> Iterator[Finding]:
    from platform_assets.ingestion.landing import Landing
    from platform_assets.sources.registry import load_sources

    landing = Landing(settings)
    for source in load_sources():
        odd = landing.odd_names(source.name)
        dates = landing.dates(source.name)
        seen = f"gs://{settings.landing_bucket}/source={source.name}/: {len(dates)} arrival dates"
        if odd:
            advice = "name objects source=<source>/date=<YYYY-MM-DD>/<name>; these are not ingested: " + ", ".join(
                odd[:_SHOWN]
            )
            yield Finding(f"landing {source.name}", "warning", f"{seen}, {len(odd)} odd names", advice)
        else:
            yield Finding(f"landing {source.name}", "ok", seen)


def _pubsub(settings: Settings) -> Iterator[Finding]:
    from google.api_core.exceptions import NotFound
    from google.cloud import pubsub_v1

    from platform_assets.ingestion.pubsub import subscription_path
    from platform_assets.sources.registry import load_sources

    with pubsub_v1.SubscriberClient() as subscriber:
        for source in load_sources():
            name = source.file.ingestion.subscription
            if name is None:
                continue
            path = subscription_path(settings, name)
            try:
                subscriber.get_subscription(subscription=path, timeout=5)
            except NotFound:
                yield Finding(
                    f"subscription {name}", "broken", "does not exist", "create it, or run `platform-assets up`"
                )
            else:
                yield Finding(f"subscription {name}", "ok", path)


def _apis(_: Settings) -> Iterator[Finding]:
    """Whether the address of each polled API can be reached; what it answers is between it and its credential."""
    import httpx

    from platform_assets.sources.registry import load_sources

    for source in load_sources():
        endpoint = source.file.ingestion.api_endpoint
        if endpoint is None:
            continue
        what, address = f"API of {source.name}", expanded(endpoint)
        try:
            answer = httpx.get(address, timeout=5)
        except httpx.HTTPError as error:
            yield Finding(what, "broken", f"{address}: {type(error).__name__}", f"check {endpoint}; {_UNREACHABLE}")
        else:
            state: State = "broken" if answer.status_code in {404, 410} or answer.is_server_error else "ok"
            yield Finding(what, state, f"{address} answers {answer.status_code}")

"""Connectors of one's own: a class beside the YAML, or of an installed package, that fetches records (S1-75).

The class is made with `params` of the YAML, and `secret` if `secret_name` is said. It has `fetch(since)`, which yields
mappings, or `transform(record)`, or both; see `docs/guides/write-a-connector.md`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from platform_assets.ingestion.connectors.base import Collected, ConnectorError
from platform_assets.ingestion.connectors.incremental import Position, land, settle
from platform_assets.sources.own_code import load_object

if TYPE_CHECKING:
    from platform_assets.ingestion.connectors.base import Context
    from platform_assets.settings import Settings
    from platform_assets.sources.model import Source

MAX_BYTES = 256 * 2**20  # of one fetch
FETCH_SECONDS = 40.0
_SINCE = "since"


class OwnConnector:
    """The connector that a source names, made with its params; all that it raises is told with its name.

    Raises:
        ConnectorError: making it failed, or it has neither `fetch` nor `transform`.
        CodeError: it cannot be loaded.
        SettingsError: its secret is missing.
    """

    def __init__(self, source: Source, settings: Settings) -> None:
        ingestion = source.file.ingestion
        self.reference = str(ingestion.connector)
        made = load_object(self.reference, source.folder)
        given: dict[str, Any] = dict(ingestion.params)
        self._secret = ""
        if ingestion.secret_name is not None:
            self._secret = settings.require_secret(ingestion.secret_name).get_secret_value()
            given["secret"] = self._secret
        with self._naming(""):
            self._connector = made(**given)
        self.fetches, self.transforms = (
            callable(getattr(self._connector, name, None)) for name in ("fetch", "transform")
        )
        if not (self.fetches or self.transforms):
            raise ConnectorError(f"{self.reference} has neither `fetch(since)` nor `transform(record)`; it needs one.")

    def fetch(self, since: datetime | None) -> Iterator[Mapping[str, Any]]:
        """Its records since a moment, those that are new at least."""
        with self._naming(".fetch"):
            yield from self._connector.fetch(since)

    def transformed(self, records: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """What its `transform` makes of each record; one for which it gives None is left out."""
        for record in records:
            made = self._mapping(record, "fetch")
            if self.transforms:
                with self._naming(".transform"):
                    made = self._connector.transform(record)
                if made is None:
                    continue
                made = self._mapping(made, "transform")
            yield made

    def _mapping(self, value: object, method: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ConnectorError(f"{self.reference}.{method} gave a {type(value).__name__}; expected a mapping.")
        return dict(value)

    @contextmanager
    def _naming(self, where: str) -> Iterator[None]:
        """Whatever it raises says who raised it, and not the secret."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - it is raised again
            secret = self._secret and self._secret in f"{error!r}{error}"
            text = str(error).replace(self._secret, "***") if secret else str(error)
            raise ConnectorError(f"{self.reference}{where} raised {type(error).__name__}: {text}") from (
                None if secret else error
            )


def collect(source: Source, context: Context, /) -> Collected:
    """Lands what the connector fetches as one object of JSON lines.

    Raises:
        ConnectorError: it raised an exception, fetched more than fits, or a record is no JSON; nothing is landed.
    """
    position, settled = settle(source.name, context, _advance)
    if settled is not None:
        return Collected([settled], again_in=0)
    connector = OwnConnector(source, context.settings)
    if not connector.fetches:
        raise ConnectorError(f"{connector.reference} has no `fetch(since)`, without which nothing arrives.")
    content, latest = bytearray(), time.monotonic() + FETCH_SECONDS
    for record in connector.transformed(connector.fetch(since_of(position))):
        content += json_line(record, connector.reference)
        if len(content) > MAX_BYTES or time.monotonic() > latest:
            raise ConnectorError(
                f"{connector.reference}.fetch gave more than {MAX_BYTES:,} bytes, or took longer than "
                f"{FETCH_SECONDS:.0f} s; fetch less at a time."
            )
    if not content:
        return Collected()  # what comes later is asked for since the same moment
    _, landed = land(source.name, context, bytes(content), {_SINCE: context.now.isoformat()}, _advance)
    return Collected([landed])


def since_of(position: Mapping[str, Any]) -> datetime | None:
    """When the last fetch that landed something began; None before the first."""
    told = position.get(_SINCE)
    return None if told is None else datetime.fromisoformat(str(told))


def json_line(record: Mapping[str, Any], reference: str) -> bytes:
    """A record as one line of JSON."""
    try:
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain)
        return f"{text}\n".encode()
    except (TypeError, ValueError) as error:
        raise ConnectorError(f"{reference} gave a record that is no JSON: {error}") from None


def _plain(value: object) -> str:
    """Moments and days as ISO 8601 has them; anything else has to be made JSON by the connector."""
    from datetime import date

    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"a value of type {type(value).__name__}")


def _advance(_: Position, __: bytes, words: Mapping[str, str]) -> Position:
    return {_SINCE: words[_SINCE]}

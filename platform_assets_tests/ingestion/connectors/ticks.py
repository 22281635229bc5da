"""Ticks of a connector, at times that the test says, against real servers."""

from __future__ import annotations

import json
import logging
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from platform_assets.ingestion.connectors import Collected, Context, collect
from platform_assets.ingestion.landing import Landing
from platform_assets.ingestion.ledger import Ledger
from platform_assets.sources.registry import load_source

if TYPE_CHECKING:
    from platform_assets.ingestion.landing import LandingObject
    from platform_assets.settings import Settings
    from platform_assets.sources.model import Source


def write_source(
    root: Path,
    name: str,
    *,
    schema: dict[str, Any] | None = None,
    code: str | None = None,
    **said: Any,  # noqa: ANN401
) -> Source:
    """A source in the short form, with a schema and a `mine.py` beside it if they are given."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "source.yaml").write_text(yaml.safe_dump({"source_id": name, **said}), encoding="utf-8")
    if schema is not None:
        (folder / "schema.v1.json").write_text(json.dumps(schema), encoding="utf-8")
    if code is not None:
        (folder / "mine.py").write_text(code, encoding="utf-8")
    return load_source(folder)


class Ticks:
    """The platform around one source: its ticks, and what they have landed."""

    def __init__(self, settings: Settings, source: Source) -> None:
        self.settings, self.source = settings, source
        self.landing, self.ledger = Landing(settings), Ledger(settings)
        self.now = datetime.now(UTC)

    def context(self, *, budget: float = 20.0) -> Context:
        """What the connector is given."""
        import time

        logger = logging.getLogger(__name__)
        return Context(self.settings, self.landing, self.ledger, logger, self.now, time.monotonic() + budget)

    def __call__(self, *, after: float = 0.0, budget: float = 20.0) -> Collected:
        """One tick, so many seconds after the one before; the ledger sees what it landed, as with the sensor."""
        self.now += timedelta(seconds=after)
        collected = collect(self.source, self.context(budget=budget))
        self.ledger.record_seen(collected.objects)
        return collected

    def landed(self) -> list[LandingObject]:
        """All objects of the source."""
        return self.landing.objects(self.source.name)

    def contents(self) -> list[bytes]:
        """Their bytes, by name."""
        with tempfile.TemporaryDirectory() as folder:
            return [path.read_bytes() for path in self.landing.download(self.landed(), Path(folder))]

    def records(self) -> list[Any]:
        """Their lines, parsed."""
        return [json.loads(line) for content in self.contents() for line in content.splitlines()]

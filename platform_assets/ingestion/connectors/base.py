"""What every connector is given, what it gives back, and how its failures are told."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import logging
    from collections.abc import Sequence
    from datetime import date, datetime

    from platform_assets.ingestion.landing import Landing, LandingObject
    from platform_assets.ingestion.ledger import Ledger
    from platform_assets.settings import Settings
    from platform_assets.sources.model import Source

BUDGET_SECONDS = 20.0  # a sensor's tick has a minute in all
_SUFFIX = re.compile(r"((\.[A-Za-z0-9]{1,10})?\.gz|\.[A-Za-z0-9]{1,10})$")
_LONGEST_STEM = 120


class ConnectorError(RuntimeError):
    """A source could not be collected; the message names the source, what is wrong and what to do next."""


@dataclass(frozen=True)
class Context:
    """One tick, as its connector sees it.

    Attributes:
        now: the tick's time, UTC.
        deadline: on the monotonic clock, in seconds: nothing new is begun after it.
    """

    settings: Settings
    landing: Landing
    ledger: Ledger
    log: logging.Logger
    now: datetime
    deadline: float = field(default_factory=lambda: time.monotonic() + BUDGET_SECONDS)

    @property
    def time_is_up(self) -> bool:
        """Whether the tick has to come to its end."""
        return time.monotonic() > self.deadline

    def arrival_date(self, moment: datetime) -> date:
        """The partition of something that came to be at a moment: its date (UTC), if there is such a partition."""
        from datetime import UTC

        return max(self.settings.partitions_start, min(moment.astimezone(UTC).date(), self.now.date()))


@dataclass(frozen=True)
class Collected:
    """What a tick has landed.

    Attributes:
        objects: durable in landing, some of them perhaps since an earlier tick.
        again_in: seconds after which the connector wants to be asked again, if it has not come to its end.
    """

    objects: Sequence[LandingObject] = ()
    again_in: float | None = None


class Collect(Protocol):
    """A connector: lands what is new for a source, unchanged, within the tick's time.

    Whatever is killed, asking again lands the rest and nothing twice: what has landed is known by landing itself, by
    the ledger, or by names that are made from what they hold. The origin is told only after the object is durable.
    """

    def __call__(self, source: Source, context: Context, /) -> Collected:
        """Land it."""


def landing_file_name(path: str, version: str) -> str:
    """A flat name for one version of something that is called `path` where it comes from.

    Only plain characters, never the same for two paths or versions, and its suffix stays, which tells its format.
    """
    suffix = match[0] if (match := _SUFFIX.search(path)) else ""
    plain = path.removesuffix(suffix)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", plain)[-_LONGEST_STEM:].lstrip("._-")
    told = "" if stem == plain else f"{hashlib.sha256(path.encode()).hexdigest()[:12]}-"
    return f"{stem or 'object'}-{told}{version}{suffix}"

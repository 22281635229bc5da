"""APIs that tell their whole state: it is asked for once a day, or when the source's `schedule` says (S3-03)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_assets.ingestion.connectors.base import Collected
from platform_assets.ingestion.rest import credential_headers, land_snapshot
from platform_assets.settings import expanded

if TYPE_CHECKING:
    from platform_assets.ingestion.connectors.base import Context
    from platform_assets.settings import Settings
    from platform_assets.sources.model import Source


def collect(source: Source, context: Context, /) -> Collected:
    """Lands the answer, unless there is one of today already and the source has no schedule of its own."""
    ingestion = source.file.ingestion
    today = context.now.date()
    if ingestion.schedule is None and context.ledger.has_arrival(source.name, today):
        return Collected()
    url = expanded(str(ingestion.api_endpoint))
    headers = request_headers(source, context.settings)
    return Collected([land_snapshot(context.landing, source.name, url, today, headers=headers)])


def request_headers(source: Source, settings: Settings) -> dict[str, str]:
    """What an API source is sent with each request: the credential, if it wants one."""
    ingestion = source.file.ingestion
    if ingestion.auth_type == "none":
        return {}
    return credential_headers(ingestion.auth_type, settings.require_secret(str(ingestion.secret_name)))

"""Watches a `gs://` folder in which somebody else puts objects, and copies each generation into landing (S1-39, S1-73).

Also where a transfer service (S1-42) or a replication service (S1-41) puts them. The store copies by itself: no byte
passes through here. A folder of 100,000 objects is not listed whole every few seconds: a tick looks at what sorts after
everything known, which is where dated and numbered names appear, and at the next pages of a sweep over all names, which
finds everything else and whatever was overwritten.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from platform_assets.ingestion.connectors.base import Collected, ConnectorError, landing_file_name

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Client

    from platform_assets.ingestion.connectors.base import Context
    from platform_assets.ingestion.landing import LandingObject
    from platform_assets.sources.model import Source

PAGE = 1_000  # objects of one listing, the most that the store gives at once
PAGES_PER_TICK = 5
SWEEP_SECONDS = 2.0  # no further page of the sweep is listed after so long
_AT_ONCE = 8
_LISTED_FIELDS = "items(name,generation,size,timeCreated),nextPageToken"


def collect(source: Source, context: Context, /) -> Collected:
    """Copies new generations; an object that was overwritten is a new arrival under another name.

    Raises:
        ConnectorError: the bucket does not exist or may not be read, or the folder holds the source's own landing.
    """
    from google.cloud import storage

    address = str(source.file.ingestion.watched)
    bucket, _, folder = address.removeprefix("gs://").partition("/")
    _refuse_landing(context, bucket, folder, address)
    client = storage.Client(project=context.settings.project)
    watch = _Watch(source, context, client, bucket, folder)
    landed: list[LandingObject] = []
    progress = context.ledger.progress(source.name)
    newest, sweep = str(progress.position.get("newest", "")), str(progress.position.get("sweep", ""))
    if newest:
        page = watch.page(newest)
        landed += watch.copy(page)
        newest = max([newest, *(blob.name for blob in page)])
    began = time.monotonic()
    for _ in range(PAGES_PER_TICK):
        page = watch.page(sweep)
        landed += watch.copy(page)
        if context.time_is_up:  # what is left of the page is seen again
            break
        newest = max([newest, *(blob.name for blob in page)])
        sweep = page[-1].name if len(page) >= PAGE else ""
        if not sweep or time.monotonic() - began > SWEEP_SECONDS:
            break
    position: dict[str, object] = {"newest": newest, "sweep": sweep}
    if position != progress.position:
        context.ledger.save_progress(source.name, replace(progress, position=position))
    return Collected(landed)


class _Watch:
    def __init__(self, source: Source, context: Context, client: Client, bucket: str, folder: str) -> None:
        self._source, self._context, self._client = source, context, client
        self._bucket, self._folder = client.bucket(bucket), folder
        self._looked_at: set[str] = set()

    def page(self, start: str) -> list[Blob]:
        """The next objects in the order of names, from that one on, which may have been overwritten meanwhile."""
        from google.api_core.exceptions import Forbidden, NotFound

        listing = self._client.list_blobs(
            self._bucket,
            prefix=self._folder,
            start_offset=start or None,
            max_results=PAGE,
            fields=_LISTED_FIELDS,
        )
        try:
            return list(listing)
        except NotFound as error:
            raise ConnectorError(
                f"there is no bucket {self._bucket.name!r}, in which ingestion.{self._setting} watches "
                f"{self._folder or 'all objects'!r}. Create it, or correct the address."
            ) from error
        except Forbidden as error:
            raise ConnectorError(
                f"the objects of bucket {self._bucket.name!r} (ingestion.{self._setting}) may not be listed. Grant "
                "roles/storage.objectViewer on it to the account that the platform runs as."
            ) from error

    def copy(self, blobs: Sequence[Blob]) -> list[LandingObject]:
        """Lands those that have not landed yet, until the time is up."""
        names = {self._landing_name(blob): blob for blob in blobs if not (blob.name.endswith("/") and not blob.size)}
        new = self._context.ledger.unseen(self._source.name, names)
        wanted = [names[name] for name in sorted(new - self._looked_at)]
        self._looked_at |= new
        with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="copy") as pool:
            return [found for found in pool.map(self._land, wanted) if found is not None]

    @property
    def _setting(self) -> str:
        return "location" if self._source.file.ingestion.location else "destination"

    def _landing_name(self, blob: Blob) -> str:
        day = self._context.arrival_date(blob.time_created)
        return f"source={self._source.name}/date={day.isoformat()}/{self._file_name(blob)}"

    def _file_name(self, blob: Blob) -> str:
        return landing_file_name(blob.name.removeprefix(self._folder), str(blob.generation))

    def _land(self, blob: Blob) -> LandingObject | None:
        if self._context.time_is_up:
            return None
        day = self._context.arrival_date(blob.time_created)
        original = self._bucket.blob(blob.name, generation=blob.generation)
        return self._context.landing.copy(self._source.name, day, self._file_name(blob), original)


def _refuse_landing(context: Context, bucket: str, folder: str, address: str) -> None:
    """What is copied into a folder that is watched would be copied for ever."""
    for taken in ("source=", "dead_letter/"):
        if bucket == context.landing.bucket_name and (folder.startswith(taken) or taken.startswith(folder)):
            raise ConnectorError(
                f"{address} is, or holds, the platform's own landing. Objects that are dropped there need no "
                "ingestion.location; else watch a folder of their own."
            )

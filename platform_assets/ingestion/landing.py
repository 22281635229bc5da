"""The landing bucket: immutable objects `source=<source>/date=<YYYY-MM-DD>/<name>` exactly as they arrived (S1-25).

Everything that touches the bucket is here: landing an object, listing what has arrived, fetching it, and keeping what
could not be read as dead letters. What an object holds is no concern of this module.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from platform_assets.ingestion.dead_letters import DeadLetter, KeptLetter

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Bucket, Client

    from platform_assets.settings import Settings

DEAD_LETTER_PREFIX = "dead_letter/"
JSON_LINES = "application/x-ndjson"
_DATED = re.compile(r"source=(?P<source>[^/]+)/date=(?P<date>\d{4}-\d{2}-\d{2})/(?P<file>.*[^/])", re.DOTALL)
_SUFFIX = re.compile(r"((\.[A-Za-z0-9]{1,10})?\.gz|\.[A-Za-z0-9]{1,10})$")
_LISTED_FIELDS = "items(name,generation,size,timeCreated),nextPageToken"


class LandingError(RuntimeError):
    """The landing bucket cannot be used; the message says why and what to do."""


class ArrivalVanished(LandingError):
    """An object was overwritten or deleted after it had been listed: list again and take what is there now."""

    def __init__(self, arrival: LandingObject) -> None:
        self.object = arrival
        super().__init__(
            f"{arrival.uri} has no generation {arrival.generation} any more: it was overwritten or deleted after it "
            "had been listed. List the source again; an overwritten object is a new arrival."
        )


@dataclass(frozen=True, order=True)
class LandingObject:
    """One generation of one landing object.

    Attributes:
        name: full object name, from `source=` on.
        size: stored bytes.
        landed_at: when this generation was written (UTC).
    """

    source: str
    arrival_date: date
    name: str
    generation: int
    size: int
    landed_at: datetime
    bucket: str

    @property
    def uri(self) -> str:
        """Address as `gs://bucket/name`."""
        return f"gs://{self.bucket}/{self.name}"

    @property
    def file_name(self) -> str:
        """The part of the name after the date."""
        return self.name.split("/", 2)[2]


class Arrivals(Protocol):
    """Where bronze finds what has landed: the landing bucket, or files that are taken for it in a dry run."""

    def objects(self, source: str, arrival_date: date, /) -> list[LandingObject]:
        """What has arrived from a source on a date."""

    def download(self, objects: Sequence[LandingObject], directory: Path, /) -> list[Path]:
        """The objects as files in the directory, in the same order."""

    def put_dead_letters(
        self, letters: Iterable[DeadLetter], /, *, all_of: tuple[str, date] | None = None
    ) -> list[str]:
        """Keeps what could not be read, and of a source and date of which this is all, nothing else; returns where."""


class Landing:
    """The landing bucket of the settings. Transient errors are retried by the client library."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def bucket_name(self) -> str:
        """Name of the bucket."""
        return self._settings.landing_bucket

    def put(
        self,
        source: str,
        arrival_date: date,
        file_name: str,
        content: bytes | Path,
        *,
        content_type: str = JSON_LINES,
        metadata: Mapping[str, str] | None = None,
    ) -> LandingObject:
        """Land an object. It is durable when this returns; one that exists is returned as it is, never replaced.

        Args:
            source: the source's name.
            arrival_date: the day, which is part of its name.
            file_name: what comes after the day.
            content: the bytes, or the file that holds them.
            content_type: their media type.
            metadata: further words that the store keeps beside the object: see `remembered`.
        """
        from google.api_core.exceptions import NotFound, PreconditionFailed

        blob = self._bucket.blob(_landing_name(source, arrival_date, file_name))
        blob.metadata = dict(metadata) if metadata else None
        try:
            if isinstance(content, bytes):
                blob.upload_from_string(content, content_type=content_type, if_generation_match=0)
            else:
                blob.upload_from_filename(str(content), content_type=content_type, if_generation_match=0)
        except PreconditionFailed:
            blob.reload()
        except NotFound as error:
            raise self._no_bucket() from error
        return self._arrival(blob, source, arrival_date)

    def copy(self, source: str, arrival_date: date, file_name: str, original: Blob) -> LandingObject | None:
        """Land a copy of a generation of another bucket's object, made by the store itself, byte by byte the same.

        Returns:
            The object, new or landed before; None if the original has no such generation any more.
        """
        from google.api_core.exceptions import NotFound, PreconditionFailed

        found = self.find(source, arrival_date, file_name)
        if found is not None:  # asked first: the emulator does not know the precondition of a rewrite
            return found
        blob = self._bucket.blob(_landing_name(source, arrival_date, file_name))
        token = None
        try:
            while True:
                token, _, _ = blob.rewrite(original, token=token, if_generation_match=0)
                if token is None:
                    break
            blob.reload()
        except PreconditionFailed:  # another process was faster
            blob.reload()
        except NotFound as error:
            if not self._bucket.exists():
                raise self._no_bucket() from error
            return None
        return self._arrival(blob, source, arrival_date)

    def find(self, source: str, arrival_date: date, file_name: str) -> LandingObject | None:
        """The object of that name, if it has landed."""
        blob = self._bucket.get_blob(_landing_name(source, arrival_date, file_name))
        return None if blob is None else self._arrival(blob, source, arrival_date)

    def remembered(self, arrival: LandingObject) -> tuple[bytes, dict[str, str]]:
        """The content of an object and the words that it was landed with.

        Raises:
            ArrivalVanished: it was overwritten or deleted.
        """
        from google.api_core.exceptions import NotFound

        blob = self._bucket.blob(arrival.name, generation=arrival.generation)
        try:
            blob.reload()
            return blob.download_as_bytes(raw_download=True), dict(blob.metadata or {})
        except NotFound as error:
            raise ArrivalVanished(arrival) from error

    def objects(
        self, source: str, arrival_date: date | None = None, *, after: str | None = None, limit: int | None = None
    ) -> list[LandingObject]:
        """What has arrived from a source (on a date), in the order of names.

        Args:
            source: the source's name.
            arrival_date: only this date.
            after: only names that sort after this one: the name of the last object of the previous page.
            limit: at most so many.

        Names of any other form are left out, so that one odd name never stops a source: see `odd_names`.
        """
        found: list[LandingObject] = []
        prefix = f"source={source}/" if arrival_date is None else f"source={source}/date={arrival_date.isoformat()}/"
        for blob in self._list(prefix, after=after, page_size=None if limit is None else limit + 1):
            if limit is not None and len(found) >= limit:
                break
            arrival = self._well_formed(blob, source)
            if arrival is not None and arrival.name != after:
                found.append(arrival)
        return found

    def odd_names(self, source: str) -> list[str]:
        """Names under the source's prefix that are not `source=<source>/date=<YYYY-MM-DD>/<name>`: never ingested.

        Empty placeholders of folders are nothing odd.
        """
        listed = self._list(f"source={source}/")
        return [blob.name for blob in listed if not self._well_formed(blob, source) and not _is_folder(blob)]

    def dates(self, source: str) -> list[date]:
        """The arrival dates of which the source has objects, oldest first. Lists folders, not objects."""
        from google.api_core.exceptions import NotFound

        listing = self._client.list_blobs(self.bucket_name, prefix=f"source={source}/", delimiter="/")
        try:
            for _ in listing:  # the folders are known once the pages have been read
                pass
        except NotFound as error:
            raise self._no_bucket() from error
        folders = (folder.rstrip("/").rsplit("date=", 1)[-1] for folder in listing.prefixes)
        return sorted(found for folder in folders if (found := _as_date(folder)) is not None)

    def download(self, objects: Sequence[LandingObject], directory: Path, parallel: int = 8) -> list[Path]:
        """Fetch exactly the listed generations into `directory`, bytes as stored; paths in the order of `objects`.

        Raises:
            ArrivalVanished: an object was overwritten or deleted after it had been listed.
        """
        directory.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(max_workers=parallel, thread_name_prefix="landing") as pool:
            return list(pool.map(lambda arrival: self._fetch(arrival, directory), objects))

    def put_dead_letters(self, letters: Iterable[DeadLetter], *, all_of: tuple[str, date] | None = None) -> list[str]:
        """Keep dead letters, one JSONL object for each landing object; returns the URIs.

        Names depend on the landing object alone: replaying it writes the same names with the same content.

        Args:
            letters: what could not be read.
            all_of: source and arrival date, of which everything was read: what else is kept of them is removed.
        """
        names = []
        for arrival, group in groupby(sorted(letters, key=lambda one: one.order), key=lambda one: one.object):
            folder = _letter_folder(arrival.source, arrival.arrival_date)
            names.append(f"{folder}{arrival.file_name}.{arrival.generation}.jsonl")
            self._overwrite(names[-1], "".join(f"{letter.line}\n" for letter in group).encode())
        for blob in list(self._list(_letter_folder(*all_of))) if all_of else ():
            if blob.name not in names:
                blob.delete()
        return [f"gs://{self.bucket_name}/{name}" for name in names]

    def dead_letters(self, source: str, arrival_date: date) -> Iterator[KeptLetter]:
        """The dead letters of a source and arrival date, by object and record."""
        for blob in self._list(_letter_folder(source, arrival_date)):
            with blob.open("rb") as lines:
                yield from (KeptLetter.of(line.decode()) for line in lines)

    def dead_letter_counts(self, parallel: int = 8) -> dict[tuple[str, date], tuple[int, int]]:
        """For every source and arrival date with dead letters: how many objects have some, and how many in all."""
        counts: dict[tuple[str, date], tuple[int, int]] = {}
        blobs = list(self._list(DEAD_LETTER_PREFIX))
        with ThreadPoolExecutor(max_workers=parallel, thread_name_prefix="letters") as pool:
            for blob, letters in zip(blobs, pool.map(_lines_of, blobs), strict=True):
                match = _DATED.fullmatch(blob.name.removeprefix(DEAD_LETTER_PREFIX))
                arrival_date = _as_date(match["date"]) if match else None
                if match and arrival_date:
                    objects, before = counts.get((match["source"], arrival_date), (0, 0))
                    counts[match["source"], arrival_date] = (objects + 1, before + letters)
        return counts

    @cached_property
    def _client(self) -> Client:
        from google.cloud import storage

        return storage.Client(project=self._settings.project)

    @cached_property
    def _bucket(self) -> Bucket:
        return self._client.bucket(self.bucket_name)

    def _list(self, prefix: str, after: str | None = None, page_size: int | None = None) -> Iterator[Blob]:
        from google.api_core.exceptions import NotFound

        try:
            yield from self._client.list_blobs(
                self.bucket_name, prefix=prefix, start_offset=after, page_size=page_size, fields=_LISTED_FIELDS
            )
        except NotFound as error:
            raise self._no_bucket() from error

    def _well_formed(self, blob: Blob, source: str) -> LandingObject | None:
        match = _DATED.fullmatch(blob.name)
        arrival_date = _as_date(match["date"]) if match and match["source"] == source else None
        return None if arrival_date is None else self._arrival(blob, source, arrival_date)

    def _arrival(self, blob: Blob, source: str, arrival_date: date) -> LandingObject:
        return LandingObject(
            source=source,
            arrival_date=arrival_date,
            name=blob.name,
            generation=int(blob.generation),
            size=int(blob.size),
            landed_at=blob.time_created.astimezone(UTC),
            bucket=self.bucket_name,
        )

    def _fetch(self, arrival: LandingObject, directory: Path) -> Path:
        from google.api_core.exceptions import NotFound

        unique = hashlib.sha256(f"{arrival.uri}#{arrival.generation}".encode()).hexdigest()[:24]
        path = directory / f"{unique}{_suffix(arrival.name)}"
        blob = self._bucket.blob(arrival.name, generation=arrival.generation)
        try:
            # Raw: the store would otherwise inflate objects that carry a content encoding, or not, as it pleases.
            blob.download_to_filename(str(path), raw_download=True)
        except NotFound as error:
            raise ArrivalVanished(arrival) from error
        return path

    def _overwrite(self, name: str, content: bytes) -> None:
        from google.api_core.exceptions import NotFound
        from google.cloud.storage.retry import DEFAULT_RETRY

        try:
            # Same name, same content: repeating the write is harmless, so it may be retried without a precondition.
            self._bucket.blob(name).upload_from_string(content, content_type=JSON_LINES, retry=DEFAULT_RETRY)
        except NotFound as error:
            raise self._no_bucket() from error

    def _no_bucket(self) -> LandingError:
        return LandingError(
            f"The landing bucket {self.bucket_name!r} of project {self._settings.project!r} does not exist. Create it, "
            "or set PLATFORM_LANDING_BUCKET to the one that does."
        )


def _landing_name(source: str, arrival_date: date, file_name: str) -> str:
    name = f"source={source}/date={arrival_date.isoformat()}/{file_name}"
    if not _DATED.fullmatch(name):
        raise LandingError(f"{name!r} is no landing name: expected source=<source>/date=<YYYY-MM-DD>/<name>.")
    return name


def _letter_folder(source: str, arrival_date: date) -> str:
    return f"{DEAD_LETTER_PREFIX}source={source}/date={arrival_date.isoformat()}/"


def _as_date(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a calendar date has no zone
    except ValueError:
        return None


def _lines_of(blob: Blob) -> int:
    with blob.open("rb") as lines:
        return sum(1 for _ in lines)


def _is_folder(blob: Blob) -> bool:
    return bool(blob.name.endswith("/") and not blob.size)


def _suffix(name: str) -> str:
    match = _SUFFIX.search(name)
    return match[0] if match else ".jsonl"

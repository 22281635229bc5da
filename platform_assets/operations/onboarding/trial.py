"""A dry run of a source: its sample through the real reading, conforming and publishing, in a scratch lakehouse.

Nothing outside of a temporary folder is written. What the source refers to is looked up in the configured lakehouse.
"""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_assets.ingestion.dead_letters import DeadLetter
from platform_assets.ingestion.landing import LandingObject
from platform_assets.settings import Settings, SettingsError
from platform_assets.sources.contracts import EVENT_DATE
from platform_assets.sources.model import Kind, SilverTable, Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from platform_assets.lakehouse.catalog import Lakehouse

SAMPLE_FOLDER = "sample"
_RUN = "trial"


@dataclass(frozen=True)
class TableTrial:
    """What became of a silver table.

    Attributes:
        quarantined: broken rules, as rows broke them together, to how many rows did.
        warnings: rules that only count to how many rows break them.
        blocked: why the table would not be published, empty if it would.
        not_checked: what could not be judged here, in words.
    """

    table: str
    rows_in: int = 0
    rows_out: int = 0
    rows_quarantined: int = 0
    rows_duplicate: int = 0
    partitions: int = 0
    quarantined: Mapping[str, int] = field(default_factory=dict)
    warnings: Mapping[str, int] = field(default_factory=dict)
    blocked: str = ""
    not_checked: tuple[str, ...] = ()

    @property
    def published(self) -> bool:
        """Whether it would be published, with rows if there were any."""
        return not self.blocked and bool(self.rows_out or not self.rows_in)


@dataclass(frozen=True)
class Trial:
    """What became of the sample.

    Attributes:
        files: what was read.
        records: rows in bronze.
        dead_letters: why records could not be read, to how many for each reason.
        unexpected: members that the schema does not have, to how many records have them.
        seconds: how long each stage took.
    """

    source: str
    files: tuple[str, ...]
    records: int
    dead_letters: Mapping[str, int]
    unexpected: Mapping[str, int]
    tables: tuple[TableTrial, ...]
    seconds: Mapping[str, float]

    @property
    def passed(self) -> bool:
        """Whether something could be read, and every table would be published."""
        return self.records > 0 and all(table.published for table in self.tables)


def try_source(settings: Settings, source: Source, samples: Sequence[Path]) -> Trial:
    """Takes files through landing, bronze and silver as if they had arrived today.

    Args:
        settings: where the tables are that the source refers to.
        source: what is tried.
        samples: files as the source would drop them.
    """
    from platform_assets.ingestion.bronze import ingest
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.drift import unexpected_members
    from platform_assets.lakehouse.reader import relation

    today = datetime.now(UTC).date()
    with tempfile.TemporaryDirectory(prefix=f"try-{source.name}-") as folder:
        scratch = _scratch_settings(settings, Path(folder))
        lakehouse = Lakehouse(scratch)
        landing = _Files(source, samples, today)
        seconds: dict[str, float] = {}
        with _timed(seconds, "bronze"):
            ingested = ingest(scratch, lakehouse, source, today, rebuild=False, run_id=_RUN, landing=landing)
        bronze = f"bronze.{source.name}"
        with lakehouse.connect() as connection:
            rows = relation(lakehouse, bronze)
            unexpected = unexpected_members(connection, rows) if rows else ()
        tables = []
        for table in source.file.silver:
            with _timed(seconds, f"silver.{table.table}"):
                tables.append(_try_table(lakehouse, Lakehouse(settings), source, table))
    return Trial(
        source=source.name,
        files=tuple(path.name for path in samples),
        records=ingested.rows,
        dead_letters=dict(Counter(letter.reason for letter in landing.letters)),
        unexpected={f"{member.name} ({member.json_type})": member.records for member in unexpected},
        tables=tuple(tables),
        seconds=seconds,
    )


def samples_of(source: Source) -> list[Path]:
    """The files of the source's `sample` folder, by name; of several sources in one folder, each has one of its own."""
    own = source.folder / SAMPLE_FOLDER / source.name
    folder = own if own.is_dir() else source.folder / SAMPLE_FOLDER
    return sorted(path for path in folder.glob("*") if path.is_file()) if folder.is_dir() else []


def _try_table(scratch: Lakehouse, real: Lakehouse, source: Source, table: SilverTable) -> TableTrial:
    """Rebuilds all partitions of the table; a rule about a table that was never published is left out and named."""
    from platform_assets.lakehouse.audit import ContractBroken
    from platform_assets.lakehouse.silver import PublishBlocked, rebuild

    known = {column: target for column, target in table.references.items() if real.find(target.rpartition(".")[0])}
    missing = tuple(
        f"{column} refers to {target}, which is not published"
        for column, target in table.references.items()
        if column not in known
    )
    tried = table.model_copy(update={"references": known})
    found = TableTrial(f"silver.{table.table}", not_checked=missing)
    for partition in _partitions(scratch, source, table):
        try:
            rebuilt = rebuild(scratch, source, tried, partition=partition, run_id=_RUN, references_in=real)
        except (PublishBlocked, ContractBroken) as error:
            return replace(found, blocked=str(error))
        counts = rebuilt.accounting
        found = replace(
            found,
            rows_in=found.rows_in + counts.rows_in,
            rows_out=found.rows_out + counts.rows_out,
            rows_quarantined=found.rows_quarantined + counts.rows_quarantined,
            rows_duplicate=found.rows_duplicate + counts.rows_duplicate,
            partitions=found.partitions + 1,
            quarantined=dict(Counter(found.quarantined) + Counter(rebuilt.broken_rules)),
            warnings=dict(Counter(found.warnings) + Counter(rebuilt.warnings)),
        )
    return found


def _partitions(lakehouse: Lakehouse, source: Source, table: SilverTable) -> list[date | None]:
    from platform_assets.lakehouse.reader import relation

    rows = relation(lakehouse, f"bronze.{source.name}")
    if rows is None:
        return []
    if table.kind is not Kind.EVENTS:
        return [None]
    found = lakehouse.ask(f"SELECT DISTINCT {EVENT_DATE} FROM {rows} ORDER BY 1")
    return [day for (day,) in found]


def _scratch_settings(settings: Settings, folder: Path) -> Settings:
    """A lakehouse of its own. Tokens need to agree with others only where a table of others is referred to."""
    try:
        key = settings.require_pii_key().decode()
    except SettingsError:
        key = secrets.token_hex(32)
    changes: dict[str, Any] = {"home": folder, "pii_key": key, "catalog_uri": None, "warehouse": None}
    return Settings.model_validate({**settings.model_dump(), **changes, "operations_uri": None})


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - began, 3)


class _Files:
    """Files of this machine, as if they had landed on a date."""

    def __init__(self, source: Source, files: Sequence[Path], landed_on: date) -> None:
        self.letters: list[DeadLetter] = []
        self._streams = source.file.ingestion.streams
        self._files: dict[LandingObject, Path] = {}
        for number, path in enumerate(files, start=1):
            name = f"source={source.name}/date={landed_on.isoformat()}/{path.name}"
            size, now = path.stat().st_size, datetime.now(UTC)
            self._files[LandingObject(source.name, landed_on, name, number, size, now, SAMPLE_FOLDER)] = path

    def objects(self, _source: str, _arrival_date: date, /) -> list[LandingObject]:
        return list(self._files)

    def download(self, objects: Sequence[LandingObject], directory: Path, /) -> list[Path]:
        """Copies: what reads them writes beside them."""
        paths = []
        for arrival in objects:
            path = directory / f"{arrival.generation}-{arrival.file_name}"
            if self._streams and not _is_landed(self._files[arrival]):
                _write_messages(self._files[arrival], path)
            else:
                shutil.copy(self._files[arrival], path)
            paths.append(path)
        return paths

    def put_dead_letters(self, letters: Iterable[DeadLetter], /, *, all_of: object = None) -> list[str]:  # noqa: ARG002 - nothing is kept
        self.letters.extend(letters)
        return []


def _is_landed(sample: Path) -> bool:
    """Whether a sample of a stream is a landing object already: messages, rather than what was published."""
    with sample.open("rb") as lines:
        first = lines.readline().strip()
    return first.startswith(b"{") and b'"message_id"' in first and b'"data' in first


def _write_messages(sample: Path, target: Path) -> None:
    """Every line of a sample as a message, in the form in which the platform lands them."""
    with sample.open("rb") as lines, target.open("w", encoding="utf-8") as messages:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                data = line.strip().decode("utf-8", errors="replace")
                messages.write(json.dumps({"message_id": str(number), "attributes": {}, "data": data}) + "\n")

"""From landing objects to the staged files of bronze: what is clean in one pass, the rest object by object."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from platform_assets.ingestion.clean_lines import Objects, gather, groups
from platform_assets.ingestion.json_lines import JsonLines
from platform_assets.ingestion.records import TABLE, RecordSet, is_json_lines, read_objects
from platform_assets.ingestion.refusals import reader_errors
from platform_assets.ingestion.shape import Shape
from platform_assets.sources.contracts import bronze_fields, declared_names, secret_paths
from platform_assets.sources.ingestion_settings import Format

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    import duckdb

    from platform_assets.ingestion.landing import Arrivals, LandingObject
    from platform_assets.lakehouse.staging import Staged
    from platform_assets.sources.model import Source


@dataclass(frozen=True)
class Intake:
    """Takes objects of a source into staged files.

    Attributes:
        source: whose objects they are.
        landing: where they are.
        connection: a DuckDB; reading makes the temporary table `records` in it.
        staged: takes the rows.
        arrival_date: the partition.
        rows: from SQL after FROM with the columns of `records.read_objects`, the same with those of bronze.
    """

    source: Source
    landing: Arrivals
    connection: duckdb.DuckDBPyConnection
    staged: Staged
    arrival_date: date
    rows: Callable[[str], str]

    def take(self, objects: Sequence[LandingObject], scratch: Path) -> RecordSet:
        """Stages every record of the objects.

        Returns:
            What was read object by object, and what could not be read: nothing of objects that are clean.
        """
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=scratch, prefix=f"{self.source.name}-") as folder:
            paths = self.landing.download(objects, Path(folder))
            others = self._clean(list(zip(objects, paths, strict=True)), Path(folder))
            settings = self.source.file.ingestion
            records = read_objects(
                self.connection,
                others,
                bronze_fields(self.source),
                envelope=settings.streams,
                file_format=settings.format,
                csv=settings.csv,
                secrets=secret_paths(self.source),
                declared=declared_names(self.source),
            )
            if records.records:
                self.staged.write(self.rows(TABLE), self.arrival_date)
            return records

    def _clean(self, objects: Objects, folder: Path) -> Objects:
        """Stages the clean objects; returns the others."""
        shape = Shape(tuple(bronze_fields(self.source)), tuple(secret_paths(self.source)))
        lines = JsonLines(self.connection, shape, envelope=self.source.file.ingestion.streams)
        if not lines.straight:
            return objects
        jsonl = self.source.file.ingestion.format is Format.JSONL
        others = [pair for pair in objects if not (jsonl or is_json_lines(pair[0]))]
        parts = groups([pair for pair in objects if jsonl or is_json_lines(pair[0])])
        with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="intake") as pool:
            paths = [folder / f"stream-{number}.jsonl" for number in range(len(parts))]
            for left in pool.map(lambda part, path: self._stream(lines, part, path), parts, paths):
                others.extend(left)
        return others

    def _stream(self, lines: JsonLines, objects: Objects, path: Path) -> Objects:
        """Stages what of the objects is clean, in one pass; returns the others."""
        stream, others = gather(objects, lines.head, path)
        if stream is None:
            return others
        with self.connection.cursor() as cursor:
            cursor.execute("SET TimeZone = 'UTC'")
            try:
                (file,) = self.staged.write(self.rows(stream.relation(lines)), self.arrival_date, connection=cursor)
            except reader_errors():  # some line is not clean: it is found, and named, object by object
                return objects
            finally:
                path.unlink()
            empty = cursor.execute(f"SELECT 1 FROM {file.relation} WHERE {lines.shape.nothing} LIMIT 1").fetchone()
        if file.rows != stream.rows or empty:  # blank lines, or records that hold nothing
            self.staged.drop(file)
            return objects
        return others

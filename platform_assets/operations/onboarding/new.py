"""Writes the folder of a new source: `source.yaml` from a template, the schema, a disguised excerpt of the sample."""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from platform_assets.contracts.naming import snake_case
from platform_assets.contracts.words import title_of
from platform_assets.operations.onboarding.excerpt_file import write_excerpt
from platform_assets.operations.onboarding.infer import DIALECT, Inferred, infer
from platform_assets.operations.onboarding.source_text import comment, file_lines, record_lines, scalar
from platform_assets.operations.onboarding.yaml_schema import EDITOR_SCHEMA
from platform_assets.settings import CHECKOUT
from platform_assets.sources.model import Name, Owner
from platform_assets.sources.pattern import Pattern
from platform_assets.sources.registry import SOURCE_FILE, load_folder, read_sources
from platform_assets.sources.yaml_file import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCHEMA_FILE = "schema.v1.json"

# The requirement document's names of what can be onboarded (S1-69 to S1-74), and what each is in a source file.
TEMPLATES: Mapping[str, tuple[Pattern, str | None]] = {
    "rest-api-polling": (Pattern.STREAMING_API, None),
    "webhook-receiver": (Pattern.STREAMING_API, "webhook"),
    "sftp-download": (Pattern.BATCH_FILE, "sftp"),
    "database-query": (Pattern.BATCH_FILE, "database_query"),
    "cloud-storage-watch": (Pattern.BATCH_FILE, None),
    "pubsub-direct": (Pattern.EVENT_STREAMING, None),
}
# Connector types whose source file looks otherwise than their pattern's; the others are what a pattern has anyway.
_OWN_TEMPLATES = {
    "webhook": Pattern.STREAMING_API,
    "sftp": Pattern.BATCH_FILE,
    "database_query": Pattern.BATCH_FILE,
}
_STARTER: Mapping[str, Any] = {
    "id": {"type": "string", "description": "Decide: what identifies a record."},
    "occurred_at": {"type": "string", "format": "date-time", "description": "Decide: when it happened (UTC)."},
}


@dataclass(frozen=True)
class Written:
    """What `new_source` wrote.

    Attributes:
        folder: of the source.
        files: in it, the source file first.
        inferred: what the sample said; None without one.
        next_command: what to run next.
    """

    folder: Path
    files: tuple[Path, ...]
    inferred: Inferred | None
    next_command: str


def new_source(
    root: Path,
    name: str,
    pattern: Pattern,
    *,
    sample: Path | None = None,
    owner: str = "team:data-platform",
    domain: str = "platform",
    connector_type: str | None = None,
    tables: Sequence[str] = (),
) -> Written:
    """Writes `<root>/<name>/`, which loads as it stands; all of it or nothing.

    Args:
        root: the folder of the sources.
        name: of the source and its folder.
        pattern: how the data arrives.
        sample: a file of records; nothing of it that could be personal is written.
        owner: an e-mail address or `team:name`.
        domain: the group of assets that it belongs to.
        connector_type: `webhook`, `sftp` or `database_query` have a template of their own.
        tables: of a database that is replicated; by default one, called as the sample or `orders`.

    Raises:
        SourceError: the name cannot be one or is taken, the connector type does not belong to the pattern, or nothing
            can be learned from the sample (`SampleError`); nothing was written.
    """
    _refuse_wrong(root, name, owner, domain)
    if connector_type in _OWN_TEMPLATES and _OWN_TEMPLATES[connector_type] is not pattern:
        raise SourceError(
            f"connector type {connector_type} belongs to pattern {_OWN_TEMPLATES[connector_type]}, not to {pattern}"
        )
    inferred = infer(sample, name) if sample else None
    if pattern is Pattern.DATABASE_CDC and not tables:
        tables = (_valid(sample.name.split(".")[0]) if sample else "orders",)
    draft = _Draft(root / name, pattern, connector_type, inferred, owner, domain, tables)
    return Written(
        draft.folder,
        _write_all(draft),
        inferred,
        f"platform-assets source {'test' if inferred else 'validate'} {name}",
    )


def _write_all(draft: _Draft) -> tuple[Path, ...]:
    """Writes the files beside their place, and moves them there when they load."""
    root, name = draft.folder.parent, draft.folder.name
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=root) as beside:
        folder = root / Path(beside).name / name
        written = [
            _write(folder / SOURCE_FILE, draft.source_text),
            _write(folder / SCHEMA_FILE, draft.schema_text),
        ]
        if draft.inferred:
            written.append(write_excerpt(draft.inferred, folder / "sample", name))
        try:
            load_folder(folder)
        except SourceError as error:
            raise SourceError(str(error).replace(beside, str(root))) from None
        folder.rename(draft.folder)
    read_sources.cache_clear()
    return tuple(draft.folder / path.relative_to(folder) for path in written)


def _refuse_wrong(root: Path, name: str, owner: str, domain: str) -> None:
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise SourceError(
            f"{name!r} is no name of a source: lower-case letters, digits and underscores, at most 63, a letter first; "
            f"`{_valid(name)}` would be one"
        ) from None
    for setting, kind, value in (("owner", Owner, owner), ("domain", Name, domain)):
        try:
            TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            raise SourceError(f"{setting}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    if (root / name).exists():
        raise SourceError(
            f"{root / name} exists already; choose another name, or edit {root / name / SOURCE_FILE} by hand"
        )


def _valid(name: str) -> str:
    """The nearest name that is valid."""
    ascii_only = re.sub("[^a-z0-9]+", "_", snake_case(name)).strip("_0123456789")
    return ascii_only[:63].rstrip("_") or "my_source"


@dataclass(frozen=True)
class _Draft:
    """A source that is about to be written."""

    folder: Path
    pattern: Pattern
    connector_type: str | None
    inferred: Inferred | None
    owner: str
    domain: str
    tables: Sequence[str]

    @property
    def source_text(self) -> str:
        name = self.folder.name
        own = self.connector_type in _OWN_TEMPLATES
        template = f"{self.connector_type if own else self.pattern.value}.yaml"
        text = files("platform_assets.operations.onboarding").joinpath("templates", template).read_text("utf-8")
        sample = self.inferred.sample if self.inferred else None
        return Template(text).substitute(
            editor=_editor_line(self.folder),
            name=name,
            title=scalar(title_of(name)),
            owner=scalar(self.owner),
            domain=self.domain,
            topic=name.replace("_", "-"),
            secret=f"{name.replace('_', '-')}-secret",
            tables="\n".join(f"    - {scalar(table)}" for table in self.tables),
            files=file_lines(sample, self.pattern, self.connector_type),
            record=record_lines(name, SCHEMA_FILE, self.inferred, self.pattern),
        )

    @property
    def schema_text(self) -> str:
        head = {"$schema": DIALECT, "title": title_of(self.folder.name), "type": "object"}
        starter = {**head, "required": [*_STARTER], "properties": _STARTER}
        return json.dumps(self.inferred.schema if self.inferred else starter, indent=2) + "\n"


def _editor_line(folder: Path) -> str:
    """Where editors find the schema of the source file; nowhere outside of the repository."""
    if not folder.resolve().is_relative_to(CHECKOUT):
        return ""
    return f"# yaml-language-server: $schema={comment(os.path.relpath(EDITOR_SCHEMA, folder.resolve()))}\n"


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path

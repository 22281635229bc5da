"""Reads which sources and tables were taken away on purpose; without such a word a removal is refused.

The acknowledgements stand in `platform_assets/sources/removed.yaml`, a list of who removed what, when and why.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

REMOVED_FILE = Path("platform_assets/sources/removed.yaml")


class RemovalError(ValueError):
    """`removed.yaml` cannot be read; the message names the file, the entry and what was expected."""


class Removal(BaseModel):
    """One entry: a source with all of its tables, or a single table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str | None = Field(default=None, description="Name of the source that was removed.")
    table: str | None = Field(default=None, pattern=r"^\w+\.\w+$", description="`layer.table` that was removed.")
    removed: date
    by: str = Field(min_length=1, description="Who answers for it.")
    why: str = Field(min_length=1)

    @model_validator(mode="after")
    def _one_thing(self) -> Removal:
        if (self.source is None) == (self.table is None):
            raise ValueError("an entry names either a `source` or a `table`")
        return self


@dataclass(frozen=True)
class Removals:
    """The entries of a change: those that were written since the commit that it is compared with.

    An entry that was there before acknowledged an earlier removal; what came back since needs a word of its own.
    """

    entries: tuple[Removal, ...]

    @classmethod
    def since(cls, before: Collection[Removal], now: Collection[Removal]) -> Removals:
        """Those of `now` that are not in `before`."""
        return cls(tuple(entry for entry in now if entry not in before))

    def of(self, table: str, source: str | None) -> Removal | None:
        """What acknowledges the removal of a table, which `source` made if it is one of a source."""
        return next(
            (e for e in self.entries if e.table == table or (e.source is not None and e.source == source)), None
        )


def load_removals(root: Path) -> tuple[Removal, ...]:
    """All entries of the repository at `root`; none if there is no such file.

    Raises:
        RemovalError: the file is no list of entries.
    """
    path = root / REMOVED_FILE
    if not path.is_file():
        return ()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or []
        return TypeAdapter(tuple[Removal, ...]).validate_python(content)
    except yaml.YAMLError as error:
        raise RemovalError(f"{path}: {error}") from None
    except ValidationError as error:
        found = "; ".join(f"entry {'.'.join(map(str, e['loc'])) or 'list'}: {e['msg']}" for e in error.errors())
        raise RemovalError(f"{path}: {found}; expected a list of {{source or table, removed, by, why}}") from None

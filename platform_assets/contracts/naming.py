"""Names of columns from the names that a source uses: total, without collisions, the same for the same schema."""

from __future__ import annotations

import re
from collections.abc import Iterable

_RESERVED = ("rowid",)  # DuckDB's name for a row's own number


def snake_case(name: str) -> str:
    """`userId` → `user_id`, `first-name` → `first_name`; empty if the name holds neither letter nor digit."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"\W+", "_", spaced).strip("_").lower()


def distinct(names: Iterable[str], reserved: Iterable[str] = ()) -> list[str]:
    """The names, where each that is empty, reserved or taken by an earlier one is changed.

    An empty name becomes `column_<n>`, n its place from 1; one that is taken gets the first free of `_2`, `_3` and so
    on. A name thus depends on those before it only: what is added at the end of a schema renames nothing.
    """
    taken = set(reserved)
    found = []
    for place, given in enumerate(names, start=1):
        name = base = given or f"column_{place}"
        number = 1
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name)
        found.append(name)
    return found


def column_names(paths: Iterable[tuple[str, ...]]) -> list[str]:
    """The column of each path, in the schema's order: its steps in snake_case, one after the other."""
    return distinct(("_".join(filter(None, map(snake_case, path))) for path in paths), _RESERVED)

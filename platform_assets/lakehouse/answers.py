"""What was read of tables, kept in memory until the next commit to them: of thousands, few have changed since a look.

A metadata file never changes, and every commit to a table makes another one: what was read of one holds for good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

Read = TypeVar("Read")
# For each table and each question about it, the newest answer, and of what: never more than there are tables.
_ANSWERS: dict[tuple[str, str], tuple[Hashable, Any]] = {}


def answer(version: str, question: str, detail: Hashable, read: Callable[[], Read]) -> Read:
    """An answer about a table, read only if it is another version of the table, or another detail, than the last time.

    Args:
        version: location of the table's metadata file.
        question: what is asked; only its last answer is kept.
        detail: what the answer depends on besides.
        read: gives the answer.
    """
    key, asked = (version.rpartition("/metadata/")[0], question), (version, detail)
    known = _ANSWERS.get(key)
    if known is not None and known[0] == asked:
        found: Read = known[1]
        return found
    new = read()
    _ANSWERS[key] = (asked, new)
    return new

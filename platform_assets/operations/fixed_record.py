"""A record as it arrived, and as it is after somebody's changes: JSON in, JSON out, numbers as they were written.

A change is `path=value`, where the path has the source's own names: `quantity`, `address.city`, `products[0].quantity`
(elements are counted from 0, as in JSON), or a JSON pointer such as `/odd.name/x`. The value is JSON if it reads as
such, else text. Messages name paths, never values (I7).
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from platform_assets.contracts.words import nearest
from platform_assets.operations.quarantined_rows import QuarantineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Step = str | int
_STEP = re.compile(r"(?:^|(?<=.)\.)(?P<name>[^.\[\]]+)|\[(?P<index>\d+)\]")
# JSON's numbers as Python floats would come out otherwise than they went in: `9.50`, or more digits than a float has.
_EXACT = f"number {uuid.uuid4().hex} "
_WRITTEN = re.compile(rf'"{_EXACT}([^"]+)"')
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Change:
    """One value of a record, replaced.

    Attributes:
        path: as it was given.
        steps: the same, names and positions from the record downwards.
    """

    path: str
    steps: tuple[Step, ...]
    value: Any


def parse_record(text: str | bytes) -> Any:  # noqa: ANN401 - any JSON
    """JSON, with every number kept as it is written; see `written`."""
    return json.loads(text, parse_float=_exactly, parse_constant=_exactly)


def written(record: object) -> str:
    """JSON text of one line, for what `parse_record` read."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    if _HALF_CHARACTER.search(text):  # JSON can escape what UTF-8 cannot hold
        text = json.dumps(record, separators=(",", ":"))
    return _WRITTEN.sub(r"\1", text)


def parse_change(text: str) -> Change:
    """A change from `path=value`.

    Raises:
        QuarantineError: there is no `=`, or the path is none.
    """
    path, equals, value = text.partition("=")
    steps = _steps(path.strip())
    if not equals or not steps:
        # Without `=` it may be a value, which is not for repeating.
        seen = f"{path.strip()!r} is no such path" if equals else "one of them has no `=`"
        raise QuarantineError(
            "--set wants field=value, such as `quantity=2`, `address.city=Bonn` or `products[0].quantity=2`; " + seen
        )
    return Change(path.strip(), steps, _value(value))


def changed(record: Mapping[str, Any], changes: Sequence[Change], schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """The record with the changes applied; the one given stays as it is.

    Args:
        record: as `parse_record` read it.
        changes: applied in their order.
        schema: JSON Schema of a record, by which the names are checked; None if the source has none.

    Raises:
        QuarantineError: a path that the record cannot have.
    """
    mended: dict[str, Any] = json.loads(json.dumps(record))
    for change in changes:
        if schema is not None:
            _refuse_unknown(change, schema)
        _apply(mended, change)
    return mended


def _apply(record: dict[str, Any], change: Change) -> None:
    here: Any = record
    for depth, step in enumerate(change.steps):
        last = depth == len(change.steps) - 1
        if isinstance(here, dict) and isinstance(step, str):
            if not last and here.get(step) is None:
                here[step] = {}  # an object that was missing; a list is not made up
        elif not (isinstance(here, list) and isinstance(step, int) and step < len(here)):
            raise _no_such_place(change, depth, here)
        if last:
            here[step] = change.value
        else:
            here = here[step]


def _no_such_place(change: Change, depth: int, found: object) -> QuarantineError:
    above = ".".join(map(str, change.steps[:depth])) or "the record"
    what = f"a list of {len(found)}, counted from 0" if isinstance(found, list) else "a single value"
    if isinstance(found, dict):
        what = "an object, whose values have names"
    return QuarantineError(f"{change.path}: {above} is {what}, so it has no {change.steps[depth]!r}")


def _refuse_unknown(change: Change, schema: Mapping[str, Any]) -> None:
    """Names of a path that the schema does not have; below a free object or list any name will do."""
    here: Any = schema
    for step in change.steps:
        inner = here.get("properties") if isinstance(step, str) else None
        if isinstance(inner, dict):
            if step not in inner:
                hint = nearest(str(step), list(inner)) or f"; there are {', '.join(inner)}"
                raise QuarantineError(f"{change.path}: the source has no field {step!r}{hint}")
            here = inner[step]
        elif isinstance(step, int) and isinstance(here.get("items"), dict):
            here = here["items"]
        else:
            return


def _steps(path: str) -> tuple[Step, ...]:
    if path.startswith("/"):
        return tuple(_pointed(part.replace("~1", "/").replace("~0", "~")) for part in path[1:].split("/"))
    found = list(_STEP.finditer(path))
    if "".join(match[0] for match in found) != path:
        return ()
    return tuple(match["name"] if match["index"] is None else int(match["index"]) for match in found)


def _pointed(part: str) -> Step:
    return int(part) if part.isdecimal() else part


def _value(text: str) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(text, parse_float=_exactly, parse_constant=_no_json)
    except ValueError:
        return text


def _exactly(number: str) -> str:
    return _EXACT + number


def _no_json(constant: str) -> Any:  # noqa: ANN401 - never returns
    raise ValueError(constant)

"""What a field's values have in common, as JSON Schema: type, format, and what else all of them keep.

A guess is made only where every value of the sample keeps it, in the platform's own reading (`lakehouse.values`).
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from platform_assets.contracts.naming import snake_case

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]{1,9})?"
    r"(Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])?"
)
_OTHER_DAY = re.compile(r"[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{2,4}(?: .*)?")
_UUID = re.compile("[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
EMAIL = re.compile(rf"[A-Za-z0-9_+-]{{1,30}}(?:\.[A-Za-z0-9_+-]{{1,30}})?@{_LABEL}(?:\.{_LABEL}){{1,4}}")
_URI = re.compile(
    rf"https?://{_LABEL}(?:\.{_LABEL})*(?::[0-9]+)?(?:/(?:[A-Za-z0-9._~,;=:@/-]|%[0-9A-Fa-f]{{2}})*)?"
    r"(?:\?(?:[A-Za-z0-9._~,;=:@/?&+-]|%[0-9A-Fa-f]{2})*)?"
)
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")

_MONEY = {
    *("amount", "price", "cost", "total", "subtotal", "fee", "fees", "fare", "tax", "tip", "tips", "toll"),
    *("tolls", "surcharge", "charge", "balance", "revenue", "salary", "payment", "paid", "due", "discount"),
    *("refund", "income", "vat", "net", "gross", "wage", "budget", "credit", "debit"),
}
_CHOICE = {
    *("status", "state", "type", "kind", "category", "level", "mode", "method", "severity", "priority"),
    *("role", "plan", "tier", "flag", "stage", "phase", "class", "channel", "currency", "unit", "gender"),
    *("event_type"),
}
_MOST_CHOICES, _RECORDS_EACH, _LEAST_EACH, _LONGEST_CHOICE = 12, 20, 3, 30
_SINCE, _UNTIL = 946_684_800, 4_102_444_800  # seconds since 1970 of the years 2000 and 2100
_INT64 = 2**63
_MONEY_LIMIT = Decimal(10) ** 16  # eighteen digits, two of them behind the point


@dataclass(frozen=True)
class Scalar:
    """The schema of a field without fields of its own, and why each part of it."""

    schema: Mapping[str, Any]
    reasons: tuple[str, ...] = ()


def scalar(name: str, values: Sequence[Any], *, textual: bool, declared: Mapping[str, Any] | None) -> Scalar:
    """The schema of values that are all null, boolean, int, Decimal or text, or that no other schema fits.

    Args:
        name: what the field is called; money and choices are told by it.
        values: as `sample.plain` gives them, nulls left out.
        textual: the values are cells of a text file, whose type has to be told from how they look.
        declared: what the file itself says of the field.
    """
    if not values:
        found = declared or {"type": "string"}
        why = "its type is what the file states" if declared else "text until somebody knows better"
        return Scalar(
            {**found, "description": f"Null or missing in every record of the sample; {why}."},
            (f"null or missing in every record of the sample: {why}",),
        )
    if declared and declared["type"] != "integer":
        return Scalar(declared, ("the file states the type",))
    if textual:
        return _of_text(name, values, cells=True)
    return _of_values(name, values)


def _of_values(name: str, values: Sequence[Any]) -> Scalar:
    kinds = {_kind(value) for value in values}
    if kinds == {"text"}:
        return _of_text(name, values, cells=False)
    if kinds == {"boolean"}:
        return Scalar({"type": "boolean"})
    if kinds <= {"integer", "number"}:
        return _of_numbers(name, [Decimal(value) for value in values], whole=kinds == {"integer"})
    counted = Counter(_kind(value) for value in values)
    told = ", ".join(f"{count} {kind}" for kind, count in counted.most_common())
    return _text(f"Values of different types in the sample ({told}); kept as their text.")


def _kind(value: object) -> str:
    kinds = {bool: "boolean", int: "integer", Decimal: "number", str: "text", dict: "object", list: "array"}
    return kinds[type(value)]


def _text(note: str) -> Scalar:
    return Scalar({"type": "string", "description": note}, (note[0].lower() + note[1:].rstrip("."),))


# Numbers


def _of_numbers(name: str, values: Sequence[Decimal], *, whole: bool) -> Scalar:
    if whole and not all(-_INT64 <= value < _INT64 for value in values):
        return _text("Whole numbers of more than 64 bits in the sample; kept as their text, to the last digit.")
    if not whole and not all(math.isfinite(float(value)) for value in values):
        return _text("Numbers beyond the range of a double in the sample; kept as their text.")
    if whole:
        words = set(snake_case(name).split("_"))
        clock = words & {"time", "timestamp", "created", "updated", "at", "ts"}
        if clock and any(all(_SINCE <= value / unit < _UNTIL for value in values) for unit in (1, 1000)):
            note = "Looks like seconds or milliseconds since 1970: a number, which cannot date a record."
            return Scalar({"type": "integer", "description": note}, (note[0].lower() + note[1:].rstrip("."),))
        return Scalar({"type": "integer"})
    if _is_money(name, values):
        why = "its name is that of an amount, and no value has more than two decimals: kept exactly, to the cent"
        return Scalar({"type": "number", "multipleOf": 0.01, "$comment": why}, (why,))
    return Scalar({"type": "number"})


def _is_money(name: str, values: Sequence[Decimal]) -> bool:
    exponents = [int(value.normalize().as_tuple().exponent) for value in values]
    fitting = all(exponent >= -2 for exponent in exponents) and any(exponent < 0 for exponent in exponents)
    named = bool(_MONEY & set(snake_case(name).split("_")))
    return named and fitting and all(abs(value) < _MONEY_LIMIT for value in values)


# Text


def _of_text(name: str, values: Sequence[str], *, cells: bool) -> Scalar:
    if cells and (typed := _of_cells(name, [value.strip() for value in values])):
        return typed
    for read, schema, why in _FORMATS:
        if all(read(value) for value in values):
            return Scalar({**schema, "$comment": why}, (why,))
    if all(_OTHER_DAY.fullmatch(value) for value in values):
        return _text("Looks like a date, but not as ISO 8601 writes it (2026-11-21); kept as text.")
    return _choices(name, values) or Scalar({"type": "string"})


def _of_cells(name: str, cells: Sequence[str]) -> Scalar | None:
    if all(cell.lower() in {"true", "false"} for cell in cells):
        return Scalar({"type": "boolean"})
    if all(_NUMBER.fullmatch(cell) for cell in cells):
        whole = all(_INTEGER.fullmatch(cell) for cell in cells)
        return _of_numbers(name, [Decimal(cell) for cell in cells], whole=whole)
    if all(cell.strip("0123456789") == "" for cell in cells) and any(len(cell) > 1 for cell in cells):
        return _text("Digits with zeros in front in the sample, such as a postal code; kept as text.")
    for kind, opening in (("object", "{"), ("array", "[")):
        if all(cell.startswith(opening) and _is_json(cell) for cell in cells):
            return Scalar({"type": kind, "description": f"A JSON {kind} in a cell."}, (f"every cell is a JSON {kind}",))
    return None


def _is_json(cell: str) -> bool:
    try:
        json.loads(cell)
    except (ValueError, RecursionError):
        return False
    return True


def _choices(name: str, values: Sequence[str]) -> Scalar | None:
    """An enumeration, where it is clearly one: a new value is refused from then on."""
    counted = Counter(values)
    named = snake_case(name).rpartition("_")[2] in _CHOICE
    few = 2 <= len(counted) <= _MOST_CHOICES and len(values) >= _RECORDS_EACH * len(counted)
    short = all(0 < len(value) <= _LONGEST_CHOICE and value.isprintable() for value in counted)
    if not (named and few and short and min(counted.values()) >= _LEAST_EACH):
        return None
    why = f"only {len(counted)} different texts in {len(values)} records; leave `enum` out if there may be others"
    return Scalar({"type": "string", "enum": sorted(counted), "$comment": why}, (why,))


def is_day(text: str) -> bool:
    """Whether a text is an ISO 8601 date."""
    return bool(_DAY.fullmatch(text)) and _is_iso(text)


def is_moment(text: str) -> bool:
    """Whether a text is an ISO 8601 date and time, with or without a zone."""
    match = _MOMENT.fullmatch(text)
    return match is not None and _is_iso(f"{match[1]}T{match[2]}{(match[3] or '').replace('Z', '+00:00')}")


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID."""
    return bool(_UUID.fullmatch(text))


def is_uri(text: str) -> bool:
    """Whether a text is an address on the web."""
    return bool(_URI.fullmatch(text))


def _is_iso(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).utctimetuple() is not None
    except (ValueError, OverflowError):  # a day that does not exist, or one before the year 1 in UTC
        return False


_FORMATS: Sequence[tuple[Callable[[str], object], Mapping[str, Any], str]] = (
    (is_day, {"type": "string", "format": "date"}, "every value is an ISO 8601 date"),
    (
        lambda text: is_moment(text) and text[19:].lstrip(".0123456789"),
        {"type": "string", "format": "date-time"},
        "every value is an ISO 8601 date and time with its zone",
    ),
    (
        lambda text: is_moment(text) or is_day(text),
        {"type": "string", "format": "date-time"},
        "every value is an ISO 8601 date and time; where the zone is missing it is taken for UTC",
    ),
    (is_uuid, {"type": "string", "format": "uuid"}, "every value is a UUID"),
    (EMAIL.fullmatch, {"type": "string", "format": "email"}, "every value is an e-mail address"),
    (IPV4.fullmatch, {"type": "string", "format": "ipv4"}, "every value is an IPv4 address"),
    (is_uri, {"type": "string", "format": "uri"}, "every value is a web address"),
)

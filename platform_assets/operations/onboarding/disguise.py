"""Replaces what a sample says by something made up of the same shape, so that an excerpt can be committed (S1-98).

Only what can hardly be personal stays: numbers, dates and truth values of fields that nobody marked, texts that are
short codes shared by many records. The same value becomes the same made-up one, so that keys and duplicates stay.
"""

from __future__ import annotations

import json
import math
import re
import secrets
import string
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from hashlib import shake_256
from typing import TYPE_CHECKING, Any

from platform_assets.operations.onboarding.shapes import EMAIL, IPV4, is_day, is_moment, is_uri, is_uuid

if TYPE_CHECKING:
    from platform_assets.operations.onboarding.infer import FieldPath, Inferred

MOST_RECORDS = 100
_MOST_CHARACTERS = 2**20
_CODE = re.compile("[A-Z0-9_]{1,10}|[a-z0-9_]{1,20}")
_MOST_CODES, _RECORDS_EACH = 20, 3
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_LONG_NUMBER = 9  # digits
_TRIES = 100


def excerpt(inferred: Inferred) -> list[dict[str, Any]]:
    """The first records of a sample, at most MOST_RECORDS of them and about a megabyte, disguised."""
    disguise = _Disguise(
        marked=frozenset(inferred.classification),
        codes=_codes(inferred),
        symbols=frozenset(_symbols(inferred.sample.layout)),
    )
    kept: list[dict[str, Any]] = []
    size = 0
    for record in inferred.sample.records[:MOST_RECORDS]:
        size += len(repr(record))
        if kept and size > _MOST_CHARACTERS:
            break
        kept.append(disguise.object(record, inferred.schema, ()))
    return kept


def _codes(inferred: Inferred) -> Mapping[FieldPath, frozenset[str]]:
    """Texts that stay: those of an enumeration, and short codes of which there are few, each in several records."""
    found: dict[FieldPath, Counter[str]] = {}
    for record in inferred.sample.records:
        pending: list[tuple[FieldPath, Any]] = [((), record)]
        while pending:
            path, value = pending.pop()
            if isinstance(value, Mapping):
                pending += [((*path, str(name)), inner) for name, inner in value.items()]
            elif isinstance(value, str):
                found.setdefault(path, Counter())[value] += 1
    return {
        path: frozenset(texts)
        for path, texts in found.items()
        if len(texts) <= _MOST_CODES and all(map(_CODE.fullmatch, texts)) and min(texts.values()) >= _RECORDS_EACH
    } | dict(_enumerated(inferred.schema, ()))


def _enumerated(schema: Mapping[str, Any], path: FieldPath) -> Iterable[tuple[FieldPath, frozenset[str]]]:
    for name, inner in schema.get("properties", {}).items():
        if "enum" in inner:
            yield (*path, name), frozenset(value for value in inner["enum"] if value is not None)
        yield from _enumerated(inner, (*path, name))


def _symbols(layout: object) -> Iterable[str]:
    """What the enumerations of an Avro schema list: no other value can be written."""
    if isinstance(layout, Mapping):
        yield from layout.get("symbols", ())
        yield from (symbol for inner in layout.values() for symbol in _symbols(inner))
    elif isinstance(layout, list):
        yield from (symbol for inner in layout for symbol in _symbols(inner))


@dataclass
class _Disguise:
    """What stays, and what was made up for the rest.

    Attributes:
        marked: dotted paths that are personal data or secrets.
        codes: by path, texts that stay.
        symbols: texts that stay wherever they stand.
    """

    marked: frozenset[str]
    codes: Mapping[FieldPath, frozenset[str]]
    symbols: frozenset[str]
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _known: dict[str, str] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)

    def object(self, value: Mapping[str, Any], schema: Mapping[str, Any] | None, path: FieldPath) -> dict[str, Any]:
        """An object; names that the schema does not have are rather values, and disguised too."""
        properties = (schema or {}).get("properties", {})
        return {
            name if name in properties else self._text(str(name)): self._value(
                inner, properties.get(name), (*path, str(name))
            )
            for name, inner in value.items()
        }

    def _value(self, value: Any, schema: Mapping[str, Any] | None, path: FieldPath) -> Any:  # noqa: ANN401, PLR0911 - one kind after the other
        if isinstance(value, Mapping):
            return self.object(value, schema, path)
        if isinstance(value, list | tuple):
            inner = (schema or {}).get("items")
            return type(value)(self._value(element, inner, (*path, "[]")) for element in value)
        if isinstance(value, str):
            return self._of_text(value, schema, path)
        if isinstance(value, bytes):
            return self._noise(value, 0)[: len(value)]
        if isinstance(value, uuid.UUID):
            return uuid.UUID(self._text(str(value)))
        if value is None or isinstance(value, bool) or not (self._is_marked(path) or _is_long(value)):
            return value
        if isinstance(value, datetime | date):
            made_up = date.fromisoformat(self._day(value.isoformat()))
            return value.replace(made_up.year, made_up.month, made_up.day)
        if isinstance(value, int | float | Decimal) and math.isfinite(value):
            return type(value)(self._text(format(value, "f") if isinstance(value, Decimal) else repr(value)))
        return value

    def _of_text(self, value: str, schema: Mapping[str, Any] | None, path: FieldPath) -> str:
        if value in self.symbols:
            return value
        if value.lstrip()[:1] in {"{", "["} and (document := _json(value)) is not None:
            return json.dumps(self._value(document, None, path), ensure_ascii=False, default=float)
        if self._is_marked(path):
            return self._text(value)
        harmless = value in self.codes.get(path, ()) or is_day(value) or is_moment(value)
        typed = not {"integer", "number", "boolean"}.isdisjoint(_types(schema))  # a cell of a CSV file
        return value if harmless or (typed and len(value) < _LONG_NUMBER) else self._text(value)

    def _is_marked(self, path: FieldPath) -> bool:
        return any(".".join(path[:length]) in self.marked for length in range(1, len(path) + 1))

    def _text(self, value: str) -> str:
        if value not in self._known:
            candidates = [self._made_up(value, number) for number in range(_TRIES)]
            different = [candidate for candidate in candidates if candidate != value]
            fresh = (candidate for candidate in different if candidate not in self._used)
            self._known[value] = next(fresh, (different or candidates)[0])
            self._used.add(self._known[value])
        return self._known[value]

    def _made_up(self, value: str, number: int) -> str:
        if is_day(value) or is_moment(value):
            return self._day(value, number) + value[10:]
        noise = self._noise(value.encode(), number)
        if is_uuid(value):
            return str(uuid.UUID(bytes=noise[:16], version=4))
        if IPV4.fullmatch(value):
            return f"10.{noise[0]}.{noise[1]}.{noise[2]}"
        if is_uri(value):
            return f"https://example.com/{noise[:6].hex()}"
        if EMAIL.fullmatch(value):
            local = value.partition("@")[0]
            return f"{_scrambled(local, noise)}@example.com"
        made_up = _scrambled(value, noise)
        return f"1{made_up[1:]}" if made_up[:1] == "0" and value[:1] != "0" and value.isdecimal() else made_up

    def _day(self, value: str, number: int = 0) -> str:
        noise = self._noise(value.encode(), number)
        return f"{1950 + noise[0] % 50}-{1 + noise[1] % 12:02}-{1 + noise[2] % 28:02}"

    def _noise(self, value: bytes, number: int) -> bytes:
        return shake_256(self._key + number.to_bytes(2, "big") + value).digest(max(16, len(value)))


def _types(schema: Mapping[str, Any] | None) -> Sequence[str]:
    kinds = (schema or {}).get("type", ())
    return [kinds] if isinstance(kinds, str) else kinds


def _is_long(value: object) -> bool:
    """Whether a whole number may be one that stands for a person: a telephone, an account."""
    return isinstance(value, int) and abs(value) >= 10 ** (_LONG_NUMBER - 1)


def _scrambled(text: str, noise: bytes) -> str:
    """Another letter for each letter, another digit for each digit; a number stays one of as many digits."""
    numeric = _NUMBER.fullmatch(text)
    found: list[str] = []
    for position, character in enumerate(text):
        byte = noise[position % len(noise)]
        if numeric and character in "eE":
            return "".join(found) + text[position:]
        if character.isdigit():
            leading = numeric and character != "0" and not any(c.isdigit() for c in found)
            found.append("1" if leading else str(byte % 10))  # which fits wherever the original did
        elif character.isalpha():
            found.append((string.ascii_uppercase if character.isupper() else string.ascii_lowercase)[byte % 26])
        else:
            found.append(character)
    return "".join(found)


def _json(text: str) -> Any:  # noqa: ANN401 - a JSON value
    try:
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None

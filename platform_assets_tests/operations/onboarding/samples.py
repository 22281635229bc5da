"""Sample files made by hand, and Hypothesis strategies for the records in them."""

from __future__ import annotations

import csv
import json
import string
from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

Record = Mapping[str, Any]


def write_lines(path: Path, records: Sequence[Record]) -> Path:
    """JSON lines; decimals to the last digit."""
    lines = (json.dumps(record, ensure_ascii=False, default=float) for record in records)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def write_csv(path: Path, rows: Sequence[Sequence[str | None]], delimiter: str = ",") -> Path:
    """CSV, the header first."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


_ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8)), None])
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_CENTS = st.integers(-(10**9), 10**9).map(lambda cents: Decimal(cents) / 100)

# Values of one kind each: JSON in the sense of Python's json.
JSON_KINDS: Mapping[str, st.SearchStrategy[Any]] = {
    "whole": st.integers(-(2**63), 2**63 - 1),
    "fraction": st.floats(allow_nan=False, allow_infinity=False),
    "cents": _CENTS.map(float),
    "truth": st.booleans(),
    "text": _TEXT,
    "day": st.dates().map(str),
    "moment": st.datetimes(timezones=_ZONES).map(lambda moment: moment.isoformat()),
    "moment_or_day": st.one_of(st.dates(), st.datetimes()).map(str),
    "uuid": st.uuids().map(str),
    "email": st.emails(),
    "ip": st.ip_addresses(v=4).map(str),
    "choice": st.sampled_from(["open", "closed"]),
    "list": st.lists(st.integers() | _TEXT, max_size=3),
    "objects": st.lists(
        st.fixed_dictionaries({"a": st.integers(-(2**63), 2**63 - 1)}, optional={"b": _TEXT}), max_size=3
    ),
    "object": st.fixed_dictionaries({"x": st.booleans()}, optional={"y": st.none() | _TEXT}),
}
# Kinds whose values only the platform's text column can hold.
TEXT_ONLY: Mapping[str, st.SearchStrategy[Any]] = {
    "mixed": st.integers() | _TEXT | st.booleans() | st.lists(st.integers(), max_size=2),
    "huge": st.integers(2**63, 2**80),
}
SIMPLE_NAMES = st.text(string.ascii_lowercase, min_size=3, max_size=8)
ANY_NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def records(
    kinds: Mapping[str, st.SearchStrategy[Any]], names: st.SearchStrategy[str]
) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Records with up to six fields, each of one kind, sometimes null, sometimes missing."""

    def of(fields: Mapping[str, str]) -> st.SearchStrategy[list[dict[str, Any]]]:
        values = {name: st.one_of(kinds[kind], kinds[kind], st.none()) for name, kind in fields.items()}
        first = next(iter(fields))
        always = {first: kinds[fields[first]]}
        some = {name: value for name, value in values.items() if name != first}
        return st.lists(st.fixed_dictionaries(always, optional=some), min_size=1, max_size=8)

    return st.dictionaries(names, st.sampled_from(sorted(kinds)), min_size=1, max_size=6).flatmap(of)


# Cells of a CSV file, each kind as producers write it.
CELL_KINDS: Mapping[str, st.SearchStrategy[str]] = {
    "whole": st.integers(-(2**63), 2**63 - 1).map(str),
    "fraction": st.floats(allow_nan=False, allow_infinity=False).map(repr),
    "cents": _CENTS.map(str),
    "truth": st.sampled_from(["true", "FALSE", "True"]),
    "text": st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0\ufeff"), min_size=1, max_size=9
    ),
    "postal_code": st.from_regex(r"0[0-9]{4}", fullmatch=True),
    "day": st.dates().map(str),
    "moment": st.datetimes().map(str),
    "json": st.dictionaries(st.sampled_from("ab"), st.integers()).map(json.dumps),
    "huge": st.integers(2**63, 2**70).map(str),
}

"""Hypothesis strategies for contracts and for bronze rows that keep and break them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from platform_assets.contracts.formats import FORMATS
from platform_assets.contracts.model import Column, Contract, Rule, Severity
from platform_assets.contracts.rules import REFERENCES

DAY = date(2026, 11, 21)
KNOWN = ("north", "south")
REGIONS = "silver.regions.name"


@dataclass(frozen=True)
class Value:
    """A value as bronze holds it.

    Attributes:
        raw: its text, None where the record has none.
        fits: whether the text is one of the column's type.
    """

    raw: str | None
    fits: bool = True


NOTHING = Value(None)


def _bad(*raw: str) -> st.SearchStrategy[Value]:
    return st.sampled_from(raw).map(lambda text: Value(text, fits=False))


_texts = st.one_of(
    st.sampled_from(["", "a", "abc", "ü", "12", "٣", "a@b.co", "it's", "x\ny", "123e4567-e89b-12d3-a456-426614174000"]),
    st.text(max_size=6),
)
# Whatever its offset, such a moment lies in a year of four digits.
_moments = st.datetimes(
    datetime(1, 1, 2),  # noqa: DTZ001 - the strategy adds the zone
    datetime(9999, 12, 30),  # noqa: DTZ001 - likewise
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5))]),
)
VALUES: Mapping[str, st.SearchStrategy[Value]] = {
    "string": _texts.map(Value),
    "integer": st.one_of(
        st.integers(-4, 4).map(lambda n: Value(str(n))),
        st.integers(-(2**63), 2**63 - 1).map(lambda n: Value(str(n))),
        st.just(Value("3.0")),
        _bad("1.5", '"7"', "true", "1e2", "9223372036854775808", "[1]", '""', "{}"),
    ),
    "double": st.one_of(
        st.integers(-4, 4).map(lambda n: Value(str(n))),
        st.floats(allow_nan=False, allow_infinity=False).map(lambda n: Value(json.dumps(n))),
        _bad('"1.5"', "false", "1e999", "-1e999", "[]", '""'),
    ),
    "decimal(18,2)": st.one_of(
        st.integers(-400, 400).map(lambda cents: Value(str(Decimal(cents) / 100))),
        st.just(Value("1e2")),
        _bad("22.333", "0.001", '"5"', "1e17", "true", "[5]", '"22.33"'),
    ),
    "boolean": st.one_of(st.sampled_from(["true", "false"]).map(Value), _bad('"true"', "1", "0", '""', "[true]")),
    "date": st.one_of(
        st.dates().map(lambda day: Value(day.isoformat())),
        _bad("yesterday", "infinity", "", "2026-13-01", "2026-02-30", "10000-01-01", "0000-01-01", "epoch"),
    ),
    "timestamp": st.one_of(
        _moments.map(lambda moment: Value(moment.isoformat())),
        _bad("yesterday", "infinity", "-infinity", "", "2026-11-21T25:00:00Z", "10000-01-01T00:00:00Z", "now"),
    ),
    "object": st.one_of(st.sampled_from(['{"a":1}', "{}"]).map(Value), _bad("[1]", '"x"', "1", "true", '"{}"')),
    "array": st.one_of(st.sampled_from(['[1,"ü"]', "[]"]).map(Value), _bad('{"a":1}', '"[]"', "1")),
}
_limits = st.one_of(st.integers(-3, 3), st.integers(-300, 300).map(lambda hundredths: hundredths / 100))
_NUMBER_RULES: Mapping[str, st.SearchStrategy[Any]] = dict.fromkeys(
    ("minimum", "maximum", "exclusive_minimum", "exclusive_maximum"), _limits
) | {
    "positive": st.none(),
    "non_negative": st.none(),
    "range": st.one_of(st.tuples(_limits, _limits), st.tuples(_limits, st.none()), st.tuples(st.none(), _limits)),
    **dict.fromkeys(("one_of", "not_one_of"), st.lists(_limits, min_size=1, max_size=4).map(tuple)),
}
_lengths = st.integers(0, 3)
_TEXT_RULES: Mapping[str, st.SearchStrategy[Any]] = {
    "min_length": _lengths,
    "max_length": _lengths,
    "length": st.tuples(_lengths, _lengths),
    "pattern": st.sampled_from([r"^\d+$", r"^\w*$", "ü", "^[^@]+@", "'", "^.$"]),
    **dict.fromkeys((*FORMATS, "country"), st.none()),
    "currency": st.sampled_from([None, "1999-01-01"]),
    **dict.fromkeys(
        ("one_of", "not_one_of"),
        st.lists(st.sampled_from(["", "a", "ü", "it's", "12"]), min_size=1, max_size=4).map(tuple),
    ),
}
_TIME_RULES: Mapping[str, st.SearchStrategy[Any]] = {
    "window": st.sampled_from([("1000-01-01", None), (None, "now + 1 day"), ("2000-01-01", "now - 1 hour")])
}
_RULES: Mapping[str, Mapping[str, st.SearchStrategy[Any]]] = {
    "string": _TEXT_RULES,
    "integer": _NUMBER_RULES,
    "double": _NUMBER_RULES,
    "decimal(18,2)": _NUMBER_RULES,
    "boolean": {"one_of": st.sampled_from([(True,), (False,)])},
    "date": _TIME_RULES,
    "timestamp": _TIME_RULES,
}
_EXPRESSIONS = {
    "string": "length({0}) < length({1})",
    "integer": "{0} * {1} > {0}",
    "double": "{0} / {1} < 2 or {0} = {1}",
    "decimal(18,2)": "{0} * {1} >= 0",
    "boolean": "{0} or not {1}",
    "date": "date_diff('day', {0}, {1}) > 0",
    "timestamp": "{0} + interval 1 year > {1}",
}
KINDS = {*(kind for kinds in _RULES.values() for kind in kinds), "not_null", "compare", "sql"}
_severities = st.sampled_from([Severity.ERROR, Severity.ERROR, Severity.WARN])


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    """Contracts of every type, nullability and rule, keyed by a column that is always good."""
    columns = [Column("id", "integer", nullable=False, path=("id",))]
    rules = []
    for number, type_ in enumerate(draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=5))):
        name = f"c{number}"
        columns.append(Column(name, type_, nullable=draw(st.booleans()), path=(name,)))
        kinds = {**_RULES.get(type_, {}), "not_null": st.none()}
        chosen = draw(st.lists(st.sampled_from(sorted(kinds)), max_size=2, unique=True))
        rules += [Rule(kind, name, draw(kinds[kind]), draw(_severities)) for kind in chosen]
        if type_ in _EXPRESSIONS and draw(st.booleans(), label=f"{name} is compared"):
            columns.append(Column(f"{name}_too", type_, path=(f"{name}_too",)))
            rules += [
                Rule(kind, name, argument, draw(_severities), label, others)
                for kind, argument, label, others in (
                    (
                        "compare",
                        draw(st.sampled_from(["=", "!=", "<="] if type_ != "boolean" else ["=", "!="])),
                        None,
                        (f"{name}_too",),
                    ),
                    ("sql", _EXPRESSIONS[type_].format(name, f"{name}_too"), f"{name}_adds_up", (f"{name}_too",)),
                )
            ]
    event_time, partition_column = None, None
    if draw(st.booleans(), label="dated"):
        columns += [
            Column("at", "timestamp", nullable=False, path=("at",)),
            Column("day", "date", nullable=False),
        ]
        event_time, partition_column = "at", "day"
    if draw(st.booleans(), label="refers"):
        columns.append(Column("region", "string", nullable=draw(st.booleans()), path=("region",)))
        rules.append(Rule(REFERENCES, "region", REGIONS, draw(_severities)))
    return Contract(
        table="silver.things",
        columns=tuple(columns),
        key=("id",),
        event_time=event_time,
        partition_column=partition_column,
        rules=tuple(rules),
    )


def rows(contract: Contract) -> st.SearchStrategy[list[dict[str, Value]]]:
    """Rows of a contract of `contracts`, ids counted up from 0; a third of the values are missing or bad."""
    special = {
        "at": st.one_of(
            st.sampled_from(["2026-11-21T00:00:00Z", "2026-11-21T23:59:59.999999Z", "2026-11-22T00:30:00+01:00"]).map(
                Value
            ),
            VALUES["timestamp"],
        ),
        "region": st.sampled_from([*KNOWN, *KNOWN, "", "west", "NORTH"]).map(Value),
    }
    arriving = [column for column in contract.columns if column.path and column.name != "id"]
    one = st.fixed_dictionaries(
        {c.name: st.one_of(special.get(c.name, VALUES[c.type]), st.just(NOTHING)) for c in arriving}
    )
    return st.lists(one, min_size=1, max_size=6).map(
        lambda found: [{"id": Value(str(number)), **row} for number, row in enumerate(found)]
    )

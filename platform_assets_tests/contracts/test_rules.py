"""What every kind of rule keeps and breaks, by example; how rules are named, worded and refused."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from xml.etree import ElementTree as ET

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.contracts.formats import countries, currencies
from platform_assets.contracts.iceberg_schema import duckdb_type
from platform_assets.contracts.model import Column, ContractError, Rule, Severity
from platform_assets.contracts.pandera_schema import polars_type
from platform_assets.contracts.rules import RULES, TABLE_RULES, audited, in_words, kind_of, literal, predicate, quote
from platform_assets_tests.contracts.rule_strategies import PATTERNS, TRICKY_TEXT, doubles, integers, texts


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def both(rule: Rule, type_: str, values: Sequence[object], other_type: str | None = None) -> list[bool]:
    """What the rule says of each value (or pair of values); fails unless both of its meanings say it."""
    types = [type_, other_type or type_][: len(rule.columns)]
    columns = [Column(name, kind) for name, kind in zip(rule.columns, types, strict=True)]
    rows = [value if len(columns) == 2 else (value,) for value in values]
    series = {
        column.name: pl.Series([row[place] for row in rows], dtype=polars_type(column), strict=True)  # type: ignore[index]
        for place, column in enumerate(columns)
    }
    connection = _engine()
    declared = ", ".join(f"{quote(column.name)} {duckdb_type(column)}" for column in columns)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE kept (place INT, {declared})")
    for place, row in enumerate(rows):
        connection.execute(f"INSERT INTO kept VALUES (?{', ?' * len(columns)})", [place, *row])  # type: ignore[misc]
    sql = [row[0] for row in connection.execute(f"SELECT {predicate(rule)} FROM kept ORDER BY place").fetchall()]
    polars = pl.DataFrame(series).select(audited(rule).alias("holds"))["holds"].to_list()
    assert sql == polars, (rule, values)
    assert all(isinstance(said, bool) for said in sql)
    return sql


DAY = date(2020, 1, 1)
NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)
# kind → (rule, type, values that keep it, values that break it); every kind is in it, see below.
EXAMPLES: list[tuple[Rule, str, Sequence[object], Sequence[object]]] = [
    (Rule("not_null", "v"), "string", ["", "x"], [None]),
    (Rule("minimum", "v", 0), "integer", [None, 0, 1], [-1]),
    (Rule("maximum", "v", 0.1), "double", [None, 0.1], [0.10000000000000002]),
    (Rule("maximum", "v", 0.1), "decimal(18,2)", [Decimal("0.10")], [Decimal("0.11")]),
    (Rule("maximum", "v", float(2**53)), "integer", [2**53], [2**53 + 1]),
    (Rule("exclusive_minimum", "v", 0), "integer", [None, 1], [0]),
    (Rule("exclusive_maximum", "v", 2**53), "integer", [2**53 - 1], [2**53, 2**53 + 1]),
    (Rule("positive", "v"), "decimal(18,2)", [None, Decimal("0.01")], [Decimal("0.00"), Decimal("-0.01")]),
    (Rule("non_negative", "v"), "double", [None, 0.0, -0.0, 5e-324], [-5e-324]),
    (Rule("range", "v", (0, 100)), "integer", [None, 0, 100], [-1, 101]),
    (Rule("range", "v", (None, 0.5)), "double", [-1e300, 0.5], [0.6]),
    (Rule("range", "v", (0.5, None)), "double", [1e300, 0.5], [0.4]),
    (Rule("min_length", "v", 2), "string", [None, "üü", "🇩🇪"], ["", "a"]),
    (Rule("max_length", "v", 1), "string", [None, "", "ü"], ["ab"]),
    (Rule("length", "v", (1, 2)), "string", [None, "a", "ab"], ["", "abc"]),
    (Rule("length", "v", (1, None)), "string", ["a" * 99], [""]),
    (Rule("pattern", "v", r"^\d+$"), "string", [None, "12"], ["", "1\n", "٣"]),
    (Rule("one_of", "v", ("it's", "")), "string", [None, "it's", ""], ["its", " "]),
    (Rule("one_of", "v", (0.5, 1)), "decimal(18,2)", [Decimal("0.50"), Decimal("1.00")], [Decimal("0.51")]),
    (Rule("not_one_of", "v", ("test", "n/a")), "string", [None, "", "Test"], ["test", "n/a"]),
    (Rule("window", "v", ("2020-01-01", "2020-01-02")), "date", [None, DAY], [date(2019, 12, 31), date(2020, 1, 2)]),
    (
        Rule("window", "v", (None, "2020-01-01T13:00:00+01:00")),
        "timestamp",
        [NOON.replace(hour=11, microsecond=999999)],
        [NOON],
    ),
    (Rule("window", "v", ("2020-01-01T12:00:00", None)), "timestamp", [NOON], [NOON.replace(hour=11)]),
    (Rule("window", "v", ("2020-01-01T12:00:00Z", None)), "date", [date(2020, 1, 2)], [DAY]),
    (
        Rule("email", "v"),
        "string",
        [None, "a.b+c@ex-ample.org", "!#$%&`*+/=?^`{|}~@iana.org", "x@xn--hxajbheg2az3al.xn--jxalpdlp", "test@io"],
        [
            "",
            "a@b",
            "a@localhost",
            "a@b@c.de",
            "a b@c.de",
            "a@-b.de",
            ".a@b.de",
            "a.@b.de",
            "a..b@c.de",
            "a@b..de",
            "a" * 65 + "@b.de",
            "a@" + "b." * 126 + "de",
            "@b.de",
            "a@",
            "a@b.de.",
            "a@b.de\n",
        ],
    ),
    (
        Rule("uuid", "v"),
        "string",
        [None, "123e4567-e89b-12d3-a456-426614174000", "00000000-0000-0000-0000-000000000000"],
        ["", "123e4567e89b12d3a456426614174000", "{123e4567-e89b-12d3-a456-426614174000}"],
    ),
    (
        Rule("uri", "v"),
        "string",
        [
            None,
            "https://user@ex-ample.org:8080/a%20b?c=d&e#f",
            "http://[2001:db8::7]/",
            "urn:isbn:1",
            "gs://b/o",
            "mailto:a@b.de",
            "file:///etc/hosts",
            "tel:+49-30-1",
            "http://1.2.3.4",
        ],
        [
            "",
            "example.org",
            "/a/b",
            "//b/c",
            "http://a b",
            "http://ü.de",
            "1http://a",
            "http://a/%zz",
            "http://[::1",
            "a:b\n",
            "http://a/<b>",
            "http://a:port/",
        ],
    ),
    (
        Rule("ip", "v"),
        "string",
        [None, "1.2.3.4", "::1", "2001:db8::ff00:42:8329", "::ffff:192.0.2.128"],
        ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.04", "1::2::3", "fe80::1%eth0", ":::", "12345::", "1.2.3.4/8"],
    ),
    (Rule("ipv4", "v"), "string", [None, "0.0.0.1", "255.255.255.255"], ["::1", "01.2.3.4", "1.2.3.4\n", "1.2.3.+4"]),
    (Rule("ipv6", "v"), "string", [None, "::", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::"], ["1.2.3.4", "1:2", ""]),
    (
        Rule("hostname", "v"),
        "string",
        [None, "localhost", "a-b.example.org", "xn--4ca.de", "1.2", "a" * 63 + ".de"],
        ["", "-a.de", "a-.de", "a..de", ".de", "a_b.de", "ü.de", "a" * 64 + ".de", ("a." * 127) + "ab", "a.de."],
    ),
    (
        Rule("iso_date", "v"),
        "string",
        [None, "2024-02-29", "2000-02-29", "0001-01-01", "9999-12-31"],
        ["", "2023-02-29", "1900-02-29", "2024-04-31", "2024-13-01", "2024-1-1", "24-01-01", "2024-01-01T00:00:00"],
    ),
    (
        Rule("iso_time", "v"),
        "string",
        [None, "00:00:00", "23:59:59.999Z", "10:30:00+05:45"],
        ["", "24:00:00", "10:30", "10:60:00", "10:30:60", "10:30:00+24:00", "10:30:00 Z"],
    ),
    (
        Rule("iso_datetime", "v"),
        "string",
        [None, "2024-02-29T10:30:00Z", "2024-02-29 10:30:00.5+01:00", "2024-02-29T10:30:00"],
        ["", "2024-02-30T10:30:00Z", "2024-02-29", "2024-02-29T10:30Z", "now"],
    ),
    (
        Rule("currency", "v"),
        "string",
        [None, "EUR", "USD", "JPY", "HRK", "XAU", "CHE", "SVC", "XAD"],
        ["", "eur", "DEM", "CNH", "BTC", "€", "EU"],
    ),
    (Rule("currency", "v", "1999-12-31"), "string", ["DEM", "EUR"], ["DDM"]),
    (Rule("currency", "v", "2026-01-01"), "string", ["EUR"], ["HRK", "DEM"]),
    (
        Rule("country", "v"),
        "string",
        [None, "DE", "GB", "TW", "AX", "SS"],
        ["", "de", "UK", "EU", "YU", "SU", "AN", "CS", "XK", "ZZ", "DEU", "276"],
    ),
    (Rule("compare", "v", "<=", others=("w",)), "date", [(DAY, DAY), (None, DAY), (DAY, None)], [(date.max, DAY)]),
    (Rule("compare", "v", "!=", others=("w",)), "string", [("a", "b"), ("a", "A")], [("ü", "ü")]),
    (Rule("sql", "v", "v % 2 = 0", label="even"), "integer", [None, 0, 2], [1]),
    (
        Rule("sql", "v", "v * w > 0", label="product", others=("w",)),
        "integer",
        [(2, 3), (None, 2)],
        [(-1, 1), (2**62, 4)],  # of the last no product can be computed
    ),
]


@pytest.mark.parametrize(("rule", "type_", "kept", "broken"), EXAMPLES, ids=lambda value: getattr(value, "kind", ""))
def test_a_rule_keeps_and_breaks_what_it_says(
    rule: Rule, type_: str, kept: Sequence[object], broken: Sequence[object]
) -> None:
    assert list(zip(kept, both(rule, type_, kept), strict=True)) == [(value, True) for value in kept]
    assert list(zip(broken, both(rule, type_, broken), strict=True)) == [(value, False) for value in broken]


def test_every_kind_of_rule_about_rows_has_an_example_of_both() -> None:
    assert {rule.kind for rule, _, kept, broken in EXAMPLES if kept and broken} == set(RULES)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_mean_the_same_in_both_engines_on_tricky_text(pattern: str) -> None:
    both(Rule("pattern", "t", pattern), "string", [None, *TRICKY_TEXT])


@settings(max_examples=40, deadline=None)
@given(
    text=texts.filter(lambda text: "\n" not in text),
    values=st.lists(st.one_of(st.none(), texts), min_size=1, max_size=6),
)
def test_a_text_with_every_special_character_escaped_matches_itself(text: str, values: list[str | None]) -> None:
    escaped = "".join(f"\\{c}" if c in r"\.+*?()|[]{}^$" else c for c in text)
    assert both(Rule("pattern", "t", f"^{escaped}$"), "string", [*values, text])[-1]


@settings(max_examples=60, deadline=None)
@given(address=st.ip_addresses(), text=st.from_regex(r"[0-9a-f:.]{2,20}", fullmatch=True))
def test_an_address_is_one_when_the_standard_library_says_so(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, text: str
) -> None:
    written = [str(address), address.exploded, text]
    for kind, read in (
        ("ipv4", ipaddress.IPv4Address),
        ("ipv6", ipaddress.IPv6Address),
        ("ip", ipaddress.ip_address),
    ):
        expected = []
        for value in written:
            try:
                read(value)
            except ValueError:
                expected.append(False)
            else:
                expected.append(True)
        assert both(Rule(kind, "v"), "string", written) == expected


@settings(max_examples=60, deadline=None)
@given(day=st.dates(), text=st.from_regex(r"[0-9]{4}-[01][0-9]-[0-3][0-9]", fullmatch=True))
def test_a_text_is_an_iso_date_when_the_standard_library_says_so(day: date, text: str) -> None:
    try:
        date.fromisoformat(text)
    except ValueError:
        exists = text.startswith("0000-") and both(Rule("iso_date", "v"), "string", ["2000" + text[4:]])[0]
    else:
        exists = True
    assert both(Rule("iso_date", "v"), "string", [day.isoformat(), text]) == [True, exists]


def test_every_refused_address_of_isemail_is_refused_and_every_plainly_valid_one_accepted(real_data: Path) -> None:
    tests = ET.parse(real_data / "isemail_tests" / "tests.xml").getroot().iter("test")  # noqa: S314 - a file of ours
    found: dict[str, list[object]] = {}
    for test in tests:
        pictured = test.findtext("address") or ""
        address = "".join(chr(ord(c) - 0x2400) if 0x2400 <= ord(c) < 0x2420 else c for c in pictured)
        found.setdefault(str(test.findtext("category")), []).append(address)
    refused, accepted = found["ISEMAIL_ERR"], found["ISEMAIL_VALID_CATEGORY"]
    assert (len(refused), len(accepted)) == (66, 14)
    said = both(Rule("email", "v"), "string", [*refused, *accepted])
    assert said == [False] * len(refused) + [True] * len(accepted)


def test_code_lists_are_those_of_iso() -> None:
    assert len(countries()) == 249
    in_use = currencies("2026-01-01")
    assert 175 <= len(in_use) <= 185
    assert set(in_use) <= set(currencies("2020-01-01")) <= set(currencies("1990-01-01"))


def test_what_is_corrected_in_the_currencies_of_cldr_is_still_wrong_there() -> None:
    """When this fails, babel has caught up: take the correction out of `contracts.formats`."""
    from babel.core import get_global

    in_use = {c for found in get_global("territory_currencies").values() for c, _, end, _ in found if end is None}
    assert "CNH" in in_use
    assert not {"SVC", "XAD"} & in_use


def test_every_kind_says_itself_in_words() -> None:
    says = {rule.kind: in_words(rule) for rule, *_ in EXAMPLES}
    assert says["minimum"] == "is at least 0"
    assert says["length"] == "has at least 1 characters"
    assert says["not_one_of"] == "is none of test, n/a"
    assert says["compare"] == "is not equal to w"
    assert in_words(Rule("range", "v", (0, 100))) == "is from 0 to 100"
    window = Rule("window", "v", ("2020-01-01", "now + 1 day"))
    assert in_words(window) == "is not before 2020-01-01 and before now + 1 day"
    assert in_words(Rule("unique", "v")) == "is unique"
    assert in_words(Rule("unique", "v", others=("w",))) == "v, w are unique together"
    assert in_words(Rule("null_ratio", "v", 0.1)) == "is null in at most 10% of the rows"
    assert in_words(Rule("row_count", "", (1, None))) == "has at least 1 rows"
    assert in_words(Rule("references", "v", "silver.t.id", Severity.WARN)) == "is in silver.t.id (only counted)"
    assert all(says.values())
    assert set(says) | set(TABLE_RULES) == {*RULES, *TABLE_RULES}


def test_an_unknown_kind_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ContractError, match=r"no rule is called 'shiny'; there are .*minimum.* and references"):
        predicate(Rule("shiny", "n"))


def test_a_rule_about_the_table_is_no_predicate_of_a_row() -> None:
    with pytest.raises(ContractError, match="about the whole table"):
        predicate(Rule("unique", "n"))


@pytest.mark.parametrize("values", [(), "abc", None])
def test_one_of_wants_a_list_of_values(values: object) -> None:
    with pytest.raises(ContractError, match="one_of wants a list of values"):
        predicate(Rule("one_of", "n", values))


@pytest.mark.parametrize("argument", [None, (None, None), 3, (1,)])
def test_a_range_wants_two_bounds(argument: object) -> None:
    with pytest.raises(ContractError, match=r"v\.range wants a lower and an upper bound"):
        predicate(Rule("range", "v", argument))


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_null_ratio_is_a_share(share: float) -> None:
    with pytest.raises(ContractError, match="allows a share from 0 to 1"):
        kind_of(Rule("null_ratio", "v", share)).says(Rule("null_ratio", "v", share))


@pytest.mark.parametrize("rule", [Rule("compare", "a", "~", others=("b",)), Rule("compare", "a", "<")])
def test_a_comparison_wants_an_operator_and_another_column(rule: Rule) -> None:
    with pytest.raises(ContractError, match="wants one other column and one of"):
        predicate(rule)


@settings(max_examples=40, deadline=None)
@given(value=st.one_of(texts, integers, st.booleans(), st.none(), doubles))
def test_a_literal_reads_back_as_its_value(value: object) -> None:
    read = _engine().execute(f"SELECT {literal(value)}").fetchone()
    assert read is not None
    assert (float(read[0]) if isinstance(value, float) else read[0]) == value


def test_a_literal_of_anything_else_is_refused() -> None:
    with pytest.raises(ContractError, match="no SQL literal"):
        literal([1])


@settings(max_examples=30, deadline=None)
@given(name=st.text(st.characters(exclude_characters="\x00", codec="utf-8"), min_size=1, max_size=8))
def test_a_quoted_name_is_that_name(name: str) -> None:
    assert _engine().execute(f"SELECT 1 AS {quote(name)}").description[0][0] == name

"""What an error stops and a warning counts, from bronze to what readers see (I1, I2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest

from platform_assets.contracts.model import Contract, Rule, Severity
from platform_assets.lakehouse.audit import ContractBroken
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.conform import Accounting
from platform_assets.lakehouse.reader import relation
from platform_assets.lakehouse.silver import Rebuilt, rebuild
from platform_assets.sources.contracts import silver_contract
from platform_assets.sources.model import SilverTable, Source
from platform_assets_tests.lakehouse.bronze_rows import (
    Arrival,
    object_schema,
    publish_bronze,
    write_source,
)

WARN = Severity.WARN
TEXT = {"type": ["string", "null"]}
SCHEMA = object_schema(
    "id",
    id={"type": "integer"},
    mail=TEXT,
    start={"type": ["string", "null"], "format": "date"},
    end={"type": ["string", "null"], "format": "date"},
    seen={"type": ["string", "null"], "format": "date-time"},
)


class Shop:
    """A source whose silver table promises what the test says."""

    def __init__(self, lakehouse: Lakehouse, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lakehouse = lakehouse
        self.source = write_source(folder / "things", SCHEMA, classification={"mail": "pii"})
        self.rules: tuple[Rule, ...] = ()
        monkeypatch.setattr("platform_assets.lakehouse.silver.silver_contract", self._contract)

    def _contract(self, source: Source, table: SilverTable) -> Contract:
        contract = silver_contract(source, table)
        return replace(contract, rules=contract.rules + self.rules)

    def arrive(self, *records: Mapping[str, Any]) -> None:
        """Adds records to bronze."""
        publish_bronze(self.lakehouse, self.source, [Arrival(record) for record in records])

    def build(self, *rules: Rule) -> Rebuilt:
        """Rebuilds silver, which promises those rules."""
        self.rules = rules
        return rebuild(self.lakehouse, self.source, self.source.file.silver[0], partition=None, run_id="r")

    def ids(self, layer: str = "silver") -> list[int]:
        """What is published."""
        with self.lakehouse.connect() as connection:
            rows = connection.execute(
                f"SELECT id FROM {relation(self.lakehouse, f'{layer}.things')} ORDER BY 1"
            ).fetchall()
        return [int(number) for (number,) in rows]


@pytest.fixture
def shop(lakehouse: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    return Shop(lakehouse, tmp_path, monkeypatch)


RECORDS = (
    {"id": 1, "mail": "ann@example.org", "start": "2026-01-01", "end": "2026-01-02"},
    {"id": 2, "mail": "nobody", "start": "2026-01-03", "end": "2026-01-02"},
    {"id": 3, "mail": None, "start": None, "end": "2026-01-02"},
    {"id": 4, "mail": "nobody", "start": "2026-01-01", "end": "2026-01-01"},
)
ABOUT_ROWS = (
    Rule("email", "mail"),
    Rule("compare", "start", "<=", others=("end",)),
    Rule("sql", "id", "id <> length(mail)", label="not_as_long", others=("mail",)),
    Rule("not_null", "start"),
)


def test_an_error_about_a_row_diverts_it(shop: Shop) -> None:
    shop.arrive(*RECORDS, {"id": 6, "mail": "nobody"})
    built = shop.build(*ABOUT_ROWS)
    assert built.accounting == Accounting(5, 1, 4, 0)
    assert built.broken_rules == {
        "mail.email": 1,
        "mail.email, not_as_long, start.not_null": 1,
        "mail.email, start.compare.end": 1,
        "start.not_null": 1,
    }
    assert built.warnings == {}
    assert shop.ids("quarantine") == [2, 3, 4, 6]


def test_a_warning_about_a_row_only_counts(shop: Shop) -> None:
    shop.arrive(*RECORDS, {"id": 6, "mail": "nobody"}, {"id": 6, "mail": "nobody"}, {"id": "x", "mail": "nobody"})
    built = shop.build(*(replace(rule, severity=WARN) for rule in ABOUT_ROWS), Rule("positive", "id", severity=WARN))
    assert built.accounting == Accounting(7, 5, 1, 1)
    assert shop.ids() == [1, 2, 3, 4, 6]
    assert built.broken_rules == {"id.type": 1}
    # Neither the duplicate nor the quarantined row counts: they are not in silver.
    assert built.warnings == {
        "mail.email": 3,
        "not_as_long": 1,
        "start.compare.end": 1,
        "start.not_null": 2,
        "id.positive": 0,
    }


def test_a_relaxed_contract_publishes_what_the_strict_one_diverts(shop: Shop) -> None:
    shop.arrive(*RECORDS)
    strict = shop.build(*ABOUT_ROWS[:3])
    relaxed = shop.build(*Contract("silver.t", silver_columns(shop), rules=ABOUT_ROWS[:3]).relaxed().rules)
    assert (strict.accounting.rows_quarantined, relaxed.accounting.rows_quarantined) == (2, 0)
    assert relaxed.warnings == {"mail.email": 2, "not_as_long": 0, "start.compare.end": 1}


def silver_columns(shop: Shop) -> Any:  # noqa: ANN401 - columns of a contract
    return silver_contract(shop.source, shop.source.file.silver[0]).columns


def test_an_error_about_the_table_blocks_and_leaves_the_last_good_data(shop: Shop) -> None:
    shop.arrive(*RECORDS[:2])
    shop.build(Rule("unique", "mail"), Rule("row_count", "", (2, None)))
    shop.arrive(RECORDS[3], {"id": 5, "mail": "nobody"}, {"id": 7, "mail": None})
    with pytest.raises(ContractBroken) as caught:
        shop.build(
            Rule("unique", "mail"),
            Rule("null_ratio", "start", 0.3),
            Rule("null_ratio", "mail", 0.3),
            Rule("row_count", "", (None, 3)),
        )
    assert {finding.rule: finding.rows for finding in caught.value.findings} == {
        "mail.unique": 3,
        "start.null_ratio": 2,
        "row_count": 2,
    }
    assert "nobody" not in str(caught.value)
    assert shop.ids() == [1, 2]


def test_an_empty_table_breaks_a_row_count(shop: Shop) -> None:
    shop.arrive({"id": "x"})
    with pytest.raises(ContractBroken, match="row_count broken by 1 rows"):
        shop.build(Rule("row_count", "", (1, None)))
    assert shop.build().accounting == Accounting(1, 0, 1, 0)


def test_a_warning_about_the_table_only_counts(shop: Shop) -> None:
    shop.arrive(*RECORDS)
    built = shop.build(
        Rule("unique", "mail", severity=WARN),
        Rule("null_ratio", "start", 0.5, WARN),
        Rule("row_count", "", (9, None), WARN),
    )
    assert built.accounting.rows_out == 4
    assert built.warnings == {"mail.unique": 2, "start.null_ratio": 0, "row_count": 5}


def test_a_relative_window_is_resolved_once_for_the_split_and_the_audit(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LongAgo(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime(2020, 1, 2, tzinfo=tz)

    monkeypatch.setattr("platform_assets.lakehouse.conform.datetime", LongAgo)
    shop.arrive({"id": 1, "seen": "2020-01-01T12:00:00Z"}, {"id": 2, "seen": "2019-12-31T12:00:00Z"})
    built = shop.build(Rule("window", "seen", ("now - 1 day", None)))  # judged by today's clock, both are too old
    assert built.accounting == Accounting(2, 1, 1, 0)
    assert shop.ids() == [1]


def test_a_warning_about_a_reference_keeps_the_row(shop: Shop) -> None:
    shop.arrive({"id": 1}, {"id": 2, "mail": "x"})
    built = shop.build(Rule("references", "id", "silver.others.id", WARN))
    assert built.accounting == Accounting(2, 2, 0, 0)
    assert built.warnings == {"id.references": 2}

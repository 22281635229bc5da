"""What the checks of a silver table say in Dagit: how much was looked at, and what only counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from platform_assets.assets.silver import silver_asset
from platform_assets.contracts.model import Contract, Rule, Severity
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.settings import load_settings
from platform_assets.sources.contracts import silver_contract
from platform_assets.sources.model import SilverTable, Source
from platform_assets_tests.lakehouse.bronze_rows import (
    PII_KEY,
    Arrival,
    object_schema,
    publish_bronze,
    write_source,
)

KEY = dg.AssetKey(["silver", "things"])


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """A source of which three records arrived, in a lakehouse of this test."""
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PLATFORM_PII_KEY", PII_KEY)
    found = write_source(tmp_path / "things", object_schema("id", id={"type": "integer"}))
    publish_bronze(Lakehouse(load_settings()), found, [Arrival({"id": number}) for number in (1, 2, -3)])
    return found


def promising(monkeypatch: pytest.MonkeyPatch, *rules: Rule) -> None:
    """Lets silver promise more than the source file says."""

    def contract(source: Source, table: SilverTable) -> Contract:
        return replace(silver_contract(source, table), rules=rules)

    monkeypatch.setattr("platform_assets.assets.silver.silver_contract", contract)
    monkeypatch.setattr("platform_assets.lakehouse.silver.silver_contract", contract)


def materialize(source: Source) -> dg.ExecuteInProcessResult:
    return dg.materialize([silver_asset(source, source.file.silver[0], [source])], raise_on_error=False)


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {found.check_name: found for found in result.get_asset_check_evaluations() if found.asset_key == KEY}


def metadata(check: dg.AssetCheckEvaluation) -> Mapping[str, Any]:
    return {name: value.value for name, value in check.metadata.items()}


def test_a_contract_check_tells_how_many_rows_and_promises_were_looked_at(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    promising(monkeypatch, Rule("minimum", "id", -5), Rule("positive", "id", severity=Severity.WARN))
    checks = evaluations(materialize(source))
    # Two columns with a type each, neither may be null, the key, and one rule that refuses.
    assert metadata(checks["contract"]) == {"rows_checked": 3, "rules_checked": 6}
    assert checks["contract"].passed


def test_what_only_counts_is_a_warning_that_blocks_nothing(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    promising(
        monkeypatch,
        Rule("positive", "id", severity=Severity.WARN),
        Rule("row_count", "", (1, None), Severity.WARN),
    )
    result = materialize(source)
    warning = evaluations(result)["warnings"]
    assert result.success
    assert not warning.passed
    assert not warning.blocking
    assert warning.severity is dg.AssetCheckSeverity.WARN
    assert metadata(warning) == {"rows_checked": 3, "broken/id.positive": 1, "broken/row_count": 0}


def test_a_warning_passes_where_nothing_breaks_the_rule(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    promising(monkeypatch, Rule("maximum", "id", 9, Severity.WARN))
    assert evaluations(materialize(source))["warnings"].passed


def test_a_contract_without_warnings_has_no_such_check(source: Source) -> None:
    checks = evaluations(materialize(source))
    assert set(checks) == {"contract", "quarantine", "row_accounting"}


def test_a_broken_rule_about_the_table_fails_the_contract_check(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    promising(monkeypatch, Rule("row_count", "", (9, None)))
    result = materialize(source)
    assert not result.success
    check = evaluations(result)["contract"]
    assert not check.passed
    assert check.blocking
    assert "row_count broken by 6 rows" in str(check.description)


def test_dagit_says_the_rules_in_words(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    promising(monkeypatch, Rule("positive", "id", severity=Severity.WARN))
    asset = silver_asset(source, source.file.silver[0], [source])
    columns = {c.name: c for c in asset.get_asset_spec(KEY).metadata["dagster/column_schema"].columns}
    assert columns["id"].constraints.other == ["is more than 0 (only counted)"]

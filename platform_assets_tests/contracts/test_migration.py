"""What a breaking change lacks, one sentence for each thing (S2-17)."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from platform_assets.contracts.compatibility import Change, compare
from platform_assets.contracts.migration import Migration, problems
from platform_assets.contracts.model import Classification, Column, Contract

TODAY = date(2026, 11, 21)
ADR = "docs/adr/0042-orders.md"
WHOLE: dict[str, Any] = {
    "adr": ADR,
    "announced": date(2026, 11, 20),
    "ends": date(2026, 12, 4),
    "consumers": [{"name": "finance", "contact": "finance@example.org", "notified": date(2026, 11, 20)}],
}


def contract(*columns: Column) -> Contract:
    return Contract("silver.orders", (Column("id", "integer"), *columns))


def changes(*columns: Column) -> tuple[Change, ...]:
    """From a contract with a public column `a` to one with these."""
    return compare(contract(Column("a", "string")), contract(*columns))


BREAKING = changes()
TOKENISED = changes(Column("a", "string", classification=Classification.PII))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a decision record that is about orders."""
    adr = tmp_path / ADR
    adr.parent.mkdir(parents=True)
    adr.write_text("# 42. Orders lose their `a`\n\norders_v2 and orders: nobody needs it.\n", encoding="utf-8")
    return tmp_path


def missing(root: Path, found: tuple[Change, ...] = BREAKING, **settings: Any) -> list[str]:  # noqa: ANN401 - YAML
    migration = Migration.model_validate({**WHOLE, **settings})
    return problems(migration, found, TODAY, root, source="orders")


def test_a_whole_migration_lacks_nothing(root: Path) -> None:
    assert missing(root) == []


def test_compatible_changes_need_no_migration(root: Path) -> None:
    compatible = changes(Column("a", "string"), Column("b", "string"))
    assert compatible
    assert problems(None, compatible, TODAY, root, source="orders") == []


def test_without_a_migration_the_sentence_says_what_belongs_to_one(root: Path) -> None:
    assert problems(None, BREAKING, TODAY, root, source="orders") == [
        "orders declares no `migration` (adr, announced, ends, consumers)"
    ]


def test_an_empty_migration_lacks_each_of_four_things(root: Path) -> None:
    found = problems(Migration(), BREAKING, TODAY, root, source="orders")
    assert [problem.split(" ", 1)[0].rstrip(":") for problem in found] == [
        "migration.adr",
        "migration.announced",
        "migration.ends",
        "migration.consumers",
    ]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"adr": "docs/adr/0043.md"}, "migration.adr: there is no file docs/adr/0043.md in the repository"),
        ({"adr": "../secrets.md"}, "migration.adr: ../secrets.md lies outside of the repository"),
        ({"adr": "docs/adr"}, "migration.adr: there is no file docs/adr in the repository"),
        (
            {"announced": date(2026, 11, 22), "ends": date(2026, 12, 30)},
            "migration.announced is 2026-11-22, which is still to come; the new version may be published from then",
        ),
        (
            {"announced": date(2026, 11, 21)},
            (
                "migration.ends is 2026-12-04, 13 days after it was announced; a window is at least 14 days, "
                "until 2026-12-05"
            ),
        ),
        (
            {"announced": date(2026, 11, 1), "ends": date(2026, 11, 20), "consumers": WHOLE["consumers"]},
            "migration.ends is 2026-11-20, which is over: the new version was never served beside the old one",
        ),
        ({"consumers": []}, "migration.consumers is empty: name who reads the table and when they were told"),
        (
            {"consumers": [{"name": "ml", "contact": "#ml", "notified": date(2026, 11, 22)}]},
            "migration.consumers: ml is yet to be told, on 2026-11-22",
        ),
        (
            {"consumers": [{"name": "ml", "contact": "#ml", "notified": date(2026, 11, 21)}]},
            (
                "migration.consumers: ml was told on 2026-11-21 and needs 14 days like everybody; "
                "let the window end on 2026-12-05"
            ),
        ),
    ],
)
def test_each_missing_thing_is_one_problem(root: Path, settings: dict[str, Any], expected: str) -> None:
    found = missing(root, **settings)
    assert expected in found
    assert len(found) == (2 if "over" in expected else 1)


def test_a_consumer_found_later_is_fine_when_the_window_is_moved(root: Path) -> None:
    late = {"name": "ml", "contact": "#ml", "notified": TODAY}
    assert missing(root, consumers=[*WHOLE["consumers"], late], ends=TODAY + timedelta(days=14)) == []


def test_a_decision_record_must_be_about_the_source_itself(root: Path) -> None:
    (root / ADR).write_text("About orders_v2 and reorders.", encoding="utf-8")
    assert missing(root) == [f"migration.adr: {ADR} does not mention orders; it must say why orders breaks"]


def test_the_law_waits_for_no_window_but_for_a_reason_and_for_everybody_to_know(root: Path) -> None:
    at_once = {"announced": TODAY, "ends": TODAY, "consumers": [{"name": "x", "contact": "y", "notified": TODAY}]}
    assert len(missing(root, TOKENISED, **at_once)) == 2
    assert missing(root, TOKENISED, **at_once, legal_basis="GDPR art. 17") == []
    assert len(missing(root, TOKENISED, legal_basis="GDPR art. 17", adr=None, consumers=[])) == 2


def test_the_law_is_no_excuse_for_other_changes(root: Path) -> None:
    assert missing(root, BREAKING, ends=TODAY, legal_basis="GDPR art. 17") != []
    assert missing(root, (*TOKENISED, *BREAKING), ends=TODAY, legal_basis="GDPR art. 17") != []


def test_the_old_version_is_served_up_to_and_with_the_last_day() -> None:
    migration = Migration.model_validate(WHOLE)
    assert not migration.over(date(2026, 12, 4))
    assert migration.over(date(2026, 12, 5))
    assert not Migration().over(date(9999, 12, 31))


@pytest.mark.parametrize(
    "wrong",
    [
        {"end": "2026-12-04"},
        {"ends": "soon"},
        {"consumers": [{"name": "x", "contact": "y"}]},
        {"consumers": [{"name": "", "contact": "y", "notified": "2026-11-20"}]},
        {"legal_basis": ""},
    ],
)
def test_what_no_migration_can_mean_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Migration.model_validate({**WHOLE, **wrong})

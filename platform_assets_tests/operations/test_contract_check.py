"""What `contract check` allows and refuses, with what reasons and what to do next (S2-17, S1-46)."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from platform_assets.contracts.compatibility import Evolution, What
from platform_assets.contracts.migration import Migration
from platform_assets.contracts.model import Classification, Column, Contract, ContractError
from platform_assets.operations.contract_check import (
    Declared,
    Kind,
    TableDiff,
    check_against,
    diff,
    next_version,
    previous_version,
)
from platform_assets.operations.removals import Removals
from platform_assets.sources.model import SourceFile
from platform_assets.sources.yaml_file import SourceError
from platform_assets_tests.lakehouse.bronze_rows import object_schema
from platform_assets_tests.operations.repositories import ORDERS, Repository, make_repository

TODAY = date(2026, 11, 21)
MIGRATION: dict[str, Any] = {
    "adr": "docs/adr/0042.md",
    "announced": date(2026, 11, 20),
    "ends": date(2026, 12, 10),
    "consumers": [{"name": "finance", "contact": "#finance", "notified": date(2026, 11, 20)}],
}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with a source and a model, committed, and a decision record that is about both."""
    made = make_repository(tmp_path / "repository")
    adr = made.root / MIGRATION["adr"]
    adr.parent.mkdir(parents=True)
    adr.write_text("Why orders and revenue break.", encoding="utf-8")
    return made


def check(repository: Repository, ref: str = "HEAD", today: date = TODAY) -> dict[str, TableDiff]:
    return {found.table: found for found in check_against(ref, repository.root, today=today)}


def test_nothing_differs_from_the_commit_that_is_checked_out(repository: Repository) -> None:
    assert check(repository) == {}


def test_a_compatible_change_of_a_source_is_allowed_and_needs_nothing(repository: Repository) -> None:
    repository.schema({**ORDERS, "properties": {**ORDERS["properties"], "note": {"type": "string"}}})
    (found,) = check(repository).values()
    assert (found.table, found.kind, found.allowed) == ("silver.orders", Kind.CHANGED, True)
    assert [change.what for change in found.changes] == [What.OPTIONAL_COLUMN_ADDED]
    assert (found.reasons, found.advice) == ((), "")


def test_a_breaking_change_in_place_is_refused_field_by_field_with_what_to_do(repository: Repository) -> None:
    repository.schema(object_schema("id", "mail", id={"type": "integer"}, mail={"type": "string"}))
    found = check(repository)["silver.orders"]
    assert not found.allowed
    assert {(change.subject, change.what) for change in found.changes} == {
        ("amount", What.COLUMN_REMOVED),
        ("mail", What.REQUIRED),
    }
    assert [reason.split(":")[0] for reason in found.reasons[:-1]] == ["amount", "mail"]
    assert found.reasons[-1] == "silver.orders changes in place, so nobody can read its old version any more"
    assert found.advice == (
        "leave silver.orders as it was, publish the new version as silver.orders_v2, and declare its `migration`"
    )


def test_a_field_that_becomes_secret_is_told_from_one_that_was_removed(repository: Repository) -> None:
    repository.source(classification={"mail": "secret"})
    found = check(repository)["silver.orders"]
    assert [(change.subject, change.what) for change in found.changes] == [("mail", What.WITHDRAWN)]


def test_rules_behind_tokens_are_compared_though_readers_never_see_them(repository: Repository) -> None:
    repository.source(classification={"mail": "pii"})
    repository.commit()
    ruled = {**ORDERS, "properties": {**ORDERS["properties"], "mail": {"type": "string", "format": "email"}}}
    repository.schema(ruled)
    found = check(repository)["silver.orders"]
    assert [(change.subject, change.what) for change in found.changes] == [("mail.email", What.RULE_ADDED)]
    assert not found.allowed


def test_a_model_is_compared_like_a_source(repository: Repository) -> None:
    repository.model(type_="double")
    found = check(repository)["gold.revenue"]
    assert [(change.subject, change.what) for change in found.changes] == [("amount", What.TYPE)]
    assert not found.allowed


def test_a_model_may_widen_a_decimal_in_place(repository: Repository) -> None:
    repository.model(type_="decimal(28,2)")
    assert check(repository)["gold.revenue"].allowed


def test_a_new_version_beside_the_old_one_needs_a_migration(repository: Repository) -> None:
    repository.model("revenue_v2", type_="double")
    found = check(repository)["gold.revenue_v2"]
    assert (found.kind, found.allowed) == (Kind.NEW_VERSION, False)
    assert found.reasons == ("revenue declares no `migration` (adr, announced, ends, consumers)",)
    assert found.advice.startswith("leave gold.revenue as it was, write the decision record, tell its readers")


def test_a_whole_migration_lets_the_new_version_come_and_says_until_when_both_are_served(
    repository: Repository,
) -> None:
    repository.model("revenue_v2", type_="double", migration=MIGRATION)
    (found,) = check(repository).values()
    assert (found.table, found.kind, found.allowed) == ("gold.revenue_v2", Kind.NEW_VERSION, True)
    assert [change.subject for change in found.changes] == ["amount"]
    assert found.advice == "serve gold.revenue until 2026-12-10, then remove it"


def test_what_a_migration_lacks_is_told_thing_by_thing(repository: Repository) -> None:
    repository.model("revenue_v2", type_="double", migration={"adr": "docs/adr/0043.md"})
    found = check(repository)["gold.revenue_v2"]
    assert [reason.split(":")[0].split(" ")[0] for reason in found.reasons] == [
        "migration.adr",
        "migration.announced",
        "migration.ends",
        "migration.consumers",
    ]


def test_a_wrong_migration_is_refused_with_its_file(repository: Repository) -> None:
    repository.model("revenue_v2", migration={**MIGRATION, "until": "ever"})
    with pytest.raises(ContractError, match=r"revenue_v2\.yml: revenue_v2: config\.meta\.migration: until: Extra"):
        check(repository)


def test_an_old_version_may_go_when_the_migration_is_over_and_not_before(repository: Repository) -> None:
    repository.model("revenue_v2", type_="double", migration=MIGRATION)
    repository.commit()
    for suffix in (".sql", ".yml"):
        (repository.root / f"dbt_project/models/gold/revenue{suffix}").unlink()
    early = check(repository, today=date(2026, 12, 10))["gold.revenue"]
    assert (early.kind, early.allowed) == (Kind.RETIRED, False)
    assert early.reasons == ("gold.revenue is served up to and with 2026-12-10",)
    late = check(repository, today=date(2026, 12, 11))["gold.revenue"]
    assert (late.allowed, late.reasons) == (True, ())


def test_the_window_that_was_announced_counts_and_not_one_that_shrank(repository: Repository) -> None:
    repository.model("revenue_v2", type_="double", migration=MIGRATION)
    repository.commit()
    repository.model("revenue_v2", type_="double", migration={**MIGRATION, "ends": date(2026, 11, 22)})
    shrunk = check(repository)["gold.revenue_v2"]
    assert (shrunk.kind, shrunk.allowed) == (Kind.NEW_VERSION, False)
    assert "migration.ends is 2026-11-22, 2 days after it was announced" in shrunk.reasons[0]


def test_a_migration_may_be_forgotten_together_with_the_old_version_only(repository: Repository) -> None:
    repository.model("revenue_v2", type_="double", migration=MIGRATION)
    repository.commit()
    repository.model("revenue_v2", type_="double")
    assert not check(repository)["gold.revenue_v2"].allowed
    shrunk = Repository(repository.root.parent / "copy")
    shutil.copytree(repository.root, shrunk.root)
    for suffix in (".sql", ".yml"):
        (shrunk.root / f"dbt_project/models/gold/revenue{suffix}").unlink()
    assert not check(shrunk)["gold.revenue"].allowed
    (found,) = check(shrunk, today=date(2026, 12, 11)).values()
    assert (found.table, found.kind, found.allowed) == ("gold.revenue", Kind.RETIRED, True)


def test_a_version_that_replaces_the_old_one_at_once_is_refused_at_both(repository: Repository) -> None:
    repository.model("revenue_v2", type_="double", migration=MIGRATION)
    for suffix in (".sql", ".yml"):
        (repository.root / f"dbt_project/models/gold/revenue{suffix}").unlink()
    found = check(repository, today=date(2027, 1, 1))
    assert not found["gold.revenue"].allowed
    assert "gold.revenue_v2 is as new as gold.revenue is gone: they were never served together" in (
        found["gold.revenue"].reasons
    )
    assert "gold.revenue is gone: both versions are served until the migration ends" in (
        found["gold.revenue_v2"].reasons
    )


def test_a_removed_source_must_be_acknowledged(repository: Repository) -> None:
    shutil.rmtree(repository.sources / "orders")
    found = check(repository)["silver.orders"]
    assert (found.kind, found.allowed) == (Kind.REMOVED, False)
    assert "platform_assets/sources/removed.yaml: - {source: orders, removed: 2026-11-21" in found.advice


def test_an_acknowledged_removal_is_allowed_and_says_by_whom(repository: Repository) -> None:
    shutil.rmtree(repository.sources / "orders")
    entry = "- {source: orders, removed: 2026-11-21, by: team:commerce, why: the shop closed}\n"
    (repository.sources / "removed.yaml").write_text(entry, encoding="utf-8")
    found = check(repository)["silver.orders"]
    assert found.allowed
    assert found.reasons == ("team:commerce acknowledged it on 2026-11-21: the shop closed",)


def test_an_old_acknowledgement_does_not_excuse_the_next_removal(repository: Repository) -> None:
    entry = "- {source: orders, removed: 2026-01-01, by: team:commerce, why: closed for winter}\n"
    (repository.sources / "removed.yaml").write_text(entry, encoding="utf-8")
    repository.commit()
    shutil.rmtree(repository.sources / "orders")
    assert not check(repository)["silver.orders"].allowed


def test_a_table_without_a_past_may_come(repository: Repository) -> None:
    repository.model("costs")
    (found,) = check(repository).values()
    assert (found.table, found.kind, found.allowed, found.changes) == ("gold.costs", Kind.NEW, True, ())


def test_folders_that_were_not_there_yet_make_every_table_new(repository: Repository) -> None:
    repository.git("checkout", "--quiet", "--orphan", "empty")
    repository.git("rm", "--quiet", "-r", "--cached", ".")
    repository.git("commit", "--quiet", "--allow-empty", "--message", "Empty")
    assert {found.kind for found in check(repository).values()} == {Kind.NEW}


def test_any_name_that_git_understands_is_compared_with(repository: Repository) -> None:
    repository.schema({**ORDERS, "properties": {**ORDERS["properties"], "note": {"type": "string"}}})
    repository.git("tag", "before")
    repository.commit()
    assert check(repository) == {}
    assert set(check(repository, "before")) == set(check(repository, "HEAD~1")) == {"silver.orders"}


def test_an_earlier_state_that_cannot_be_read_is_named_by_its_commit(repository: Repository) -> None:
    repository.source(colour="red")
    broken = repository.commit()
    path = repository.sources / "orders" / "source.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("colour: red\n", ""), encoding="utf-8")
    with pytest.raises(SourceError) as caught:
        check(repository, broken)
    assert str(caught.value).startswith(
        f"{broken}:platform_assets/sources/orders/source.yaml:1: unknown setting `colour`"
    )


def test_as_json_is_json(repository: Repository) -> None:
    repository.schema(object_schema("id", id={"type": "integer"}))
    found = json.loads(json.dumps(check(repository)["silver.orders"].as_json()))
    assert found["table"] == "silver.orders"
    assert (found["kind"], found["allowed"]) == ("changed", False)
    assert [change["what"] for change in found["changes"]] == ["column removed", "column removed"]
    assert found["advice"]


def declared(*columns: Column, table: str = "silver.things", **more: Any) -> Declared:  # noqa: ANN401 - as Declared
    contract = Contract(table, (Column("id", "integer", path=("id",)), *columns))
    return Declared(contract, **{"owner": "orders", "source": "orders", **more})


def judged(old: Declared, new: Declared, root: Path) -> TableDiff:
    name = old.contract.table
    (found,) = diff({name: old}, {name: new}, Removals(()), today=TODAY, root=root)
    return found


NOTE, MAIL = Column("note", "string", path=("note",)), Column("mail", "string", path=("mail",))


@pytest.mark.parametrize(
    ("evolution", "allowed"), [("backward_compatible", True), ("additive", True), ("frozen", False)]
)
def test_the_policy_of_the_earlier_state_judges(evolution: str, allowed: bool, tmp_path: Path) -> None:
    old = declared(evolution=Evolution(evolution))
    found = judged(old, declared(NOTE, evolution=Evolution.BACKWARD_COMPATIBLE), tmp_path)
    assert found.allowed == allowed
    if not allowed:
        assert found.reasons[0].endswith("its evolution is frozen")
        assert "change `evolution` in a commit of its own" in found.advice


def test_what_the_law_asks_for_happens_in_place_at_once(repository: Repository) -> None:
    now = {"announced": TODAY, "ends": TODAY, "legal_basis": "GDPR art. 17"}
    migration = Migration.model_validate({**MIGRATION, **now})
    old, pii = declared(MAIL), replace(MAIL, classification=Classification.PII)
    assert not judged(old, declared(pii), repository.root).allowed
    found = judged(old, declared(pii, migration=migration), repository.root)
    assert found.allowed
    assert found.advice == "rebuild every partition, so that no old file holds the clear values"
    without_adr = declared(pii, migration=migration.model_copy(update={"adr": None}))
    assert not judged(old, without_adr, repository.root).allowed


def test_versions_follow_one_another_by_name() -> None:
    assert next_version("silver.orders") == "silver.orders_v2"
    assert next_version("silver.orders_v2") == "silver.orders_v3"
    assert previous_version("silver.orders_v2", {"silver.orders", "silver.orders_v2"}) == "silver.orders"
    assert previous_version("silver.orders_v10", {"silver.orders_v9"}) == "silver.orders_v9"
    assert previous_version("silver.orders_v2", {"gold.orders"}) is None
    assert previous_version("silver.orders", {"silver.orders_v2"}) is None


@pytest.mark.skipif("migration" not in SourceFile.model_fields, reason="source.yaml does not say `migration` yet")
def test_a_source_declares_its_migration_in_its_file(repository: Repository) -> None:
    path = repository.sources / "orders" / "source.yaml"
    text = path.read_text(encoding="utf-8")
    repository.source(migration={**MIGRATION, "legal_basis": "GDPR art. 17"}, classification={"mail": "pii"})
    assert text != path.read_text(encoding="utf-8")
    assert check(repository)["silver.orders"].allowed

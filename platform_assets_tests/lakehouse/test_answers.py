"""Answers about tables are kept until the table, or the detail asked for, is another one."""

from __future__ import annotations

import pytest

from platform_assets.contracts.model import Column, Contract
from platform_assets.lakehouse import answers, publisher
from platform_assets.lakehouse.answers import answer
from platform_assets.lakehouse.catalog import Lakehouse

REGIONS = Contract("silver.regions", (Column("id", "integer", nullable=False),), key=("id",))


def say(asked: list[str], said: str) -> str:
    asked.append(said)
    return said


def test_an_answer_holds_for_one_version_and_one_detail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_ANSWERS", {})
    asked: list[str] = []

    def rows(version: str, detail: int | None) -> str:
        return answer(f"file:///a/metadata/{version}.json", "rows", detail, lambda: say(asked, f"{version} {detail}"))

    for version, detail in (("1", None), ("1", 1), ("2", 1)):
        assert [rows(version, detail), rows(version, detail)] == [f"{version} {detail}"] * 2
    assert asked == ["1 None", "1 1", "2 1"]
    assert answer("file:///a/metadata/2.json", "files", 1, lambda: say(asked, "other")) == "other"
    assert len(answers._ANSWERS) == 2  # the newest of each question, whatever number of versions there were


def test_nothing_is_an_answer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_ANSWERS", {})
    asked: list[None] = []
    for _ in range(2):
        assert answer("file:///a/metadata/1.json", "rows", None, lambda: asked.append(None)) is None
    assert len(asked) == 1


def test_a_table_has_another_version_after_every_commit_and_none_before_it_is_made(lakehouse: Lakehouse) -> None:
    assert lakehouse.versions() == {}
    seen = [lakehouse.ensure(REGIONS).metadata_location]
    for _ in range(2):
        assert lakehouse.versions() == {"silver.regions": seen[-1]}
        with lakehouse.connect() as connection:
            publisher.replace(lakehouse, REGIONS, connection, "(SELECT 1 AS id)", partition=None, properties={})
        seen.append(lakehouse.ensure(REGIONS).metadata_location)
    assert len(set(seen)) == 3
    assert lakehouse.tables() == ["silver.regions"]

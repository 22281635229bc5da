"""Removals that somebody acknowledged."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from platform_assets.operations.removals import REMOVED_FILE, Removal, RemovalError, Removals, load_removals

DAY = date(2026, 11, 21)
SOURCE = Removal(source="orders", removed=DAY, by="team:commerce", why="closed")
TABLE = Removal(table="gold.revenue", removed=DAY, by="ada@example.org", why="nobody reads it")


def write(root: Path, text: str) -> None:
    path = root / REMOVED_FILE
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")


def test_without_a_file_nothing_was_acknowledged(tmp_path: Path) -> None:
    assert load_removals(tmp_path) == ()


def test_entries_name_a_source_or_a_table(tmp_path: Path) -> None:
    write(
        tmp_path,
        "- {source: orders, removed: 2026-11-21, by: team:commerce, why: closed}\n"
        "- {table: gold.revenue, removed: 2026-11-21, by: ada@example.org, why: nobody reads it}\n",
    )
    assert load_removals(tmp_path) == (SOURCE, TABLE)


def test_an_empty_file_has_no_entries(tmp_path: Path) -> None:
    write(tmp_path, "# nothing yet\n")
    assert load_removals(tmp_path) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- {source: a, removed: 2026-11-21, by: me}", "entry 0.why: Field required"),
        ("- {removed: 2026-11-21, by: me, why: x}", "entry 0: Value error, an entry names either"),
        ("- {source: a, table: gold.b, removed: 2026-11-21, by: me, why: x}", "names either a `source` or a `table`"),
        ("- {table: revenue, removed: 2026-11-21, by: me, why: x}", "entry 0.table: String should match pattern"),
        ("- {source: a, removed: soon, by: me, why: x}", "entry 0.removed"),
        ("source: a", "expected a list of {source or table, removed, by, why}"),
        ("- [", "removed.yaml: while parsing"),
    ],
)
def test_a_wrong_file_is_refused_with_its_entry(text: str, expected: str, tmp_path: Path) -> None:
    write(tmp_path, text)
    with pytest.raises(RemovalError) as caught:
        load_removals(tmp_path)
    assert str(tmp_path / REMOVED_FILE) in str(caught.value)
    assert expected in str(caught.value)


def test_only_entries_written_since_count_and_for_what_they_name() -> None:
    removals = Removals.since(before=(SOURCE,), now=(SOURCE, TABLE))
    assert removals.of("silver.orders", "orders") is None
    assert removals.of("gold.revenue", None) is TABLE
    assert Removals((SOURCE,)).of("silver.order_lines", "orders") is SOURCE
    assert Removals((SOURCE,)).of("gold.orders", None) is None

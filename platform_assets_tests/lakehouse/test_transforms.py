"""Transforms of one's own on the way to silver: what they may do, and what is refused (S1-80, I2, I7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.reader import relation
from platform_assets.lakehouse.silver import Rebuilt, rebuild
from platform_assets.lakehouse.transforms import TransformError
from platform_assets.sources.model import Source
from platform_assets.sources.registry import load_source
from platform_assets.sources.yaml_file import SourceError
from platform_assets_tests.lakehouse.bronze_rows import Arrival, object_schema, publish_bronze, write_source

PEOPLE = object_schema(
    "id",
    id={"type": "integer"},
    first={"type": "string"},
    last={"type": "string"},
    full_name={"type": "string", "description": "Derived."},
    cents={"type": "integer"},
    amount={"type": "number", "multipleOf": 0.01, "description": "Derived."},
    tags={"type": "array", "items": {"type": "string"}},
    born={"type": "string", "format": "date"},
)
SQL = "SELECT * REPLACE (first || ' ' || last AS full_name, cents::DECIMAL(18,2) / $per AS amount) FROM rows"
ROWS = [
    {"id": 1, "first": "Ada", "last": "Lovelace", "cents": 150, "tags": ["a"], "born": "1815-12-10"},
    {"id": 2, "first": "Grace", "last": "Hopper", "cents": 7},
]


def people(folder: Path, *transforms: dict[str, Any], code: str | None = None) -> Source:
    table = {"table": "people", "kind": "current_state", "key": ["id"], "transforms": list(transforms)}
    source = write_source(folder / "people", PEOPLE, silver=[table])
    if code is not None:
        (source.folder / "mine.py").write_text(code, encoding="utf-8")
    return source


def build(lakehouse: Lakehouse, source: Source, rows: list[dict[str, Any]] | None = None) -> Rebuilt:
    publish_bronze(lakehouse, source, [Arrival(row) for row in (ROWS if rows is None else rows)])
    return rebuild(lakehouse, source, source.file.silver[0], partition=None, run_id="run-1")


def found(lakehouse: Lakehouse, columns: str, table: str = "silver.people") -> list[tuple[Any, ...]]:
    with lakehouse.connect() as connection:
        return connection.execute(f"SELECT {columns} FROM {relation(lakehouse, table)} ORDER BY ALL").fetchall()


def test_sql_derives_fields_that_the_contract_types(lakehouse: Lakehouse, tmp_path: Path) -> None:
    rebuilt = build(lakehouse, people(tmp_path, {"name": "names", "sql": SQL, "params": {"per": 100}}))
    assert rebuilt.accounting.rows_out == 2
    assert found(lakehouse, "id, full_name, amount::VARCHAR, tags, born::VARCHAR") == [
        (1, "Ada Lovelace", "1.50", '["a"]', "1815-12-10"),
        (2, "Grace Hopper", "0.07", None, None),
    ]


def test_sql_may_lie_in_a_file_and_have_its_own_with(lakehouse: Lakehouse, tmp_path: Path) -> None:
    source = people(tmp_path, {"name": "names", "sql": "names.sql"})
    text = "WITH named AS (SELECT * REPLACE (upper(first) AS full_name) FROM rows)\nSELECT * FROM named; -- done"
    (source.folder / "names.sql").write_text(text, encoding="utf-8")
    build(lakehouse, source)
    assert found(lakehouse, "full_name") == [("ADA",), ("GRACE",)]


CLASS = """
import polars as pl

class Names:
    def transform(self, rows, params):
        return rows.with_columns(
            full_name=pl.col("first").str.to_uppercase() + params["mark"],
            tags=pl.concat_list(pl.col("first"), pl.col("last")),
            amount=pl.lit(1.5),
        )

def names(rows, params):
    return Names().transform(rows, {"mark": "?"}).collect()
"""


@pytest.mark.parametrize(("name", "mark"), [("Names", "!"), ("names", "?")])
def test_a_class_or_a_function_does_the_same_on_polars(
    lakehouse: Lakehouse, tmp_path: Path, name: str, mark: str
) -> None:
    transform = {"name": "names", "class": f"mine.py:{name}", "params": {"mark": "!"}}
    build(lakehouse, people(tmp_path, transform, code=CLASS))
    assert found(lakehouse, "full_name, tags, amount::VARCHAR") == [
        (f"ADA{mark}", '["Ada","Lovelace"]', "1.50"),
        (f"GRACE{mark}", '["Grace","Hopper"]', "1.50"),
    ]


def test_transforms_follow_each_other(lakehouse: Lakehouse, tmp_path: Path) -> None:
    first = {"name": "first", "sql": "SELECT * REPLACE (length(first) AS cents), 1 AS further FROM rows"}
    second = {"name": "second", "sql": "SELECT * REPLACE (cents::INTEGER * 10 + further::INTEGER AS cents) FROM rows"}
    build(lakehouse, people(tmp_path, first, second))
    assert found(lakehouse, "cents") == [(31,), (51,)]


def test_what_a_transform_gives_is_judged_by_the_contract(lakehouse: Lakehouse, tmp_path: Path) -> None:
    wrong = {"name": "wrong", "sql": "SELECT * REPLACE (CASE id WHEN '1' THEN 'x' ELSE cents END AS cents) FROM rows"}
    rebuilt = build(lakehouse, people(tmp_path, wrong))
    assert (rebuilt.accounting.rows_out, rebuilt.accounting.rows_quarantined) == (1, 1)
    assert found(lakehouse, "_broken_rules, cents", "quarantine.people") == [("cents.type", "x")]


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        ({"sql": "SELECT * FROM rows WHERE id = '1'"}, "loses 1 rows, such as gs://landing/object.jsonl, row 2. Each"),
        ({"sql": "SELECT * FROM rows UNION ALL SELECT * FROM rows"}, "doubles, or makes up, 2 rows, such as gs://"),
        ({"sql": "SELECT * REPLACE (1::BIGINT AS _row_number) FROM rows"}, "loses 1 rows"),
        ({"sql": "SELECT * REPLACE (now() AS _landed_at) FROM rows"}, "loses 2 rows"),
        (
            {"sql": "SELECT id, first FROM rows"},
            "gives no column last, full_name, .*, born, _.*_row_number",
        ),
        ({"sql": "SELECT * FROM other"}, "cannot be read: Catalog Error: Table with name other does not exist"),
        ({"sql": "SELECT * REPLACE (no_such AS first) FROM rows"}, "cannot be read: Binder Error: .*no_such"),
        ({"sql": "SELECT * FORM rows"}, "cannot be read: Parser Error"),
        ({"sql": "DROP TABLE rows"}, "is not one SELECT"),
        ({"sql": "SELECT * FROM rows; SELECT 1"}, "is not one SELECT"),
        ({"sql": "SELECT * REPLACE (first::INTEGER AS cents) FROM rows"}, r"fails on a row \(ConversionException\)"),
        ({"sql": "SELECT * REPLACE ($much AS cents) FROM rows"}, r"names \$much, which is none of its params \(it has"),
        ({"sql": "nothing.sql"}, "names .*nothing.sql, which does not exist"),
        ({"class": "mine.py:Nothing"}, "cannot be loaded: .*defines no 'Nothing'; it defines fail, few, other, unreal"),
        ({"class": "mine.py:few"}, "loses 1 rows"),
        ({"class": "mine.py:other"}, r"\(mine.py:other\) gave a list; expected a LazyFrame"),
        ({"class": "mine.py:fail"}, r"\(mine.py:fail\) raised ValueError in .*mine.py:3; what it says may hold"),
        ({"class": "mine.py:unreal"}, r"\(mine.py:unreal\) raised ColumnNotFoundError"),
    ],
)
def test_a_transform_that_goes_wrong_is_told_with_its_source_and_publishes_nothing(
    lakehouse: Lakehouse, tmp_path: Path, transform: dict[str, Any], expected: str
) -> None:
    code = (
        "def few(rows, params): return rows.head(1)\n"
        "def other(rows, params): return []\n"
        "def fail(rows, params): raise ValueError(rows.collect()['last'][0])\n"
        "def unreal(rows, params): return rows.select('unreal')\n"
    )
    source = people(tmp_path, {"name": "mend", **transform}, code=code)
    with pytest.raises(TransformError, match=f"^people: transform 'mend' .*{expected}") as error:
        build(lakehouse, source)
    assert "Lovelace" not in str(error.value)
    assert error.value.__cause__ is None or "Lovelace" not in str(error.value.__cause__)
    assert lakehouse.find("silver.people") is None


def test_a_source_without_silver_tables_says_its_transforms_with_its_other_steps(
    lakehouse: Lakehouse, tmp_path: Path
) -> None:
    step = {"transform": {"name": "names", "sql": SQL, "params": {"per": 100}}}
    source = write_source(tmp_path / "people", PEOPLE, silver=None, processing={"bronze_to_silver": [step]})
    build(lakehouse, source)
    assert found(lakehouse, "full_name") == [("Ada Lovelace",), ("Grace Hopper",)]


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        ("{name: x}", "transform 'x' says either `sql` or `class`"),
        ("{name: x, sql: 'SELECT 1', class: 'mine.py:X'}", "transform 'x' says either `sql` or `class`"),
        ("{name: x, class: mine.py}", "transform 'x': 'mine.py' names no code; expected `file.py:Name`"),
        (
            "{name: x, sq: 'SELECT 1'}",
            "unknown setting `processing.bronze_to_silver.0.transform.sq`; did you mean `sql`",
        ),
        ("{sql: 'SELECT 1'}", "`processing.bronze_to_silver.0.transform.name` is missing"),
    ],
)
def test_a_wrong_transform_is_refused_at_its_line(tmp_path: Path, transform: str, expected: str) -> None:
    folder = tmp_path / "people"
    folder.mkdir()
    (folder / "source.yaml").write_text(
        f"source_id: people\npattern: batch_file\nprocessing:\n  bronze_to_silver:\n    - transform: {transform}\n",
        encoding="utf-8",
    )
    with pytest.raises(SourceError) as error:
        load_source(folder)
    assert f"source.yaml:5: {expected}" in str(error.value) or expected in str(error.value)

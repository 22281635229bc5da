"""An expert's own Pandera schema: loaded from its file when asked, refused with what the file has instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_assets.contracts.expert import load_expert
from platform_assets.contracts.model import Column, Contract, ContractError, ExpertSchema

ORDERS = """
from __future__ import annotations

import pandera.polars as pa
import polars as pl


class Orders(pa.DataFrameModel):
    amount: float = pa.Field(ge=0, nullable=True)

    @pa.check("amount")
    def no_odd_cents(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select((pl.col("amount") * 2 % 1 == 0).fill_null(True))
"""


def test_a_schema_is_read_from_its_file_as_it_stands_now(tmp_path: Path) -> None:
    file = tmp_path / "checks.py"
    file.write_text(ORDERS, encoding="utf-8")
    expert = ExpertSchema(file, "Orders")
    assert set(load_expert(expert).columns) == {"amount"}
    file.write_text(ORDERS.replace("amount", "total_amount"), encoding="utf-8")
    assert set(load_expert(expert).columns) == {"total_amount"}


def test_a_contract_does_not_touch_the_file(tmp_path: Path) -> None:
    Contract(
        "silver.t", (Column("amount", "double"),), expert=ExpertSchema(tmp_path / "absent.py", "Orders")
    ).published()


@pytest.mark.parametrize(
    ("content", "name", "why"),
    [
        (ORDERS, "Order", r"Order is no DataFrameModel of pandera\.polars; the file has Orders"),
        ("import pandera\nOrders = 3\n", "Orders", "the file has none"),
        ("import pandera.polars as pa\n", "pa", "the file has none"),
        ("1 / 0\n", "Orders", "cannot be run: ZeroDivisionError"),
        ("import no_such_module\n", "Orders", "cannot be run: ModuleNotFoundError"),
        ("def (\n", "Orders", "cannot be run: SyntaxError"),
        (None, "Orders", "cannot be run: FileNotFoundError"),
    ],
)
def test_a_file_that_has_no_such_schema_is_refused_by_name(
    tmp_path: Path, content: str | None, name: str, why: str
) -> None:
    file = tmp_path / "checks.py"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(ContractError, match=why) as caught:
        load_expert(ExpertSchema(file, name))
    assert str(file) in str(caught.value)


def test_a_file_that_is_no_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"stands in a \.py file"):
        load_expert(ExpertSchema(tmp_path / "checks.yaml", "Orders"))

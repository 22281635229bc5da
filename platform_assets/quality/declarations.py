"""Reads `reconciliations.yaml`: which figures must agree with which, typed, and checked against the declared tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from platform_assets.contracts.model import Contract, ContractError
from platform_assets.contracts.sql_rule import read_expression
from platform_assets.contracts.words import nearest
from platform_assets.lakehouse.declared import declared_tables
from platform_assets.sources.problems import refused
from platform_assets.sources.yaml_file import SourceError, YamlFile, read_yaml

if TYPE_CHECKING:
    from platform_assets.settings import Settings
    from platform_assets.sources.yaml_file import Place

FILE_NAME = "reconciliations.yaml"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?) *%")
_SUMMABLE = {"integer", "double"}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Measure(StrEnum):
    """What is measured of a table."""

    COUNT = "count"
    SUM = "sum"
    DUPLICATES = "duplicates"  # rows that silver dropped because a later one has the same key, as counted by it


class Figure(_Strict):
    """A number for each date of a table, or for a table without dates as a whole."""

    table: str = Field(description="`layer.table`.")
    measure: Measure
    column: str | None = Field(default=None, description="What is summed.")
    where: str | None = Field(
        default=None, description="Which rows count: a condition over columns of the row, as in a rule `sql`."
    )
    date: str | None = Field(default=None, description="The date column; that of its partitions by default.")

    @field_validator("where")
    @classmethod
    def _is_allowed(cls, text: str | None) -> str | None:
        if text is not None:
            try:
                read_expression(text)
            except ContractError as error:
                raise ValueError(str(error)) from None
        return text

    @model_validator(mode="after")
    def _consistent(self) -> Figure:
        if (self.measure is Measure.SUM) != (self.column is not None):
            raise ValueError("`column` says what a `sum` adds up, and nothing else has one")
        if self.measure is Measure.DUPLICATES and (self.where or self.date):
            raise ValueError("`where` and `date` do not go with `duplicates`, which were counted when silver was made")
        return self


def _listed(value: object) -> object:
    return [value] if isinstance(value, Mapping) else value


Figures = Annotated[tuple[Figure, ...], BeforeValidator(_listed), Field(min_length=1)]


class Reconciliation(_Strict):
    """Two sums of figures that must agree."""

    name: str
    description: str = Field(min_length=1)
    expected: Figures = Field(description="What it should be: one figure, or several to be added.")
    actual: Figures = Field(description="What it is. The first table is the one that is told of.")
    tolerance: str = Field(default="0", description="How far they may differ: a number, or percent of the expected.")
    days: int = Field(default=14, ge=1, le=366, description="So many of the newest dates before today are compared.")
    settle_minutes: int = Field(default=60, ge=0, description="A date is compared when nothing changed for so long.")

    @field_validator("name")
    @classmethod
    def _one_word(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name; expected lower-case letters, digits and _, a letter first")
        return name

    @field_validator("tolerance", mode="before")
    @classmethod
    def _amount(cls, value: object) -> str:
        text = str(value).strip()
        percent = _PERCENT.fullmatch(text)
        if percent is None and not re.fullmatch(r"\d+(?:\.\d+)?", text):
            raise ValueError(f"tolerance {text!r} is neither a number nor a percentage, such as `5` or `0.1%`")
        return text

    def allowed(self, expected: float) -> float:
        """How far the actual figure may lie from the expected one."""
        percent = _PERCENT.fullmatch(self.tolerance)
        return abs(expected) * float(percent[1]) / 100 if percent else float(self.tolerance)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Of both sides."""
        return self.expected + self.actual


class _File(_Strict):
    reconciliations: tuple[Reconciliation, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> _File:
        names = [found.name for found in self.reconciliations]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two `reconciliations` are called {name}")
        return self


def read_reconciliations(settings: Settings) -> tuple[Reconciliation, ...]:
    """What the file beside the sources declares; nothing where there is none.

    Raises:
        SourceError: it says what no file can mean, or names a table or column that there is not; with the line.
    """
    path = settings.sources / FILE_NAME
    if not path.is_file():
        return ()
    yaml = read_yaml(path)
    contracts = {table.name: table.contract for table in declared_tables(settings.dbt_project)}
    try:
        found = _File.model_validate(dict(yaml.data)).reconciliations
    except ValidationError as error:
        raise refused(yaml, _File, error, ()) from None
    for number, declared in enumerate(found):
        dated = {
            _checked(yaml, ("reconciliations", number, side), place, figure, contracts)
            for side, figures in (("expected", declared.expected), ("actual", declared.actual))
            for place, figure in enumerate(figures)
        }
        if len(dated) > 1:
            raise yaml.error(("reconciliations", number), f"{declared.name}: a figure by date and one without")
    return found


def _checked(yaml: YamlFile, side: Place, place: int, figure: Figure, contracts: Mapping[str, Contract]) -> bool:
    """Whether the figure is one by date.

    Raises:
        SourceError: its table or a column does not exist, or cannot be summed.
    """
    where = (*side, place) if (*side, place) in yaml.lines else side
    contract = contracts.get(figure.table)
    if contract is None:
        known = nearest(figure.table, list(contracts))
        raise yaml.error((*where, "table"), f"{figure.table} is no table{known or ''}")
    columns = {column.name: column for column in contract.columns}
    named = [("where", name) for name in read_expression(figure.where).columns] if figure.where else []
    named += [(setting, name) for setting in ("column", "date") if (name := getattr(figure, setting)) is not None]
    for setting, name in named:
        if name not in columns:
            known = nearest(name, list(columns))
            raise yaml.error((*where, setting), f"{figure.table} has no column {name!r}{known or ''}")
    if figure.column is not None:
        column = columns[figure.column]
        if column.type not in _SUMMABLE and column.decimal is None:
            raise yaml.error((*where, "column"), f"{figure.table}: {figure.column} is {column.type}, which has no sum")
    if figure.date is not None and columns[figure.date].type != "date":
        raise yaml.error((*where, "date"), f"{figure.table}: {figure.date} is {columns[figure.date].type}, no date")
    if figure.measure is Measure.DUPLICATES and contract.layer != "silver":
        raise _no_duplicates(yaml, where, figure)
    return (figure.date or contract.partition_column) is not None


def _no_duplicates(yaml: YamlFile, where: Place, figure: Figure) -> SourceError:
    return yaml.error((*where, "measure"), f"{figure.table}: only silver counts the duplicates that it drops")

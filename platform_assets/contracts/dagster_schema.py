"""Compiles a contract to the column schema and constraints that Dagit shows."""

from __future__ import annotations

from collections import defaultdict
from functools import cache

import dagster as dg

from platform_assets.contracts.model import Classification, Column, Contract
from platform_assets.contracts.rules import in_words, whole_in_words


def table_schema(contract: Contract) -> dg.TableSchema:
    """The contract as a Dagster table schema: types, nullability, uniqueness and every rule in words."""
    table = [f"{', '.join(contract.key)} unique in a partition"] if len(contract.key) > 1 else []
    table += [whole_in_words(rule) for rule in contract.rules if len(rule.columns) != 1]
    if contract.expert:
        table.append(f"keeps {contract.expert.name} of {contract.expert.file.name}")
    says: defaultdict[str, list[str]] = defaultdict(list)
    for rule in contract.rules:
        if len(rule.columns) == 1:
            says[rule.columns[0]].append(in_words(rule))
    return dg.TableSchema(
        columns=[_column(contract, column, says[column.name]) for column in contract.columns],
        constraints=dg.TableConstraints(other=table),
    )


def _column(contract: Contract, column: Column, says: list[str]) -> dg.TableColumn:
    unique = contract.key == (column.name,)
    pii = column.classification is Classification.PII
    return _table_column(column.name, column.type, column.description, column.nullable, unique, pii, tuple(says))


@cache  # most columns are like one of another table: the origin of every bronze table, the values of a quarantine
def _table_column(  # noqa: PLR0917 - hashable, for the cache
    name: str,
    kind: str,
    description: str,
    nullable: bool,  # noqa: FBT001
    unique: bool,  # noqa: FBT001
    pii: bool,  # noqa: FBT001
    says: tuple[str, ...],
) -> dg.TableColumn:
    return dg.TableColumn(
        name=name,
        type=kind,
        description=description or None,
        constraints=_constraints(nullable, unique, says),
        tags={"classification": "pii"} if pii else {},
    )


@cache
def _constraints(nullable: bool, unique: bool, says: tuple[str, ...]) -> dg.TableColumnConstraints:  # noqa: FBT001
    return dg.TableColumnConstraints(nullable=nullable, unique=unique, other=list(says))

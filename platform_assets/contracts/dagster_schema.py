"""Compiles a contract to the column schema and constraints that Dagit shows."""

from __future__ import annotations

import dagster as dg

from platform_assets.contracts.model import Classification, Column, Contract
from platform_assets.contracts.rules import in_words, whole_in_words


def table_schema(contract: Contract) -> dg.TableSchema:
    """The contract as a Dagster table schema: types, nullability, uniqueness and every rule in words."""
    table = [f"{', '.join(contract.key)} unique in a partition"] if len(contract.key) > 1 else []
    table += [whole_in_words(rule) for rule in contract.rules if len(rule.columns) != 1]
    if contract.expert:
        table.append(f"keeps {contract.expert.name} of {contract.expert.file.name}")
    return dg.TableSchema(
        columns=[_column(contract, column) for column in contract.columns],
        constraints=dg.TableConstraints(other=table),
    )


def _column(contract: Contract, column: Column) -> dg.TableColumn:
    says = [in_words(rule) for rule in contract.rules if rule.columns == (column.name,)]
    return dg.TableColumn(
        name=column.name,
        type=column.type,
        description=column.description or None,
        constraints=dg.TableColumnConstraints(
            nullable=column.nullable, unique=contract.key == (column.name,), other=says
        ),
        tags={"classification": "pii"} if column.classification is Classification.PII else {},
    )

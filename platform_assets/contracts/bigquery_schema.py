"""Compiles a contract to a BigQuery table resource: fields, partitioning and clustering, as the REST API wants them."""

from __future__ import annotations

from typing import Any

from platform_assets.contracts.model import Column, Contract, ContractError

_TYPES = {
    "integer": "INT64",
    "double": "FLOAT64",
    "boolean": "BOOL",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}
_NUMERIC_SCALE, _NUMERIC_WHOLE = 9, 29
_BIGNUMERIC_SCALE = 38
_LONGEST_DESCRIPTION = 1024
_MOST_CLUSTERED = 4


def bigquery_schema(contract: Contract) -> list[dict[str, Any]]:
    """The contract's columns as BigQuery fields: `name`, `type`, `mode`, `description`, of decimals also their digits.

    Objects and arrays are JSON text, as on every engine.
    """
    return [_field(column) for column in contract.columns]


def bigquery_table(contract: Contract) -> dict[str, Any]:
    """The contract as a table resource: `schema`, `description`, `timePartitioning` and `clustering` where it has them.

    Raises:
        ContractError: more columns are clustered by than BigQuery can.
    """
    table: dict[str, Any] = {"schema": {"fields": bigquery_schema(contract)}, "description": contract.description}
    if contract.partition_column:
        table["timePartitioning"] = {"type": "DAY", "field": contract.partition_column}
    if len(contract.clustering) > _MOST_CLUSTERED:
        raise ContractError(
            f"{contract.table}: BigQuery clusters by at most {_MOST_CLUSTERED} columns, not {len(contract.clustering)}"
        )
    if contract.clustering:
        table["clustering"] = {"fields": list(contract.clustering)}
    return table


def _field(column: Column) -> dict[str, Any]:
    field: dict[str, Any] = {
        "name": column.name,
        "type": _TYPES.get(column.type, "STRING"),
        "mode": "NULLABLE" if column.nullable else "REQUIRED",
    }
    if column.decimal:
        precision, scale = column.decimal
        fits = scale <= _NUMERIC_SCALE and precision - scale <= _NUMERIC_WHOLE
        if not fits and (scale > _BIGNUMERIC_SCALE or precision - scale > _BIGNUMERIC_SCALE):
            raise ContractError(f"column {column.name}: BigQuery has no {column.type}")
        field |= {
            "type": "NUMERIC" if fits else "BIGNUMERIC",
            "precision": str(precision),  # the API speaks 64-bit numbers as text
            "scale": str(scale),
        }
    if column.description:
        field["description"] = column.description[:_LONGEST_DESCRIPTION]
    return field

"""Contracts of history tables (slowly changing dimensions, type 2): every version of a key, and when it held."""

from __future__ import annotations

from dataclasses import replace

from platform_assets.contracts.model import Classification, Column, Contract, ContractError, Rule

VALID_FROM = "valid_from"
VALID_TO = "valid_to"
IS_CURRENT = "is_current"
HISTORY_COLUMNS = (
    Column(VALID_FROM, "timestamp", nullable=False, description="From when on this version holds."),
    Column(VALID_TO, "timestamp", description="Until when it held, that moment excluded; null while it holds."),
    Column(IS_CURRENT, "boolean", nullable=False, description="Whether it is the latest version of its key."),
)
HISTORY_NAMES = frozenset(column.name for column in HISTORY_COLUMNS)
_LANDED_AT = "_landed_at"


def as_history(contract: Contract) -> Contract:
    """The contract of the table that keeps every version of a key, instead of the latest alone.

    Args:
        contract: of one version. The first column of its `ordering` says from when on a version holds; without one
            that is when it landed.

    Raises:
        ContractError: that column is neither a date nor a moment, or is tokenised; or the table is partitioned.
    """
    time = contract.column(version_time(contract))
    if time.type not in {"date", "timestamp"} or time.classification is not Classification.PUBLIC:
        raise ContractError(
            f"{contract.table}: a history is ordered by when a version begins to hold; {time.name} is {time.type} "
            f"({time.classification}), expected a public date or timestamp as first column of `ordering`"
        )
    if contract.partition_column:
        raise ContractError(f"{contract.table}: a history has no partitions, because a version holds for many days")
    columns = tuple(replace(c, nullable=False) if c.name == time.name else c for c in contract.columns)
    return replace(
        contract,
        columns=(*columns, *HISTORY_COLUMNS),
        key=(*contract.key, VALID_FROM),
        rules=(*contract.rules, Rule("compare", VALID_FROM, "<", others=(VALID_TO,))),
        history=True,
    )


def version_time(contract: Contract) -> str:
    """The column that says from when on a version holds."""
    return contract.ordering[0] if contract.ordering else _LANDED_AT

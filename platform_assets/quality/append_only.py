"""Adds rows to a small append-only table of `ops`, one commit at a time, whoever else adds to it."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

from platform_assets.contracts.iceberg_schema import duckdb_type
from platform_assets.contracts.rules import literal, quote
from platform_assets.lakehouse import publisher
from platform_assets.lakehouse.publisher import ConcurrentPublish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyiceberg.table import Table

    from platform_assets.contracts.model import Contract
    from platform_assets.lakehouse.catalog import Lakehouse

_ATTEMPTS = 5
Row = tuple[object, ...]


def append_rows(
    lakehouse: Lakehouse, contract: Contract, choose: Callable[[Table], Sequence[Row]], now: datetime
) -> None:
    """Commits what `choose` finds to be new, given the table as it is; nothing if that is nothing.

    Args:
        lakehouse: where the table is.
        contract: of the table, partitioned by the date of its `event_time`.
        choose: rows, with values in the order of the contract's columns. It is asked again if others commit meanwhile.
        now: when they are added; all of them belong to this date.

    Raises:
        ConcurrentPublish: others kept adding at the same time.
    """
    for attempt in range(_ATTEMPTS):
        base = lakehouse.ensure(contract)
        rows = choose(base)
        if not rows:
            return
        try:
            with lakehouse.connect() as connection:
                publisher.append(
                    lakehouse,
                    contract,
                    connection,
                    _values(contract, rows),
                    base=base,
                    partition=now.date(),
                    properties={},
                )
        except ConcurrentPublish:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return


def _values(contract: Contract, rows: Sequence[Row]) -> str:
    """SQL after FROM."""
    types = [duckdb_type(column) for column in contract.columns]
    listed = ", ".join(
        f"({', '.join(f'{_literal(value)}::{kind}' for value, kind in zip(row, types, strict=True))})" for row in rows
    )
    return f"(VALUES {listed}) AS t({', '.join(quote(column.name) for column in contract.columns)})"


def _literal(value: object) -> str:
    if isinstance(value, date):  # a datetime is one
        return f"'{value.isoformat()}'"
    return repr(value) if isinstance(value, float) else literal(value)

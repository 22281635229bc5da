"""Adds what is news to a small append-only table of `ops`, one commit at a time, whoever else adds to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from platform_assets.lakehouse import publisher
from platform_assets.lakehouse.publisher import ConcurrentPublish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from pyiceberg.table import Table

    from platform_assets.contracts.model import Contract
    from platform_assets.lakehouse.catalog import Lakehouse

_ATTEMPTS = 10
Row = tuple[object, ...]
Thing = TypeVar("Thing")


def append_news(
    lakehouse: Lakehouse,
    contract: Contract,
    choose: Callable[[Table], Sequence[Thing]],
    row: Callable[[Thing], Row],
    now: datetime,
) -> list[Thing]:
    """Commits what is new, given the table as it is; nothing if that is nothing.

    Args:
        lakehouse: where the table is.
        contract: of the table, partitioned by the date of its `event_time`.
        choose: what is new. It is asked again if others commit meanwhile.
        row: of one of those, with values in the order of the contract's columns.
        now: when they are added; all of them belong to this date.

    Returns:
        What was new.

    Raises:
        ConcurrentPublish: others kept adding at the same time.
        ContractBroken: a row does not keep the contract.
    """
    import polars as pl

    names = [column.name for column in contract.columns]
    for attempt in range(_ATTEMPTS):
        base = lakehouse.ensure(contract)
        news = list(choose(base))
        if not news:
            return []
        rows = pl.DataFrame([row(thing) for thing in news], schema=names, orient="row", infer_schema_length=None)
        try:
            with lakehouse.connect() as connection:
                connection.register("news", rows)
                publisher.append(
                    lakehouse, contract, connection, "news", base=base, partition=now.date(), properties={}
                )
        except ConcurrentPublish:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return news
    raise AssertionError("unreachable")

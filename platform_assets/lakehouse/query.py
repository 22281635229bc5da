"""Read-only SQL over the lakehouse: every table is a view `layer.table` at its newest snapshot."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from platform_assets.contracts.rules import literal, quote
from platform_assets.lakehouse.catalog import LakehouseError, local_path
from platform_assets.lakehouse.reader import relation

if TYPE_CHECKING:
    import duckdb

    from platform_assets.lakehouse.catalog import Lakehouse

_EXPLAIN = re.compile(r"^\s*EXPLAIN\b(\s+ANALYZE\b|\s*\([^)]*\))?", re.IGNORECASE)


def attach_views(connection: duckdb.DuckDBPyConnection, lakehouse: Lakehouse) -> None:
    """Makes a schema for each layer and a view for each table."""
    for name in lakehouse.tables():
        layer, table = name.split(".", 1)
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(layer)}")
        connection.execute(
            f"CREATE OR REPLACE VIEW {quote(layer)}.{quote(table)} AS SELECT * FROM {relation(lakehouse, name)}"
        )


def _lock(connection: duckdb.DuckDBPyConnection, lakehouse: Lakehouse) -> None:
    warehouse = local_path(lakehouse.settings.resolved_warehouse)
    connection.execute(f"SET allowed_directories = [{literal(warehouse)}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def query(lakehouse: Lakehouse, sql: str) -> tuple[list[str], list[tuple[object, ...]]]:
    """Runs one query; column names and rows.

    It reaches the lakehouse's own files and nothing else: no other file, no network, no setting.

    Raises:
        LakehouseError: it is no single SELECT (or EXPLAIN of one), or DuckDB refuses it.
    """
    import duckdb

    with lakehouse.connect() as connection:
        try:
            # EXPLAIN ANALYZE runs what it explains, so that it is judged by that.
            statements = connection.extract_statements(_EXPLAIN.sub("", sql, count=1))
            if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                raise LakehouseError("Only one SELECT at a time: the lakehouse is written by the graph alone.")
            attach_views(connection, lakehouse)
            _lock(connection, lakehouse)
            result = connection.execute(sql)
            return [column[0] for column in result.description or ()], result.fetchall()
        except duckdb.Error as error:
            raise LakehouseError(f"{error}\nTables: {', '.join(lakehouse.tables()) or 'none yet'}") from error

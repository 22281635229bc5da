"""Dagster's event log in one SQLite database, with an engine that is kept.

Dagster's own storages make an engine for each event, which then compiles each statement again: a quarter of what a
small run takes. What they store, and how, is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from dagster._core.storage.event_log import ConsolidatedSqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from sqlalchemy import Connection, Engine, create_engine, inspect
from sqlalchemy.pool import NullPool


class Events(ConsolidatedSqliteEventLogStorage):
    """The events of the day."""

    @cached_property
    def _engine(self) -> Engine:
        timeout = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
        return create_engine(self._conn_string, poolclass=NullPool, connect_args=timeout)

    @cached_property
    def _tables(self) -> set[str]:
        return set(inspect(self._engine).get_table_names())

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection

    def has_table(self, table_name: str) -> bool:
        """Whether the database has it; all are made with it."""
        return table_name in self._tables

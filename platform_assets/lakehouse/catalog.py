"""Opens the Iceberg catalog and the DuckDB that computes over it. Nothing here reads or writes rows."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlparse

from platform_assets.contracts.iceberg_schema import iceberg_schema, partition_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import duckdb
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.table import Table

    from platform_assets.contracts.model import Contract
    from platform_assets.settings import Settings

CATALOG_NAME = "platform"
Made = TypeVar("Made")
_LOCAL = {"", "file"}
_UTC = "SET TimeZone = 'UTC'"
_LOCAL_FILES = {"py-io-impl": "platform_assets.lakehouse.local_files.LocalFiles"}
# A commit that meets another one must fail, so that its author looks again at what it is about to publish (I4). Each
# leaves a copy of all metadata, of which the newest few help when something went wrong.
TABLE_PROPERTIES = {
    "commit.retry.num-retries": "0",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
}


class LakehouseError(RuntimeError):
    """The lakehouse cannot do what was asked; the message says which table and why."""


class Lakehouse:
    """The tables of one warehouse, opened on first use."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._catalog: SqlCatalog | None = None

    @property
    def catalog(self) -> SqlCatalog:
        """The Iceberg catalog `platform`; its database is made on first use."""
        if self._catalog is None:
            from pyiceberg.catalog.sql import SqlCatalog

            uri = self.settings.resolved_catalog_uri
            if uri.startswith("sqlite:///"):
                Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
            warehouse = self.settings.resolved_warehouse
            files = _LOCAL_FILES if urlparse(warehouse).scheme in _LOCAL else {}
            self._catalog = _despite_others(lambda: SqlCatalog(CATALOG_NAME, uri=uri, warehouse=warehouse, **files))
        return self._catalog

    def tables(self) -> list[str]:
        """Names `layer.table` of all tables, sorted."""
        return sorted(self.versions())

    def versions(self) -> dict[str, str]:
        """The newest metadata file of every table, by `layer.table`, in one query: another one after every commit."""
        from pyiceberg.catalog.sql import IcebergTables
        from sqlalchemy import select

        columns = (IcebergTables.table_namespace, IcebergTables.table_name, IcebergTables.metadata_location)
        ours = select(*columns).where(IcebergTables.catalog_name == self.catalog.name)
        with self.catalog.engine.connect() as connection:
            return {f"{layer}.{table}": str(location) for layer, table, location in connection.execute(ours)}

    def find(self, name: str) -> Table | None:
        """The table at its newest snapshot, or None if it was never published."""
        from pyiceberg.exceptions import NoSuchTableError

        try:
            return self.catalog.load_table(name)
        except NoSuchTableError:
            return None

    def ensure(self, contract: Contract) -> Table:
        """The contract's table, created if it is new, with columns that the contract has gained since."""
        from pyiceberg.exceptions import TableAlreadyExistsError

        found = self.find(contract.table)
        if found is None:
            _despite_others(lambda: self.catalog.create_namespace_if_not_exists(contract.layer))
            schema = iceberg_schema(contract)
            try:
                found = self.catalog.create_table(
                    contract.table,
                    schema,
                    partition_spec=partition_spec(contract, schema),
                    properties=TABLE_PROPERTIES,
                )
            except TableAlreadyExistsError:  # another run was quicker
                found = self.catalog.load_table(contract.table)
        return self._evolved(found, contract)

    def _evolved(self, table: Table, contract: Contract) -> Table:
        wanted = iceberg_schema(contract)
        present = {field.name: field.field_type for field in table.schema().fields}
        for field in wanted.fields:
            if field.name in present and present[field.name] != field.field_type:
                raise LakehouseError(
                    f"{contract.table}: column {field.name} is {present[field.name]} in the table and "
                    f"{field.field_type} in the contract; a change of type is breaking and needs a new version"
                )
        added = [field for field in wanted.fields if field.name not in present]
        if added:
            with table.update_schema() as update:
                for field in added:
                    update.add_column(field.name, field.field_type, doc=field.doc)
            table = self.catalog.load_table(contract.table)
        return table

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A DuckDB in memory, in UTC, that spills under the platform's home."""
        connection = _duckdb(*_limits(self.settings))
        try:
            connection.execute(_UTC)
            yield connection
        finally:
            connection.close()

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of one query, on a DuckDB that this process keeps: to open one takes longer than most answers."""
        kept = _kept(os.getpid(), *_limits(self.settings))
        with kept.cursor() as cursor:
            cursor.execute(_UTC)
            return cursor.execute(sql).fetchall()


_KEPT: list[tuple[tuple[int, str, str], duckdb.DuckDBPyConnection]] = []


def _kept(process: int, spill: str, memory_limit: str) -> duckdb.DuckDBPyConnection:
    """One for each process. What a fork finds is not its own: it has none of its threads, and cannot even close it."""
    wanted = (process, spill, memory_limit)
    for made, connection in _KEPT:
        if made == wanted:
            return connection
    connection = _duckdb(spill, memory_limit)
    _KEPT[:] = [*((made, other) for made, other in _KEPT if made[0] != process), (wanted, connection)]
    return connection


def _duckdb(spill: str, memory_limit: str) -> duckdb.DuckDBPyConnection:
    import duckdb

    # What is read from files is read once, and would be kept in the place of what is computed.
    return duckdb.connect(
        config={"temp_directory": spill, "memory_limit": memory_limit, "enable_external_file_cache": False}
    )


def _limits(settings: Settings) -> tuple[str, str]:
    return str(settings.home.resolve() / "spill"), settings.memory_limit


def _despite_others(make: Callable[[], Made]) -> Made:
    """Makes what another process may be making at this moment: PyIceberg looks first and then inserts."""
    from sqlalchemy.exc import DBAPIError
    from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random

    again = retry_if_exception_type(DBAPIError)
    return retry(retry=again, stop=stop_after_delay(5), wait=wait_random(0, 0.2), reraise=True)(make)()


def local_path(uri: str) -> str:
    """What DuckDB opens for a file URI: a plain path for `file://`, any other URI as it stands."""
    parsed = urlparse(uri)
    return parsed.path if parsed.scheme in _LOCAL else uri

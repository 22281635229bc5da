"""The lakehouse as dbt-duckdb's plugin, for `dbt build` by hand; the platform's own runs are in `dbt_run`.

PLATFORM_PARTITION (ISO date) and PLATFORM_DBT_MODELS (names, comma-separated; only what they read is opened) narrow a
build, in environment variables because dbt parses the whole project again when a dbt var changes. Without them
everything is opened and rebuilt.
"""

from __future__ import annotations

import os
from datetime import date
from typing import TYPE_CHECKING, Any

from dbt.adapters.duckdb.plugins import BasePlugin  # noqa: TID253 - only dbt loads this module
from dbt_common.exceptions import DbtRuntimeError

from platform_assets.lakehouse.audit import ContractBroken
from platform_assets.lakehouse.catalog import LakehouseError
from platform_assets.lakehouse.model_tables import ModelTables
from platform_assets.settings import load_settings

if TYPE_CHECKING:
    from dbt.adapters.duckdb.credentials import DuckDBCredentials
    from dbt.adapters.duckdb.utils import TargetConfig
    from duckdb import DuckDBPyConnection

PARTITION_VARIABLE = "PLATFORM_PARTITION"
MODELS_VARIABLE = "PLATFORM_DBT_MODELS"


class Plugin(BasePlugin):
    """Opens views over the lakehouse with the connection; the materialisation `lakehouse` calls its `store`."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:  # noqa: ARG002 - settings come from the environment
        """Reads from the environment what is built."""
        settings = load_settings()
        models = os.environ.get(MODELS_VARIABLE, "")
        self._config = {"temp_directory": str(settings.home.resolve() / "spill"), "memory_limit": settings.memory_limit}
        self._tables = ModelTables(settings, _partition(), set(models.split(",")) if models else None)

    def update_connection_config(self, creds: DuckDBCredentials, config: dict[str, Any]) -> None:  # noqa: ARG002 - dbt's signature
        """DuckDB is bounded, and spills under the platform's home."""
        config.update(self._config)

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Opens the views."""
        self._connection = conn
        self._tables.open(conn)

    def configure_cursor(self, cursor: DuckDBPyConnection) -> None:
        """What every cursor needs of its own."""
        self._tables.prepare(cursor)

    def store(self, target_config: TargetConfig) -> None:
        """Publishes the rows of a model through the audit.

        Raises:
            DbtRuntimeError: the rows break the contract or cannot be published; the last good snapshot stays.
        """
        relation, computed = target_config.relation, target_config.location
        name = f"{relation.schema}.{relation.identifier}"
        if computed is None:
            raise DbtRuntimeError(f"{name}: the materialisation does not say where its rows are")
        cursor = self._connection.cursor()
        try:
            self.configure_cursor(cursor)
            sql = str(target_config.config["compiled"])
            self._tables.publish(cursor, name, computed.path, sql=sql, definition=None, run_id="")
        except (ContractBroken, LakehouseError) as error:
            raise DbtRuntimeError(str(error)) from error
        finally:
            cursor.close()


def _partition() -> date | None:
    text = os.environ.get(PARTITION_VARIABLE, "")
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise DbtRuntimeError(f"{PARTITION_VARIABLE} is {text!r}; expected a date such as 2026-11-21") from None

"""What dbt-duckdb loads into dbt: views over the lakehouse when the connection opens, publishing when a model is done.

A run is handed over in environment variables, because dbt parses the whole project again when a dbt var changes:
PLATFORM_PARTITION (ISO date, or empty for all partitions), PLATFORM_RUN_ID, and PLATFORM_DBT_MODELS (names of the
models to build, comma-separated; only what they read is opened), and PLATFORM_DBT_DEFINITIONS (JSON of their digests by
name, taken before dbt read the files). Without them, as in `dbt build` by hand, everything is opened, everything is
rebuilt, and nothing says what it was made of.
"""

from __future__ import annotations

import json
import os
from datetime import date
from typing import TYPE_CHECKING, Any

from dbt.adapters.duckdb.plugins import BasePlugin  # noqa: TID253 - only dbt loads this module
from dbt_common.exceptions import DbtRuntimeError

from platform_assets.contracts.dbt_yaml import LAYERS, DbtModel, load_models
from platform_assets.contracts.iceberg_schema import duckdb_type
from platform_assets.contracts.model import Severity
from platform_assets.contracts.rules import REFERENCES, quote
from platform_assets.lakehouse import publisher
from platform_assets.lakehouse.audit import ContractBroken, Finding
from platform_assets.lakehouse.catalog import Lakehouse, LakehouseError
from platform_assets.lakehouse.commits import MADE_OF
from platform_assets.lakehouse.reader import table_relation
from platform_assets.lakehouse.unchanged import Held, made_of, repeatable
from platform_assets.settings import load_settings
from platform_assets.sources.contracts import silver_contract
from platform_assets.sources.registry import load_sources

if TYPE_CHECKING:
    from dbt.adapters.duckdb.credentials import DuckDBCredentials
    from dbt.adapters.duckdb.utils import TargetConfig
    from duckdb import DuckDBPyConnection

    from platform_assets.contracts.model import Contract

PARTITION_VARIABLE = "PLATFORM_PARTITION"
RUN_ID_VARIABLE = "PLATFORM_RUN_ID"
MODELS_VARIABLE = "PLATFORM_DBT_MODELS"
DEFINITIONS_VARIABLE = "PLATFORM_DBT_DEFINITIONS"
ALL_PARTITIONS = "all"
_READABLE_LAYERS = ("silver", *LAYERS)


class Plugin(BasePlugin):
    """The lakehouse as a dbt-duckdb plugin; the materialisation `lakehouse` calls its `store`."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:  # noqa: ARG002 - settings come from the environment
        """Reads the run from the environment, and every contract that a view may need."""
        settings = load_settings()
        self._spill = settings.home.resolve() / "spill"
        self._lakehouse = Lakehouse(settings)
        self._partition = _partition()
        self._models = {model.table: model for model in load_models(settings.dbt_project)}
        self._contracts = {table: model.contract for table, model in self._models.items()}
        for source in load_sources():
            for table in source.file.silver:
                contract = silver_contract(source, table).published()
                self._contracts[contract.table] = contract
        self._selected = _selected(self._models)
        self._definitions: dict[str, str] = json.loads(os.environ.get(DEFINITIONS_VARIABLE) or "{}")
        self._held: dict[str, Held] = {}

    def update_connection_config(self, creds: DuckDBCredentials, config: dict[str, Any]) -> None:  # noqa: ARG002 - dbt's signature
        """DuckDB spills under the platform's home."""
        config["temp_directory"] = str(self._spill)

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Opens the views of all tables that the run's models read."""
        self._connection = conn
        self.configure_cursor(conn)
        for layer in _READABLE_LAYERS:
            conn.execute(f"CREATE SCHEMA IF NOT EXISTS {layer}")
            conn.execute(f"CREATE SCHEMA IF NOT EXISTS {layer}_partition")
        for name in self._tables():
            self._open(conn, name)

    def configure_cursor(self, cursor: DuckDBPyConnection) -> None:
        """What every cursor needs of its own: UTC, and the run's partition where SQL sees it."""
        cursor.execute("SET TimeZone = 'UTC'")
        day = f"DATE '{self._partition.isoformat()}'" if self._partition else "NULL::DATE"
        cursor.execute(f"SET VARIABLE platform_partition = {day}")

    def store(self, target_config: TargetConfig) -> None:
        """Publishes the rows of a model through the audit, then points its views at the new snapshot.

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
            self._publish(cursor, self._models[name], computed.path, str(target_config.config["compiled"]))
            self._open(cursor, name)
        except (ContractBroken, LakehouseError) as error:
            raise DbtRuntimeError(str(error)) from error
        finally:
            cursor.close()

    def _publish(self, cursor: DuckDBPyConnection, model: DbtModel, computed: str, compiled: str) -> None:
        contract = model.contract
        _refuse_other_columns(cursor, contract, computed)
        _refuse_dangling_references(cursor, contract, computed)
        rows = cursor.execute(f"SELECT count(*) FROM {computed}").fetchone()
        partition = self._partition if contract.partition_column else None
        definition = self._definitions.get(model.name) if repeatable(model, compiled) else None
        stamp = made_of(model, definition, self._held, partition)
        publisher.replace(
            self._lakehouse,
            contract,
            cursor,
            computed,
            partition=partition,
            properties={
                "platform.partition": partition.isoformat() if partition else ALL_PARTITIONS,
                "platform.rows-out": str(rows[0] if rows else 0),
                "platform.run-id": os.environ.get(RUN_ID_VARIABLE, ""),
                "platform.writer": "dbt",
                **({} if stamp is None else {MADE_OF: stamp}),
            },
        )

    def _tables(self) -> list[str]:
        read = {name for model in self._models.values() for name in model.depends_on}
        if self._selected is None:
            return sorted(read | {name for name in self._lakehouse.tables() if name.startswith(_READABLE_LAYERS)})
        return sorted({name for model in self._selected for name in model.depends_on})

    def _open(self, connection: DuckDBPyConnection, name: str) -> None:
        """Views over the table's newest snapshot: all of it as `layer.table`, the run's partition in `layer_partition`.

        All of it costs a look at every file, so a run of one partition opens that only where a model asks for it.
        """
        contract = self._contracts.get(name)
        column = contract.partition_column if contract else None
        table = self._lakehouse.find(name)
        if table is not None:
            self._held[name] = Held.by(table)
        # Nobody can say which rows of an undeclared table are the run's partition: all of them would be taken for it.
        if contract is None and (table is None or (self._selected and self._partition)):
            raise LakehouseError(
                f"{name}: neither a source nor a model declares it. If its source cannot be used at the moment "
                "(`platform-assets source validate`), mend that first"
            )
        nothing = f"({_typed_nulls(contract)} WHERE FALSE)" if contract else ""
        layer, short = name.split(".", 1)
        partition = {column: self._partition} if column and self._partition else None
        if partition is None or self._selected is None or any(name in model.reads_whole for model in self._selected):
            source = table_relation(table) if table else nothing
            connection.execute(f"CREATE OR REPLACE VIEW {layer}.{quote(short)} AS SELECT * FROM {source}")
        source = table_relation(table, where=partition) if table else nothing
        connection.execute(f"CREATE OR REPLACE VIEW {layer}_partition.{quote(short)} AS SELECT * FROM {source}")


def _partition() -> date | None:
    text = os.environ.get(PARTITION_VARIABLE, "")
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise DbtRuntimeError(f"{PARTITION_VARIABLE} is {text!r}; expected a date such as 2026-11-21") from None


def _selected(models: dict[str, DbtModel]) -> tuple[DbtModel, ...] | None:
    names = os.environ.get(MODELS_VARIABLE, "")
    if not names:
        return None
    wanted = set(names.split(","))
    return tuple(model for model in models.values() if model.name in wanted)


def _typed_nulls(contract: Contract) -> str:
    return "SELECT " + ", ".join(f"CAST(NULL AS {duckdb_type(c)}) AS {quote(c.name)}" for c in contract.columns)


def _refuse_other_columns(cursor: DuckDBPyConnection, contract: Contract, computed: str) -> None:
    """The SQL gives the contract's columns in their types: a silent cast at publishing could round or cut values.

    Raises:
        LakehouseError: with every column that differs.
    """
    given = _columns(cursor, f"SELECT * FROM {computed}")
    promised = _columns(cursor, _typed_nulls(contract))
    differing = [
        f"{name} is {given.get(name, 'missing')} in the SQL and {promised.get(name, 'missing')} in the YAML"
        for name in {**promised, **given}
        if given.get(name) != promised.get(name)
    ]
    if differing:
        raise LakehouseError(f"{contract.table}: not published, because its columns differ: {'; '.join(differing)}")


def _columns(cursor: DuckDBPyConnection, query: str) -> dict[str, str]:
    return {row[0]: row[1] for row in cursor.execute(f"DESCRIBE {query}").fetchall()}


def _refuse_dangling_references(cursor: DuckDBPyConnection, contract: Contract, computed: str) -> None:
    """Foreign keys are judged here, where the other table is at hand.

    Raises:
        ContractBroken: with every reference that rows break.
    """
    broken = []
    for rule in contract.rules:
        if rule.kind != REFERENCES or rule.severity is not Severity.ERROR:
            continue
        table, _, field = str(rule.argument).rpartition(".")
        column = quote(rule.column)
        found = cursor.execute(
            f"SELECT count(*) FROM {computed} WHERE {column} IS NOT NULL "
            f"AND {column} NOT IN (SELECT {quote(field)} FROM {table} WHERE {quote(field)} IS NOT NULL)"
        ).fetchone()
        if found and found[0]:
            broken.append(Finding(rule.name, found[0]))
    if broken:
        raise ContractBroken(contract.table, tuple(broken))

"""The tables around dbt's models: views of what they read on a DuckDB connection, and publishing what they computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_assets.contracts.dbt_yaml import LAYERS, load_models
from platform_assets.contracts.iceberg_schema import duckdb_type
from platform_assets.contracts.model import Severity
from platform_assets.contracts.rules import REFERENCES, quote
from platform_assets.lakehouse import publisher
from platform_assets.lakehouse.audit import ContractBroken, Finding
from platform_assets.lakehouse.catalog import Lakehouse, LakehouseError
from platform_assets.lakehouse.progress import MADE_OF
from platform_assets.lakehouse.reader import table_relation
from platform_assets.lakehouse.unchanged import Held, made_of, repeatable
from platform_assets.sources.contracts import silver_contract
from platform_assets.sources.registry import load_sources

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import date

    from duckdb import DuckDBPyConnection

    from platform_assets.contracts.model import Contract
    from platform_assets.settings import Settings

ALL_PARTITIONS = "all"
_READABLE_LAYERS = ("silver", *LAYERS)


class ModelTables:
    """The lakehouse as the models of one build see it."""

    def __init__(
        self,
        settings: Settings,
        partition: date | None,
        models: Collection[str] | None,
        *,
        whole: Collection[str] = (),
    ) -> None:
        """Reads every contract that a view may need.

        Args:
            settings: where the lakehouse and the dbt project are.
            partition: the date that is built; None for all of them.
            models: names of the models that are built, of which only what they read is opened; None opens everything.
            whole: `layer.table` of what is read beyond the partition by something else than the models.
        """
        self._lakehouse = Lakehouse(settings)
        self._partition = partition
        self._models = {model.table: model for model in load_models(settings.dbt_project)}
        self._contracts = {table: model.contract for table, model in self._models.items()}
        for source in load_sources():
            for table in source.file.silver:
                contract = silver_contract(source, table).published()
                self._contracts[contract.table] = contract
        self._built = None if models is None else [m for m in self._models.values() if m.name in models]
        self._whole = {*whole, *(name for model in self._built or () for name in model.reads_whole)}
        self._held: dict[str, Held] = {}

    def open(self, connection: DuckDBPyConnection) -> None:
        """Opens the views of all tables that the models read."""
        self.prepare(connection)
        for layer in _READABLE_LAYERS:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {layer}")
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {layer}_partition")
        for name in self._read():
            self._open(connection, name)

    def prepare(self, cursor: DuckDBPyConnection) -> None:
        """What every cursor needs of its own: UTC, and the partition where SQL sees it."""
        cursor.execute("SET TimeZone = 'UTC'")
        day = f"DATE '{self._partition.isoformat()}'" if self._partition else "NULL::DATE"
        cursor.execute(f"SET VARIABLE platform_partition = {day}")

    def publish(
        self, cursor: DuckDBPyConnection, table: str, computed: str, *, sql: str, definition: str | None, run_id: str
    ) -> int:
        """Publishes the rows of a model through the audit, then points its views at the new snapshot.

        Args:
            cursor: a prepared cursor of the connection.
            table: `layer.model`.
            computed: SQL after FROM over the rows.
            sql: the query that computed them.
            definition: digest of the model's files, taken before they were read; None if they do not define it.
            run_id: stamped on the snapshot.

        Returns:
            How many rows there are.

        Raises:
            ContractBroken: the rows break the contract; the last good snapshot stays.
            LakehouseError: they are not what the contract describes, or cannot be published.
        """
        model = self._models[table]
        contract = model.contract
        _refuse_other_columns(cursor, contract, computed)
        _refuse_dangling_references(cursor, contract, computed)
        partition = self._partition if contract.partition_column else None
        made = made_of(model, definition if repeatable(model, sql) else None, self._held, partition)
        counted = cursor.execute(f"SELECT count(*) FROM {computed}").fetchone()
        rows = int(counted[0]) if counted else 0
        publisher.replace(
            self._lakehouse,
            contract,
            cursor,
            computed,
            partition=partition,
            properties={
                "platform.partition": partition.isoformat() if partition else ALL_PARTITIONS,
                "platform.rows-out": str(rows),
                "platform.run-id": run_id,
                "platform.writer": "dbt",
                **({} if made is None else {MADE_OF: made}),
            },
        )
        self._open(cursor, table)
        return rows

    def _read(self) -> list[str]:
        if self._built is not None:
            return sorted({name for model in self._built for name in model.depends_on} | self._whole)
        read = {name for model in self._models.values() for name in model.depends_on}
        return sorted(read | {name for name in self._lakehouse.tables() if name.startswith(_READABLE_LAYERS)})

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
        if contract is None and (table is None or (self._built and self._partition)):
            raise LakehouseError(
                f"{name}: neither a source nor a model declares it. If its source cannot be used at the moment "
                "(`platform-assets source validate`), mend that first"
            )
        nothing = f"({_typed_nulls(contract)} WHERE FALSE)" if contract else ""
        layer, short = name.split(".", 1)
        partition = {column: self._partition} if column and self._partition else None
        if partition is None or self._built is None or name in self._whole:
            source = table_relation(table) if table else nothing
            connection.execute(f"CREATE OR REPLACE VIEW {layer}.{quote(short)} AS SELECT * FROM {source}")
        source = table_relation(table, where=partition) if table else nothing
        connection.execute(f"CREATE OR REPLACE VIEW {layer}_partition.{quote(short)} AS SELECT * FROM {source}")


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

"""Transforms of one's own between bronze and the contract: named SQL, or a class or function on Polars (S1-80).

Every bronze row comes out exactly once, with its origin, or nothing is published: what is to be left out or divided is
said by the contract and by `explode`, where it is counted (I2). A message never holds a value of a row (I7).
"""

from __future__ import annotations

import inspect
import re
import traceback
from typing import TYPE_CHECKING

from platform_assets.contracts.rules import quote
from platform_assets.lakehouse.catalog import LakehouseError
from platform_assets.sources.own_code import CodeError, load_object

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import duckdb

    from platform_assets.sources.model import Transform

_ORIGIN = ("_landing_uri", "_landing_generation", "_landed_at", "_row_number")
_SQL_FILE = re.compile(r"[\w-]+\.sql")
_FRAME = "frame of a transform"


class TransformError(LakehouseError):
    """A transform cannot be applied; the message names the source and the transform."""


def transformed(
    connection: duckdb.DuckDBPyConnection, bronze: str, transforms: Sequence[Transform], folder: Path
) -> str:
    """Bronze rows after the transforms, in their order.

    Args:
        connection: makes a temporary table for the rows before and after each transform.
        bronze: SQL after FROM over bronze rows: fields as text, or as JSON text if they are no text; and their origin.
        transforms: none, or some.
        folder: that of the source's YAML, in which its files lie.

    Returns:
        SQL after FROM with the same columns, the fields being text or JSON text again, and those that were added.

    Raises:
        TransformError: a transform fails, loses or doubles a row, or drops a column.
    """
    if not transforms:
        return bronze
    before = quote("rows of bronze")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {before} AS SELECT * FROM {bronze}")
    for transform in transforms:
        step = _Step(connection, transform, folder)
        after = quote(f"rows after {transform.name}")
        step.apply(before, after)
        step.check(before, after)
        before = step.as_text(after)
    return before


class _Step:
    def __init__(self, connection: duckdb.DuckDBPyConnection, transform: Transform, folder: Path) -> None:
        self._connection, self._transform, self._folder = connection, transform, folder

    def apply(self, before: str, after: str) -> None:
        if self._transform.sql is not None:
            self._apply_sql(self._transform.sql, before, after)
        else:
            self._apply_code(str(self._transform.code), before, after)

    def check(self, before: str, after: str) -> None:
        """Every row once, with its origin, and every column."""
        columns = self._columns(after)
        missing = [name for name in self._columns(before) if name not in columns]
        if missing:
            raise self._error(
                f"gives no column {', '.join(missing)}. Keep every column: `SELECT * REPLACE (… AS name) FROM rows` "
                "or `rows.with_columns(…)`."
            )
        origin = ", ".join(_ORIGIN)
        lost, doubled = (
            self._connection.execute(
                "SELECT count(*), min(_landing_uri || ', row ' || _row_number) FROM "
                f"(SELECT {origin} FROM {first} EXCEPT ALL SELECT {origin} FROM {second})"
            ).fetchone()
            or (0, None)
            for first, second in ((before, after), (after, before))
        )
        for (rows, example), what in ((lost, "loses"), (doubled, "doubles, or makes up,")):
            if rows:
                raise self._error(
                    f"{what} {rows} rows, such as {example}. Each row comes out once: leave rows out by a rule of the "
                    "contract, which counts them, and divide them by `explode`."
                )

    def as_text(self, after: str) -> str:
        """The rows with their fields as bronze has them: text, or JSON text."""
        shown = ", ".join(
            quote(name) if name.startswith("_") else f"{_text(name, kind)} AS {quote(name)}"
            for name, kind in self._columns(after).items()
        )
        return f"(SELECT {shown} FROM {after})"

    def _apply_sql(self, sql: str, before: str, after: str) -> None:
        import duckdb

        if _SQL_FILE.fullmatch(sql.strip()):
            path = self._folder / sql.strip()
            if not path.is_file():
                raise self._error(f"names {path}, which does not exist; it lies beside the source's YAML.")
            sql = path.read_text(encoding="utf-8")
        try:
            statements = self._connection.extract_statements(sql)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise self._error("is not one SELECT.")
            params = self._params_of(statements[0].named_parameters)
            self._connection.execute(f"CREATE OR REPLACE TEMP VIEW rows AS SELECT * FROM {before}")
            self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {after} AS {sql}", params)
        except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException) as error:
            raise self._error(f"cannot be read: {_first_line(error)}") from None  # about the SQL, no value of a row
        except duckdb.Error as error:
            raise self._error(
                f"fails on a row ({type(error).__name__}). Use TRY_CAST where a text may be no number or date; what is "
                "null then is judged by the contract."
            ) from None

    def _params_of(self, named: set[str]) -> dict[str, object]:
        """Those of the params that the SQL names: the engine refuses any other."""
        known = self._transform.params
        for name in sorted(named - known.keys()):
            raise self._error(f"names ${name}, which is none of its params ({', '.join(known) or 'it has none'}).")
        return {name: known[name] for name in named}

    def _apply_code(self, reference: str, before: str, after: str) -> None:
        import polars as pl

        try:
            code = load_object(reference, self._folder)
        except CodeError as error:
            raise self._error(f"cannot be loaded: {error}") from error
        rows = pl.DataFrame(self._connection.sql(f"SELECT * FROM {before}").to_arrow_table()).lazy()
        try:
            run = code().transform if inspect.isclass(code) else code
            result = run(rows, dict(self._transform.params))
            frame = result.collect() if isinstance(result, pl.LazyFrame) else result
        except Exception as error:  # noqa: BLE001 - told without its message, which may hold a value
            last = traceback.extract_tb(error.__traceback__)[-1]
            raise self._error(
                f"({reference}) raised {type(error).__name__} in {last.filename}:{last.lineno}; what it says may hold "
                "values of rows and is not repeated."
            ) from None
        if not isinstance(frame, pl.DataFrame):
            raise self._error(f"({reference}) gave a {type(frame).__name__}; expected a LazyFrame.")
        self._connection.register(_FRAME, frame)
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {after} AS SELECT * FROM {quote(_FRAME)}")
        self._connection.unregister(_FRAME)

    def _columns(self, relation: str) -> dict[str, str]:
        """Names and types."""
        described = self._connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
        return {str(row[0]): str(row[1]) for row in described}

    def _error(self, message: str) -> TransformError:
        return TransformError(f"{self._folder.name}: transform {self._transform.name!r} {message}")


def _text(name: str, kind: str) -> str:
    if kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "JSON")):
        return f"CAST(to_json({quote(name)}) AS VARCHAR)"
    return f"CAST({quote(name)} AS VARCHAR)"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]

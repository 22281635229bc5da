"""Free SQL as a rule: one boolean expression over the columns of a row, written in DuckDB's dialect.

What it may say is a list of what is allowed, not of what is forbidden: it reads nothing but the row, and says the same
of the same row today and tomorrow (I3). In the audit DuckDB judges it as well, over the Polars frame. A row for which
it cannot be computed, such as one whose sum overflows, breaks it; so nothing stops a run, and no error shows a value
(I7).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from platform_assets.contracts.iceberg_schema import duckdb_type
from platform_assets.contracts.kinds import RuleKind, quote
from platform_assets.contracts.model import Contract, ContractError, Rule

if TYPE_CHECKING:
    import duckdb
    import polars as pl
    from sqlglot import exp

SQL = "sql"

_VALUES = "Column Identifier Literal Boolean Null Paren DataType DataTypeParam Interval Var Tuple Alias"
_TRUTHS = (
    "And Or Not Xor EQ NEQ GT GTE LT LTE Is In Between Like ILike NullSafeEQ NullSafeNEQ RegexpLike StartsWith "
    "EndsWith Contains Boolean"
)
_EITHER = "Case If Coalesce Column Paren Cast TryCast"
_COMPUTED = (
    "Add Sub Mul Div IntDiv Mod Neg Nullif Abs Round Floor Ceil Sign Greatest Least Length Lower Upper Trim Substring "
    "Left Right Replace Concat DPipe StrPosition Extract DateDiff DateAdd TimestampTrunc DateTrunc Year Month Day"
)
_ALLOWED = frozenset(f"{_VALUES} {_TRUTHS} {_EITHER} {_COMPUTED}".split())
_BOOLEAN = frozenset(f"{_TRUTHS} {_EITHER}".split())
_FUNCTIONS = (
    "abs, ceil, coalesce, concat, contains, date_diff, date_trunc, extract, floor, greatest, least, left, length, "
    "lower, nullif, regexp_matches, replace, right, round, starts_with, strpos, substring, trim, upper"
)


@dataclass(frozen=True)
class Expression:
    """A free expression that may be run.

    Attributes:
        sql: the expression with every name quoted.
        columns: what it names, in order of first mention.
    """

    sql: str
    columns: tuple[str, ...]


@cache
def read_expression(text: str) -> Expression:
    """What a free expression says.

    Raises:
        ContractError: it is no single boolean expression over columns of the row, or uses what is not allowed.
    """
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        statements = sqlglot.parse(text, dialect="duckdb")
    except SqlglotError as error:
        why = re.sub(r"\x1b\[\d+m", "", str(error)).splitlines()[0]
        raise ContractError(f"{text!r} is no SQL expression: {why}") from None
    if len(statements) != 1 or statements[0] is None:
        raise ContractError(f"{text!r} is not one SQL expression; write one, and join conditions by `and`")
    tree = statements[0]
    if any(token.text == "~" for token in sqlglot.tokenize(text, dialect="duckdb")):
        raise ContractError(f"{text!r} uses ~, which SQL dialects read differently; write regexp_matches(…)")
    for node in tree.walk():
        _refuse(node, text)
    root = tree.unnest()
    if type(root).__name__ not in _BOOLEAN:
        raise ContractError(f"{text!r} is neither true nor false; compare it with something")
    columns = tuple(dict.fromkeys(column.name for column in tree.find_all(exp.Column, bfs=False)))
    if not columns:
        raise ContractError(f"{text!r} names no column of the row")
    return Expression(tree.sql(dialect="duckdb", identify=True, comments=False), columns)


def _refuse(node: exp.Expr, text: str) -> None:
    from sqlglot import exp

    name = type(node).__name__
    if isinstance(node, exp.Column) and node.table:
        raise ContractError(f"{text!r} says {node.sql(dialect='duckdb')!r}; a column is named without a table")
    if name in _ALLOWED and not isinstance(node, exp.Alias):
        return
    said = node.sql(dialect="duckdb")
    what = f"the function {node.name or name}" if isinstance(node, exp.Func) else repr(said)
    raise ContractError(
        f"{text!r} uses {what}, which a rule may not; it compares and computes with columns of its row, literals, "
        f"case, casts and the functions {_FUNCTIONS}; what depends on the time of day is said by the check `window`"
    )


def _expression(rule: Rule) -> Expression:
    found = read_expression(str(rule.argument))
    if set(found.columns) != set(rule.columns):
        raise ContractError(f"{rule.name} names the columns {rule.columns}, its expression {found.columns}")
    return found


def _sql(rule: Rule) -> str:
    # An error within TRY is NULL, and so is an expression over nulls: only the latter keeps the rule.
    return f"coalesce(TRY(coalesce({_expression(rule).sql}, TRUE)), FALSE)"


def _polars(rule: Rule) -> pl.Expr:
    import polars as pl

    judged = _sql(rule)

    def judge(rows: pl.Series) -> pl.Series:
        with _engine() as connection:
            connection.register("given", rows.struct.unnest().to_arrow())
            answers = connection.sql(f"SELECT {judged} AS holds FROM given").to_arrow_table()
        return pl.Series(answers.column("holds"), dtype=pl.Boolean)

    return pl.struct(rule.columns).map_batches(judge, return_dtype=pl.Boolean)


def _engine() -> duckdb.DuckDBPyConnection:
    """A DuckDB of its own, in UTC, that reaches neither files nor the network."""
    import duckdb

    connection = duckdb.connect(config={"enable_external_access": "false"})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


KIND = RuleKind(sql=_sql, polars=_polars, says=lambda rule: str(rule.argument))


def refuse_unbound(contract: Contract) -> None:
    """Asks DuckDB whether every expression fits the types of the contract's columns, which parsing cannot tell.

    Raises:
        ContractError: DuckDB refuses one, or it is neither true nor false.
    """
    import duckdb

    rules = [rule for rule in contract.rules if rule.kind == SQL]
    nothing = ", ".join(f"NULL::{duckdb_type(column)} AS {quote(column.name)}" for column in contract.columns)
    for rule in rules:
        with _engine() as connection:
            try:
                (kind,) = connection.sql(f"SELECT {_expression(rule).sql} FROM (SELECT {nothing})").types
            except duckdb.Error as error:
                why = str(error).splitlines()[0]
                raise ContractError(f"{contract.table}: {rule.name} cannot be computed: {why}") from None
        if str(kind) != "BOOLEAN":
            raise ContractError(f"{contract.table}: {rule.name} gives {kind}; expected true or false")

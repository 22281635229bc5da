"""Metrics of `processing.silver_to_gold` (S1-85): what `sum(amount) as total_amount` means, and of which type it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from platform_assets.contracts.model import Column
from platform_assets.contracts.words import nearest
from platform_assets.sources.yaml_file import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile("[a-z][a-z0-9_]{0,62}")
_FUNCTIONS = ("sum", "count", "avg", "min", "max")
_ADDABLE = {"integer", "double"}
_ORDERED = {"integer", "double", "string", "date", "timestamp"}
_EXPECTED = "expected `function(column) as name` with one of sum, count, avg, min, max; count takes `*` too"
_MONEY_SCALE = 2


@dataclass(frozen=True)
class Metric:
    """A metric that can be computed.

    Attributes:
        sql: the expression, in dbt's words.
        column: what it gives.
        minimum: what it is at least, if that is certain.
    """

    sql: str
    column: Column
    minimum: int | None = None


def read_metric(text: str, columns: Mapping[str, Column]) -> Metric:
    """A metric over rows that have these columns.

    Raises:
        SourceError: it is none, or its column does not exist or cannot be summed up so; the message says what could be.
    """
    function, argument, distinct, name = _parsed(text)
    if not _NAME.fullmatch(name) or name in reserved_words():
        raise SourceError(f"metric {text!r}: {name!r} cannot name a column; take lower-case letters, digits and `_`")
    if argument is None:
        described = Column(name, "integer", nullable=False, description="Number of rows.")
        return Metric("count(*)", described, minimum=1)
    if argument not in columns:
        raise SourceError(f"metric {text!r}: there is no column {argument!r}{nearest(argument, [*columns])}")
    column = columns[argument]
    said = f"distinct {identifier(argument)}" if distinct else identifier(argument)
    if function == "count":
        words = f"Number of {'different ' if distinct else ''}values of {argument}."
        return Metric(f"count({said})", Column(name, "integer", nullable=False, description=words), minimum=0)
    addable = column.type in _ADDABLE or column.decimal is not None
    if (function in {"sum", "avg"} and not addable) or (not addable and column.type not in _ORDERED):
        fits = ", ".join(c.name for c in columns.values() if c.type in _ADDABLE or c.decimal) or "none here"
        raise SourceError(f"metric {text!r}: {argument} is a {column.type}; {function} wants a number: {fits}")
    kind = "double" if function == "avg" else column.type
    words = {"sum": "Sum", "avg": "Mean", "min": "Smallest value", "max": "Largest value"}[function]
    return Metric(_cast(f"{function}({said})", kind), Column(name, kind, column.nullable, f"{words} of {argument}."))


def identifier(name: str) -> str:
    """A column in a dbt model: quoted as the engine wants it where its name is a word of SQL."""
    if _NAME.fullmatch(name) and name not in reserved_words():
        return name
    return f"{{{{ adapter.quote({name!r}) }}}}"


@cache
def reserved_words() -> frozenset[str]:
    """Words that cannot be a column's name without quotes, in DuckDB or in BigQuery."""
    from sqlglot import Dialect

    dialects = (Dialect.get_or_raise(name) for name in ("duckdb", "bigquery"))
    return frozenset(word for dialect in dialects for word in dialect.generator_class.RESERVED_KEYWORDS)


def _cast(sql: str, kind: str) -> str:
    """Sums of whole numbers and decimals are wider than the column that they are of."""
    if sql.startswith(("min", "max", "avg")) or kind == "double":
        return sql
    if kind == "integer":
        return f"cast({sql} as bigint)"
    scale = int(kind.rpartition(",")[2].rstrip(")"))
    if scale != _MONEY_SCALE or "{{" in sql:
        return f"cast({sql} as decimal(18, {scale}))"
    return f"{{{{ money('{sql}') }}}}"


def _parsed(text: str) -> tuple[str, str | None, bool, str]:
    """Function, column (None for `*`), whether it is distinct, and name of a metric."""
    import sqlglot
    from sqlglot import exp

    try:
        parsed = sqlglot.parse(f"select {text}", read="duckdb")
    except sqlglot.ParseError:
        raise SourceError(f"metric {text!r} is no SQL; {_EXPECTED}") from None
    selected = parsed[0] if len(parsed) == 1 else None
    if not isinstance(selected, exp.Select) or len(selected.expressions) != 1 or selected.args.get("from_"):
        raise SourceError(f"metric {text!r} is more than one expression; {_EXPECTED}")
    named = selected.expressions[0]
    if not isinstance(named, exp.Alias):
        raise SourceError(f"metric {text!r} has no name; {_EXPECTED}")
    call = named.this
    function = call.key if isinstance(call, exp.AggFunc) else ""
    if function not in _FUNCTIONS:
        raise SourceError(f"metric {text!r} sums nothing up; {_EXPECTED}")
    argument = call.this
    distinct = isinstance(argument, exp.Distinct)
    if distinct and len(argument.expressions) == 1:
        argument = argument.expressions[0]
    if isinstance(argument, exp.Star) and function == "count" and not distinct:
        return function, None, False, named.alias
    if not isinstance(argument, exp.Column) or argument.table or call.expressions:
        raise SourceError(f"metric {text!r} computes something inside; {_EXPECTED}, and edit the model afterwards")
    return function, argument.name, distinct, named.alias

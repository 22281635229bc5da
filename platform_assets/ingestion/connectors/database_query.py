"""Queries a database for what its cursor column says is new (S1-72). Any database that SQLAlchemy has a driver for.

The secret is the database's URL, `postgresql+psycopg://user:password@host/name`. `params`: `query`, a SELECT; and
`cursor_column`, a column of it that never falls for new or changed rows, such as `updated_at` or a growing id. Rows
with the very cursor value at which the last object ended may still be coming: they are asked for again, and those that
are in that object already are told by their content.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any

from platform_assets.ingestion.connectors.base import Collected, ConnectorError
from platform_assets.ingestion.connectors.incremental import Position, land, settle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import Connection, Select

    from platform_assets.ingestion.connectors.base import Context
    from platform_assets.sources.model import Source

ROWS_PER_OBJECT = 10_000
BYTES_PER_OBJECT = 32 * 2**20
_CURSOR = "cursor"


def collect(source: Source, context: Context, /) -> Collected:
    """Lands new rows as objects of JSON lines, in the order of the cursor, until there are none or the time is up.

    Raises:
        ConnectorError: the database cannot be asked, the query has no such column, or rows without a cursor value.
    """
    query = _Query(source)
    position, settled = settle(source.name, context, query.advance)
    landed = [] if settled is None else [settled]
    with _connection(source, context) as connection:
        query.check(connection)
        while lines := query.lines(connection, position):
            cursor = json.dumps(_tagged(lines[-1][0]))
            content = b"".join(line for _, line in lines)
            position, found = land(source.name, context, content, {_CURSOR: cursor}, query.advance)
            landed.append(found)
            if context.time_is_up:
                return Collected(landed, again_in=0)
    return Collected(landed)


class _Query:
    def __init__(self, source: Source) -> None:
        params = source.file.ingestion.params
        # A colon is no parameter of ours.
        self._sql = str(params["query"]).strip().rstrip(";").replace(":", "\\:")
        self._cursor_column = str(params["cursor_column"])
        self._rows = int(params.get("rows_per_object", ROWS_PER_OBJECT))

    def check(self, connection: Connection) -> None:
        """Refuses rows that no cursor would ever reach, so that none is lost unseen."""
        from sqlalchemy import column

        select = self._select().where(column(self._cursor_column).is_(None)).limit(1)
        if connection.execute(select).first() is not None:
            raise ConnectorError(
                f"rows of the query have no {self._cursor_column!r} (ingestion.params.cursor_column) and would never "
                "arrive. Give them one in ingestion.params.query, such as COALESCE(updated_at, created_at)."
            )

    def lines(self, connection: Connection, position: Position) -> list[tuple[Any, bytes]]:
        """The next rows that have not landed, each with its cursor value and as a line of JSON."""
        from sqlalchemy import column

        landed: Counter[str] = Counter(position.get("ties", {}))
        select = self._select().order_by(column(self._cursor_column)).limit(self._rows + landed.total())
        if _CURSOR in position:
            select = select.where(column(self._cursor_column) >= _untagged(position[_CURSOR]))
        result = connection.execution_options(stream_results=True).execute(select)
        names = list(result.keys())
        place = self._place(names)
        lines: list[tuple[Any, bytes]] = []
        size = 0
        for row in result:
            line = _line(names, row)
            digest = _digest(line)
            if landed[digest] > 0:
                landed[digest] -= 1
                continue
            lines.append((row[place], line))
            size += len(line)
            if size >= BYTES_PER_OBJECT:
                break
        result.close()
        return lines

    def advance(self, position: Position, content: bytes, words: Mapping[str, str]) -> Position:
        """Where to go on after an object: at its last cursor value, with what has landed of that value."""
        cursor = json.loads(words[_CURSOR])
        ties: Counter[str] = Counter(position["ties"] if position.get(_CURSOR) == cursor else {})
        lines = content.splitlines(keepends=True)
        last = json.loads(lines[-1])
        name = list(last)[self._place(list(last))]
        for line in reversed(lines):
            if json.loads(line)[name] != last[name]:
                break
            ties[_digest(line)] += 1
        return {_CURSOR: cursor, "ties": dict(ties)}

    def _select(self) -> Select[Any]:
        from sqlalchemy import literal_column, select, text

        return select(literal_column("*")).select_from(text(f"({self._sql}) rows_of_the_query"))

    def _place(self, names: list[str]) -> int:
        for place, name in enumerate(names):
            if name.lower() == self._cursor_column.lower():
                return place
        raise ConnectorError(
            f"the query has no column {self._cursor_column!r} (ingestion.params.cursor_column); it has "
            f"{', '.join(names)}."
        )


@contextmanager
def _connection(source: Source, context: Context) -> Iterator[Connection]:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
    from sqlalchemy.pool import NullPool

    name = str(source.file.ingestion.secret_name)
    secret = context.settings.require_secret(name).get_secret_value().strip()
    try:
        engine = create_engine(secret, poolclass=NullPool, hide_parameters=True)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        # Neither the message nor the traceback may hold the URL.
        raise ConnectorError(
            f"the secret {name!r} is no URL of a database that can be opened here ({type(error).__name__}); expected "
            "`postgresql+psycopg://user:password@host/name` or the like, and its driver to be installed."
        ) from None
    password = engine.url.password
    try:
        with engine.connect() as connection:
            yield connection
            connection.rollback()
    except DBAPIError as error:
        text = str(error.orig).strip()
        if password:
            text = text.replace(str(password), "***")
        raise ConnectorError(
            f"the database {engine.url.render_as_string(hide_password=True)} answers: {text}. "
            "Look at ingestion.params.query and at the secret."
        ) from None
    finally:
        engine.dispose()


def _line(names: Iterable[str], row: Iterable[Any]) -> bytes:
    members = ",".join(
        f"{json.dumps(name, ensure_ascii=False)}:{_json(value)}" for name, value in zip(names, row, strict=True)
    )
    return f"{{{members}}}\n".encode()


def _json(value: object) -> str:
    """A value as exact JSON: a decimal keeps all its digits; what JSON has no word for is text."""
    if isinstance(value, Decimal) and value.is_finite():
        return f"{value:f}"
    if isinstance(value, date | time):
        value = value.isoformat()
    elif isinstance(value, bytes | bytearray | memoryview):
        value = base64.b64encode(value).decode()
    elif isinstance(value, float) and not isfinite(value):
        value = str(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _digest(line: bytes) -> str:
    return hashlib.sha256(line.strip()).hexdigest()[:32]


def _tagged(value: Any) -> list[str]:  # noqa: ANN401 - whatever the database has
    """A cursor value that keeps its type in JSON."""
    for kind, type_ in _CURSOR_TYPES.items():
        if isinstance(value, type_):
            return [kind, value.isoformat() if kind in {"datetime", "date"} else str(value)]
    raise ConnectorError(
        f"ingestion.params.cursor_column holds a {type(value).__name__}; expected a timestamp, date, number or text."
    )


def _untagged(tagged: list[str]) -> Any:  # noqa: ANN401 - as above
    kind, text = tagged
    if kind in {"datetime", "date"}:
        return (datetime if kind == "datetime" else date).fromisoformat(text)
    return _CURSOR_TYPES[kind](text)


# A datetime is a date too.
_CURSOR_TYPES: dict[str, type[Any]] = {
    "datetime": datetime,
    "date": date,
    "int": int,
    "float": float,
    "decimal": Decimal,
    "text": str,
}

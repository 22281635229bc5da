"""Bronze to silver: types, rules, duplicates and tokens, as a short list of SQL statements made from the contract.

No Python runs per row. The statements are staged through temporary tables, which was measured 2.5 times faster than one
big query. Every input row ends in exactly one of: accepted, quarantined, duplicate (I2).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from platform_assets.contracts.history import HISTORY_NAMES, IS_CURRENT, VALID_FROM, VALID_TO, version_time
from platform_assets.contracts.model import Classification, Column, Contract, Rule, Severity
from platform_assets.contracts.naming import snake_case
from platform_assets.contracts.rules import REFERENCES, TABLE_RULES, literal, predicate, quote
from platform_assets.contracts.windows import resolved
from platform_assets.lakehouse.tokens import create_tokens
from platform_assets.lakehouse.values import EACH_ELEMENT, bronze_column, container, raw_value, typed_value, utc_date
from platform_assets.sources.contracts import BROKEN_RULES, ELEMENT, LINE_NUMBER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    import duckdb

_ORIGIN = ("_landing_uri", "_landing_generation", "_landed_at", "_row_number")
# Names with a space, like all that are made up here: no column of a contract has one.
_ELEMENTS, _ELEMENT_NUMBER, _ARRAY_TYPE = '"all elements"', '"element number"', '"array type"'
_KEY, _SAID, _PLACE, _NEW = '"key {}"', '"what it says"', '"place at its time"', '"is new"'


@dataclass(frozen=True)
class Accounting:
    """Where the rows of a partition went; rows_in is the sum of the others (I2)."""

    rows_in: int
    rows_out: int
    rows_quarantined: int
    rows_duplicate: int

    @property
    def balanced(self) -> bool:
        """Whether nothing was lost."""
        return self.rows_in == self.rows_out + self.rows_quarantined + self.rows_duplicate

    @property
    def quarantine_ratio(self) -> float:
        """Share of quarantined rows, 0 to 1."""
        return self.rows_quarantined / self.rows_in if self.rows_in else 0.0


@dataclass(frozen=True)
class Conformed:
    """SQL after FROM for both outcomes, on the connection that conformed them, and the rows' accounting.

    Attributes:
        contract: what the rows were judged by: the contract with its relative windows as the moments that they were.
        warnings: for every rule of severity `warn` about rows, how many accepted rows break it, also 0.
    """

    accepted: str
    quarantined: str
    accounting: Accounting
    contract: Contract
    warnings: Mapping[str, int]


def conform(
    connection: duckdb.DuckDBPyConnection,
    bronze: str,
    contract: Contract,
    *,
    key: bytes,
    partition: date | None = None,
    explode: str | None = None,
    references: Mapping[str, str] | None = None,
) -> Conformed:
    """Splits bronze rows by the contract.

    Args:
        connection: makes the temporary tables `staged`, `tokens`, and `versions` or `beaten`.
        bronze: SQL after FROM over the bronze rows of the partition.
        contract: the silver contract before tokenisation.
        key: tokenisation key.
        partition: the event date that all rows must have, or None for a table without partitions.
        explode: array column of which every element becomes a row.
        references: for each rule of kind `references`, its argument and SQL after FROM with one column `value`.
    """
    contract = resolved(contract, datetime.now(UTC))
    statement = _Statement(contract, partition, explode, references or {})
    connection.execute(f"CREATE OR REPLACE TEMP TABLE staged AS {statement.staged(bronze)}")
    if contract.history:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE versions AS {_versions(contract)}")
    else:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE beaten AS {_beaten(contract)}")
    if contract.pii:
        values = " UNION ALL ".join(f"SELECT {quote(name)} AS value FROM staged" for name in contract.pii)
        create_tokens(connection, values, key)
    warned = [rule.name for rule in _row_rules(contract, Severity.WARN)]
    accounting, *warnings = _account(connection, contract, warned)
    counted = dict(zip(warned, warnings, strict=True))
    return Conformed(_accepted(contract), _quarantined(contract), accounting, contract, counted)


@dataclass(frozen=True)
class _Statement:
    """The statement that reads bronze once: raw values, typed values, broken rules."""

    contract: Contract
    partition: date | None
    explode: str | None
    references: Mapping[str, str]

    def staged(self, bronze: str) -> str:
        broken = list(self._broken())
        fine = " AND ".join(f"NOT coalesce({condition}, FALSE)" for _, condition in broken)
        reasons = ", ".join(f"CASE WHEN {condition} THEN {literal(name)} END" for name, condition in broken)
        kept = [self._kept(column) for column in _staged(self.contract) if column.name != "_landed_at"]
        warned = [f"{self._breaks(rule)} AS {_warned(rule.name)}" for rule in _row_rules(self.contract, Severity.WARN)]
        return (
            f"SELECT {', '.join([*kept, *warned])}, {BROKEN_RULES}, {', '.join(_ORIGIN)} FROM ("
            f"SELECT *, CASE WHEN {fine} THEN NULL ELSE concat_ws(', ', {reasons}) END AS {BROKEN_RULES} FROM ("
            f"SELECT *, {', '.join(self._typed())} FROM ({self._raw(bronze)})))"
        )

    def _raw(self, bronze: str) -> str:
        rows = f"SELECT * FROM {bronze}"
        array = quote(self.explode or "")
        if self.explode:
            # What is no array has one element that is none, so that its record is not lost.
            elements = (
                f"CASE json_type({array}) WHEN 'ARRAY' THEN from_json({array}, '[\"JSON\"]') WHEN 'NULL' THEN NULL "
                f"ELSE CASE WHEN {array} IS NOT NULL THEN [NULL::JSON] END END"
            )
            rows = (
                f"SELECT *, unnest({_ELEMENTS}) AS {EACH_ELEMENT}, "
                f"generate_subscripts({_ELEMENTS}, 1) AS {_ELEMENT_NUMBER} "
                f"FROM (SELECT *, {elements} AS {_ELEMENTS} FROM {bronze})"
            )
        values = [f"{raw_value(column)} AS {_raw_name(column)}" for column in self._arriving()]
        nested = [f"{container(path, top)} AS {_container_name(path)}" for path, top in self._containers().items()]
        number = [f"{_ELEMENT_NUMBER} AS {LINE_NUMBER}"] if self.explode else []
        kind = [f"json_type({array}) AS {_ARRAY_TYPE}"] if self.explode else []
        return f"SELECT {', '.join([*values, *nested, *number, *kind, *_ORIGIN])} FROM ({rows})"

    def _typed(self) -> Iterator[str]:
        for column in self._arriving():
            yield f"{typed_value(column, _raw_name(column))} AS {quote(column.name)}"
        if self.contract.partition_column and self.partition:
            yield f"DATE '{self.partition.isoformat()}' AS {quote(self.contract.partition_column)}"

    def _kept(self, column: Column) -> str:
        """PII stays as the text that arrived, to be tokenised; a broken row's values stay as text beside it."""
        name = quote(column.name)
        if not column.path:
            return name
        if column.classification is Classification.PII:
            return f"{_raw_name(column)} AS {name}"
        if column.type == "string":
            return name
        return f"{name}, CASE WHEN {BROKEN_RULES} IS NOT NULL THEN {_raw_name(column)} END AS {_raw_name(column)}"

    def _broken(self) -> Iterator[tuple[str, str]]:
        if self.explode:
            yield f"{self.explode}.type", f"{_ARRAY_TYPE} <> 'ARRAY'"
            kind = f"json_type({_container_name((ELEMENT,))})"
            yield "element.type", f"{_ARRAY_TYPE} = 'ARRAY' AND {kind} IS DISTINCT FROM 'OBJECT'"
        for path in self._containers():
            steps = [part for part in path if part != ELEMENT]
            if steps:
                name = "_".join(map(snake_case, steps)) or ".".join(steps)
                yield f"{name}.type", f"json_type({_container_name(path)}) NOT IN ('OBJECT', 'NULL')"
        for column in self._arriving():
            raw, typed = _raw_name(column), quote(column.name)
            if not column.nullable:
                yield f"{column.name}.not_null", f"{raw} IS NULL"
            if column.type != "string":
                yield f"{column.name}.type", f"{raw} IS NOT NULL AND {typed} IS NULL"
        for rule in _row_rules(self.contract, Severity.ERROR):
            yield rule.name, self._breaks(rule)
        # A table that is partitioned by arrival has nothing in it that could contradict its partition.
        if self.partition and self.contract.event_time in {column.name for column in self._arriving()}:
            day = utc_date(self.contract.column(self.contract.event_time), quote(self.contract.event_time))
            yield f"{self.contract.event_time}.outside_window", f"{day} <> DATE '{self.partition.isoformat()}'"

    def _breaks(self, rule: Rule) -> str:
        if rule.kind == "not_null" and self.contract.column(rule.column).path:
            return f"{_raw_name(self.contract.column(rule.column))} IS NULL"  # a text of another type is not missing
        if rule.kind != REFERENCES:
            return f"NOT {predicate(rule)}"
        known = self.references[str(rule.argument)]
        column = quote(rule.column)
        return f"{column} IS NOT NULL AND {column} NOT IN (SELECT value FROM {known} WHERE value IS NOT NULL)"

    def _arriving(self) -> Sequence[Column]:
        return [column for column in self.contract.columns if column.path]

    def _containers(self) -> dict[tuple[str, ...], str]:
        """Objects that hold columns, with the bronze column that each is in.

        A text where an object is promised must not pass as an object without values.
        """
        columns = {c.path[:length]: c for c in self._arriving() for length in range(1, len(c.path))}
        found = {path: bronze_column(columns[path]) for path in sorted(columns) if path != (ELEMENT,)}
        return found | ({(ELEMENT,): EACH_ELEMENT} if self.explode else {})


def _row_rules(contract: Contract, severity: Severity) -> list[Rule]:
    """Rules that rows as they arrive keep or break; any other is judged when the table is published."""
    derived = HISTORY_NAMES if contract.history else frozenset()
    promised = {column.name for column in contract.columns if column.path and not column.nullable}
    return [
        rule
        for rule in contract.rules
        if rule.severity is severity
        and rule.kind not in TABLE_RULES
        and not derived.intersection(rule.columns)
        and not (rule.kind == "not_null" and rule.column in promised)
    ]


def _staged(contract: Contract) -> list[Column]:
    """Columns that a row has when it is staged: when a version held is known only beside the others of its key."""
    return [column for column in contract.columns if not (contract.history and column.name in HISTORY_NAMES)]


def _warned(name: str) -> str:
    return quote(f"warned {name}")


def _container_name(path: tuple[str, ...]) -> str:
    return quote("container " + ".".join(path))


def _raw_name(column: Column) -> str:
    return quote(f"raw {column.name}")


def _beaten(contract: Contract) -> str:
    """Row ids of the records that a later one of their key replaces, all elements of each together.

    Hardly any key comes twice. Only those whose hash does are put in order, which the wide rest is not.
    """
    key = ", ".join(quote(name) for name in contract.key if name != LINE_NUMBER)
    if not key:
        return "SELECT NULL::BIGINT AS row_id WHERE FALSE"
    latest = ", ".join(f"{quote(name)} DESC" for name in (*contract.ordering, *_ORIGIN_ORDER))
    fine = f"FROM staged WHERE {BROKEN_RULES} IS NULL"
    repeated = f"SELECT hash({key}) {fine} GROUP BY 1 HAVING count(*) > 1"
    return (
        "SELECT row_id FROM (SELECT rowid AS row_id, "
        f"rank() OVER (PARTITION BY {key} ORDER BY {latest}) AS place {fine} AND hash({key}) IN ({repeated})) "
        "WHERE place > 1"
    )


def _versions(contract: Contract) -> str:
    """Row ids of every version of each key, and when it held.

    Of rows that begin to hold at once the latest wins; a row that says the same as the version before it is none.
    """
    names = [quote(name) for name in contract.key if name != VALID_FROM]
    key = ", ".join(_KEY.format(number) for number in range(len(names)))
    begins = quote(version_time(contract))
    latest = ", ".join(f"{quote(name)} DESC" for name in (*contract.ordering[1:], *_ORIGIN_ORDER))
    unsaid = {*contract.key, *contract.ordering, "_landed_at"}
    said = [quote(column.name) for column in _staged(contract) if column.name not in unsaid]
    attributes = f"row({', '.join(said)})" if said else "NULL"
    values = [
        *(f"{name} AS {_KEY.format(number)}" for number, name in enumerate(names)),
        f"{attributes} AS {_SAID}",
        f"CAST({begins} AS TIMESTAMPTZ) AS {VALID_FROM}",
        f"row_number() OVER (PARTITION BY {', '.join(names)}, {begins} ORDER BY {latest}) AS {_PLACE}",
    ]
    by_time = f"OVER (PARTITION BY {key} ORDER BY {VALID_FROM})"
    return (
        f"SELECT row_id, {VALID_FROM}, lead({VALID_FROM}) {by_time} AS {VALID_TO} FROM ("
        f"SELECT *, lag(row_id) {by_time} IS NULL OR {_SAID} IS DISTINCT FROM lag({_SAID}) {by_time} AS {_NEW} FROM ("
        f"SELECT rowid AS row_id, {', '.join(values)} FROM staged WHERE {BROKEN_RULES} IS NULL) "
        f"WHERE {_PLACE} = 1) WHERE {_NEW}"
    )


_ORIGIN_ORDER = ("_landed_at", "_landing_generation", "_landing_uri", "_row_number")


def _accepted(contract: Contract) -> str:
    columns = ", ".join(_shown(column.name, contract) for column in contract.columns)
    if contract.history:
        return f"(SELECT {columns} FROM staged JOIN versions ON staged.rowid = versions.row_id{_token_joins(contract)})"
    return f"(SELECT {columns} FROM staged{_token_joins(contract)} WHERE {_won(contract, 'staged.rowid')})"


def _won(contract: Contract, row_id: str) -> str:
    """SQL predicate over `staged`: the row is published."""
    if contract.history:
        return f"{row_id} IN (SELECT row_id FROM versions)"
    return f"{BROKEN_RULES} IS NULL AND {row_id} NOT IN (SELECT row_id FROM beaten)"


def _quarantined(contract: Contract) -> str:
    pii = set(contract.pii)
    shown = []
    for column in _staged(contract):
        if not column.path or column.name in pii or column.type == "string":
            shown.append(_shown(column.name, contract))
        else:
            shown.append(f"staged.{_raw_name(column)} AS {quote(column.name)}")
    origin = [name for name in _ORIGIN if name not in {column.name for column in contract.columns}]
    columns = ", ".join([*shown, BROKEN_RULES, *origin])
    return f"(SELECT {columns} FROM staged{_token_joins(contract)} WHERE {BROKEN_RULES} IS NOT NULL)"


def _shown(name: str, contract: Contract) -> str:
    column = quote(name)
    if contract.history and name in HISTORY_NAMES:
        return f"versions.{VALID_TO} IS NULL AS {IS_CURRENT}" if name == IS_CURRENT else f"versions.{column}"
    return f"{quote('token ' + name)}.token AS {column}" if name in contract.pii else f"staged.{column}"


def _token_joins(contract: Contract) -> str:
    return "".join(
        f" LEFT JOIN tokens AS {quote('token ' + name)} ON staged.{quote(name)} = {quote('token ' + name)}.value"
        for name in contract.pii
    )


def _account(
    connection: duckdb.DuckDBPyConnection, contract: Contract, warned: Sequence[str]
) -> tuple[Accounting, *tuple[int, ...]]:
    """The accounting, then for each of the `warned` rules how many accepted rows break it."""
    columns = "".join(f", {_warned(name)}" for name in warned)
    counts = "".join(f", count(*) FILTER (won AND {_warned(name)})" for name in warned)
    counted = connection.execute(
        "SELECT count(*), count(*) FILTER (won), "
        f"count({BROKEN_RULES}), count(*) FILTER ({BROKEN_RULES} IS NULL AND NOT won){counts} "
        f"FROM (SELECT {BROKEN_RULES}, {_won(contract, 'rowid')} AS won{columns} FROM staged)"
    ).fetchone()
    numbers = counted or (0,) * (4 + len(warned))
    return Accounting(*numbers[:4]), *numbers[4:]

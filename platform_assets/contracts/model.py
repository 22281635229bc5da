"""The contract of a table: columns, key and rules. Plain data, free of any engine; compilers live beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

TOKEN_PATTERN = "^[0-9a-f]{64}$"  # noqa: S105 - the shape of a token
LOGICAL_TYPES = ("string", "integer", "double", "boolean", "date", "timestamp", "object", "array")
_DECIMAL = re.compile(r"decimal\((\d+), ?(\d+)\)")


class ContractError(ValueError):
    """A contract contradicts itself; the message names the table, the column and what was expected."""


class Classification(StrEnum):
    """How far a column may travel (decisions.md, 4)."""

    PUBLIC = "public"
    PII = "pii"  # tokenised on the way into silver
    SECRET = "secret"  # noqa: S105 - dropped on the way into bronze


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: column name in the table, snake_case.
        type: logical type: one of LOGICAL_TYPES or `decimal(precision,scale)`; object and array are kept as JSON text.
        path: where the value stands in the source record, outermost name first; empty for derived columns.
        bronze: the bronze column with the outermost value of the path, unless it is that name in snake_case.
    """

    name: str
    type: str
    nullable: bool = True
    description: str = ""
    path: tuple[str, ...] = ()
    classification: Classification = Classification.PUBLIC
    bronze: str = ""

    def __post_init__(self) -> None:
        if self.type not in LOGICAL_TYPES and not _DECIMAL.fullmatch(self.type):
            expected = ", ".join((*LOGICAL_TYPES, "decimal(precision,scale)"))
            raise ContractError(f"column {self.name}: unknown type {self.type!r}; expected one of {expected}")

    @property
    def decimal(self) -> tuple[int, int] | None:
        """Precision and scale of a decimal column."""
        match = _DECIMAL.fullmatch(self.type)
        return (int(match[1]), int(match[2])) if match else None


@dataclass(frozen=True)
class Rule:
    """A promise about the values of one column, or about whole rows.

    Attributes:
        kind: a key of `contracts.rules.RULES`.
        column: the column that it is about.
        argument: what the kind compares with (a number, a pattern, a list, a table).
    """

    kind: str
    column: str
    argument: object = None

    @property
    def name(self) -> str:
        """How the rule is called in quarantine and checks, such as `amount.minimum`."""
        return f"{self.column}.{self.kind}"


@dataclass(frozen=True)
class Contract:
    """What one table promises.

    Attributes:
        table: `layer.table`.
        key: columns that are unique together within a partition.
        ordering: columns by which the latest row of a key wins, most significant first.
        event_time: the timestamp (or date) column that dates a row, if any.
        partition_column: the date column by which the table is partitioned, if any.
        clustering: columns by which files are sorted.
    """

    table: str
    columns: tuple[Column, ...]
    description: str = ""
    key: tuple[str, ...] = ()
    ordering: tuple[str, ...] = ()
    event_time: str | None = None
    partition_column: str | None = None
    clustering: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    version: int = 1

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if "rowid" in names:
            raise ContractError(f"{self.table}: no column can be called rowid, DuckDB's name for a row's own number")
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ContractError(f"{self.table}: column {doubled[0]} is declared twice")
        optional = [name for name in (self.event_time, self.partition_column) if name]
        self._require(names, "key", self.key)
        self._require(names, "ordering", self.ordering)
        self._require(names, "clustering", self.clustering)
        self._require(names, "event_time or partition_column", optional)
        self._require(names, "rule", [rule.column for rule in self.rules])

    def _require(self, names: Sequence[str], what: str, wanted: Sequence[str]) -> None:
        for name in wanted:
            if name not in names:
                raise ContractError(f"{self.table}: {what} names {name!r}, which is no column; columns: {names}")

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)

    @property
    def layer(self) -> str:
        """The part of `table` before the dot."""
        return self.table.split(".", 1)[0]

    @property
    def pii(self) -> tuple[str, ...]:
        """Names of the columns that are tokenised."""
        return tuple(column.name for column in self.columns if column.classification is Classification.PII)

    def published(self) -> Contract:
        """The same promise for the table as readers see it: every PII column holds tokens, and only their shape holds.

        Rules about the clear value of a PII column were checked before tokenisation and cannot hold on a token.
        """
        pii = set(self.pii)
        columns = tuple(
            replace(c, type="string", description=f"{c.description} (token: HMAC-SHA256)".strip())
            if c.name in pii
            else c
            for c in self.columns
        )
        rules = tuple(rule for rule in self.rules if rule.column not in pii)
        tokens = tuple(Rule("pattern", name, TOKEN_PATTERN) for name in sorted(pii))
        return replace(self, columns=columns, rules=rules + tokens)

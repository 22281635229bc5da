"""The contract of a table: columns, key and rules. Plain data, free of any engine; compilers live beside it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

TOKEN_PATTERN = "^[0-9a-f]{64}$"  # noqa: S105 - the shape of a token
LOGICAL_TYPES = ("string", "integer", "double", "boolean", "date", "timestamp", "object", "array")
_DECIMAL = re.compile(r"decimal\((\d+), ?(\d+)\)")
_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
# Whether a value is there, and whether it is there twice, a token tells as well as the value that it stands for.
_HOLDS_ON_TOKENS = {"not_null", "unique", "null_ratio"}
_NEVER_RELAXED = {"not_null", "unique", "null_ratio", "row_count"}


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


class Severity(StrEnum):
    """What happens to what breaks a rule."""

    ERROR = "error"  # a row is diverted to quarantine, a table is not published
    WARN = "warn"  # it is counted, and published


@dataclass(frozen=True)
class Rule:
    """A promise about one column's values, about whole rows, or about the whole published table or partition.

    Attributes:
        kind: a key of `contracts.rules.RULES` or `contracts.rules.TABLE_RULES`, or `references`.
        column: the (first) column that it is about; empty if it names none, as a row count does.
        argument: what the kind compares with (a number, a pattern, a tuple of values, a table); hashable.
        severity: what happens to what breaks it.
        label: its name, where that made of column and kind does not do.
        others: further columns that it names.
    """

    kind: str
    column: str
    argument: object = None
    severity: Severity = Severity.ERROR
    label: str | None = None
    others: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _is_value(self.argument):
            raise ContractError(f"{self.name}: {self.argument!r} is nothing that a value can be compared with")
        if self.label is not None and not _LABEL.fullmatch(self.label):
            raise ContractError(
                f"a rule cannot be called {self.label!r}; expected letters, digits, _ and -, a letter first"
            )

    @property
    def name(self) -> str:
        """How the rule is called in quarantine and checks, such as `amount.minimum` or `start.compare.end`."""
        return self.label or ".".join(filter(None, (self.column, self.kind, *self.others)))

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that it names."""
        return (self.column, *self.others) if self.column else self.others


@dataclass(frozen=True)
class ExpertSchema:
    """A Pandera `DataFrameModel` (Polars) that an expert wrote; it is loaded when an audit runs, not before.

    Attributes:
        file: the Python file that it stands in.
        name: its class.
    """

    file: Path
    name: str


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
        rules: what more its values promise; the same rule twice is one.
        expert: a schema of an expert's own, checked on top of all this before publishing.
        history: whether every version of a key is kept, not the latest alone (`contracts.history`).
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
    expert: ExpertSchema | None = None
    history: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", tuple(dict.fromkeys(self.rules)))
        names = [column.name for column in self.columns]
        if "rowid" in names:
            raise ContractError(f"{self.table}: no column can be called rowid, DuckDB's name for a row's own number")
        for name in _doubled(names):
            raise ContractError(f"{self.table}: column {name} is declared twice")
        optional = [name for name in (self.event_time, self.partition_column) if name]
        self._require(names, "key", self.key)
        self._require(names, "ordering", self.ordering)
        self._require(names, "clustering", self.clustering)
        self._require(names, "event_time or partition_column", optional)
        self._require(names, "rule", [name for rule in self.rules for name in rule.columns])
        for name in _doubled(rule.name for rule in self.rules):
            raise ContractError(f"{self.table}: two different rules are called {name}; give one of them a name")

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

    @property
    def promises(self) -> int:
        """How many promises block a publish: a type per column, what must not be null, the key, rules, the expert's."""
        rules = sum(rule.severity is Severity.ERROR for rule in self.rules)
        not_null = sum(not column.nullable for column in self.columns)
        return len(self.columns) + not_null + bool(self.key) + rules + (self.expert is not None)

    def published(self) -> Contract:
        """The same promise for the table as readers see it: every PII column holds tokens, and only their shape holds.

        Rules about the clear value of a PII column, also those that compare it with another column, were checked before
        tokenisation and cannot hold on a token.
        """
        pii = set(self.pii)
        columns = tuple(
            replace(c, type="string", description=f"{c.description} (token: HMAC-SHA256)".strip())
            if c.name in pii
            else c
            for c in self.columns
        )
        rules = tuple(r for r in self.rules if r.kind in _HOLDS_ON_TOKENS or not pii.intersection(r.columns))
        tokens = tuple(Rule("pattern", name, TOKEN_PATTERN) for name in sorted(pii))
        return replace(self, columns=columns, rules=rules + tokens)

    def relaxed(self) -> Contract:
        """The same contract for a source of `validation: lenient`: rules about values and rows only count.

        Types, nullability, the key and promises about the whole table stay.
        """
        rules = (r if r.kind in _NEVER_RELAXED else replace(r, severity=Severity.WARN) for r in self.rules)
        return replace(self, rules=tuple(rules))


def _doubled(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _is_value(argument: object) -> bool:
    """Whether it cannot change: a tuple of lists is none."""
    return all(map(_is_value, argument)) if isinstance(argument, tuple) else isinstance(argument, Hashable)

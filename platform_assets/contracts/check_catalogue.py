"""The checks that a person may write in YAML: their names, their parameters, what they say, and the rules they become.

`contracts.checks` reads them; docs and the JSON Schema of the source file are made from `CHECKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from platform_assets.contracts.formats import FORMATS
from platform_assets.contracts.model import Column, Rule, Severity
from platform_assets.contracts.rules import COMPARISONS, CURRENCIES_SINCE, REFERENCES


class Family(StrEnum):
    """What can be said of a column depends on what it holds."""

    NUMBER = "a number"
    TEXT = "text"
    TIME = "a date or a moment"
    BOOLEAN = "true or false"
    JSON = "an object or an array"


def family(column: Column) -> Family:
    """The family of a column's type."""
    if column.decimal or column.type in {"integer", "double"}:
        return Family.NUMBER
    kinds = {"date": Family.TIME, "timestamp": Family.TIME, "boolean": Family.BOOLEAN}
    return Family.JSON if column.type in {"object", "array"} else kinds.get(column.type, Family.TEXT)


class Value(StrEnum):
    """What a parameter wants."""

    NUMBER = "a number"
    COUNT = "a whole number from 0"
    RATIO = "a share from 0 to 1"
    VALUES = "a list of values of the field's type"
    PATTERN = "a regular expression without lookaround and back-references"
    MOMENT = "a date, a moment, or one relative to now, such as 2020-01-01, 2020-01-01T00:00:00Z or now + 1 day"
    DAY = "a date such as 2020-01-01"
    OPERATOR = f"one of {' '.join(COMPARISONS)}"
    FIELD = "the name of a field"
    FIELDS = "a list of names of fields"
    REFERENCE = "layer.table.column, such as silver.customers.id"
    EXPRESSION = "a boolean SQL expression over the fields of the row"


_JSON_SCHEMAS: Mapping[Value, Mapping[str, Any]] = {
    Value.NUMBER: {"type": "number"},
    Value.COUNT: {"type": "integer", "minimum": 0},
    Value.RATIO: {"type": "number", "minimum": 0, "maximum": 1},
    Value.VALUES: {"type": "array", "minItems": 1},
    Value.OPERATOR: {"enum": list(COMPARISONS)},
    Value.FIELDS: {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True},
    Value.REFERENCE: {"type": "string", "pattern": r"^\w+\.\w+\.\w+$"},
}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a check."""

    name: str
    value: Value
    required: bool = False

    @property
    def json_schema(self) -> dict[str, Any]:
        """Its JSON Schema."""
        return {**_JSON_SCHEMAS.get(self.value, {"type": "string"}), "description": self.value.value}


@dataclass(frozen=True)
class Given:
    """A check as it was written, its parameters already judged.

    Attributes:
        fields: the fields that it names, none to several.
        parameters: by name; those that were left out are missing.
    """

    fields: tuple[str, ...]
    parameters: Mapping[str, Any]
    severity: Severity
    label: str | None

    def rule(self, kind: str, argument: object = None, fields: tuple[str, ...] | None = None) -> Rule:
        """The rule that this check is."""
        named = self.fields if fields is None else fields
        return Rule(kind, named[0] if named else "", argument, self.severity, self.label, named[1:])

    def pair(self, low: str, high: str) -> tuple[Any, Any]:
        """Two parameters, of which one may be missing."""
        return self.parameters.get(low), self.parameters.get(high)


@dataclass(frozen=True)
class Check:
    """A check that a person may write.

    Attributes:
        name: how it is written.
        sentence: what it says of its field.
        rule: makes a rule of it.
        fields: how many fields it names: `one`, `several` (`field` or `fields`) or `none`.
        parameters: what else it wants to know.
        any_of: names of parameters of which it needs at least one.
        families: what its fields may hold; empty for anything.
        aliases: other names for it.
    """

    name: str
    sentence: str
    rule: Callable[[Given], Rule]
    fields: str = "one"
    parameters: tuple[Parameter, ...] = ()
    any_of: tuple[str, ...] = ()
    families: frozenset[Family] = frozenset()
    aliases: tuple[str, ...] = ()

    @property
    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of the check as it stands in YAML."""
        fields: dict[str, Any] = {} if self.fields == "none" else {"field": {"type": "string"}}
        if self.fields == "several":
            fields["fields"] = _JSON_SCHEMAS[Value.FIELDS]
        properties: dict[str, Any] = {
            "check": {"enum": [self.name, *self.aliases], "description": self.sentence},
            **fields,
            **{parameter.name: parameter.json_schema for parameter in self.parameters},
            "severity": {"enum": [severity.value for severity in Severity], "default": Severity.ERROR.value},
            "name": {"type": "string", "description": "How it is called in quarantine and checks."},
        }
        needed = [parameter.name for parameter in self.parameters if parameter.required]
        schema: dict[str, Any] = {
            "type": "object",
            "properties": properties,
            "required": ["check", *(["field"] if self.fields == "one" else []), *needed],
            "additionalProperties": False,
        }
        if self.any_of:
            schema["anyOf"] = [{"required": [name]} for name in self.any_of]
        if self.fields == "several":
            schema["oneOf"] = [{"required": ["field"]}, {"required": ["fields"]}]
        return schema


def _plain(kind: str, sentence: str, families: Iterable[Family] = (), *aliases: str) -> Check:
    return Check(kind, sentence, lambda given: given.rule(kind), families=frozenset(families), aliases=aliases)


def _with(kind: str, sentence: str, parameter: Parameter, families: Iterable[Family] = (), *aliases: str) -> Check:
    """A check of which one parameter is the rule's argument."""
    return Check(
        kind,
        sentence,
        lambda given: given.rule(kind, given.parameters.get(parameter.name)),
        parameters=(parameter,),
        families=frozenset(families),
        aliases=aliases,
    )


def _between(kind: str, sentence: str, names: tuple[str, str], value: Value, families: Iterable[Family] = ()) -> Check:
    return Check(
        kind,
        sentence,
        lambda given: given.rule(kind, given.pair(*names)),
        parameters=tuple(Parameter(name, value) for name in names),
        any_of=names,
        families=frozenset(families),
    )


def _compared(given: Given) -> Rule:
    return given.rule("compare", given.parameters["operator"], (*given.fields, given.parameters["other"]))


def _expressed(given: Given) -> Rule:
    from platform_assets.contracts.sql_rule import read_expression

    text = given.parameters["expression"]
    return given.rule("sql", text, read_expression(text).columns)


_NUMBER, _TEXT, _LISTED = (Family.NUMBER,), (Family.TEXT,), (Family.NUMBER, Family.TEXT, Family.BOOLEAN)
_MIN_MAX = ("min", "max")
_LIMIT, _COUNT = Parameter("value", Value.NUMBER, required=True), Parameter("value", Value.COUNT, required=True)
_CHOICES = Parameter("values", Value.VALUES, required=True)

_ALL = (
    _plain("not_null", "The field is always there.", (), "required"),
    Check(
        "unique",
        "No two rows of the table, or of a partition of it, have the same value, or the same values together.",
        lambda given: given.rule("unique"),
        fields="several",
        families=frozenset(set(Family) - {Family.JSON}),
    ),
    _plain("positive", "The number is more than 0.", _NUMBER, "positive_number"),
    _plain("non_negative", "The number is 0 or more.", _NUMBER, "non_negative_number"),
    _between("range", "The number lies from `min` to `max`, both included.", _MIN_MAX, Value.NUMBER, _NUMBER),
    _with("minimum", "The number is at least `value`.", _LIMIT, _NUMBER),
    _with("maximum", "The number is at most `value`.", _LIMIT, _NUMBER),
    _with("exclusive_minimum", "The number is more than `value`.", _LIMIT, _NUMBER, "more_than"),
    _with("exclusive_maximum", "The number is less than `value`.", _LIMIT, _NUMBER, "less_than"),
    _between("length", "The text has `min` to `max` characters.", _MIN_MAX, Value.COUNT, _TEXT),
    _with("min_length", "The text has at least `value` characters.", _COUNT, _TEXT),
    _with("max_length", "The text has at most `value` characters.", _COUNT, _TEXT),
    _with(
        "pattern",
        "The pattern is found in the text; `^` and `$` tie it to its ends.",
        Parameter("pattern", Value.PATTERN, required=True),
        _TEXT,
        "matches",
        "regex",
    ),
    _with("one_of", "The value is one of `values`.", _CHOICES, _LISTED, "enum", "accepted_values"),
    _with("not_one_of", "The value is none of `values`.", _CHOICES, _LISTED, "rejected_values"),
    _between(
        "window",
        "The day or moment is not before `after` (included), and before `before` (excluded); a day is its midnight.",
        ("after", "before"),
        Value.MOMENT,
        (Family.TIME,),
    ),
    *(
        _plain(name, f"The text {known.says}.", _TEXT, f"valid_{name}", *(["url"] if name == "uri" else []))
        for name, known in FORMATS.items()
    ),
    _with(
        "currency",
        f"The text is a code of ISO 4217 that was in use on `since` ({CURRENCIES_SINCE}) or later.",
        Parameter("since", Value.DAY),
        _TEXT,
        "valid_currency",
    ),
    _plain("country", "The text is a code of two letters of ISO 3166-1.", _TEXT, "valid_country"),
    Check(
        "compare",
        "The field compares with the field `other` of the same row by `operator`; they are of the same type.",
        _compared,
        parameters=(
            Parameter("operator", Value.OPERATOR, required=True),
            Parameter("other", Value.FIELD, required=True),
        ),
    ),
    _with(
        REFERENCES,
        "The value is in the column `to` of another table.",
        Parameter("to", Value.REFERENCE, required=True),
        (),
        "exists_in",
        "foreign_key",
    ),
    _with(
        "null_ratio",
        "At most the share `max` of the rows lack the field.",
        Parameter("max", Value.RATIO, required=True),
    ),
    Check(
        "row_count",
        "The table, or each partition of it, has `min` to `max` rows.",
        lambda given: given.rule("row_count", given.pair(*_MIN_MAX)),
        fields="none",
        parameters=tuple(Parameter(name, Value.COUNT) for name in _MIN_MAX),
        any_of=_MIN_MAX,
    ),
    Check(
        "sql",
        "The expression is true, or unknown because a field that it names is missing. `name` is required.",
        _expressed,
        fields="none",
        parameters=(Parameter("expression", Value.EXPRESSION, required=True),),
        aliases=("expression",),
    ),
)
CHECKS: dict[str, Check] = {check.name: check for check in _ALL}
NAMES: dict[str, Check] = {name: check for check in _ALL for name in (check.name, *check.aliases)}

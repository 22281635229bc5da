"""Reads the checks of a source file (`data_quality`, S1-84, S2-15) into the rules of a contract."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from platform_assets.contracts import windows
from platform_assets.contracts.check_catalogue import NAMES, Check, Family, Given, Parameter, Value, family
from platform_assets.contracts.model import Column, ContractError, Rule, Severity
from platform_assets.contracts.rules import COMPARISONS
from platform_assets.contracts.words import nearest

_COMMON = ("check", "severity", "name")
_REFERENCE = re.compile(r"\w+\.\w+\.\w+")
_UNKNOWN_TO_RE2 = re.compile(r"\(\?(?:[=!>]|<[=!])|\\[1-9]|\(\?P=|\(\?\(")


class CheckError(ContractError):
    """A check that cannot be read.

    Attributes:
        index: which of the checks it is, from 0.
        word: the key or the name in it that is wrong, so that a caller can point at its line.
    """

    def __init__(self, index: int, word: str, message: str) -> None:
        self.index = index
        self.word = word
        super().__init__(message)


def read_checks(checks: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> tuple[Rule, ...]:
    """The rules that checks say, in their order.

    Args:
        checks: as YAML has them, such as `{field: email, check: valid_email, severity: warn}`.
        columns: the columns that they may name.

    Raises:
        CheckError: an unknown check, parameter or field, a missing parameter, or one of the wrong type; the message
            says what was expected and the nearest valid word.
    """
    known = {column.name: column for column in columns}
    return tuple(_Reader(index, check, known).read() for index, check in enumerate(checks))


class _Reader:
    """One check being read."""

    def __init__(self, index: int, written: Mapping[str, Any], columns: Mapping[str, Column]) -> None:
        self.index = index
        self.written = written
        self.columns = columns

    def read(self) -> Rule:
        if not _is_mapping(self.written):
            raise self.error(
                "check", f"expected a mapping such as {{field: id, check: not_null}}, got {self.written!r}"
            )
        check = self._check()
        self._refuse_unknown_keys(check)
        fields = self._fields(check)
        parameters = {p.name: self._parameter(p, fields) for p in check.parameters if self._given(p)}
        if check.any_of and not parameters:
            raise self.error("check", f"{check.name} needs {' or '.join(f'`{name}`' for name in check.any_of)}")
        given = Given(fields, parameters, self._severity(), self._label(check))
        self._refuse_wrong_families(check, fields)
        try:
            rule = check.rule(given)
        except ContractError as error:
            raise self.error(check.parameters[-1].name, str(error)) from None
        for name in rule.columns:
            self._column(name, "expression" if check.name == "sql" else "other")
        self._refuse_unlike(check, rule)
        return rule

    def error(self, word: str, message: str) -> CheckError:
        written = self.written if _is_mapping(self.written) else {}
        what = str(written.get("check", "")) or "?"
        about = written.get("field", written.get("fields", ""))
        subject = f" of {', '.join(map(str, about)) if isinstance(about, list | tuple) else about}" if about else ""
        return CheckError(self.index, word, f"check {self.index + 1} ({what}{subject}): {message}")

    def _check(self) -> Check:
        name = self.written.get("check")
        if name is None:
            raise self.error("check", f"says no `check`; expected one of {', '.join(sorted(NAMES))}")
        if name not in NAMES:
            raise self.error("check", f"there is no check {name!r}{_nearest(name, NAMES)}")
        return NAMES[name]

    def _refuse_unknown_keys(self, check: Check) -> None:
        fields = {"one": ["field"], "several": ["field", "fields"], "none": []}[check.fields]
        allowed = [*_COMMON, *fields, *(parameter.name for parameter in check.parameters)]
        for key in self.written:
            if key not in allowed:
                raise self.error(str(key), f"{check.name} has no parameter {key!r}{_nearest(key, allowed)}")

    def _fields(self, check: Check) -> tuple[str, ...]:
        if check.fields == "none":
            return ()
        several = self.written.get("fields")
        if (several is None) == ("field" not in self.written):
            wanted = "`field`" if check.fields == "one" else "either `field` or `fields`"
            raise self.error("check", f"{check.name} needs {wanted}")
        names = [self.written["field"]] if several is None else several
        key = "field" if several is None else "fields"
        if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
            expected = Value.FIELD if several is None else Value.FIELDS
            raise self.error(key, f"`{key}` is {self.written[key]!r}; expected {expected}")
        if len(set(names)) != len(names):
            raise self.error(key, f"`{key}` names one field twice: {names}")
        for name in names:
            self._column(name, key)
        return tuple(names)

    def _column(self, name: str, word: str) -> Column:
        if name not in self.columns:
            raise self.error(word, f"there is no field {name!r}{_nearest(name, self.columns)}")
        return self.columns[name]

    def _given(self, parameter: Parameter) -> bool:
        if self.written.get(parameter.name) is not None:
            return True
        if parameter.required:
            raise self.error("check", f"needs `{parameter.name}`: {parameter.value}")
        return False

    def _parameter(self, parameter: Parameter, fields: tuple[str, ...]) -> object:
        value = self.written[parameter.name]
        if parameter.value is Value.VALUES:
            return self._values(value, self.columns[fields[0]])
        try:
            return _READERS[parameter.value](value)
        except (ValueError, TypeError, re.error) as error:
            why = f" ({error})" if str(error) and isinstance(error, ContractError | re.error) else ""
            message = f"`{parameter.name}` is {value!r}; expected {parameter.value}{why}"
            raise self.error(parameter.name, message) from None

    def _values(self, values: object, column: Column) -> tuple[object, ...]:
        types: dict[Family, tuple[type, ...]] = {Family.NUMBER: (int, float), Family.BOOLEAN: (bool,)}
        fitting = types.get(family(column), (str,))
        if not isinstance(values, list | tuple) or not values:
            raise self.error("values", f"`values` is {values!r}; expected {Value.VALUES}")
        for value in values:
            if not isinstance(value, fitting) or isinstance(value, bool) != (bool in fitting):
                raise self.error("values", f"`values` holds {value!r}; {column.name} is {column.type}")
        return tuple(values)

    def _severity(self) -> Severity:
        said = self.written.get("severity", Severity.ERROR.value)
        known = [severity.value for severity in Severity]
        if said not in known:
            raise self.error("severity", f"`severity` is {said!r}{_nearest(said, known)}")
        return Severity(said)

    def _label(self, check: Check) -> str | None:
        name = self.written.get("name")
        if name is None and check.name == "sql":
            raise self.error("check", "needs `name`: how it is called in quarantine and checks")
        if name is not None and not isinstance(name, str):
            raise self.error("name", f"`name` is {name!r}; expected text such as total_adds_up")
        try:
            return Rule(check.name, "", label=name).label
        except ContractError as error:
            raise self.error("name", str(error)) from None

    def _refuse_wrong_families(self, check: Check, fields: Iterable[str]) -> None:
        for name in fields:
            column = self.columns[name]
            if check.families and family(column) not in check.families:
                wanted = " or ".join(sorted(check.families))
                raise self.error("check", f"{check.name} is about {wanted}; {name} is {column.type}")

    def _refuse_unlike(self, check: Check, rule: Rule) -> None:
        """Engines compare values of different types differently, or not at all."""
        if check.name != "compare":
            return
        one, other = (self.columns[name] for name in rule.columns)
        alike = one.type == other.type or (one.decimal and other.decimal)
        if not alike or one.type in {"object", "array"}:
            raise self.error(
                "other",
                f"{one.name} is {one.type} and {other.name} is {other.type}; expected two of the same plain type",
            )
        if one.type == "boolean" and rule.argument not in {"=", "!="}:
            raise self.error("operator", f"{one.name} is true or false; expected the operator = or !=")


def _is_mapping(written: object) -> bool:
    return isinstance(written, Mapping)


def _nearest(word: object, known: Iterable[str]) -> str:
    words = sorted(known)
    return nearest(str(word), words) or f"; expected one of {', '.join(words) or 'none'}"


def _number(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError
    return value


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError
    return value


def _ratio(value: object) -> int | float:
    share = _number(value)
    if not 0 <= share <= 1:
        raise ValueError
    return share


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value


def _pattern(value: object) -> str:
    pattern = _text(value)
    try:
        re.compile(pattern.replace(r"\pL", "L"))
    except re.error:
        raise ValueError from None
    if _UNKNOWN_TO_RE2.search(pattern):
        raise ValueError
    return pattern


def _moment(value: object) -> str:
    text = value.isoformat() if isinstance(value, date | datetime) else _text(value)  # YAML reads a bare date as one
    if not windows.is_relative(text):
        windows.moment(text)
    return text


def _day(value: object) -> str:
    if isinstance(value, datetime):
        raise TypeError
    return date.fromisoformat(value.isoformat() if isinstance(value, date) else _text(value)).isoformat()


def _operator(value: object) -> str:
    if value not in COMPARISONS:
        raise ValueError
    return str(value)


def _reference(value: object) -> str:
    if not _REFERENCE.fullmatch(_text(value)):
        raise ValueError
    return str(value)


_READERS: dict[Value, Callable[[object], object]] = {
    Value.NUMBER: _number,
    Value.COUNT: _count,
    Value.RATIO: _ratio,
    Value.PATTERN: _pattern,
    Value.MOMENT: _moment,
    Value.DAY: _day,
    Value.OPERATOR: _operator,
    Value.FIELD: _text,
    Value.REFERENCE: _reference,
    Value.EXPRESSION: _text,
}

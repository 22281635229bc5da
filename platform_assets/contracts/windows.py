"""Moments that bound a window of time: ISO 8601, or relative to now; and a contract with all of them made absolute.

A relative bound must mean the same moment to the split and to the audit, so it is resolved once, before both.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from platform_assets.contracts.kinds import bounds
from platform_assets.contracts.model import Contract, ContractError, Rule

WINDOW = "window"
EXPECTED = "a date, a moment, or one relative to now, such as 2020-01-01, 2020-01-01T00:00:00Z or now + 1 day"

_UNITS = ("minute", "hour", "day", "week")
_RELATIVE = re.compile(rf"now(?:\s*([+-])\s*(\d{{1,6}})\s*({'|'.join(_UNITS)})s?)?", re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_relative(bound: object) -> bool:
    """Whether the bound moves with time."""
    return isinstance(bound, str) and _RELATIVE.fullmatch(bound.strip()) is not None


def moment(bound: object, now: datetime | None = None) -> datetime:
    """The moment that a bound says, in UTC; a date is its midnight.

    Raises:
        ContractError: it says none, or it is relative and `now` is not given.
    """
    text = str(bound).strip()
    relative = _RELATIVE.fullmatch(text)
    if relative is None:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise ContractError(f"{text!r} is no moment; expected {EXPECTED}") from None
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    if now is None:
        raise ContractError(f"{text!r} is relative; resolve the contract's windows before it is compiled")
    sign, count, unit = relative.groups()
    distance = timedelta(**{f"{unit.lower()}s": int(count)}) if unit else timedelta()
    try:
        return now.astimezone(UTC) + (-distance if sign == "-" else distance)
    except OverflowError:
        raise ContractError(f"{text!r} lies outside the years 1 to 9999") from None


def microseconds(bound: object) -> int:
    """An absolute bound as microseconds since 1970."""
    return (moment(bound) - _EPOCH) // timedelta(microseconds=1)


def resolved(contract: Contract, now: datetime) -> Contract:
    """The contract with every relative bound as the moment that it is at `now`."""
    if not any(rule.kind == WINDOW and any(map(is_relative, bounds(rule))) for rule in contract.rules):
        return contract
    return replace(contract, rules=tuple(_resolved(rule, now) for rule in contract.rules))


def _resolved(rule: Rule, now: datetime) -> Rule:
    if rule.kind != WINDOW:
        return rule
    absolute = [moment(bound, now).isoformat() if is_relative(bound) else bound for bound in bounds(rule)]
    return replace(rule, argument=tuple(absolute))

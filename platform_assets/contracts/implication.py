"""Whether some rules already say what another one says: it decides if a change of rules tightens or loosens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from platform_assets.contracts.model import Rule

# Kinds with one bound: what is bounded, from below or not, whether the bound itself is left out, and a fixed bound.
_BOUNDS: dict[str, tuple[str, bool, bool, int | None]] = {
    "minimum": ("value", True, False, None),
    "exclusive_minimum": ("value", True, True, None),
    "maximum": ("value", False, False, None),
    "exclusive_maximum": ("value", False, True, None),
    "positive": ("value", True, True, 0),
    "non_negative": ("value", True, False, 0),
    "min_length": ("length", True, False, None),
    "max_length": ("length", False, False, None),
    "null_ratio": ("nulls", False, False, None),
}
# Kinds with a lower and an upper bound, of which one may be None: what is bounded, whether the upper one is left out.
_RANGES = {
    "range": ("value", False),
    "length": ("length", False),
    "row_count": ("rows", False),
    "window": ("moment", True),
}


def implied(rule: Rule, by: Iterable[Rule]) -> bool:
    """Whether every value, or table, that keeps all of `by` keeps `rule` too.

    False also where that cannot be told, as for two patterns: a change is taken for breaking rather than overlooked.
    """
    others = [other for other in by if other.column == rule.column]
    if any(_says_as_much(other, rule) for other in others):
        return True
    wanted = list(_bounds(rule))
    given = [bound for other in others for bound in _bounds(other)]
    return bool(wanted) and all(any(bound.implies(want) for bound in given) for want in wanted)


def columns_of(rule: Rule) -> tuple[str, ...]:
    """Every column that the rule names; none if it is about the table."""
    return tuple(name for name in (rule.column, *rule.others) if name)


def _says_as_much(stronger: Rule, weaker: Rule) -> bool:
    if stronger.kind != weaker.kind:
        return False
    if weaker.kind == "unique":
        return set(columns_of(stronger)) <= set(columns_of(weaker))
    if columns_of(stronger) != columns_of(weaker):
        return False
    mine, its = _members(stronger), _members(weaker)
    if weaker.kind == "one_of":
        return all(value in its for value in mine)
    if weaker.kind == "not_one_of":
        return all(value in mine for value in its)
    return mine == its


def _members(rule: Rule) -> list[object]:
    return list(rule.argument) if isinstance(rule.argument, list | tuple) else [rule.argument]


@dataclass(frozen=True)
class _Bound:
    aspect: str
    below: bool
    excluded: bool
    at: object

    def implies(self, other: _Bound) -> bool:
        if (self.aspect, self.below) != (other.aspect, other.below):
            return False
        if self.at == other.at:
            return self.excluded or not other.excluded
        mine, its = _ordered(self.at), _ordered(other.at)
        if mine is None or its is None or isinstance(mine, datetime) != isinstance(its, datetime):
            return False
        return bool(mine > its if self.below else mine < its)


def _bounds(rule: Rule) -> Iterator[_Bound]:
    if rule.kind in _BOUNDS:
        aspect, below, excluded, fixed = _BOUNDS[rule.kind]
        yield _Bound(aspect, below, excluded, rule.argument if fixed is None else fixed)
    elif rule.kind in _RANGES and len(_members(rule)) == 2:
        aspect, excluded = _RANGES[rule.kind]
        low, high = _members(rule)
        if low is not None:
            yield _Bound(aspect, below=True, excluded=False, at=low)
        if high is not None:
            yield _Bound(aspect, below=False, excluded=excluded, at=high)


def _ordered(bound: object) -> Any:  # noqa: ANN401 - a number or a moment, compared with its like
    """The bound as something that has an order; None for what has none before it is resolved, such as `now + 1 day`."""
    if isinstance(bound, int | float | Decimal):
        return bound
    try:
        found = datetime.fromisoformat(str(bound).strip())
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found

"""Whether one rule says at least as much as another, which decides if a change of rules tightens or loosens."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from platform_assets.contracts.model import Rule

# What is bounded, from which side, and whether the bound itself is left out.
_BOUNDS = {
    "minimum": ("value", "below", False),
    "exclusive_minimum": ("value", "below", True),
    "maximum": ("value", "above", False),
    "exclusive_maximum": ("value", "above", True),
    "min_length": ("length", "below", False),
    "max_length": ("length", "above", False),
}


def implies(stronger: Rule, weaker: Rule) -> bool:
    """Whether every value that keeps `stronger` keeps `weaker` too.

    False also where that cannot be told, as for two patterns: a change is taken for breaking rather than overlooked.
    """
    if stronger.column != weaker.column:
        return False
    if stronger.kind == weaker.kind == "one_of":
        allowed = _members(weaker)
        return all(value in allowed for value in _members(stronger))
    if (stronger.kind, stronger.argument) == (weaker.kind, weaker.argument):
        return True
    return _bounds_more(stronger, weaker)


def _members(rule: Rule) -> list[object]:
    return list(rule.argument) if isinstance(rule.argument, list | tuple) else [rule.argument]


def _bounds_more(stronger: Rule, weaker: Rule) -> bool:
    if stronger.kind not in _BOUNDS or weaker.kind not in _BOUNDS:
        return False
    aspect, side, excluded = _BOUNDS[stronger.kind]
    other_aspect, other_side, other_excluded = _BOUNDS[weaker.kind]
    bound, other = stronger.argument, weaker.argument
    if (aspect, side) != (other_aspect, other_side):
        return False
    if not isinstance(bound, int | float | Decimal) or not isinstance(other, int | float | Decimal):
        return False
    if bound == other:
        return excluded or not other_excluded
    return bound > other if side == "below" else bound < other

"""How the rules of two versions of a contract differ, and whom that breaks; the policy is told in `compatibility`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from hashlib import sha256
from itertools import zip_longest

from platform_assets.contracts.change import Change, Party, What
from platform_assets.contracts.implication import columns_of, implied
from platform_assets.contracts.model import Contract, Rule, Severity
from platform_assets.contracts.rules import REFERENCES

# What queries and joins are built on, not only filtered by.
_SHAPE = {REFERENCES, "unique", "not_null"}
_HOLDS_ON_TOKENS = {"unique", "not_null"}


def rule_changes(old: Contract, new: Contract, *, without: Collection[str]) -> Iterator[Change]:
    """Changes of all rules but those about the columns `without`, which come or go with their column."""
    gone, come = _only_in(old, new, without), _only_in(new, old, without)
    for subject in gone | come:
        for one, other in zip_longest(gone.get(subject, ()), come.get(subject, ())):
            yield _rule_change(one, other, old, new)
    before_file, after_file = _expert(old), _expert(new)
    if before_file != after_file:
        because = "an audit in code, of which nobody can tell what it allows: read it"
        yield Change("expert", What.EXPERT, before_file, after_file, (), because)


def shown(rule: Rule | None) -> str:
    """Kind and argument of a rule, such as `minimum 0`; empty for none."""
    if rule is None:
        return ""
    argument = rule.argument
    listed = ", ".join(map(str, argument)) if isinstance(argument, list | tuple) else argument
    words = " ".join(str(part) for part in (rule.kind, *columns_of(rule)[1:], listed) if part not in {None, ""})
    return words if _enforced(rule) else f"{words} (warns only)"


def _only_in(contract: Contract, other: Contract, without: Collection[str]) -> dict[tuple[str, ...], list[Rule]]:
    """Rules that the other version does not have, by kind and columns."""
    known = [_said(rule) for rule in other.rules]
    found: dict[tuple[str, ...], list[Rule]] = {}
    for rule in contract.rules:
        if not set(columns_of(rule)).intersection(without) and _said(rule) not in known:
            found.setdefault(_subject(rule), []).append(rule)
    return found


def _rule_change(was: Rule | None, now: Rule | None, old: Contract, new: Contract) -> Change:
    """A rule that only warns rejects nothing and promises nothing, so it counts as none."""
    tightened = now is not None and _enforced(now) and not implied(now, filter(_enforced, old.rules))
    loosened = was is not None and _enforced(was) and not implied(was, filter(_enforced, new.rules))
    breaks, reasons = [], []
    subject = next(rule for rule in (now, was) if rule is not None)
    if tightened and _arrives(subject, new):
        breaks.append(Party.PRODUCER)
        reasons.append("records that were accepted would be refused")
    elif tightened:
        reasons.append("more is promised; what was published before may not keep it until it is rebuilt")
    if loosened and _readers_build_on(subject, new):
        breaks.append(Party.READERS)
        reasons.append("queries and joins were built on it, which may lose or multiply rows now")
    elif loosened:
        reasons.append("readers meet values that were refused so far")
    because = "; ".join(reasons) or "no row is judged otherwise"
    what = _what(was, now, tightened=tightened, loosened=loosened)
    return Change(subject.name, what, shown(was), shown(now), tuple(breaks), because)


def _what(was: Rule | None, now: Rule | None, *, tightened: bool, loosened: bool) -> What:
    if was is None:
        return What.RULE_ADDED
    if now is None:
        return What.RULE_REMOVED
    if tightened == loosened:
        return What.RULE_CHANGED
    return What.RULE_TIGHTENED if tightened else What.RULE_LOOSENED


def _subject(rule: Rule) -> tuple[str, ...]:
    return (rule.kind, *columns_of(rule))


def _said(rule: Rule) -> tuple[object, ...]:
    argument = list(rule.argument) if isinstance(rule.argument, list | tuple) else rule.argument
    return _subject(rule), argument, rule.name, _enforced(rule)


def _enforced(rule: Rule) -> bool:
    return rule.severity is not Severity.WARN


def _arrives(rule: Rule, contract: Contract) -> bool:
    """Whether any column that the rule names, or may look at if it names none, comes from a record."""
    named = columns_of(rule)
    return any(column.path for column in contract.columns if not named or column.name in named)


def _readers_build_on(rule: Rule, contract: Contract) -> bool:
    tokens = set(columns_of(rule)) & set(contract.pii)
    return rule.kind in _SHAPE and (not tokens or rule.kind in _HOLDS_ON_TOKENS)


def _expert(contract: Contract) -> str:
    """Name and content, not place, of a schema that an expert attached."""
    expert = contract.expert
    return f"{expert.name} {sha256(expert.file.read_bytes()).hexdigest()[:12]}" if expert else ""

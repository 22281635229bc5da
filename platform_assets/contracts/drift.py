"""Says in sentences what changed at a source, from counts of broken rules and of fields that nobody promised (S0-59).

Counts and names only, never values: the sentences are shown in Dagit and in alerts (I7).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from platform_assets.contracts.model import Column, Contract, Rule
from platform_assets.contracts.naming import snake_case
from platform_assets.contracts.rule_changes import shown
from platform_assets.contracts.rules import REFERENCES

_SIMILAR_NAMES = 0.8


def explain_drift(
    contract: Contract, broken_rules: Mapping[str, int], rows: int, unexpected: Mapping[tuple[str, str], int]
) -> list[str]:
    """What changed at the source, the most frequent first.

    Args:
        contract: what the table promises, before tokenisation.
        broken_rules: name of a rule, or of several that rows broke together, joined by `, `, to the number of rows.
        rows: how many rows were judged.
        unexpected: name (dotted below the top) and type of a field that the contract does not have, or has in another
            type, to the number of rows that have it.
    """
    drift = _Drift(contract, rows, dict(unexpected))
    counted: Counter[str] = Counter()
    for names, broken in broken_rules.items():
        for name in names.split(", "):
            counted[name] += broken
    sentences = [(broken, drift.broken(name, broken)) for name, broken in sorted(counted.items()) if broken]
    sentences += [(found, drift.arrived(*member, found)) for member, found in sorted(drift.unexplained().items())]
    return [sentence for _, sentence in sorted(sentences, key=lambda counted: -counted[0])]


@dataclass
class _Drift:
    """What is being explained, and which of the unexpected fields a sentence has already named."""

    contract: Contract
    rows: int
    unexpected: dict[tuple[str, str], int]
    named: set[tuple[str, str]] = field(default_factory=set)

    def unexplained(self) -> dict[tuple[str, str], int]:
        return {member: found for member, found in self.unexpected.items() if found and member not in self.named}

    def broken(self, name: str, broken: int) -> str:
        rule = next((rule for rule in self.contract.rules if rule.name == name), None)
        if rule is not None:
            return f"{rule.column or self.contract.table}: {self._share(broken)} {_breaks(rule)}"
        subject, _, kind = name.rpartition(".")
        column = next((column for column in self.contract.columns if column.name == subject), None)
        if kind == "not_null":
            return f"{subject} is missing in {self._share(broken)}{self._replaced(column)}"
        if kind == "type":
            was = column.type if column else "nested"
            return f"{subject}: was {was}, {self._share(broken)} hold something else{self._retyped(subject, column)}"
        if kind == "outside_window":
            return f"{subject}: {self._share(broken)} lie before PLATFORM_PARTITIONS_START or in the future"
        return f"{self._share(broken)} break {name}, a rule that the contract does not have any more"

    def arrived(self, name: str, type_: str, found: int) -> str:
        arrived = f"`{name}` ({type_}) arrived in {self._share(found)}"
        known = [column for column in self.contract.columns if name == ".".join(column.path)]
        if known:
            return f"{arrived}; the contract has it as {known[0].type}"
        alike = [column.name for column in self.contract.columns if column.path and _alike(name, column)]
        return f"{arrived} and is not in the contract" + (f"; it looks like {alike[0]}: renamed?" if alike else "")

    def _replaced(self, column: Column | None) -> str:
        """A field that arrived under a similar name instead."""
        if column is None:
            return ""
        candidates = [
            (_likeness(name, column), found, (name, type_))
            for (name, type_), found in self.unexpected.items()
            if found and name != ".".join(column.path) and _alike(name, column)
        ]
        if not candidates:
            return ""
        *_, member = max(candidates)
        self.named.add(member)
        how_many = self.unexpected[member]
        often = "" if how_many == self.rows else f" in {self._share(how_many)}"
        return f"; `{member[0]}` arrived instead{often}: renamed?"

    def _retyped(self, subject: str, column: Column | None) -> str:
        """The types in which the field itself arrived."""
        path = ".".join(column.path) if column else subject
        members = [member for member, found in self.unexpected.items() if found and member[0] in {subject, path}]
        self.named.update(members)
        types = ", ".join(f"{type_} in {self._share(self.unexpected[name, type_])}" for name, type_ in sorted(members))
        return f": {types}" if types else ""

    def _share(self, count: int) -> str:
        if count >= self.rows:
            return "all rows" if self.rows > 1 else "the only row"
        return f"{count} of {self.rows} rows"


def _breaks(rule: Rule) -> str:
    if rule.kind == REFERENCES:
        table = str(rule.argument).rpartition(".")[0]
        return f"refer to something that {table} does not have"
    return f"break the rule `{shown(rule)}`"


def _alike(name: str, column: Column) -> bool:
    return _likeness(name, column) >= _SIMILAR_NAMES


def _likeness(name: str, column: Column) -> float:
    """1 for the same name in another spelling or at another depth, otherwise how much of it is the same."""
    arrived = {_plain(name), _plain(name.rpartition(".")[2])}
    promised = {_plain(column.name), _plain(column.path[-1] if column.path else column.name)}
    return max(SequenceMatcher(None, one, other).ratio() for one in arrived for other in promised)


def _plain(name: str) -> str:
    return snake_case(name).replace("_", "")

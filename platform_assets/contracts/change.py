"""One difference between two versions of a contract: what changed, and to whom a promise is broken by it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Effect(StrEnum):
    """Whether somebody has to do something because of a change."""

    COMPATIBLE = "compatible"
    BREAKING = "breaking"


class Party(StrEnum):
    """Who relies on a contract."""

    READERS = "readers"
    PRODUCER = "producer"
    PEOPLE = "people"


class What(StrEnum):
    """The kinds of change."""

    OPTIONAL_COLUMN_ADDED = "optional column added"
    REQUIRED_COLUMN_ADDED = "required column added"
    COLUMN_REMOVED = "column removed"
    COLUMNS_REORDERED = "columns reordered"
    TYPE = "type changed"
    REQUIRED = "became required"
    NULLABLE = "became nullable"
    FIELD = "read from another field"
    TOKENISED = "became pii"
    WITHDRAWN = "became secret"
    DECLASSIFIED = "declassified"
    RULE_ADDED = "rule added"
    RULE_REMOVED = "rule removed"
    RULE_TIGHTENED = "rule tightened"
    RULE_LOOSENED = "rule loosened"
    RULE_CHANGED = "rule changed"
    EXPERT = "expert schema changed"
    KEY = "key changed"
    ORDERING = "ordering changed"
    EVENT_TIME = "event time changed"
    PARTITIONING = "partition column changed"
    CLUSTERING = "clustering changed"
    VERSION = "version changed"
    DESCRIPTION = "description changed"


@dataclass(frozen=True)
class Change:
    """One difference between two versions of a contract.

    Attributes:
        subject: the column, the rule (`amount.minimum`) or the property of the table that changed.
        before: what it was, as text; empty if it was not there.
        after: what it is; empty if it is gone.
        breaks: to whom a promise is broken; nobody if the change is compatible.
        because: what it means for those concerned, a sentence without its subject.
    """

    subject: str
    what: What
    before: str
    after: str
    breaks: tuple[Party, ...]
    because: str

    @property
    def effect(self) -> Effect:
        """Breaking if it breaks a promise to anybody."""
        return Effect.BREAKING if self.breaks else Effect.COMPATIBLE

    @property
    def sentence(self) -> str:
        """The change as a person reads it."""
        shown = f"{self.before} → {self.after}" if self.before and self.after else self.before or self.after
        return f"{self.subject}: {self.what} ({shown}): {self.because}" if shown else f"{self.subject}: {self.because}"

    def as_json(self) -> dict[str, object]:
        """One flat object."""
        return {
            "subject": self.subject,
            "what": self.what.value,
            "before": self.before,
            "after": self.after,
            "effect": self.effect.value,
            "breaks": [party.value for party in self.breaks],
            "sentence": self.sentence,
        }

"""What of a landing object could not be read, and the lines in which it is kept beside landing (S0-18, S1-07)."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from platform_assets.ingestion.landing import LandingObject


@dataclass(frozen=True)
class DeadLetter:
    """Something in an object of which not even a row could be made.

    Attributes:
        row_number: which record of the object, from 1; None if it concerns the object as a whole.
        reason: why, in words that hold none of the content.
        content: the bytes concerned, or the first of them.
    """

    object: LandingObject
    row_number: int | None
    reason: str
    content: bytes = field(repr=False, default=b"")

    @property
    def order(self) -> tuple[LandingObject, int, str]:
        """By object and record."""
        return self.object, self.row_number or 0, self.reason

    @property
    def line(self) -> str:
        """One line of JSON, its content as text or, if it is no UTF-8, in base64."""
        try:
            content, encoding = self.content.decode(), "utf-8"
        except UnicodeDecodeError:
            content, encoding = base64.b64encode(self.content).decode(), "base64"
        line = {
            "reason": self.reason,
            "object": self.object.uri,
            "generation": self.object.generation,
            "row_number": self.row_number,
            "content": content,
            "encoding": encoding,
        }
        return json.dumps(line, ensure_ascii=False)


@dataclass(frozen=True)
class KeptLetter:
    """A dead letter as it is looked at later: everything but its content, which nobody should see in passing."""

    uri: str
    generation: int
    row_number: int | None
    reason: str

    @classmethod
    def of(cls, line: str) -> KeptLetter:
        """What a line says."""
        found = json.loads(line)
        return cls(found["object"], found["generation"], found["row_number"], found["reason"])

    def as_json(self) -> dict[str, object]:
        """One flat object."""
        return {
            "object": self.uri,
            "generation": self.generation,
            "row_number": self.row_number,
            "reason": self.reason,
        }

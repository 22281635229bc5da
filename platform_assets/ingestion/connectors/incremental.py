"""Lands what a source has after a position, exactly once, and moves the position on.

An object's name is made from the position that it follows, and its date is settled before it is written: whoever is
killed, or comes second, finds the object there, and takes the new position from what has really landed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from platform_assets.ingestion.connectors.base import Context
    from platform_assets.ingestion.landing import LandingObject

Position = dict[str, Any]  # JSON
# From the old position, the content that landed and the words that it landed with, to the new position.
Advance = Callable[[Position, bytes, Mapping[str, str]], Position]


def settle(source: str, context: Context, advance: Advance) -> tuple[Position, LandingObject | None]:
    """The position to go on from, and the object that a killed tick has landed, if there is one."""
    progress = context.ledger.progress(source)
    if progress.planned is not None:
        found = context.landing.find(source, progress.planned, _file_name(source, progress.position))
        if found is not None:
            return _move(source, context, found, advance), found
    return progress.position, None


def land(
    source: str, context: Context, content: bytes, words: Mapping[str, str], advance: Advance
) -> tuple[Position, LandingObject]:
    """Lands what follows the position; the new position, and the object."""
    progress = context.ledger.progress(source)
    day = progress.planned or context.now.date()
    context.ledger.save_progress(source, replace(progress, planned=day))
    landed = context.landing.put(source, day, _file_name(source, progress.position), content, metadata=words)
    return _move(source, context, landed, advance), landed


def _move(source: str, context: Context, landed: LandingObject, advance: Advance) -> Position:
    progress = context.ledger.progress(source)
    content, words = context.landing.remembered(landed)
    position = advance(progress.position, content, words)
    context.ledger.save_progress(source, replace(progress, position=position, planned=None))
    return position


def _file_name(source: str, position: Position) -> str:
    unique = hashlib.sha256(json.dumps(position, sort_keys=True).encode()).hexdigest()[:16]
    return f"{source}-{unique}.jsonl"

"""Words that people write and may misspell."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_NEAR = 0.6


def nearest(word: str, words: Iterable[str], near: float = _NEAR) -> str:
    """`; did you mean …?` with the word that is meant, or nothing if none is near: the end of an error's sentence."""
    by_lower_case = {known.lower(): known for known in words}
    close = get_close_matches(word.lower(), by_lower_case, n=1, cutoff=near)
    return f"; did you mean `{by_lower_case[close[0]]}`?" if close else ""


def title_of(name: str) -> str:
    """`stripe_payments` → `Stripe payments`."""
    return name.replace("_", " ").capitalize()

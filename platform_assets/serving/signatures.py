"""Signatures of webhook calls: whether a call comes from who knows the secret. HMAC-SHA256, compared in constant time.

Stripe: `Stripe-Signature: t=<unix seconds>,v1=<hex>`, over `<t>.<body>`. GitHub: `X-Hub-Signature-256: sha256=<hex>`,
over the body.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

TOLERANCE_SECONDS = 300  # between a call's signing and its arrival, as Stripe's own libraries have it
MOST_SIGNATURES = 16


class WrongSignature(Exception):
    """A call is refused; the message says why, and holds nothing secret."""


def verify(scheme: str, secret: str, headers: Mapping[str, str], body: bytes, now: float) -> None:
    """Returns if the call is signed with the secret.

    Args:
        scheme: `stripe` or `github`.
        secret: what both sides know.
        headers: of the call, found in any case of letters.
        body: the bytes exactly as they came.
        now: seconds since 1970.

    Raises:
        WrongSignature: the signature is missing, is another, or is too old.
    """
    if scheme == "stripe":
        _verify_stripe(secret, headers.get("stripe-signature", ""), body, now)
    else:
        _verify_github(secret, headers.get("x-hub-signature-256", ""), body)


def _verify_stripe(secret: str, header: str, body: bytes, now: float) -> None:
    pairs = [part.strip().partition("=") for part in header.split(",")]
    signed_at = [value for name, _, value in pairs if name == "t"]
    signatures = [value for name, _, value in pairs if name == "v1"][:MOST_SIGNATURES]  # two while a secret is changed
    if len(signed_at) != 1 or not (signed_at[0].isascii() and signed_at[0].isdigit()) or not signatures:
        raise WrongSignature("no Stripe-Signature header of the form t=…,v1=…")
    expected = _hex_digest(secret, signed_at[0].encode() + b"." + body)
    if not any([_same(expected, signature) for signature in signatures]):  # noqa: C419 - always all of them
        raise WrongSignature("the signature is not one of this body with the secret")
    if abs(now - int(signed_at[0][:18])) > TOLERANCE_SECONDS:
        raise WrongSignature(f"the call was signed more than {TOLERANCE_SECONDS} s ago; is a clock wrong?")


def _verify_github(secret: str, header: str, body: bytes) -> None:
    algorithm, _, signature = header.partition("=")
    if algorithm != "sha256":
        raise WrongSignature("no X-Hub-Signature-256 header of the form sha256=…")
    if not _same(_hex_digest(secret, body), signature):
        raise WrongSignature("the signature is not one of this body with the secret")


def _hex_digest(secret: str, content: bytes) -> str:
    return hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()


def _same(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode(errors="replace"))

"""What is published of a cart of the FakeStore API: flat, in the field's words (S3-04 to S3-06).

An example of a connector of one's own that only transforms: the records come from `api_endpoint`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class CartCreated:
    """The event of a cart. What a cart lacks is null: the contract judges it downstream."""

    def transform(self, cart: Mapping[str, Any]) -> dict[str, Any]:
        """The members that the event has beside those that every event has."""
        lines = cart.get("products")
        return {
            "cart_id": cart.get("id"),
            "user_id": cart.get("userId"),
            "cart_date": cart.get("date"),
            "products": [_line(line) for line in lines] if isinstance(lines, list) else lines,
        }


def _line(line: object) -> dict[str, Any] | None:
    if not isinstance(line, Mapping):
        return None
    return {"product_id": line.get("productId"), "quantity": line.get("quantity")}

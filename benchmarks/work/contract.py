"""The contract of the web events as a peer's author would write it in DuckDB's SQL: types, and rules with reasons.

The sides that are written in SQL share it, so that they differ only in what carries it out.
"""

from __future__ import annotations

TEXTS = ("event_id", "user_id", "session_id", "event_type", "currency", "email")
RAW = {"event_timestamp": "TIMESTAMPTZ", "amount": "DECIMAL(18, 2)", "product_id": "BIGINT"}

# How `read_json` takes a record: what is typed later stays JSON text, in which "12.50" is no number.
JSON_COLUMNS = {
    **dict.fromkeys((*TEXTS, "event_timestamp"), "VARCHAR"),
    **dict.fromkeys(("amount", "product_id", "properties"), "JSON"),
}

# A row belongs to the day of its event, wherever it arrived; without one, to the day of its file.
EVENT_DATE = "coalesce(CAST(TRY_CAST(event_timestamp AS TIMESTAMPTZ) AS DATE), DATE '{arrived}')"

_EMAIL = r"^[A-Za-z0-9!#$%&''*+/=?^_`{|}~.-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$"
_UUID = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_TYPES = "'page_view', 'click', 'add_to_cart', 'purchase', 'signup', 'search', 'error'"

# Rule to the SQL condition under which a row breaks it.
BREAKS = {
    "event_id.not_null": "event_id IS NULL",
    "user_id.not_null": "user_id IS NULL",
    "session_id.not_null": "session_id IS NULL",
    "event_type.not_null": "event_type IS NULL",
    "event_timestamp.not_null": "raw_event_timestamp IS NULL",
    "event_timestamp.type": "raw_event_timestamp IS NOT NULL AND event_timestamp IS NULL",
    "amount.type": "raw_amount IS NOT NULL AND amount IS NULL",
    "product_id.type": "raw_product_id IS NOT NULL AND product_id IS NULL",
    "properties.type": "json_type(properties) <> 'OBJECT'",
    "event_id.uuid": f"NOT regexp_matches(event_id, '{_UUID}')",
    "user_id.length": "length(user_id) NOT BETWEEN 1 AND 64",
    "session_id.length": "length(session_id) < 1",
    "event_type.one_of": f"event_type NOT IN ({_TYPES})",
    "amount.minimum": "amount < 0",
    "currency.one_of": "currency NOT IN ('USD', 'EUR', 'GBP')",
    "product_id.minimum": "product_id < 1",
    "email.email": f"NOT regexp_matches(email, '{_EMAIL}')",
}


def staged(bronze: str) -> str:
    """The query of typed rows with `broken_rules`, null for those that keep the contract, and `raw_` texts beside."""
    typed = [
        f"{name}::VARCHAR AS raw_{name}, TRY_CAST({name}::VARCHAR AS {kind}) AS {name}" for name, kind in RAW.items()
    ]
    fine = " AND ".join(f"NOT coalesce({condition}, FALSE)" for condition in BREAKS.values())
    reasons = ", ".join(f"CASE WHEN {condition} THEN '{name}' END" for name, condition in BREAKS.items())
    return (
        f"SELECT *, CASE WHEN {fine} THEN NULL ELSE concat_ws(', ', {reasons}) END AS broken_rules "
        f"FROM (SELECT {', '.join([*TEXTS, 'properties', 'event_date', *typed])} FROM {bronze})"
    )

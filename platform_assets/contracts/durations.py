"""A length of time as YAML says it: `60s`, `5m`, `6h`, `1d`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

_DURATION = re.compile(r"(\d+) *(s|m|h|d)")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _seconds(value: object) -> object:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is no duration; write a number and its unit, such as `60s`, `5m` or `6h`")
    return int(match[1]) * _UNIT_SECONDS[match[2]]


Seconds = Annotated[
    int, BeforeValidator(_seconds, json_schema_input_type=str), Field(ge=1, json_schema_extra={"examples": ["60s"]})
]

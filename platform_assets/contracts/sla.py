"""What a table promises about time: a change is in it `within` so long, a date is `ready_by` a time (S1-52 to S1-54).

Said in a source file or in a dbt model's `meta`; what neither says is in `DEFAULTS`, by layer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WrapValidator,
    model_validator,
)

from platform_assets.contracts.durations import Seconds
from platform_assets.contracts.words import nearest

_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?) *%")
_UNQUOTED = range(10 * 60, 24 * 60)  # to YAML, 10:30 is a number to the base of 60, while 08:00 is text


@dataclass(frozen=True)
class Promise:
    """One promise of one table, either `within` or `ready_by`.

    Attributes:
        target: the share of all outcomes that keep it, at most 1.
        within: so long after a change of an input (for bronze: after an object landed) the change is in the table.
        ready_by: at this time of every day the date before is complete in the table.
        timezone: whose clock that is, an IANA name.
    """

    target: float
    within: timedelta | None = None
    ready_by: time | None = None
    timezone: str = "UTC"

    @property
    def name(self) -> str:
        """What is promised, without the target: `within 5 min`, `ready by 08:00 Europe/Berlin`."""
        if self.ready_by is not None:
            return f"ready by {self.ready_by:%H:%M} {self.timezone}"
        seconds = int((self.within or timedelta()).total_seconds())
        sizes = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
        size, unit = next((size, unit) for size, unit in sizes if seconds % size == 0)
        return f"within {seconds // size} {unit}"

    @property
    def in_words(self) -> str:
        """`99.9 % within 5 min`."""
        return f"{percent(self.target)} {self.name}"

    def deadline(self, day: date) -> datetime:
        """When, on a day of its own clock, `ready_by` is (UTC).

        A time that the clock skips in spring is as long after midnight as on any other day; of one that it shows twice
        in autumn the first counts.
        """
        return datetime.combine(day, self.ready_by or time(), ZoneInfo(self.timezone)).astimezone(UTC)


def percent(share: float) -> str:
    """`99.9 %`, to two places; never rounded up to all of it."""
    shown = min(round(share * 100, 2), 99.99) if share < 1 else 100.0
    return f"{shown:g} %"


def _clock(value: object) -> object:
    if isinstance(value, int) and value in _UNQUOTED:
        return time(*divmod(value, 60))
    match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{value!r} is no time of day; write hours and minutes in quotes, such as `"08:00"`')
    return time(int(match[1]), int(match[2]))


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; no name of a zone; a folder of zones, such as `Europe`
        from zoneinfo import available_timezones

        hint = nearest(name, available_timezones()) or "; expected an IANA name such as `Europe/Berlin`"
        raise ValueError(f"{name!r} is no time zone{hint}") from None
    return name


def _share(value: object) -> object:
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is None or not 0 < float(match[1]) <= 100:
        raise ValueError(f"{value!r} is no share; write it in percent, such as `99.9%`")
    return float(match[1]) / 100


def _text(pattern: re.Pattern[str]) -> Any:  # noqa: ANN401 - an annotated type
    """What editors are told of a setting that is read from text."""
    return Annotated[str, Field(pattern=f"^{pattern.pattern}$")]


Clock = Annotated[time, BeforeValidator(_clock, json_schema_input_type=_text(_CLOCK))]
Zone = Annotated[str, AfterValidator(_zone)]
Share = Annotated[float, BeforeValidator(_share, json_schema_input_type=_text(_PERCENT))]
_USUAL = 0.999


class Sla(BaseModel):
    """`sla` of a source, a silver table or a dbt model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    within: Seconds | None = Field(
        default=None, description="A change is in the table so long after its input, or landing, has it: `5m`."
    )
    ready_by: Clock | None = Field(
        default=None, description='Time of day at which the date before is complete: `"08:00"`.'
    )
    timezone: Zone | None = Field(default=None, description="Whose time of day, as `Europe/Berlin`; by default UTC.")
    target: Share | None = Field(
        default=None, description="Share that keeps the promise over 30 days, by default `99.9%`."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Sla:
        if self.within is None and self.ready_by is None:
            raise ValueError("an SLA says `within`, `ready_by` or both; to promise nothing, write `none`")
        if self.timezone is not None and self.ready_by is None:
            raise ValueError("`timezone` belongs to `ready_by`")
        return self

    @property
    def promises(self) -> tuple[Promise, ...]:
        """Each of what it says; none for `none`."""
        found, target = [], self.target or _USUAL
        if self.within is not None:
            found.append(Promise(target, within=timedelta(seconds=self.within)))
        if self.ready_by is not None:
            found.append(Promise(target, ready_by=self.ready_by, timezone=self.timezone or "UTC"))
        return tuple(found)


_NONE = Sla.model_construct()


def _or_none(value: object, read: Callable[[object], Sla]) -> Sla:
    if isinstance(value, str) and value != "none":
        raise ValueError(f"{value!r} is no SLA; write `none`, or a mapping such as `{{within: 5m, target: 99.9%}}`")
    return _NONE if value == "none" else read(value)


DeclaredSla = Annotated[Sla, WrapValidator(_or_none, json_schema_input_type=Literal["none"] | Sla)]
_DECLARED: TypeAdapter[Sla] = TypeAdapter(DeclaredSla)

DEFAULTS: Mapping[str, Promise] = {
    "bronze": Promise(_USUAL, within=timedelta(minutes=5)),  # S1-52
    "gold": Promise(_USUAL, ready_by=time(8)),  # S1-53
    "mart": Promise(_USUAL, ready_by=time(8)),
    "feature": Promise(0.99, within=timedelta(hours=1)),  # S1-54
}


def read_sla(value: Any) -> Sla:  # noqa: ANN401 - what YAML holds
    """What `sla` says, in the form that a dbt model's `meta` has it.

    Raises:
        ValueError: it says none; the message names the settings.
    """
    try:
        return _DECLARED.validate_python(value)
    except ValidationError as error:
        problems = [(".".join(map(str, found["loc"])), found["msg"]) for found in error.errors()]
        told = [f"`sla.{where}`: {said}" if where else f"`sla`: {said}" for where, said in problems]
        raise ValueError("; ".join(told).replace("Value error, ", "")) from None


def promises_of(layer: str, declared: Sla | None, *, dated: bool) -> tuple[Promise, ...]:
    """What a table of a layer promises: what is declared, else the layer's default.

    A table without dates is as it is now: no date of it is ready by default.
    """
    if declared is not None:
        return declared.promises
    default = DEFAULTS.get(layer)
    return () if default is None or (default.ready_by is not None and not dated) else (default,)

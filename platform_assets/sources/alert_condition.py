"""The condition of an alert, typed: `data_age > 2 hours`. Parsed once, judged against what was measured."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from enum import StrEnum


class Metric(StrEnum):
    """What can be watched (S1-87, S1-101)."""

    RECORD_COUNT = "record_count"
    LATENCY_P95 = "latency_p95"
    ERROR_RATE = "error_rate"
    DATA_AGE = "data_age"
    DAILY_COST = "daily_cost"


_COMPARE = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_CONDITION = re.compile(
    r"(?P<metric>[a-z_0-9]+) *(?P<operator>>=|<=|>|<) *(?P<currency>\$?)(?P<bound>\d+(?:\.\d+)?) *"
    r"(?P<unit>%|milliseconds?|ms|seconds?|minutes?|hours?|days?)?"
)
_TIMES = {"millisecond": 0.001, "ms": 0.001, "second": 1.0, "minute": 60.0, "hour": 3_600.0, "day": 86_400.0}
_SCALES = {
    Metric.RECORD_COUNT: {"": 1.0},
    Metric.LATENCY_P95: _TIMES,
    Metric.ERROR_RATE: {"%": 0.01},
    Metric.DATA_AGE: _TIMES,
    Metric.DAILY_COST: {"$": 1.0},
}
_EXPECTED = {
    Metric.RECORD_COUNT: "a number of rows without a unit, such as `record_count < 1000`",
    Metric.LATENCY_P95: "a time, such as `latency_p95 > 500 ms`",
    Metric.ERROR_RATE: "a share in percent, such as `error_rate > 5%`",
    Metric.DATA_AGE: "a time, such as `data_age > 2 hours`",
    Metric.DAILY_COST: "an amount in dollars, such as `daily_cost > $500`",
}


@dataclass(frozen=True)
class Condition:
    """What must not be.

    Attributes:
        bound: as it is written: 5 of `5%`.
        unit: `%`, `$`, a unit of time in the singular, or empty.
    """

    metric: Metric
    operator: str
    bound: float
    unit: str = ""

    @property
    def threshold(self) -> float:
        """The bound in the unit that is measured in: seconds, a share of 1, rows, dollars."""
        return self.bound * _SCALES[self.metric][self.unit]

    def holds(self, measured: float) -> bool:
        """Whether `measured` (seconds, a share of 1, rows, dollars) is what the alert is about."""
        return bool(_COMPARE[self.operator](measured, self.threshold))


def parse_condition(text: str) -> Condition:
    """The condition that a text says.

    Raises:
        ValueError: it is no condition, is about no known metric, or its unit is not one of the metric.
    """
    match = _CONDITION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"condition {text!r} is not `metric > bound`, such as `data_age > 2 hours`")
    metrics = [metric.value for metric in Metric]
    if match["metric"] not in metrics:
        raise ValueError(f"condition {text!r} is about none of the metrics {', '.join(metrics)}")
    metric = Metric(match["metric"])
    unit = match["unit"] or ""
    if unit not in {"ms", "%"}:
        unit = unit.removesuffix("s")
    if match["currency"]:
        unit = "$" + unit
    if unit not in _SCALES[metric]:
        raise ValueError(f"condition {text!r}: expected {_EXPECTED[metric]}")
    return Condition(metric, match["operator"], float(match["bound"]), unit)

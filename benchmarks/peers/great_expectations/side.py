"""Great Expectations' side: the contract of the silver rows, on pandas.

    python -m benchmarks.peers.great_expectations.side work INPUT OUTPUT
    python -m benchmarks.peers.great_expectations.side answer OUTPUT

INPUT is a folder of Parquet files with silver rows, each file a partition. As for the platform
(`benchmarks.work.contract_audit`): every promise of the published contract - columns, nulls, the key, patterns,
ranges, sets - and for each the number of rows that break it. Tuned: pandas' nullable types (Arrow's were measured three
times slower here); an ephemeral context without progress bars; results as counts, without examples.
Less than the platform: no types, of which Parquet's are lost in those of pandas.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.command import Seconds, side

_FINDINGS = "findings.json"
_COLUMNS = (
    "event_id",
    "user_id",
    "session_id",
    "event_type",
    "event_timestamp",
    "amount",
    "currency",
    "product_id",
    "properties",
    "email",
    "event_date",
    "_landed_at",
)
_NOT_NULL = ("event_id", "user_id", "session_id", "event_type", "event_timestamp", "event_date", "_landed_at")
_PATTERNS = {
    "event_id.uuid": "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
    "email.pattern": "^[0-9a-f]{64}$",
}
_SETS = {
    "event_type.one_of": ["page_view", "click", "add_to_cart", "purchase", "signup", "search", "error"],
    "currency.one_of": ["USD", "EUR", "GBP"],
}
_COUNTS = {"result_format": "BASIC", "partial_unexpected_count": 0}


def work(given: Path, output: Path, layers: Sequence[str]) -> Seconds:  # noqa: ARG001
    """Validates every file and writes what was found."""
    began = time.perf_counter()
    import great_expectations as gx
    import pandas as pd

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("files").add_dataframe_asset("silver")
    batch = asset.add_batch_definition_whole_dataframe("partition")
    suite = gx.ExpectationSuite(name="silver", expectations=list(_expectations(gx.expectations)))
    validation = gx.ValidationDefinition(name="contract", data=batch, suite=context.suites.add(suite))
    context.validation_definitions.add(validation)
    counted: dict[str, int] = {"rows": 0}
    for path in sorted(given.glob("*.parquet")):
        frame = pd.read_parquet(path, dtype_backend="numpy_nullable")
        counted["rows"] += len(frame)
        result = validation.run(batch_parameters={"dataframe": frame}, result_format=_COUNTS)
        for found in result.results:
            name = found.expectation_config.meta["rule"]
            counted[name] = counted.get(name, 0) + _broken(name, found)
    (output / _FINDINGS).write_text(json.dumps(counted), encoding="utf-8")
    return {"contract": time.perf_counter() - began}


def _broken(name: str, found: Any) -> int:  # noqa: ANN401 - a class of the tool
    if found.exception_info and found.exception_info.get("raised_exception"):
        raise RuntimeError(f"{name}: {found.exception_info['exception_message']}")
    return int(found.result.get("unexpected_count", 0 if found.success else 1))


def _expectations(gxe: Any) -> Iterator[Any]:  # noqa: ANN401 - the tool's module
    yield gxe.ExpectTableColumnsToMatchSet(column_set=list(_COLUMNS), exact_match=True, meta={"rule": "columns"})
    for name in _NOT_NULL:
        yield gxe.ExpectColumnValuesToNotBeNull(column=name, meta={"rule": f"{name}.not_null"})
    yield gxe.ExpectColumnValuesToBeUnique(column="event_id", meta={"rule": "event_id.unique"})
    for name, pattern in _PATTERNS.items():
        yield gxe.ExpectColumnValuesToMatchRegex(column=name.split(".")[0], regex=pattern, meta={"rule": name})
    for name, values in _SETS.items():
        yield gxe.ExpectColumnValuesToBeInSet(column=name.split(".")[0], value_set=values, meta={"rule": name})
    for name, least, most in (("user_id", 1, 64), ("session_id", 1, None)):
        yield gxe.ExpectColumnValueLengthsToBeBetween(
            column=name, min_value=least, max_value=most, meta={"rule": f"{name}.length"}
        )
    for name, least in (("amount", 0), ("product_id", 1)):
        yield gxe.ExpectColumnValuesToBeBetween(column=name, min_value=least, meta={"rule": f"{name}.minimum"})


def find_answer(output: Path, layers: Sequence[str]) -> Mapping[str, str]:  # noqa: ARG001
    """Rows, and how many break which promise."""
    found = json.loads((output / _FINDINGS).read_text(encoding="utf-8"))
    return {name: str(rows) for name, rows in sorted(found.items()) if rows}


if __name__ == "__main__":
    side(work, find_answer)

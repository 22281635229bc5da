"""dbt's side, with its adapter for DuckDB: silver, quarantine and gold from bronze, in a DuckDB file.

    python -m benchmarks.peers.dbt_duckdb.side prepare OUTPUT
    python -m benchmarks.peers.dbt_duckdb.side work INPUT OUTPUT --layers silver,gold
    python -m benchmarks.peers.dbt_duckdb.side answer OUTPUT

Bronze is expected in OUTPUT/bronze as Parquet files. As for the platform: the same rules, tokens and order of silver.
Tuned: the judged rows are a table, which silver and quarantine both read (one query over all was measured 2.5 times
slower); two threads; no artifacts are written; `prepare` leaves the parsed project, which a run then only loads. Tokens
are made row by row, as a macro.
Less than the platform: tables of DuckDB instead of Iceberg commits in Parquet, no tests (`dbt run`), no row accounting,
both days in one go.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.peers.command import Seconds, hmac_pads, side
from benchmarks.work.answer import Relations, answer
from benchmarks.work.contract import RAW, staged

_PROJECT = Path(__file__).resolve().parent / "project"
_DATABASE = "warehouse.duckdb"


def prepare(output: Path) -> None:
    """Parses the project."""
    _dbt("parse", output)


def work(given: Path, output: Path, layers: Sequence[str]) -> Seconds:  # noqa: ARG001
    """One `dbt run` of all that is asked for."""
    began = time.perf_counter()
    (output / _DATABASE).unlink(missing_ok=True)
    _dbt("run", output, "--select", *(f"+{layer}" if layer == "silver" else layer for layer in layers))
    return {"+".join(layers): time.perf_counter() - began}


def _dbt(command: str, output: Path, *options: str) -> None:
    from dbt.cli.main import dbtRunner

    inner, outer = hmac_pads()
    os.environ |= {"DATABASE": str(output / _DATABASE), "SPILL": str(output / "spill"), "DO_NOT_TRACK": "1"}
    variables = {
        "judged_bronze": staged(f"read_parquet('{output}/bronze/*.parquet')"),
        "raw_columns": [f"raw_{name}" for name in RAW],
        "inner_pad": inner,
        "outer_pad": outer,
    }
    folders = ["--project-dir", str(_PROJECT), "--profiles-dir", str(_PROJECT), "--target-path", str(output / "target")]
    quiet = ["--log-path", str(output / "logs"), "--log-level-file", "none", "--no-write-json"]
    outcome = dbtRunner().invoke([command, *folders, *quiet, *options, "--vars", json.dumps(variables)])
    if not outcome.success:
        raise RuntimeError(f"dbt {command} failed: {outcome.exception or outcome.result}")


def find_answer(output: Path, layers: Sequence[str]) -> Mapping[str, str]:  # noqa: ARG001
    """What the tables hold."""
    import duckdb

    with duckdb.connect(str(output / _DATABASE), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        held = Relations("silver.events_clean", "silver.quarantine", "gold.event_metrics", "gold.user_metrics")
        return answer(connection, held)


if __name__ == "__main__":
    side(work, find_answer, prepare)

"""SQLMesh's side, on DuckDB: silver, quarantine and gold from bronze, in a DuckDB file.

    python -m benchmarks.peers.sqlmesh.side prepare OUTPUT
    python -m benchmarks.peers.sqlmesh.side work INPUT OUTPUT --layers silver,gold
    python -m benchmarks.peers.sqlmesh.side answer OUTPUT

Bronze is expected in OUTPUT/bronze as Parquet files. As for the platform: the same rules, tokens and order of silver.
Tuned: the judged rows are a table, which silver and quarantine both read; two models at once; state in the same file;
`prepare` leaves the cache of the loaded models, which a run then only reads.
Tokens are made row by row, as a macro. SQLMesh holds DuckDB below 2.0, so it runs on the newest one that it supports.
Less than the platform: tables of DuckDB instead of Iceberg commits in Parquet, no audits, no row accounting, both days
in one go. More: a plan with versions of the models, and views of its production environment over them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers.command import Seconds, hmac_pads, side
from benchmarks.work.answer import Relations, answer

if TYPE_CHECKING:
    from sqlmesh import Context

_PROJECT = Path(__file__).resolve().parent / "project"
_DATABASE = "warehouse.duckdb"


def prepare(output: Path) -> None:
    """Loads the project, which fills its cache."""
    _context(output).close()
    (output / _DATABASE).unlink(missing_ok=True)


def work(given: Path, output: Path, layers: Sequence[str]) -> Seconds:  # noqa: ARG001
    """One plan, applied, which builds every model."""
    began = time.perf_counter()
    context = _context(output)
    context.plan(auto_apply=True, no_prompts=True)
    context.close()
    return {"+".join(layers): time.perf_counter() - began}


def _context(output: Path) -> Context:
    inner, outer = hmac_pads()
    (output / _DATABASE).unlink(missing_ok=True)
    os.environ |= {
        "DATABASE": str(output / _DATABASE),
        "SPILL": str(output / "spill"),
        "CACHE": str(output / "cache"),
        "BRONZE": str(output / "bronze" / "*.parquet"),
        "INNER_PAD": inner,
        "OUTER_PAD": outer,
        "SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "1",
    }
    from sqlmesh import Context

    return Context(paths=[str(_PROJECT)])


def find_answer(output: Path, layers: Sequence[str]) -> Mapping[str, str]:  # noqa: ARG001
    """What the tables hold."""
    import duckdb

    with duckdb.connect(str(output / _DATABASE), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        held = Relations("silver.events_clean", "silver.quarantine", "gold.event_metrics", "gold.user_metrics")
        return answer(connection, held)


if __name__ == "__main__":
    side(work, find_answer, prepare)

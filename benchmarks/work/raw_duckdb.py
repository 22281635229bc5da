"""What somebody writes with DuckDB alone: the same SQL into plain Parquet files, without contract, audit or commit.

    python -m benchmarks.work.raw_duckdb work INPUT OUTPUT [--layers bronze,silver,gold] [--repeat N]
    python -m benchmarks.work.raw_duckdb answer OUTPUT

Staged through temporary tables and tokenised over the distinct addresses, as the platform does it: written by somebody
who knows how. Silver stands in the platform's clustering order.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

import duckdb
import typer

from benchmarks.work.answer import Relations, answer
from benchmarks.work.contract import EVENT_DATE, JSON_COLUMNS, RAW, staged
from benchmarks.work.events import KEY
from benchmarks.work.side import add_work

_PARQUET = "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
_TABLES = ("silver", "quarantine", "event_metrics", "user_metrics")

app = typer.Typer()


def once(given: Path, output: Path, layers: Sequence[str]) -> dict[str, float]:
    """The work, layer by layer; seconds by layer."""
    days = sorted(folder.name for folder in given.glob("source=*/date=*"))
    for name in ("bronze", *_TABLES):
        (output / name).mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}
    for layer in layers:
        began = time.perf_counter()
        for day in days:
            with duckdb.connect(config={"temp_directory": str(output / "spill")}) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                {"bronze": _bronze, "silver": _silver, "gold": _gold}[layer](connection, given, output, day)
        seconds[layer] = time.perf_counter() - began
    return seconds


def _bronze(connection: duckdb.DuckDBPyConnection, given: Path, output: Path, day: str) -> None:
    columns = ", ".join(f"{name}: '{kind}'" for name, kind in JSON_COLUMNS.items())
    connection.execute(
        f"CREATE TEMP TABLE rows AS SELECT *, {EVENT_DATE.format(arrived=day[5:])} AS event_date "
        f"FROM read_json('{given}/source=web_events/{day}/*.jsonl', "
        f"format = 'newline_delimited', columns = {{{columns}}}, hive_partitioning = false)"
    )
    connection.execute(f"COPY rows TO '{output}/bronze/{day}.parquet' {_PARQUET}")


def _silver(connection: duckdb.DuckDBPyConnection, given: Path, output: Path, day: str) -> None:  # noqa: ARG001
    key = hashlib.sha256(KEY.encode()).digest() if len(KEY) > 64 else KEY.encode()
    inner, outer = (bytes(byte ^ pad for byte in key.ljust(64, b"\0")) for pad in (0x36, 0x5C))
    bronze = f"(SELECT * FROM read_parquet('{output}/bronze/*.parquet') WHERE event_date = DATE '{day[5:]}')"
    connection.execute(f"CREATE TEMP TABLE staged AS {staged(bronze)}")
    connection.execute(
        "CREATE TEMP TABLE winners AS SELECT row_id FROM (SELECT rowid AS row_id, row_number() OVER "
        "(PARTITION BY event_id ORDER BY event_timestamp DESC) AS place FROM staged WHERE broken_rules IS NULL) "
        "WHERE place = 1"
    )
    connection.execute(
        "CREATE TEMP TABLE tokens AS "
        "SELECT email, sha256($outer::BLOB || unhex(sha256($inner::BLOB || encode(email)))) AS token "
        "FROM (SELECT DISTINCT email FROM staged WHERE email IS NOT NULL)",
        {"inner": inner, "outer": outer},
    )
    raw = ", ".join(f"raw_{name}" for name in RAW)
    tokenised = "SELECT staged.* REPLACE (token AS email) FROM staged "
    connection.execute(
        f"COPY (SELECT * EXCLUDE (broken_rules, {raw}) FROM ({tokenised} LEFT JOIN tokens USING (email) "
        "WHERE staged.rowid IN (SELECT row_id FROM winners)) ORDER BY user_id, event_type) "
        f"TO '{output}/silver/{day}.parquet' {_PARQUET}"
    )
    connection.execute(
        f"COPY ({tokenised} LEFT JOIN tokens USING (email) WHERE broken_rules IS NOT NULL) "
        f"TO '{output}/quarantine/{day}.parquet' {_PARQUET}"
    )


def _gold(connection: duckdb.DuckDBPyConnection, given: Path, output: Path, day: str) -> None:  # noqa: ARG001
    silver = f"read_parquet('{output}/silver/{day}.parquet')"
    connection.execute(
        "COPY (SELECT event_date, event_type, count(*) AS events, count(DISTINCT user_id) AS users, "
        "count(DISTINCT session_id) AS sessions, CAST(coalesce(sum(amount), 0) AS DECIMAL(18, 2)) AS amount "
        f"FROM {silver} GROUP BY ALL) TO '{output}/event_metrics/{day}.parquet' {_PARQUET}"
    )
    connection.execute(
        "COPY (SELECT event_date, user_id, count(*) AS events, count(DISTINCT session_id) AS sessions, "
        "count(CASE WHEN event_type = 'purchase' THEN 1 END) AS purchases, "
        "CAST(coalesce(sum(CASE WHEN event_type = 'purchase' THEN amount END), 0) AS DECIMAL(18, 2)) AS amount "
        f"FROM {silver} GROUP BY ALL ORDER BY user_id) TO '{output}/user_metrics/{day}.parquet' {_PARQUET}"
    )


@app.command("answer")
def print_answer(output: Path) -> None:
    """Prints what the files hold."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        held = Relations(*(f"read_parquet('{output}/{name}/*.parquet')" for name in _TABLES))
        typer.echo(json.dumps(answer(connection, held)))


add_work(app, once)

if __name__ == "__main__":
    app()

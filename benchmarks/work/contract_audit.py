"""The platform's side of judging silver rows by their contract: what publishing does with them before it commits.

    python -m benchmarks.work.contract_audit work INPUT OUTPUT
    python -m benchmarks.work.contract_audit answer OUTPUT
    python -m benchmarks.work.contract_audit inputs LAKEHOUSE OUTPUT

INPUT is a folder of Parquet files with silver rows, each file a partition. Every promise of the published contract is
audited: columns, types, nulls, the key, patterns, ranges, sets; rows are counted, as are those that break a rule. The
row accounting of a partition is no work of its own: its numbers are those of the split, which silver's time includes.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from pathlib import Path

import typer

from benchmarks.work.platform_side import SOURCE, settings_of
from benchmarks.work.side import end

_FINDINGS = "findings.json"
# Pandera's words for two promises, and two rules that others have as one.
_SAME = {"not_nullable": "not_null", "min_length": "length", "max_length": "length"}
_SPOILED = 10_000  # rows of each partition
# What is wrong with every hundredth of them.
_SPOILS = {
    "event_id": "CASE n % 100 WHEN 1 THEN 'no uuid' || n WHEN 3 THEN lag(event_id) OVER (ORDER BY n) ELSE event_id END",
    "user_id": "CASE n % 100 WHEN 11 THEN NULL WHEN 12 THEN repeat('u', 65) ELSE user_id END",
    "session_id": "CASE n % 100 WHEN 21 THEN '' ELSE session_id END",
    "event_type": "CASE n % 100 WHEN 31 THEN 'hover' ELSE event_type END",
    "amount": "CASE n % 100 WHEN 41 THEN -1 ELSE amount END",
    "currency": "CASE n % 100 WHEN 51 THEN 'CHF' ELSE currency END",
    "product_id": "CASE n % 100 WHEN 61 THEN 0 ELSE product_id END",
    "email": "CASE n % 100 WHEN 71 THEN 'somebody@example.org' ELSE email END",
}

app = typer.Typer()


@app.command()
def work(given: Path, output: Path) -> None:
    """Audits every file and writes what was found."""
    began = time.perf_counter()
    import duckdb

    from platform_assets.lakehouse.audit import ContractBroken, audit
    from platform_assets.sources.contracts import silver_contract
    from platform_assets.sources.registry import load_sources

    source = next(source for source in load_sources() if source.name == SOURCE)
    contract = silver_contract(source, source.file.silver[0]).published()
    counted: Counter[str] = Counter()
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for path in sorted(given.glob("*.parquet")):
            counted["rows"] += _rows(path)
            try:
                findings = audit(contract, [[path]], connection)
            except ContractBroken as broken:
                findings = broken.findings
            for finding in findings:
                counted[finding.rule] += finding.rows
    output.mkdir(parents=True, exist_ok=True)
    (output / _FINDINGS).write_text(json.dumps(counted), encoding="utf-8")
    end([{"contract": time.perf_counter() - began}])


def _rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


@app.command("answer")
def print_answer(output: Path) -> None:
    """Prints the rows, and how many break which promise."""
    found = json.loads((output / _FINDINGS).read_text(encoding="utf-8"))
    counted: Counter[str] = Counter()
    for name, rows in found.items():
        column, _, rule = name.rpartition(".")
        counted[f"{column}.{_SAME.get(rule, rule)}" if column else name] += rows
    typer.echo(json.dumps({name: str(rows) for name, rows in sorted(counted.items()) if rows}))


@app.command()
def inputs(lakehouse: Path, output: Path) -> None:
    """Writes two inputs: silver as a platform side left it (`whole`), and some of it with every promise broken.

    The latter, `spoiled`, is for both sides to find the same in: in whole partitions there is nothing to find.
    """
    import duckdb

    from platform_assets.lakehouse.catalog import Lakehouse, local_path

    table = Lakehouse(settings_of(lakehouse)).catalog.load_table("silver.events_clean")
    for name in ("whole", "spoiled"):
        (output / name).mkdir(parents=True, exist_ok=True)
    replaced = ", ".join(f"{value} AS {name}" for name, value in _SPOILS.items())
    for number, task in enumerate(table.scan().plan_files()):
        path = output / "whole" / f"{number}.parquet"
        shutil.copyfile(local_path(task.file.file_path), path)
        with duckdb.connect() as connection:
            numbered = f"SELECT *, row_number() OVER () AS n FROM read_parquet('{path}') LIMIT {_SPOILED}"
            connection.execute(
                f"COPY (SELECT * EXCLUDE (n) REPLACE ({replaced}) FROM ({numbered})) "
                f"TO '{output}/spoiled/{number}.parquet' (FORMAT parquet)"
            )
    typer.echo(json.dumps({"files": number + 1}))


if __name__ == "__main__":
    app()

"""A graph of which each asset tells, in a file named for it, about the process that it is made in."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import dagster as dg

PLACE = "PLACE_OF_THE_TEST"
LOADED = os.getpid()  # of the process that loaded this module


def tell(name: str, **more: object) -> None:
    """Writes what the test reads, whole or not at all."""
    said = {"pid": os.getpid(), "parent": os.getppid(), "loaded": LOADED, "modules": sorted(sys.modules), **more}
    place = Path(os.environ[PLACE])
    (place / f".{name}").write_text(json.dumps(said), encoding="utf-8")
    (place / f".{name}").rename(place / name)


@dg.asset
def quick() -> None:
    """Made at once."""
    tell("quick")


@dg.asset
def engines() -> None:
    """Computes with everything that has threads of its own."""
    tell("engines")
    import duckdb
    import polars as pl
    import pyarrow.parquet as pq

    frame = pl.DataFrame({"a": range(100_000)}).with_columns(b=pl.col("a") % 7)
    summed = frame.lazy().group_by("b").agg(pl.col("a").sum()).sort("b").collect()
    assert summed["a"].sum() == sum(range(100_000))
    pq.write_table(frame.to_arrow(), Path(os.environ[PLACE]) / "frame.parquet")
    with duckdb.connect() as connection:
        counted = connection.execute(f"SELECT count(*) FROM '{os.environ[PLACE]}/frame.parquet'").fetchone()
    assert counted == (100_000,)


@dg.asset
def slow() -> None:
    """Made only when the test is long over."""
    tell("slow")
    time.sleep(600)


@dg.asset
def slower() -> None:
    """The same again."""
    tell("slower")
    time.sleep(600)


defs = dg.Definitions([quick, engines, slow, slower], executor=dg.in_process_executor)

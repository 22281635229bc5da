"""What a command does not import: seconds that people would wait for nothing (`benchmarks.start_up` measures them)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.settings import Settings
from platform_assets_tests.lakehouse.bronze_rows import Arrival, object_schema, publish_bronze, write_source

# Each costs a tenth of a second or more; engines and clients of which no answer from metadata needs any.
ENGINES = {"dagster", "dbt", "fsspec", "google.cloud", "grpc", "httpx", "pandas", "pandera", "polars", "pyarrow"}
EVERYTHING = {*ENGINES, "duckdb", "jinja2", "pydantic", "pyiceberg", "sqlalchemy", "sqlglot", "yaml"}

RUN = """
import json, sys
from platform_assets.cli import app
try:
    app()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def imported(*arguments: str, environment: Mapping[str, str] | None = None) -> tuple[str, set[str]]:
    """What the command printed, and the modules that were loaded when it ended."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, set(json.loads(done.stderr.splitlines()[-1]))


def test_help_imports_nothing_but_the_command_line() -> None:
    told, modules = imported("--help")
    assert "freshness" in told
    assert modules & EVERYTHING == set()


@pytest.mark.parametrize("command", [["source"], ["source", "new"], ["quarantine"], ["freshness"]])
def test_help_of_a_command_imports_nothing_of_what_it_does(command: list[str]) -> None:
    told, modules = imported(*command, "--help")
    assert "Usage" in told
    assert modules & EVERYTHING == {"pydantic"}  # typer itself, to understand parameters


@pytest.mark.parametrize("command", ["freshness", "tables"])
def test_freshness_is_told_from_metadata_without_an_engine(tmp_path: Path, command: str) -> None:
    schema = object_schema("id", id={"type": "integer"})
    source = write_source(tmp_path / "sources" / "things", schema)
    publish_bronze(Lakehouse(Settings(home=tmp_path)), source, [Arrival({"id": 1}), Arrival({"id": 2})])
    environment = {"PLATFORM_HOME": str(tmp_path), "PLATFORM_SOURCES": str(tmp_path / "sources")}
    told, modules = imported(command, "--json", environment=environment)
    assert {row["table"]: row["rows"] for row in json.loads(told)}["bronze.things"] == 2
    assert modules & {*ENGINES, "duckdb"} == set()

"""Whether the command line, the page and Dagit say the same of every table at one moment."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from typer.testing import CliRunner

from platform_assets.cli import app as command_line
from platform_assets.local.servers import HOST, free_port, http_ready, launch

_STATES = """
query States {
  assetNodes {
    assetKey { path }
    freshnessStatusInfo { freshnessStatus }
    assetChecksOrError {
      ... on AssetChecks { checks { name executionForLatestMaterialization { evaluation { success severity } } } }
    }
  }
}
"""
_PATIENCE_SECONDS = 60
_HEALTH = {"HEALTHY": "PASS", "WARNING": "WARN", "DEGRADED": "FAIL", "UNKNOWN": "UNKNOWN"}
Said = dict[str, tuple[Any, ...]]


@contextmanager
def dagit(log: Path) -> Iterator[str]:
    """A webserver over the instance and the definitions of the environment; its address."""
    address = f"{HOST}:{free_port()}"
    program = str(Path(sys.executable).with_name("dagster-webserver"))
    command = [program, "-h", HOST, "-p", address.rpartition(":")[2], "-m", "platform_assets.definitions"]
    with launch("dagit", command, address, log, ready=http_ready("/server_info"), deadline_seconds=180) as server:
        yield server.url


class Agreement:
    """Asks all three, again and again."""

    def __init__(self, pages_url: str, dagit_url: str) -> None:
        self._pages = httpx.Client(
            base_url=pages_url, timeout=60, headers={"Cache-Control": "no-cache"}
        )  # now, not some seconds ago
        self._dagit = httpx.Client(base_url=dagit_url, timeout=60)

    def disagreements(self) -> list[str]:
        """What they do not say alike, in words; the command line is what the others are compared with."""
        by_command = _rows(json.loads(_command("freshness", "--json")))
        by_page = _rows(self._ask_page())
        told = [
            f"{table}: the page says {by_page.get(table)}, the command line {said}"
            for table, said in by_command.items()
            if by_page.get(table) != said
        ]
        by_dagit = self._ask_dagit()
        return told + [
            f"{table}: Dagit says {by_dagit.get(table)}, the command line {said[0]}"
            for table, said in by_command.items()
            if by_dagit.get(table) != said[0]
        ]

    def _ask_page(self) -> list[dict[str, Any]]:
        """What the page says of this moment: it rests between two looks, and says when the last one was."""
        asked, deadline = datetime.now(UTC), time.monotonic() + _PATIENCE_SECONDS
        while True:
            answer = self._pages.get("/freshness.json").raise_for_status()
            if datetime.fromisoformat(answer.headers["Evaluated-At"]) >= asked:
                rows: list[dict[str, Any]] = answer.json()
                return rows
            if time.monotonic() > deadline:
                raise TimeoutError(f"the page has not looked at the tables for {_PATIENCE_SECONDS} s")
            time.sleep(0.1)

    def _ask_dagit(self) -> dict[str, str]:
        answer = self._dagit.post("/graphql", json={"query": _STATES}).raise_for_status().json()
        return {".".join(node["assetKey"]["path"]): _state(node) for node in answer["data"]["assetNodes"]}


def _command(*arguments: str) -> str:
    done = CliRunner().invoke(command_line, arguments, env=dict(os.environ), catch_exceptions=False)
    return done.stdout


def _rows(rows: list[dict[str, Any]]) -> Said:
    """What does not change by itself from one second to the next; of whom to blame, which table and since when."""
    names = ("state", "partition", "expected_partition", "rows")
    return {
        row["table"]: (*(row[name] for name in names), *((row["blame"] or {}).get(name) for name in ("table", "since")))
        for row in rows
    }


def _state(node: dict[str, Any]) -> str:
    """The state of an asset in Dagit, if its freshness and its check `fresh` say the same; else both."""
    health = _HEALTH[(node["freshnessStatusInfo"] or {"freshnessStatus": "UNKNOWN"})["freshnessStatus"]]
    checked = "UNKNOWN"
    for check in node["assetChecksOrError"].get("checks", []):
        execution = check["executionForLatestMaterialization"]
        if check["name"] == "fresh" and execution and execution["evaluation"]:
            found = execution["evaluation"]
            checked = "PASS" if found["success"] else {"WARN": "WARN", "ERROR": "FAIL"}[found["severity"]]
    return health if health == checked else f"{health} by its freshness and {checked} by its check"

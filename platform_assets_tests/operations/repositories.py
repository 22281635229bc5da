"""Repositories made by hand, with sources, models and commits, for checks that compare two states of one."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from platform_assets_tests.lakehouse.bronze_rows import object_schema, write_source_files

ORDERS = object_schema("id", "amount", id={"type": "integer"}, amount={"type": "number"}, mail={"type": "string"})
_IDENTITY = {f"GIT_{who}_{what}": f"{who}@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@dataclass(frozen=True)
class Repository:
    """A repository with one source, `orders`, and one model, `gold.revenue`."""

    root: Path

    def git(self, *arguments: str) -> str:
        """Runs git there, with nobody's own configuration."""
        environment = {**os.environ, **_IDENTITY, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        command = ["git", "-C", str(self.root), *arguments]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self) -> str:
        """Commits everything; returns the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "State")
        return self.git("rev-parse", "HEAD")

    @property
    def sources(self) -> Path:
        """Folder of the sources."""
        return self.root / "platform_assets" / "sources"

    def schema(self, schema: Mapping[str, Any]) -> None:
        """Rewrites the schema of `orders`."""
        (self.sources / "orders" / "schema.v1.json").write_text(json.dumps(schema), encoding="utf-8")

    def source(self, **settings: Any) -> None:  # noqa: ANN401 - as YAML has it
        """Sets settings of `orders`."""
        path = self.sources / "orders" / "source.yaml"
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        path.write_text(yaml.safe_dump({**content, **settings}), encoding="utf-8")

    def model(self, name: str = "revenue", type_: str = "decimal(18,2)", **meta: Any) -> None:  # noqa: ANN401 - YAML
        """Writes a gold model with one column `amount` beside its key."""
        folder = self.root / "dbt_project" / "models" / "gold"
        folder.mkdir(parents=True, exist_ok=True)
        columns = [{"name": "day", "data_type": "date"}, {"name": "amount", "data_type": type_}]
        about = {"owner": "team:test", "domain": "commerce", "freshness": {"fail_minutes": 60}, **meta}
        entry = {
            "name": name,
            "description": "Revenue.",
            "config": {"meta": about},
            "constraints": [{"type": "primary_key", "columns": ["day"]}],
            "columns": columns,
        }
        (folder / f"{name}.yml").write_text(yaml.safe_dump({"version": 2, "models": [entry]}), encoding="utf-8")
        (folder / f"{name}.sql").write_text("select 1", encoding="utf-8")


def make_repository(root: Path) -> Repository:
    """A repository at `root` with one commit."""
    repository = Repository(root)
    write_source_files(repository.sources / "orders", ORDERS)
    repository.model()
    repository.git("init", "--quiet", "--initial-branch", "main")
    repository.commit()
    return repository

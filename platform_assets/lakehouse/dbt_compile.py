"""Compiles dbt models to SQL, once for each state of the project: a run then needs neither dbt nor its imports.

The partition is a variable of the connection, so that the SQL of a model is the same for all of them. What dbt has
compiled is kept below `$PLATFORM_HOME/dbt`, named by a digest of the whole project. A model whose Jinja reads something
beside the project's files (`unchanged.definitions_of`) is compiled anew for every run.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from platform_assets.contracts.dbt_yaml import DEFAULT_MATERIALIZATION
from platform_assets.lakehouse.catalog import LakehouseError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import date

    from dbt.contracts.graph.nodes import SingularTestNode

    from platform_assets.settings import Settings

_ONE_DBT = threading.Lock()  # dbt is one per process
_PARSED = "partial_parse.msgpack"
_NOT_THE_PROJECT = {"target", "logs"}  # what dbt itself writes


@dataclass(frozen=True)
class DataTest:
    """A singular test of the project: it fails if its query finds rows.

    Attributes:
        models: names of the models that it reads.
        sources: `layer.table` of the other tables that it reads.
        warns: whether rows are told and nothing more.
    """

    name: str
    sql: str
    models: tuple[str, ...]
    sources: tuple[str, ...]
    warns: bool


@dataclass(frozen=True)
class CompiledModel:
    """The SQL that computes a model, and the tests that read it."""

    name: str
    sql: str
    tests: tuple[DataTest, ...] = ()


def compiled(
    settings: Settings, models: Collection[str], partition: date | None, repeatable: Collection[str]
) -> dict[str, CompiledModel]:
    """The SQL of models by their name.

    Args:
        settings: where the dbt project is, and what was compiled earlier.
        models: names of models.
        partition: of the run, for Jinja that asks the tables.
        repeatable: those of the models that the project's files define alone.

    Raises:
        LakehouseError: dbt refuses the project, or a model wants what a run does not do; the message says why.
    """
    folder = settings.home.resolve() / "dbt"
    kept = folder / "compiled" / _digest(settings.dbt_project)
    found = {name: model for name in models if name in repeatable and (model := _read(kept / f"{name}.json"))}
    missing = sorted(set(models) - found.keys())
    if missing:
        for model in _compile(settings, missing, partition, folder):
            found[model.name] = model
            if model.name in repeatable:
                _write(kept / f"{model.name}.json", model)
    return found


def _digest(project: Path) -> str:
    digest = hashlib.sha256(f"{version('dbt-core')} {version('dbt-duckdb')}".encode())
    for path in sorted(project.rglob("*")):
        place = path.relative_to(project)
        if place.parts[0] not in _NOT_THE_PROJECT and path.is_file():
            content = path.read_bytes()
            digest.update(f"{place.as_posix()} {len(content)} ".encode() + content)
    return digest.hexdigest()[:32]


def _read(path: Path) -> CompiledModel | None:
    if not path.is_file():
        return None
    said = json.loads(path.read_text(encoding="utf-8"))
    tests = tuple(
        DataTest(test["name"], test["sql"], tuple(test["models"]), tuple(test["sources"]), test["warns"])
        for test in said["tests"]
    )
    return CompiledModel(said["name"], said["sql"], tests)


def _write(path: Path, model: CompiledModel) -> None:
    """At once: another run may be reading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as partial:
        json.dump(asdict(model), partial)
    Path(partial.name).replace(path)


def _compile(settings: Settings, models: Sequence[str], partition: date | None, folder: Path) -> list[CompiledModel]:
    from dbt.cli.main import dbtRunner

    project = str(settings.dbt_project)
    environment = {
        "PLATFORM_HOME": str(settings.home.resolve()),
        "PLATFORM_DBT_PROJECT": project,
        "PLATFORM_PARTITION": partition.isoformat() if partition else "",
        "PLATFORM_DBT_MODELS": ",".join(models),
    }
    with _ONE_DBT, _environment(environment), _target_folder(folder) as target:
        folders = ["--project-dir", project, "--profiles-dir", project]
        output = ["--target-path", str(target), "--log-path", str(target), "--log-level-file", "none"]
        quiet = ["--log-level", "none", "--no-use-colors", "--no-write-json", "--no-populate-cache"]
        # The other tests of a model's YAML are its contract, which is audited before anything is published.
        audited = ["--exclude", "test_type:generic", "test_type:unit"]
        try:
            outcome = dbtRunner().invoke(["compile", *folders, *output, *quiet, "--select", *models, *audited])
        finally:
            _close_connections()
    if outcome.exception is not None or not outcome.success or outcome.result is None:
        results = getattr(outcome.result, "results", ())
        reasons = [str(result.message) for result in results if result.message and str(result.status) == "error"]
        why = outcome.exception or "; ".join(reasons)
        raise LakehouseError(f"dbt could not build {', '.join(models)}: {why}") from outcome.exception
    nodes = [result.node for result in outcome.result.results]  # type: ignore[union-attr] # `compile` gives run results
    return list(_models(nodes))


def _close_connections() -> None:
    """Views age with their snapshots."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]


def _models(nodes: Sequence[object]) -> Iterator[CompiledModel]:
    from dbt.contracts.graph.nodes import ModelNode, SingularTestNode

    tests = [_test(node) for node in nodes if isinstance(node, SingularTestNode)]
    for node in nodes:
        if isinstance(node, ModelNode):
            config = node.config
            hooks = [*config.pre_hook, *config.post_hook]
            if config.materialized != DEFAULT_MATERIALIZATION or hooks:
                raise LakehouseError(
                    f"{node.name}: a run computes models that are materialized as {DEFAULT_MATERIALIZATION!r}, without "
                    f"hooks; this one is {config.materialized!r} with {len(hooks)} hooks"
                )
            own = tuple(test for test in tests if node.name in test.models)
            yield CompiledModel(node.name, str(node.compiled_code), own)


def _test(node: SingularTestNode) -> DataTest:
    read = [name.split(".") for name in node.depends_on.nodes]  # model.project.name, source.project.layer.table
    return DataTest(
        name=node.name,
        sql=str(node.compiled_code),
        models=tuple(parts[-1] for parts in read if parts[0] == "model"),
        sources=tuple(".".join(parts[-2:]) for parts in read if parts[0] == "source"),
        warns=node.config.severity.lower() == "warn",
    )


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables, where the plugin reads them, and puts back what was there."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _target_folder(folder: Path) -> Iterator[Path]:
    """A target folder of this run alone, with the parsed project of an earlier one if there is any."""
    folder.mkdir(parents=True, exist_ok=True)
    shared = folder / _PARSED
    with tempfile.TemporaryDirectory(prefix="target-", dir=folder) as name:
        target = Path(name)
        parsed = target / _PARSED
        if shared.is_file():
            shutil.copy2(shared, parsed)
        before = _stamp(parsed)
        yield target
        if parsed.is_file() and _stamp(parsed) != before:
            parsed.replace(shared)


def _stamp(path: Path) -> tuple[int, int] | None:
    return (path.stat().st_mtime_ns, path.stat().st_size) if path.is_file() else None

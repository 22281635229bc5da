"""Which gold and mart tables would come out as they are, so that nobody has to compute them: what they are made of.

A model is stamped with what made it: its files, and the version of the rows of every table that it read, as it read
them. As long as these are the same, so is the model. What is no function of that, or cannot be told, has no stamp, and
is always recomputed.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from platform_assets.lakehouse.progress import progress

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from pyiceberg.table import Table

    from platform_assets.contracts.dbt_yaml import DbtModel
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.progress import Progress

# A comment; or, to be kept, a text or a name, in which `--` begins none.
_COMMENT = re.compile(r"""('[^']*'|"[^"]*")|--[^\n]*|/\*.*?\*/|{#.*?#}""", re.DOTALL)
# What Jinja may read beside the files; the var `partition` is the run's partition.
_OUTSIDE = re.compile(
    r"\b(?:env_var|run_started_at|invocation_id|modules|run_query|statement|load_result|graph"
    r"|adapter\s*\.\s*(?!dispatch\b)|var\((?!\s*'partition'))"
)
# What two computations of the same rows may differ in: clocks, chance, the connection, files, and the columns that tell
# of the platform, which no data version counts. `test_unchanged.py` holds it against DuckDB's own list.
_NOT_REPEATABLE = re.compile(
    r"\b(?:now|today|ago|get_current_\w+|current_\w+|transaction_timestamp|txid_current|random|setseed|\w*uuid\w*"
    r"|nextval|currval|setval|in_search_path|(?:session_)?user|(?:pg|inet|map_to_pg)_\w+|vector_type"
    r"|stats|error|sleep_ms|write_log"
    r"|getvariable(?!\('platform_partition'\))|(?:read|sniff|parquet|query|duckdb|pragma)\w*|\w+_scan|glob)\s*\("
    r"|\b(?:current_(?:date|time|timestamp)|localtime|localtimestamp|tablesample|using\s+sample)\b"
    r"|\b(?:from|join)\s+'"
    r"|(?<!\w)_\w",
)
_TABLE = re.compile(r"\b(silver|gold|mart)(?:_partition)?\s*\.\s*(\w+)")


@dataclass(frozen=True)
class Held:
    """What a table holds at one snapshot.

    Attributes:
        progress: how its partitions came about.
        schema: number of its schema: other columns may give other rows of the same data.
    """

    progress: Progress
    schema: int

    @classmethod
    def by(cls, table: Table) -> Held:
        """What the table holds as it was loaded. No row is read."""
        return cls(progress(table), table.metadata.current_schema_id)

    def version(self, partition: date | None) -> str | None:
        """Of the rows of a partition, or of all of them; None if that is forgotten."""
        known = self.progress
        rows: str | None
        if partition is not None:
            rows = known.version(partition)
        elif known.remembered_since is not None and set(known.versions) != {None}:
            rows = None
        else:
            rows = json.dumps(sorted((str(day), version) for day, version in known.versions.items()))
        return None if rows is None or not known.versions else f"{rows} {self.schema}"


def unchanged_tables(
    lakehouse: Lakehouse, dbt_project: Path, models: Collection[DbtModel], partition: date | None
) -> frozenset[str]:
    """As `unchanged`, of the tables and files as they are now."""
    read = {name for model in models for name in (model.table, *model.depends_on)}
    held = {name: Held.by(table) for name in sorted(read) if (table := lakehouse.find(name)) is not None}
    return unchanged(models, definitions_of(dbt_project, models), held, partition)


def unchanged(
    models: Collection[DbtModel], definitions: Mapping[str, str], held: Mapping[str, Held], partition: date | None
) -> frozenset[str]:
    """Tables that would come out as they are if the partition were made now.

    What reads a table that is recomputed is recomputed too, because nobody knows yet whether its rows will be others.
    So is what an input has changed below since, although it has changed back: everybody who asks how fresh the table is
    (`lakehouse.lateness`) sees a change that it has not answered.

    Args:
        models: what one operation builds.
        definitions: as from `definitions_of`.
        held: of those tables that exist, of the models and of what they read, what they hold.
        partition: the date; None for all of them.
    """
    together = {model.table: model for model in models}
    found: dict[str, bool] = {}

    def same(table: str) -> bool:
        if table not in found:
            model = together[table]
            now = made_of(model, definitions.get(model.name), held, partition)
            before = held[table].progress.made_of_what(partition) if table in held else None
            found[table] = (
                now is not None
                and now == before
                and _answered(model, held, partition)
                and all(same(name) for name in model.depends_on if name in together)
            )
        return found[table]

    return frozenset(table for table in together if same(table))


def _answered(model: DbtModel, held: Mapping[str, Held], partition: date | None) -> bool:
    made = held[model.table].progress.made_at(partition)
    changes = (held[name].progress.changed_at(partition) for name in model.depends_on)
    return made is not None and all(changed is None or changed <= made for changed in changes)


def made_of(model: DbtModel, definition: str | None, held: Mapping[str, Held], partition: date | None) -> str | None:
    """What a partition of the model is made of, in short; None if that cannot be told.

    Args:
        model: what reads the tables.
        definition: as from `definitions_of`.
        held: what the tables hold, as the model reads them.
        partition: of the run.
    """
    versions = {
        name: held[name].version(None if name in model.reads_whole else partition)
        for name in model.depends_on
        if name in held
    }
    if definition is None or len(versions) < len(model.depends_on) or None in versions.values():
        return None
    return _digest([definition, versions])


def definitions_of(dbt_project: Path, models: Collection[DbtModel]) -> dict[str, str]:
    """By model name a digest of the files that say how it is computed and what it promises.

    Models that read something beside their tables have none.
    """
    macros = sorted(path for folder in ("macros", "dbt_packages") for path in (dbt_project / folder).rglob("*.sql"))
    shared = [path.read_bytes() for path in [dbt_project / "dbt_project.yml", *macros]]
    called = [path.read_text(encoding="utf-8") for path in macros if "materializations" not in path.parts]
    found = {}
    for model in models:
        own = [path.read_bytes() for path in sorted((dbt_project / "models").rglob(f"{model.name}.*"))]
        jinja = "\n".join([model.sql_path.read_text(encoding="utf-8"), *called])
        if not _OUTSIDE.search(_without_comments(jinja)):
            contents = [*shared, *own, repr(model.contract).encode()]  # the YAML may have another name
            found[model.name] = _digest([hashlib.sha256(content).hexdigest() for content in contents])
    return found


def repeatable(model: DbtModel, compiled: str) -> bool:
    """Whether the same rows of the tables that it declares to read always give the same.

    Args:
        model: with what it declares to read: neither itself nor a table that it names without `ref` or `source`.
        compiled: the SQL that DuckDB executes.
    """
    sql = _without_comments(compiled).replace('"', "").lower()
    named = {f"{layer}.{table}" for layer, table in _TABLE.findall(sql)}
    return named <= set(model.depends_on) and not _NOT_REPEATABLE.search(sql)


def _without_comments(text: str) -> str:
    return _COMMENT.sub(r"\1", text)


def _digest(what: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]

"""Compares every published contract with that of an earlier commit, and says what may happen and what may not (S2-17).

Reads files and git, prints nothing: `contract diff` and `contract check` show what is returned here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path

import yaml
from pydantic import ValidationError

from platform_assets.contracts.change import Change
from platform_assets.contracts.compatibility import Evolution, compare, refused
from platform_assets.contracts.dbt_yaml import DbtModel, load_models
from platform_assets.contracts.migration import Migration, problems, waits_for_nobody
from platform_assets.contracts.model import Classification, Contract, ContractError
from platform_assets.operations.checkout import checked_out
from platform_assets.operations.removals import REMOVED_FILE, RemovalError, Removals, load_removals
from platform_assets.sources.contracts import silver_contract
from platform_assets.sources.model import SilverTable, Source
from platform_assets.sources.registry import load_sources
from platform_assets.sources.yaml_file import SourceError

SOURCES = Path("platform_assets/sources")
DBT_PROJECT = Path("dbt_project")
_VERSIONED = re.compile(r"(?P<name>.+)_v(?P<version>[1-9]\d*)")


class Kind(StrEnum):
    """What happened to a table."""

    CHANGED = "changed"
    NEW = "new"
    NEW_VERSION = "new version"  # `<table>_v2`, beside `<table>`
    RETIRED = "retired"  # an old version goes
    REMOVED = "removed"


@dataclass(frozen=True)
class Declared:
    """A published table as one state of the repository declares it.

    Attributes:
        contract: what it promises, before tokenisation.
        owner: name of the source or model that makes it, which a decision record must mention.
        source: name of the source, None for a dbt model.
        evolution: what its contract may change in place.
        migration: what was prepared for a breaking change.
    """

    contract: Contract
    owner: str
    source: str | None = None
    evolution: Evolution = Evolution.BACKWARD_COMPATIBLE
    migration: Migration | None = None


@dataclass(frozen=True)
class TableDiff:
    """What became of one table.

    Attributes:
        changes: for a new version, what it changes against the version before.
        allowed: whether it may happen.
        reasons: why it may not, one sentence for each reason; why it may if there is something to say.
        advice: what to do next; empty if nothing.
    """

    table: str
    kind: Kind
    changes: tuple[Change, ...]
    allowed: bool
    reasons: tuple[str, ...] = ()
    advice: str = ""

    def as_json(self) -> dict[str, object]:
        """One object; the changes as `Change.as_json`."""
        return {
            "table": self.table,
            "kind": self.kind.value,
            "allowed": self.allowed,
            "changes": [change.as_json() for change in self.changes],
            "reasons": list(self.reasons),
            "advice": self.advice,
        }


def check_against(ref: str, root: Path, *, today: date | None = None) -> list[TableDiff]:
    """Every silver, gold and mart table of the working tree at `root` that is not as at `ref`, by name.

    Raises:
        CheckoutError: git, the repository or the commit is not there.
        SourceError, ContractError, RemovalError: the files of one of both states cannot be read.
    """
    after, entries = declared(root), load_removals(root)
    with checked_out(ref, root, (SOURCES, DBT_PROJECT)) as earlier:
        try:
            before, old_entries = declared(earlier), load_removals(earlier)
        except (SourceError, ContractError, RemovalError) as error:
            said = str(error).replace(f"{earlier}/", f"{ref}:")
            raise type(error)(f"{said} (as it was at {ref}, which is what this was to be compared with)") from None
        removals = Removals.since(old_entries, entries)
        return diff(before, after, removals, today=today or datetime.now(UTC).date(), root=root)


def declared(root: Path) -> dict[str, Declared]:
    """The published tables of the repository at `root`, by `layer.table`."""
    sources = load_sources(root / SOURCES) if (root / SOURCES).is_dir() else ()
    models = load_models(root / DBT_PROJECT) if (root / DBT_PROJECT).is_dir() else ()
    tables = [_of_source(source, table) for source in sources for table in source.file.silver]
    migrations = _model_migrations(root / DBT_PROJECT)
    tables += [_of_model(model, migrations.get(model.name)) for model in models]
    return {table.contract.table: table for table in tables}


def diff(
    before: Mapping[str, Declared], after: Mapping[str, Declared], removals: Removals, *, today: date, root: Path
) -> list[TableDiff]:
    """What became of each table, those that stayed as they were left out."""
    comparison = _Comparison(before, after, removals, today, root)
    return list(comparison.diffs())


@dataclass(frozen=True)
class _Comparison:
    before: Mapping[str, Declared]
    after: Mapping[str, Declared]
    removals: Removals
    today: date
    root: Path

    def diffs(self) -> Iterator[TableDiff]:
        for table in sorted({*self.before, *self.after}):
            old, new = self.before.get(table), self.after.get(table)
            if old is None:
                yield self._appeared(self.after[table])
            elif new is None:
                yield self._disappeared(old)
            elif changes := compare(old.contract, new.contract):
                yield self._changed(old, new, changes)
            elif old.migration != new.migration and (previous := previous_version(table, set(self.after))):
                yield self._next_version(new, previous)  # a window must not shrink once it was announced

    def _changed(self, old: Declared, new: Declared, changes: tuple[Change, ...]) -> TableDiff:
        """In place. The earlier policy judges, or a contract could be thawed and changed at once."""
        table, version = new.contract.table, next_version(new.contract.table)
        breaking = [change for change in changes if change.breaks]
        stopped = [change for change in refused(changes, old.evolution) if not change.breaks]
        reasons = [f"{change.sentence}; its evolution is {old.evolution}" for change in stopped]
        advice = "" if not stopped else f"change `evolution` in a commit of its own, or publish it as {version}"
        if breaking and waits_for_nobody(new.migration, changes):
            reasons += self._problems(new, changes)
            advice = advice or "rebuild every partition, so that no old file holds the clear values"
        elif breaking:
            reasons += [change.sentence for change in breaking]
            reasons.append(f"{table} changes in place, so nobody can read its old version any more")
            advice = f"leave {table} as it was, publish the new version as {version}, and declare its `migration`"
        return TableDiff(table, Kind.CHANGED, changes, not reasons, tuple(reasons), advice)

    def _appeared(self, new: Declared) -> TableDiff:
        table = new.contract.table
        previous = previous_version(table, {*self.before, *self.after})
        if previous is None:
            return TableDiff(table, Kind.NEW, (), allowed=True)
        return self._next_version(new, previous)

    def _next_version(self, new: Declared, previous: str) -> TableDiff:
        table = new.contract.table
        old = self.before.get(previous) or self.after[previous]
        changes = compare(old.contract, new.contract)
        reasons = self._problems(new, changes)
        if previous not in self.after:
            reasons.append(f"{previous} is gone: both versions are served until the migration ends")
        if reasons:
            return TableDiff(
                table, Kind.NEW_VERSION, changes, allowed=False, reasons=tuple(reasons), advice=_prepare(previous)
            )
        ends = new.migration.ends if new.migration else None
        advice = f"serve {previous} until {ends}, then remove it" if ends else f"{previous} could have changed in place"
        return TableDiff(table, Kind.NEW_VERSION, changes, allowed=True, advice=advice)

    def _disappeared(self, old: Declared) -> TableDiff:
        table = old.contract.table
        successor = self.after.get(next_version(table))
        if successor is None:
            return self._removed(old)
        announced = self.before.get(successor.contract.table)
        migration = (announced and announced.migration) or successor.migration or old.migration
        reasons = []
        if announced is None:
            reasons.append(f"{successor.contract.table} is as new as {table} is gone: they were never served together")
        if migration is None or migration.ends is None:
            reasons.append(f"{successor.owner} declares no `migration.ends`, up to which {table} is served")
        elif not migration.over(self.today):
            reasons.append(f"{table} is served up to and with {migration.ends}")
        advice = f"leave {table} as it was until the migration to {successor.contract.table} is over" if reasons else ""
        return TableDiff(table, Kind.RETIRED, (), not reasons, tuple(reasons), advice)

    def _removed(self, old: Declared) -> TableDiff:
        table = old.contract.table
        word = self.removals.of(table, old.source)
        if word is not None:
            reason = f"{word.by} acknowledged it on {word.removed}: {word.why}"
            advice = f"its data stays; drop {table} when nobody needs it any more"
            return TableDiff(table, Kind.REMOVED, (), allowed=True, reasons=(reason,), advice=advice)
        what = f"table: {table}" if old.source is None or self._still_there(old.source) else f"source: {old.source}"
        advice = (
            f"bring it back, or acknowledge it in {REMOVED_FILE}: - {{{what}, removed: {self.today}, by: …, why: …}}"
        )
        reason = "readers lose the table, and nobody has acknowledged that"
        return TableDiff(table, Kind.REMOVED, (), allowed=False, reasons=(reason,), advice=advice)

    def _still_there(self, source: str) -> bool:
        return any(table.source == source for table in self.after.values())

    def _problems(self, new: Declared, changes: Sequence[Change]) -> list[str]:
        return problems(new.migration, changes, self.today, self.root, source=new.owner)


def next_version(table: str) -> str:
    """Name of the table that a breaking change is published as: `silver.orders` → `silver.orders_v2`."""
    match = _VERSIONED.fullmatch(table)
    return f"{match['name']}_v{int(match['version']) + 1}" if match else f"{table}_v2"


def previous_version(table: str, tables: set[str]) -> str | None:
    """The one of `tables` that this one is the next version of, if any."""
    return next((other for other in sorted(tables) if next_version(other) == table), None)


def _prepare(previous: str) -> str:
    return (
        f"leave {previous} as it was, write the decision record, tell its readers, and declare `migration` "
        "(adr, announced, ends, consumers)"
    )


def _of_source(source: Source, table: SilverTable) -> Declared:
    return Declared(
        _with_secrets(silver_contract(source, table), source, table),
        owner=source.name,
        source=source.name,
        evolution=source.file.json_schema.evolution,
        migration=source.file.migration,
    )


def _with_secrets(contract: Contract, source: Source, table: SilverTable) -> Contract:
    """With the columns that no table shows, so that one which became secret is told from one which was removed."""
    secrets = [
        column
        for column in source.at(table).record.columns
        if column.classification is Classification.SECRET and (table.explode is None or column.name in table.keep)
    ]
    return replace(contract, columns=(*contract.columns, *secrets))


def _of_model(model: DbtModel, migration: Migration | None) -> Declared:
    versioned = _VERSIONED.fullmatch(model.name)
    owner = versioned["name"] if versioned else model.name
    return Declared(model.contract, owner=owner, migration=migration)


def _model_migrations(dbt_project: Path) -> dict[str, Migration]:
    """`config.meta.migration` of every model that has one; dbt leaves `meta` alone."""
    found = {}
    for path in sorted((dbt_project / "models").rglob("*.yml")):
        text = path.read_text(encoding="utf-8")
        if "migration:" not in text:  # few have one, and YAML is slow to read
            continue
        for entry in (yaml.safe_load(text) or {}).get("models", ()):
            declared_migration = entry.get("config", {}).get("meta", {}).get("migration")
            if declared_migration is None:
                continue
            try:
                found[str(entry["name"])] = Migration.model_validate(declared_migration)
            except ValidationError as error:
                said = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'migration'}: {e['msg']}" for e in error.errors())
                raise ContractError(f"{path}: {entry['name']}: config.meta.migration: {said}") from None
    return found

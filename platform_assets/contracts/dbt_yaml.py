"""Reads the contracts of gold and mart from the dbt project's own files: one `.sql` and one `.yml` per model.

What dbt has a word for is said in dbt's words (columns, constraints, data tests, `partition_by`, `cluster_by`,
`event_time`) and compiled here, so that a promise is written once (I5). Needs neither dbt nor a manifest, because the
graph is loaded with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from platform_assets.contracts.model import Column, Contract, ContractError, Rule
from platform_assets.contracts.rules import REFERENCES
from platform_assets.contracts.sla import Sla, read_sla

LAYERS = ("gold", "mart")
DEFAULT_MATERIALIZATION = "lakehouse"

_TYPES = {
    "bigint": "integer",
    "integer": "integer",
    "double": "double",
    "boolean": "boolean",
    "date": "date",
    "timestamptz": "timestamp",
    "varchar": "string",
    "string": "string",
}
_DECIMAL = re.compile(r"decimal\((\d+), ?(\d+)\)")
_COMPARISON = re.compile(r"(\w+) *(>=|<=|>|<) *(-?\d+(?:\.\d+)?)")
_COMPARISON_RULES = {">=": "minimum", "<=": "maximum", ">": "exclusive_minimum", "<": "exclusive_maximum"}
_JINJA_COMMENT = re.compile(r"{#.*?#}", re.DOTALL)
_REF = re.compile(r"""\bref\(\s*['"](\w+)['"]\s*\)""")
_SOURCE = re.compile(r"""\bsource\(\s*['"](\w+)['"]\s*,\s*['"](\w+)['"]\s*\)""")
_PARTITION_OF = re.compile(r"\bpartition_of\(\s*(?:ref|source)\([^)]*\)")
_CONFIG = re.compile(r"{{-?\s*config\(")


@dataclass(frozen=True)
class DbtModel:
    """One model of the dbt project.

    Attributes:
        name: the model's and its table's name.
        layer: schema of the table, the first folder below `models/`: `gold` or `mart`.
        contract: what the table promises.
        owner: who answers for the table: an e-mail address or `team:name`.
        domain: the group of assets that it belongs to.
        description: what the table holds.
        depends_on: `layer.table` of everything that the SQL reads, in order of first mention.
        reads_whole: those of `depends_on` that it reads beyond the run's partition (not through `partition_of`).
        freshness_warn_minutes: after how many minutes without a new materialisation the table warns; None if never.
        freshness_fail_minutes: after how many minutes it fails.
        sla: what it promises about time, where its `meta` says so.
        retention_days: how long a partition stays after its date, where its `meta` says so; otherwise for ever (S1-51).
        materialized: how dbt builds it.
        sql_path: the file that computes it.
    """

    name: str
    layer: str
    contract: Contract
    owner: str
    domain: str
    description: str
    depends_on: tuple[str, ...]
    reads_whole: tuple[str, ...]
    freshness_warn_minutes: int | None
    freshness_fail_minutes: int
    materialized: str
    sql_path: Path
    sla: Sla | None = None
    retention_days: int | None = None

    @property
    def table(self) -> str:
        """`layer.name`."""
        return f"{self.layer}.{self.name}"

    @property
    def partition_column(self) -> str | None:
        """The date column by which the table is partitioned, if any."""
        return self.contract.partition_column


@dataclass(frozen=True)
class _Declaration:
    """A model's entry in a YAML file, with what error messages need to name it."""

    entry: Mapping[str, Any]
    path: Path
    layer: str

    @property
    def name(self) -> str:
        return str(self.entry["name"])

    def error(self, message: str, column: str | None = None) -> ContractError:
        where = f"{self.path}: {self.name}" + (f", column {column}" if column else "")
        return ContractError(f"{where}: {message}")

    def need(self, mapping: Mapping[str, Any], key: str, within: str) -> Any:  # noqa: ANN401 - the caller knows the type
        if key not in mapping:
            raise self.error(f"{within} lacks `{key}`")
        return mapping[key]


@cache
def load_models(dbt_project: Path) -> tuple[DbtModel, ...]:
    """Every model below `dbt_project/models`, by table.

    Raises:
        ContractError: a file cannot be read as a contract; the message names the file and the column.
    """
    root = dbt_project / "models"
    declared = [declaration for path in sorted(root.rglob("*.yml")) for declaration in _declarations(root, path)]
    layers = {declaration.name: declaration.layer for declaration in declared}
    queries = {path.stem: path for path in root.rglob("*.sql")}
    for name in sorted(queries.keys() - layers.keys()):
        raise ContractError(f"{queries[name]}: no YAML file describes the model {name}")
    if len(layers) != len(declared):
        doubled = next(d for d in declared if layers[d.name] != d.layer or sum(o.name == d.name for o in declared) > 1)
        raise doubled.error("is declared twice; dbt wants a model's name to be unique in the project")
    models = (_model(declaration, queries.get(declaration.name), layers) for declaration in declared)
    return tuple(sorted(models, key=lambda model: model.table))


def _declarations(root: Path, path: Path) -> Iterator[_Declaration]:
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - both are safe loaders
    except yaml.YAMLError as error:
        raise ContractError(f"{path}: {error}") from None
    for entry in (content or {}).get("models", ()):
        layer = path.relative_to(root).parts[0]
        if layer not in LAYERS:
            raise ContractError(f"{path}: models lie in one of {', '.join(LAYERS)}, not in {layer}")
        yield _Declaration(entry, path, layer)


def _model(declaration: _Declaration, sql_path: Path | None, layers: Mapping[str, str]) -> DbtModel:
    entry = declaration.entry
    if sql_path is None:
        raise declaration.error(f"there is no {declaration.name}.sql")
    config = entry.get("config", {})
    meta = declaration.need(config, "meta", "`config`")
    freshness = declaration.need(meta, "freshness", "`config.meta`")
    contract = _contract(declaration, layers)
    sql = _query(declaration, sql_path)
    depends_on = _mentions(declaration, sql, layers)
    referenced = _referenced(declaration, contract, depends_on)
    return DbtModel(
        name=declaration.name,
        layer=declaration.layer,
        contract=contract,
        owner=declaration.need(meta, "owner", "`config.meta`"),
        domain=declaration.need(meta, "domain", "`config.meta`"),
        description=str(declaration.need(entry, "description", "the model")).strip(),
        depends_on=depends_on,
        reads_whole=tuple(dict.fromkeys((*_mentions(declaration, _PARTITION_OF.sub("", sql), layers), *referenced))),
        freshness_warn_minutes=freshness.get("warn_minutes"),
        freshness_fail_minutes=declaration.need(freshness, "fail_minutes", "`config.meta.freshness`"),
        materialized=config.get("materialized", DEFAULT_MATERIALIZATION),
        sql_path=sql_path,
        sla=_sla(declaration, meta),
        retention_days=_retention_days(declaration, config),
    )


def _retention_days(declaration: _Declaration, config: Mapping[str, Any]) -> int | None:
    days = config["meta"].get("retention_days")
    if days is not None and (not isinstance(days, int) or isinstance(days, bool) or days < 1):
        raise declaration.error(f"`config.meta.retention_days` is {days!r}, expected a number of days, 1 or more")
    if days is not None and not config.get("partition_by"):
        raise declaration.error("`config.meta.retention_days` needs `partition_by`: rows go by their partition's date")
    return days


def _sla(declaration: _Declaration, meta: Mapping[str, Any]) -> Sla | None:
    if "sla" not in meta:
        return None
    try:
        return read_sla(meta["sla"])
    except ValueError as error:
        raise declaration.error(f"`config.meta`: {error}") from None


def _query(declaration: _Declaration, sql_path: Path) -> str:
    sql = _JINJA_COMMENT.sub("", sql_path.read_text(encoding="utf-8"))
    if _CONFIG.search(sql):
        raise declaration.error(f"{sql_path.name} calls config(); say it in the YAML, where the platform reads it")
    return sql


def _mentions(declaration: _Declaration, sql: str, layers: Mapping[str, str]) -> tuple[str, ...]:
    found = [(match.start(), f"{match[1]}.{match[2]}") for match in _SOURCE.finditer(sql)]
    for match in _REF.finditer(sql):
        if match[1] not in layers:
            raise declaration.error(f"the SQL refers to {match[1]!r}, which is no model")
        found.append((match.start(), f"{layers[match[1]]}.{match[1]}"))
    return tuple(dict.fromkeys(table for _, table in sorted(found)))


def _referenced(declaration: _Declaration, contract: Contract, depends_on: tuple[str, ...]) -> Iterator[str]:
    """Tables of the model's foreign keys. They must be built before it, or the audit could not look a key up."""
    for rule in contract.rules:
        if rule.kind != REFERENCES:
            continue
        table, _, _ = str(rule.argument).rpartition(".")
        if table not in depends_on:
            hint = f"-- depends_on: {{{{ ref('{table.split('.')[1]}') }}}}"
            raise declaration.error(f"`relationships` to {table}, which the SQL never reads; add `{hint}`", rule.column)
        yield table


def _contract(declaration: _Declaration, layers: Mapping[str, str]) -> Contract:
    entry = declaration.entry
    config = entry.get("config", {})
    key: tuple[str, ...] = ()
    rules: list[Rule] = []
    for constraint in entry.get("constraints", ()):
        if constraint.get("type") == "primary_key":
            key = tuple(declaration.need(constraint, "columns", "`primary_key`"))
        else:
            rules.extend(_constraint_rules(declaration, constraint, None))
    if entry.get("data_tests"):
        raise declaration.error("`data_tests` belong below a column; no test of a whole model is known")
    columns = []
    for declared in declaration.need(entry, "columns", "the model"):
        column, promised = _column(declaration, declared, key, layers)
        columns.append(column)
        rules.extend(promised)
    return Contract(
        table=f"{declaration.layer}.{declaration.name}",
        columns=tuple(columns),
        description=str(entry.get("description", "")).strip(),
        key=key,
        event_time=config.get("event_time"),
        partition_column=_partition_column(declaration, config),
        clustering=tuple(config.get("cluster_by", ())),
        rules=tuple(dict.fromkeys(rules)),
        version=config["meta"].get("contract_version", 1),
    )


def _partition_column(declaration: _Declaration, config: Mapping[str, Any]) -> str | None:
    partition = config.get("partition_by")
    if partition is None:
        return None
    if partition.get("data_type") != "date":
        raise declaration.error(
            "`partition_by` wants `{field: <column>, data_type: date}`: tables are partitioned by day"
        )
    return str(partition["field"])


def _column(
    declaration: _Declaration, entry: Mapping[str, Any], key: tuple[str, ...], layers: Mapping[str, str]
) -> tuple[Column, list[Rule]]:
    name = str(declaration.need(entry, "name", "a column"))
    nullable = name not in key
    rules: list[Rule] = []
    for constraint in entry.get("constraints", ()):
        if constraint.get("type") == "not_null":
            nullable = False
        else:
            rules.extend(_constraint_rules(declaration, constraint, name))
    for test in entry.get("data_tests", ()):
        kind, arguments = _test(declaration, test, name)
        if kind == "not_null":
            nullable = False
        elif kind != "unique" or key != (name,):
            rules.extend(_test_rules(declaration, kind, arguments, name, layers))
    data_type = str(declaration.need(entry, "data_type", f"column {name}")).lower()
    decimal = _DECIMAL.fullmatch(data_type)
    if not decimal and data_type not in _TYPES:
        known = ", ".join((*_TYPES, "decimal(precision, scale)"))
        raise declaration.error(f"unknown data_type {data_type!r}; known are {known}", name)
    logical = f"decimal({decimal[1]},{decimal[2]})" if decimal else _TYPES[data_type]
    return Column(name, logical, nullable, str(entry.get("description", "")).strip()), rules


def _constraint_rules(declaration: _Declaration, constraint: Mapping[str, Any], column: str | None) -> Iterator[Rule]:
    """A `check` of comparisons with numbers, joined by `and`, on one column or on several."""
    if constraint.get("type") != "check":
        raise declaration.error(f"unknown constraint {constraint.get('type')!r}", column)
    expression = str(constraint.get("expression", ""))
    for part in re.split(r"\s+and\s+", expression.strip(), flags=re.IGNORECASE):
        match = _COMPARISON.fullmatch(part)
        if match is None:
            raise declaration.error(f"a check compares a column with a number, not {part!r}", column)
        yield Rule(_COMPARISON_RULES[match[2]], match[1], _number(match[3]))


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)


def _test(declaration: _Declaration, test: Any, column: str) -> tuple[str, Mapping[str, Any]]:  # noqa: ANN401 - YAML
    """The kind of a data test and its arguments."""
    if isinstance(test, str):
        return test, {}
    if not isinstance(test, Mapping) or len(test) != 1:
        raise declaration.error(f"a data test is a name, or a name with `arguments`, not {test!r}", column)
    ((kind, body),) = test.items()
    unknown = sorted(set(body or {}) - {"arguments", "name", "description"})
    if unknown:
        raise declaration.error(f"data test {kind} says {unknown[0]!r}, which no contract can promise", column)
    return str(kind), (body or {}).get("arguments", {})


def _test_rules(
    declaration: _Declaration, kind: str, arguments: Mapping[str, Any], column: str, layers: Mapping[str, str]
) -> Iterator[Rule]:
    if kind == "accepted_values":
        yield Rule("one_of", column, tuple(declaration.need(arguments, "values", kind)))
    elif kind == "in_range":
        for argument, rule in (("min", "minimum"), ("max", "maximum")):
            if argument in arguments:
                yield Rule(rule, column, arguments[argument])
    elif kind == "matches":
        yield Rule("pattern", column, declaration.need(arguments, "pattern", kind))
    elif kind == "relationships":
        target = _REF.search(str(declaration.need(arguments, "to", kind)))
        if target is None or target[1] not in layers:
            raise declaration.error(f"`relationships` refers to {arguments['to']!r}, which is no model", column)
        field = declaration.need(arguments, "field", kind)
        yield Rule(REFERENCES, column, f"{layers[target[1]]}.{target[1]}.{field}")
    else:
        raise declaration.error(f"unknown data test {kind!r}, or one that the contract does not promise", column)

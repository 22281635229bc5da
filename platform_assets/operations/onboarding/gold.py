"""Scaffolds a dbt model from a source's `processing.silver_to_gold` (S1-85); from then on it is the analyst's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from platform_assets.contracts.dbt_yaml import DbtModel, load_models
from platform_assets.contracts.model import TOKEN_PATTERN, Classification
from platform_assets.contracts.words import nearest
from platform_assets.operations.onboarding.metrics import identifier, read_metric
from platform_assets.operations.onboarding.source_text import comment, scalar
from platform_assets.sources.contracts import LANDED_AT, silver_contract
from platform_assets.sources.yaml_file import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from platform_assets.contracts.model import Column, Contract
    from platform_assets.sources.model import Aggregate, GoldStep, Join, SilverTable, Source

DATE = "date"  # in `group_by`: the day by which silver is partitioned
_TYPES = {
    "integer": "bigint",
    "double": "double",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamptz",
}


@dataclass(frozen=True)
class Scaffold:
    """A dbt model that could be written.

    Attributes:
        table: `gold.<source>`.
        sql_path: where its query belongs, beside its YAML.
        sql: the query.
        yml: its contract.
        sources_path: the file that lists the silver tables for dbt.
        sources_yml: that file with the model's silver table in it.
    """

    table: str
    sql_path: Path
    sql: str
    yml: str
    sources_path: Path
    sources_yml: str

    @property
    def yml_path(self) -> Path:
        """Where the contract belongs."""
        return self.sql_path.with_suffix(".yml")


@dataclass(frozen=True)
class _Rows:
    """What the steps so far give.

    Attributes:
        relation: SQL after FROM.
        alias: how its columns are called for.
        columns: by name, in order.
        minimums: by column, what it is at least.
        key: columns that tell rows apart; empty if none do.
        day: the column with the day of silver, as long as there is one.
        queries: the steps so far, by name.
        partitioned: whether the rows are those of the run's partition.
    """

    relation: str
    alias: str
    columns: Mapping[str, Column]
    key: tuple[str, ...]
    day: str | None
    minimums: Mapping[str, int]
    queries: tuple[tuple[str, str], ...] = ()
    partitioned: bool = True


def scaffold(source: Source, dbt_project: Path) -> Scaffold:
    """The model that the source's `silver_to_gold` describes, in the style of the models that are there.

    Raises:
        SourceError: it describes none, its silver table cannot be told, a joined table is no model of the project, or
            a column or metric does not exist; the message says what to do.
        ContractError: the models of the project cannot be read.
    """
    steps = source.file.processing.silver_to_gold
    if not steps:
        raise SourceError(f"{source.name}: `processing.silver_to_gold` says nothing; there is no model to scaffold")
    contract = silver_contract(source, _silver_table(source)).published()
    models = {model.table: model for model in load_models(dbt_project)}
    rows = _of_silver(contract, whole=any(_sums_over_days(step, contract) for step in steps))
    for step in steps:
        try:
            rows = _joined(rows, step.join, models) if step.join else _aggregated(rows, step.aggregate)
        except SourceError as error:
            raise SourceError(f"{source.name}: processing.silver_to_gold: {error}") from None
    sources_path = dbt_project / "models" / "sources.yml"
    return Scaffold(
        table=f"gold.{source.name}",
        sql_path=dbt_project / "models" / "gold" / f"{source.name}.sql",
        sql=_sql(rows),
        yml=_yml(source, rows),
        sources_path=sources_path,
        sources_yml=_with_table(sources_path, contract.table.split(".", 1)[1]),
    )


def write_scaffold(made: Scaffold, dbt_project: Path) -> tuple[Path, ...]:
    """Writes the model, and its silver table into the list of dbt's sources.

    Raises:
        SourceError: the project has a model of that name already; it is the analyst's, and nothing was written.
    """
    name = made.table.split(".", 1)[1]
    there = sorted(path for suffix in ("sql", "yml") for path in (dbt_project / "models").rglob(f"{name}.{suffix}"))
    if there:
        raise SourceError(f"{there[0]} exists already and is yours to edit; remove it to have it scaffolded again")
    made.sql_path.write_text(made.sql, encoding="utf-8")
    made.yml_path.write_text(made.yml, encoding="utf-8")
    written = [made.sql_path, made.yml_path]
    if made.sources_path.read_text(encoding="utf-8") != made.sources_yml:
        made.sources_path.write_text(made.sources_yml, encoding="utf-8")
        written.append(made.sources_path)
    load_models.cache_clear()
    return tuple(written)


def _silver_table(source: Source) -> SilverTable:
    tables = source.file.silver
    if not tables:
        raise SourceError(
            f"{source.name}: has no schema yet, so there is no silver table to make gold of; add one first"
        )
    named = [table for table in tables if table.table == source.name]
    if len(tables) > 1 and not named:
        names = ", ".join(table.table for table in tables)
        raise SourceError(f"{source.name}: has several silver tables ({names}); call the one for gold {source.name!r}")
    return (named or list(tables))[0]


def _sums_over_days(step: GoldStep, contract: Contract) -> bool:
    return step.aggregate is not None and not {DATE, contract.partition_column} & set(step.aggregate.group_by)


def _of_silver(contract: Contract, *, whole: bool) -> _Rows:
    """The rows of the run's partition, or of all of them where something is summed up over days."""
    name = contract.table.split(".", 1)[1]
    relation = f"{{{{ source('silver', '{name}') }}}}"
    if contract.partition_column and not whole:
        relation = f"{{{{ partition_of(source('silver', '{name}'), '{contract.partition_column}') }}}}"
    columns = {column.name: column for column in contract.columns if column.name != LANDED_AT.name}
    return _Rows(
        relation, identifier(name), columns, contract.key, contract.partition_column, {}, partitioned=not whole
    )


def _select(rows: _Rows, expressions: Sequence[str], *after: str) -> str:
    selected = ",\n".join(f"    {expression}" for expression in expressions)
    return "\n".join([f"select\n{selected}", f"from {rows.relation}", *after])


def _joined(rows: _Rows, join: Join, models: Mapping[str, DbtModel]) -> _Rows:
    model = models.get(join.table)
    if model is None:
        hint = nearest(join.table, models, near=0.8)
        raise SourceError(
            f"joins {join.table}, which is no model of the dbt project{hint}; write that "
            "model first, or take the join out: the model can be edited when it is there"
        )
    other = model.contract
    if join.on not in rows.columns:
        raise SourceError(f"joins on {join.on!r}, which is no column{nearest(join.on, [*rows.columns])}")
    if other.key != (join.on,):
        known = ", ".join(other.key) or "no key"
        raise SourceError(
            f"joins {join.table} on {join.on!r}, but its rows are told apart by {known}: rows would be multiplied"
        )
    alias = rows.alias
    added = {
        (column.name if column.name not in rows.columns else f"{model.name}_{column.name}"): column
        for column in other.columns
        if column.name != join.on
    }
    expressions = [f"{alias}.{identifier(name)}" for name in rows.columns]
    for name, column in added.items():
        renamed = "" if name == column.name else f" as {name}"
        expressions.append(f"{model.name}.{identifier(column.name)}{renamed}")
    source = replace(rows, relation=f"{rows.relation} as {alias}")
    on = identifier(join.on)
    query = _select(
        source,
        expressions,
        f"left join {{{{ ref('{model.name}') }}}} as {model.name}",
        f"    on {model.name}.{on} = {alias}.{on}",
    )
    columns = {**rows.columns, **{name: replace(column, name=name, nullable=True) for name, column in added.items()}}
    return _step(rows, f"with_{model.name}", query, replace(rows, columns=columns))


def _aggregated(rows: _Rows, aggregate: Aggregate | None) -> _Rows:
    if aggregate is None:
        raise SourceError("a step is a join or an aggregate")
    group = [_grouping(rows, name) for name in aggregate.group_by]
    metrics = [read_metric(text, rows.columns) for text in aggregate.metrics]
    names = [*group, *(metric.column.name for metric in metrics)]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled:
        raise SourceError(f"gives the column {doubled!r} twice")
    expressions = [*map(identifier, group), *(f"{metric.sql} as {metric.column.name}" for metric in metrics)]
    query = _select(rows, expressions, f"group by {', '.join(map(identifier, group))}")
    columns = {name: rows.columns[name] for name in group} | {metric.column.name: metric.column for metric in metrics}
    day = rows.day if rows.day in group else None
    minimums = {metric.column.name: metric.minimum for metric in metrics if metric.minimum is not None}
    return _step(rows, "totals", query, replace(rows, columns=columns, key=tuple(group), day=day, minimums=minimums))


def _grouping(rows: _Rows, name: str) -> str:
    if name in rows.columns:
        return name
    if name == DATE and rows.day:
        return rows.day
    why = " (nothing dates its rows)" if name == DATE else nearest(name, [*rows.columns])
    raise SourceError(f"groups by {name!r}, which is no column{why}")


def _step(before: _Rows, name: str, query: str, after: _Rows) -> _Rows:
    """The rows after one more step, called by a name that no earlier step has."""
    taken = [taken_name for taken_name, _ in before.queries]
    free = name if name not in taken else f"{name}_{len(taken) + 1}"
    return replace(after, relation=free, alias=free, queries=(*before.queries, (free, query)))


def _sql(rows: _Rows) -> str:
    """The query: every step but the last as a common table expression."""
    *before, (_, last) = rows.queries
    if not before:
        return f"{last}\n"
    steps = ",\n\n".join(f"{name} as (\n\n{_indented(query)}\n\n)" for name, query in before)
    return f"with {steps.lstrip()}\n\n{last}\n"


def _indented(query: str) -> str:
    return "\n".join(f"    {line}" for line in query.splitlines())


def _description(source: Source) -> str:
    table = _silver_table(source).table
    return f"{source.file.display_name}, made of silver.{table} as its source file says; S1-85."


def _yml(source: Source, rows: _Rows) -> str:
    file = source.file
    keyed = bool(rows.key) and not any(rows.columns[name].nullable for name in rows.key)
    freshness = file.freshness
    warn = f"warn_minutes: {freshness.warn_minutes}, " if freshness.warn_minutes else ""
    lines = ["version: 2", "", "models:", f"  - name: {source.name}"]
    lines += [f"    description: {scalar(_description(source))}"]
    lines += ["    config:"]
    if rows.day and rows.partitioned:
        lines += [f"      event_time: {rows.day}", f"      partition_by: {{field: {rows.day}, data_type: date}}"]
    lines += ["      meta:", f"        owner: {scalar(file.owner)}", f"        domain: {file.domain}"]
    lines += [f"        freshness: {{{warn}fail_minutes: {freshness.fail_minutes}}}"]
    if keyed:
        lines += ["    constraints:", f"      - {{type: primary_key, columns: [{_listed(rows.key)}]}}"]
    elif rows.key:
        nullable = ", ".join(name for name in rows.key if rows.columns[name].nullable)
        lines += [f"    # No primary key: {comment(nullable)} may be null."]
    lines += ["    columns:"]
    for column in rows.columns.values():
        lines += _column_lines(column, in_key=keyed and column.name in rows.key, minimum=rows.minimums.get(column.name))
    return "\n".join(lines) + "\n"


def _column_lines(column: Column, *, in_key: bool, minimum: int | None) -> list[str]:
    lines = [f"      - name: {scalar(column.name)}", f"        data_type: {_data_type(column)}"]
    if column.description:
        lines.append(f"        description: {scalar(column.description)}")
    if not column.nullable and not in_key:
        lines.append("        constraints: [{type: not_null}]")
    if column.classification is Classification.PII:
        lines.append(f'        data_tests: [{{matches: {{arguments: {{pattern: "{TOKEN_PATTERN}"}}}}}}]')
    elif minimum is not None:
        lines.append(f"        data_tests: [{{in_range: {{arguments: {{min: {minimum}}}}}}}]")
    return lines


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(scalar, names))


def _data_type(column: Column) -> str:
    if column.decimal:
        return "decimal({},{})".format(*column.decimal)
    return _TYPES.get(column.type, "varchar")


def _with_table(path: Path, table: str) -> str:
    """Dbt's list of silver tables, with this one: its last line is the list's last entry."""
    import yaml

    text = path.read_text(encoding="utf-8")
    if table in _silver_tables(yaml.safe_load(text)):
        return text
    longer = f"{text.rstrip()}\n      - name: {table}\n"
    if table not in _silver_tables(yaml.safe_load(longer)):
        raise SourceError(f"{path}: the tables of source `silver` are expected at its end; add `- name: {table}` there")
    return longer


def _silver_tables(content: Mapping[str, list[dict[str, object]]]) -> list[object]:
    tables = [source.get("tables") for source in content["sources"] if source["name"] == "silver"]
    return [table["name"] for listed in tables if isinstance(listed, list) for table in listed]

"""Compiles a contract to the page that people read: what the table holds, and everything that it promises."""

from __future__ import annotations

from collections.abc import Iterator

from platform_assets.contracts.model import Classification, Column, Contract
from platform_assets.contracts.rules import in_words, whole_in_words


def markdown_page(contract: Contract, owner: str) -> str:
    """The contract as Markdown.

    Args:
        contract: what the table promises.
        owner: who answers for it: an e-mail address or `team:name`.
    """
    lines = [
        f"# {contract.table}",
        "",
        *([_text(contract.description), ""] if contract.description else []),
        *(f"- {fact}" for fact in _facts(contract, owner)),
        "",
        "## Columns",
        "",
        "| Column | Type | Nullable | Classification | Description | Promises |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_row(contract, column) for column in contract.columns),
        "",
    ]
    whole = [whole_in_words(rule) for rule in contract.rules if len(rule.columns) != 1]
    if whole:
        lines += ["## Promises about rows and the whole table", "", *(f"- {_text(said)}" for said in whole), ""]
    return "\n".join(lines)


def _facts(contract: Contract, owner: str) -> Iterator[str]:
    yield f"Owner: {_text(owner)}"
    yield f"Contract version: {contract.version}"
    if contract.key:
        within = "each partition" if contract.partition_column else "the table"
        yield f"Key, unique in {within}: {_names(contract.key)}"
    if contract.ordering:
        yield f"Latest row of a key: by {_names(contract.ordering)}"
    if contract.event_time:
        yield f"Event time: {_names((contract.event_time,))}"
    partitioning = f"by day of {_names((contract.partition_column,))}" if contract.partition_column else "none"
    yield f"Partitioning: {partitioning}"
    if contract.clustering:
        yield f"Clustering: {_names(contract.clustering)}"
    if contract.expert:
        yield f"Also keeps: `{contract.expert.name}` of `{contract.expert.file.name}`"


def _row(contract: Contract, column: Column) -> str:
    promises = "; ".join(in_words(rule) for rule in contract.rules if rule.columns == (column.name,))
    cells = (
        f"`{column.name}`",
        column.type,
        "yes" if column.nullable else "no",
        "" if column.classification is Classification.PUBLIC else column.classification.value,
        column.description,
        promises,
    )
    return f"| {' | '.join(_text(cell) for cell in cells)} |"


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _text(text: str) -> str:
    """Text that neither ends a cell nor opens a tag."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")

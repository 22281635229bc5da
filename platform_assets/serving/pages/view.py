"""What of all tables is looked at: filter, order and page, all of it in the query string, so that a view has a link."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from platform_assets.contracts.words import nearest
from platform_assets.lakehouse.freshness import FreshnessState, TableFreshness

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams

    from platform_assets.serving.pages.evaluation import Evaluation
    from platform_assets.serving.pages.standing import Standing

PAGE_ROWS = 50
LATE = (FreshnessState.FAIL, FreshnessState.WARN)
# The worst first. Not to know is better than to fail, and worse than to pass.
STATES = (FreshnessState.FAIL, FreshnessState.WARN, FreshnessState.UNKNOWN, FreshnessState.PASS)

# By what rows can be sorted; where two are equal, and for `layer`, they keep the order in which the command has them.
SORTS: Mapping[str, Callable[[TableFreshness, Standing], Any]] = {
    "state": lambda row, _: STATES.index(row.state),
    "layer": lambda *_: 0,
    "table": lambda row, _: row.table.name.partition(".")[2],
    "domain": lambda row, _: row.table.domain,
    "owner": lambda row, _: row.table.owner,
    "behind": lambda row, _: -row.owed_since.timestamp() if row.owed_since else None,
    "lag": lambda row, _: row.lag,
    "partition": lambda row, _: row.statistics.newest_partition if row.statistics else None,
    "rows": lambda row, _: row.statistics.rows if row.statistics else None,
    "completeness": lambda row, _: row.completeness.ratio if row.completeness else None,
    "sla": lambda row, standing: standing.kept(row.table.name),
    "score": lambda row, standing: standing.score(row.table.name),
    "updated": lambda row, _: row.statistics.last_published_at if row.statistics else None,
    "reason": lambda row, _: row.reason,
}


class ViewError(ValueError):
    """The query string asks for what there is not; the message says what there is."""


@dataclass(frozen=True)
class View:
    """A filter, an order and a page.

    Attributes:
        text: words that must all occur in name, owner, domain, description or reason, in whatever case.
        tables: exact names `layer.table`; empty for all.
        states: empty for all.
        sort: a key of `SORTS`.
        descending: the greatest first; what has no value is last either way.
    """

    text: str = ""
    tables: tuple[str, ...] = ()
    domain: str = ""
    layer: str = ""
    states: tuple[FreshnessState, ...] = ()
    sort: str = "state"
    descending: bool = False
    page: int = 1

    @classmethod
    def of(cls, query: QueryParams, rows: Sequence[TableFreshness]) -> View:
        """The view that a query string asks for; what it does not know of is ignored.

        Raises:
            ViewError: no declared table has such a name, domain, layer or state, or there is no such order or page.
        """
        sort = query.get("sort") or "state"
        view = cls(
            text=query.get("q", "").strip(),
            tables=tuple(filter(None, query.getlist("table"))),
            domain=query.get("domain", ""),
            layer=query.get("layer", ""),
            states=tuple(FreshnessState(_known("state", state, STATES)) for state in query.getlist("state") if state),
            sort=_known("sort", sort.removeprefix("-"), SORTS),
            descending=sort.startswith("-"),
            page=_page(query.get("page") or "1"),
        )
        for name, given, known in (
            ("domain", view.domain, {row.table.domain for row in rows}),
            ("layer", view.layer, {row.table.contract.layer for row in rows}),
        ):
            if given:
                _known(name, given, sorted(known))
        names = [row.table.name for row in rows]
        for table in view.tables:
            if table not in names:
                raise ViewError(f"{table} is no table{nearest(table, names)}")
        return view

    def select(self, found: Evaluation) -> list[TableFreshness]:
        """The rows that fit, in order, those of all pages."""
        fitting = [row for row in found.rows if self.fits(row) and (not self.states or row.state in self.states)]
        return self.order(fitting, found.standing)

    def fits(self, row: TableFreshness) -> bool:
        """Whether the filter lets a row through, whatever its state."""
        table = row.table
        said = f"{table.name} {table.owner} {table.domain} {table.contract.description} {row.reason}".casefold()
        return (
            all(word in said for word in self.text.casefold().split())
            and (not self.tables or table.name in self.tables)
            and self.domain in {"", table.domain}
            and self.layer in {"", table.contract.layer}
        )

    def order(self, rows: Sequence[TableFreshness], standing: Standing) -> list[TableFreshness]:
        """The rows in the order of the view."""

        def value(row: TableFreshness) -> Any:  # noqa: ANN401 - what a column holds
            return SORTS[self.sort](row, standing)

        known = [row for row in rows if value(row) is not None]
        unknown = [row for row in rows if value(row) is None]
        return sorted(known, key=value, reverse=self.descending) + unknown

    @property
    def order_word(self) -> str:
        """`sort` as the query string has it."""
        return f"-{self.sort}" if self.descending else self.sort

    @property
    def filtered(self) -> bool:
        """Whether it leaves anything out."""
        return bool(self.text or self.tables or self.domain or self.layer or self.states)

    def query(self, **changes: Any) -> str:  # noqa: ANN401 - the fields of the view
        """The query string of this view with some of it changed, `?` included; a change leads to its first page."""
        view = replace(self, **{"page": 1, **changes})
        said = [
            ("q", view.text),
            *(("table", table) for table in view.tables),
            ("domain", view.domain),
            ("layer", view.layer),
            *(("state", state.value) for state in view.states),
            ("sort", "" if view.order_word == "state" else view.order_word),
            ("page", "" if view.page == 1 else str(view.page)),
        ]
        text = urlencode([(name, value) for name, value in said if value])
        return f"?{text}" if text else ""

    def hidden(self) -> list[tuple[str, str]]:
        """What the form has no field for and has to send along."""
        return [("table", table) for table in self.tables] + [("state", state.value) for state in self.states]


@dataclass(frozen=True)
class Page:
    """The rows of one page, and where it stands among all that fit.

    Attributes:
        number: from 1.
        pages: how many there are, at least 1.
        total: rows on all of them.
        counts: rows by state that would fit, were it not for the state.
    """

    rows: Sequence[TableFreshness]
    number: int
    pages: int
    total: int
    counts: Mapping[FreshnessState, int] = field(default_factory=dict)

    @classmethod
    def of(cls, view: View, found: Evaluation) -> Page:
        """The page that a view asks for; beyond the last one there is the last one."""
        fitting = [row for row in found.rows if view.fits(row)]
        counts = {state: sum(row.state is state for row in fitting) for state in STATES}
        chosen = view.select(found)
        pages = max(1, -(-len(chosen) // PAGE_ROWS))
        number = min(view.page, pages)
        start = (number - 1) * PAGE_ROWS
        return cls(chosen[start : start + PAGE_ROWS], number, pages, len(chosen), counts)

    @property
    def first(self) -> int:
        """Number of its first row, from 1."""
        return (self.number - 1) * PAGE_ROWS + 1


def _known(name: str, given: str, known: Iterable[str]) -> str:
    if given not in known:
        raise ViewError(f"{given} is no {name}; expected one of {', '.join(known)}")
    return given


def _page(given: str) -> int:
    if not given.isascii() or not given.isdigit() or not 1 <= len(given) <= 6 or int(given) < 1:
        raise ViewError(f"{given} is no page; expected a number from 1")
    return int(given)

"""Everything that a source's files say and imply, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from platform_assets.contracts.markdown import markdown_page
from platform_assets.sources.alerts import alert_rules
from platform_assets.sources.contracts import contracts_of

if TYPE_CHECKING:
    from platform_assets.contracts.model import Contract
    from platform_assets.sources.model import Source


@dataclass(frozen=True)
class Description:
    """A source with the contracts of its tables."""

    source: Source
    contracts: tuple[Contract, ...]

    def as_json(self) -> dict[str, Any]:
        """The settings with everything filled in, the contracts, the sensors, the alert rules."""
        return {
            **self.source.file.model_dump(mode="json", by_alias=True),
            "schema_version": self.source.schema_version if self.source.record_schema else None,
            "contracts": [asdict(contract) for contract in self.contracts],
            "sensors": self.sensors,
            "alert_rules": [rule.model_dump(mode="json") for rule in alert_rules(self.source)],
        }

    @property
    def sensors(self) -> list[str]:
        """Names of the sensors that feed it."""
        ingestion = self.source.file.ingestion
        polls = [f"poll_{self.source.name}"] if ingestion.streams and ingestion.api_endpoint else []
        return [f"arrivals_{self.source.name}", *polls]

    def as_markdown(self) -> str:
        """A page: how it arrives, what it promises, then each of its tables."""
        file = self.source.file
        said = file.ingestion.model_dump(mode="json", exclude_unset=True)
        warn = f"warns after {file.freshness.warn_minutes} min, " if file.freshness.warn_minutes else ""
        lines = [
            f"# {file.display_name}",
            "",
            file.description,
            "",
            f"- owner: {file.owner}; domain: {file.domain}",
            f"- arrives: {', '.join(f'{name} {value}' for name, value in said.items())}",
            f"- lands in: `source={self.source.name}/date=<YYYY-MM-DD>/`",
            f"- sensors: {', '.join(self.sensors)}",
            f"- freshness: {warn}fails after {file.freshness.fail_minutes} min",
            *(f"- alert: {rule.condition} → {rule.notification}" for rule in alert_rules(self.source)),
        ]
        if self.source.record_schema is None:
            lines.append("- no schema yet: bronze keeps each record whole, and silver begins with a `schema.v1.json`")
        pages = [markdown_page(contract, owner=file.owner) for contract in self.contracts]
        return "\n".join([*lines, "", *pages])


def describe(source: Source) -> Description:
    """The description of a source."""
    return Description(source, tuple(contracts_of(source)))

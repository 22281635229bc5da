"""Every alert leads to a runbook that exists, begins with it, and is the one that the index names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from platform_assets.automation.alerts.incidents import Kind
from platform_assets.automation.alerts.runbooks import FOLDER, runbook
from platform_assets.settings import CHECKOUT
from platform_assets.sources.alert_condition import Metric
from platform_assets_tests.docs.markdown import documents

INDEX = CHECKOUT / FOLDER / "README.md"
RULES = yaml.safe_load((CHECKOUT / "platform_assets" / "sources" / "alert_routes.yaml").read_text("utf-8"))["rules"]
_ROW = re.compile(r"^\| (?P<name>[^|]+?) \| `(?P<when>\w+)` \| \[[^\]]+\]\((?P<file>[\w-]+\.md)\) \|$", re.MULTILINE)


def test_the_index_has_every_rule_and_says_what_the_alert_says() -> None:
    listed = [match.group("name", "when", "file") for match in _ROW.finditer(INDEX.read_text(encoding="utf-8"))]
    promised = [(rule["name"], rule["when"], runbook(Kind(rule["when"])).removeprefix(f"{FOLDER}/")) for rule in RULES]
    assert sorted(listed) == sorted(promised)


@pytest.mark.parametrize("kind", Kind)
def test_every_alert_leads_to_a_page_that_tells_of_it(kind: Kind) -> None:
    page = CHECKOUT / runbook(kind)
    assert page.is_file()
    names = [rule["name"] for rule in RULES if rule["when"] == kind] or [f"`{kind}`"]
    assert [name for name in names if name not in page.read_text(encoding="utf-8")] == []


def test_the_index_tells_of_every_metric_of_a_source_s_own_rules() -> None:
    text = INDEX.read_text(encoding="utf-8")
    assert [metric for metric in Metric if f"`{metric.value}`" not in text] == []


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_links_within_the_project_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []

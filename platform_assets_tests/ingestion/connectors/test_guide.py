"""The guide to connectors does what it says: its YAML is accepted, and its connector fetches."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote_plus

import pytest
import yaml

from platform_assets.settings import CHECKOUT, Settings
from platform_assets.sources.ingestion_settings import Ingestion
from platform_assets.sources.model import Processing
from platform_assets.sources.registry import load_source
from platform_assets_tests.http_api import http_api
from platform_assets_tests.ingestion.connectors.ticks import Ticks

GUIDE = (CHECKOUT / "docs" / "guides" / "write-a-connector.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_yaml_of_the_guide_is_accepted(block: str) -> None:
    said = yaml.safe_load(block)
    if "processing" in said:
        assert len(Processing.model_validate(said["processing"]).bronze_to_silver) == 2
    else:
        assert Ingestion.model_validate(said["ingestion"]).pattern == said["ingestion"]["pattern"]


def test_the_guide_s_connector_does_what_the_guide_says(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    said = next(block for block in BLOCKS if "rates.py:Rates" in block)
    monkeypatch.setenv("PLATFORM_SECRET_BANK_KEY", "hunter2")
    folder = tmp_path / "rates"
    folder.mkdir()
    (folder / "rates.py").write_text(code, encoding="utf-8")
    with http_api() as api:
        (folder / "source.yaml").write_text(said.replace("https://rates.bank.example.com", api.root), encoding="utf-8")
        tick = Ticks(settings, load_source(folder))
        began = tick.now
        api.says({"EUR": 0.93, "XTS": 1})
        assert len(tick().objects) == 1
        tick(after=3_600)
    assert tick.records()[0] == {"currency": "EUR", "rate": 0.93}
    assert [headers["X-Key"] for _, headers in api.asked] == ["hunter2", "hunter2"]
    assert [path for path, _ in api.asked] == ["/rates", f"/rates?since={quote_plus(began.isoformat())}"]

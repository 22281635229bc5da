"""Whether a landed file has been taken is told by what was published, not by what maintenance commits."""

from __future__ import annotations

from pathlib import Path

from platform_assets.ingestion.landing import LandingObject
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.maintenance.compaction import compact
from platform_assets.operations.onboarding.land import _arrived, _followed
from platform_assets.settings import Settings
from platform_assets_tests.lakehouse.bronze_rows import (
    ARRIVED,
    LANDED,
    PII_KEY,
    Arrival,
    object_schema,
    publish_bronze,
    write_source,
)


def test_a_file_has_arrived_when_bronze_was_published_whatever_was_merged_since(tmp_path: Path) -> None:
    lakehouse = Lakehouse(Settings(home=tmp_path / "home", pii_key=PII_KEY))
    source = write_source(tmp_path / "things", object_schema("id", id={"type": "integer"}))
    landed = LandingObject("things", ARRIVED, "source=things/file.jsonl", 1, 1, LANDED, "landing")
    assert _arrived(lakehouse, "bronze.things", landed) is None
    for number in range(2):
        publish_bronze(lakehouse, source, [Arrival({"id": number}, uri=landed.uri)])
    before = _arrived(lakehouse, "bronze.things", landed)
    assert before is not None
    assert before.days == {ARRIVED.isoformat()}

    assert compact(lakehouse, "bronze.things", fewest_files=2).merged == 2

    assert _arrived(lakehouse, "bronze.things", landed) == before
    assert not _followed(lakehouse, "bronze.things", before, dated=False)  # a merge is nothing that follows

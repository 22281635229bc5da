"""Who asked for a run."""

from __future__ import annotations

import dagster as dg
import pytest

from platform_assets.assets.requests import ARRIVAL_TAG, MENDS_TAG, own, started_by_nobody
from platform_assets_tests.graph_runner import AUTOMATION


@pytest.mark.parametrize("tags", [AUTOMATION, {MENDS_TAG: "a-run"}, {ARRIVAL_TAG: "shop/2026-03-10"}])
def test_a_run_that_the_platform_asked_for_is_known_unless_it_is_executed_once_more(tags: dict[str, str]) -> None:
    first = dg.DagsterRun("job", tags=tags)
    again = dg.DagsterRun("job", tags=tags, root_run_id=first.run_id, parent_run_id=first.run_id)

    assert own(first)
    assert started_by_nobody(first)
    assert own(again)
    assert not started_by_nobody(again)


@pytest.mark.parametrize("tags", [{}, {"dagster/backfill": "abc"}, {"dagster/priority": "10"}])
def test_a_run_of_a_person_or_a_backfill_is_known(tags: dict[str, str]) -> None:
    assert not own(dg.DagsterRun("job", tags=tags))
    assert not started_by_nobody(dg.DagsterRun("job", tags=tags))

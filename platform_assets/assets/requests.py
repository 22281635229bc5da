"""Who asked for a run: the platform itself, or a person or a backfill."""

from __future__ import annotations

import dagster as dg

ARRIVAL_TAG = "platform/arrival"
MENDS_TAG = "platform/mends"
_OWN_TAGS = (ARRIVAL_TAG, MENDS_TAG, "dagster/from_automation_condition")


def own(run: dg.DagsterRun) -> bool:
    """Whether the platform asked for it, not a person or a backfill."""
    return any(tag in run.tags for tag in _OWN_TAGS)


def started_by_nobody(run: dg.DagsterRun) -> bool:
    """As `own`, but not of a run that was executed once more, which has the tags of the first: a person may have."""
    return own(run) and run.parent_run_id is None

"""`python -m … MOMENT REQUEST`: a run of the platform in a process of its own, which SIGKILLs itself at the moment."""

from __future__ import annotations

import json
import sys

import dagster as dg

from platform_assets.settings import load_settings
from platform_assets_tests.end_to_end.killed_run import MOMENTS
from platform_assets_tests.graph_runner import GraphRunner

if __name__ == "__main__":
    moment, asked = sys.argv[1:]
    request = json.loads(asked)
    MOMENTS[moment]()
    with dg.DagsterInstance.get() as instance:
        GraphRunner(load_settings(), instance).run(
            request["assets"], request["partition"], run_config=request["run_config"], tags=request["tags"]
        )

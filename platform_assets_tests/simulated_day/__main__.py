"""Lives through the day and says which of its claims hold: `python -m platform_assets_tests.simulated_day`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from platform_assets_tests.simulated_day.clock import Clock, restart_below

_MOST_DETAILS = 20
_HOME = "SIMULATED_DAY_HOME"


def main() -> int:
    """The exit code: 0 if every claim holds."""
    chosen = _options()
    home = chosen.home or Path(os.environ.get(_HOME) or tempfile.mkdtemp(prefix="simulated-day-"))
    os.environ[_HOME] = str(home)
    restart_below()
    told = _apart(home / "day.log")
    try:
        return _live_through(chosen, home, told)
    except BaseException:
        traceback.print_exc(file=told)
        raise


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=25, help="hours from 23:05 of the day before on; 25 are all")
    options.add_argument("--seed", type=int, default=7)
    options.add_argument("--home", type=Path, default=None, help="an empty folder that is kept afterwards")
    return options.parse_args()


def _live_through(chosen: argparse.Namespace, home: Path, told: TextIO) -> int:
    import sqlalchemy.orm  # noqa: F401 - before the page and the day do, whose threads would meet in the middle of it

    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.serving.pages.app import app as pages
    from platform_assets.serving.pages.evaluation import Evaluations, Evaluator
    from platform_assets_tests.simulated_day.agreement import Agreement, dagit
    from platform_assets_tests.simulated_day.claims import claims
    from platform_assets_tests.simulated_day.day import Day, live, platform
    from platform_assets_tests.simulated_day.plan import Step, plan
    from platform_assets_tests.web_server import serving

    begun = time.monotonic()
    steps = plan(chosen.steps, chosen.seed)

    clock = Clock(home / "clock")
    agreement: Agreement | None = None

    def tell(day: Day, step: Step, *, later: bool) -> None:
        if agreement is not None:
            day.disagreements += [f"{datetime.now(UTC):%d %H:%M} {said}" for said in agreement.disagreements()]
        if not later:
            spent = time.monotonic() - begun
            print(
                f"{step.at:%d %H:%M}  {step.arrivals:>4} arrivals  {len(day.daemon.runs):>4} runs (least {day.least})  "
                f"{len(day.daemon.killed)} killed  {spent:>5.0f} s",
                file=told,
                flush=True,
            )

    with (
        platform(home, os.environ, clock) as settings,
        dagit(home / "dagit.log") as dagit_url,
        serving(pages(settings, Evaluations(Evaluator(Lakehouse(settings)), fresh_seconds=0))) as pages_url,
    ):
        agreement = Agreement(pages_url, dagit_url)
        day = live(settings, clock, steps, tell)
        for what in day.daemon.killed:
            print(f"killed {what}", file=told)
        broken = 0
        for claim in claims(day, home):
            print(f"{'holds' if claim.holds else 'BROKEN':<6}  {claim.says}", file=told, flush=True)
            for line in claim.details[:_MOST_DETAILS]:
                print(f"        {line}", file=told)
            broken += not claim.holds
    return int(broken > 0)


def _apart(log: Path) -> TextIO:
    """Where to tell people of the day; what the platform and dbt say goes into the log."""
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    print(f"The platform's own words: {log}", file=told, flush=True)
    return told


if __name__ == "__main__":
    sys.exit(main())

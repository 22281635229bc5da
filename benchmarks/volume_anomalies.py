"""How well volume anomalies are found: `python -m benchmarks.volume_anomalies`, in the checkout.

On public labelled series (benchmarks/anomalies/SOURCE.md), beside two baselines, and on generated tables. With
`--series` and `--labels` on any others; docs/reference/volume-anomalies.md says in which form, and how it is counted.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Annotated, Any

import typer

from benchmarks.generated_volumes import assess, generated_table
from benchmarks.labelled_series import DAY, Score, Series, counts, read_series, score
from platform_assets.quality.seasonal import Method, judged

DATA = Path(__file__).parent / "anomalies"
_MINUTE = timedelta(minutes=1)
_UNITS = {"m": _MINUTE, "h": 60 * _MINUTE, "d": DAY}
# Nothing was chosen by the series that is held out, though its numbers were printed with the others.
_PUBLISHED = (
    ("elb requests, 5 minutes", "elb_request_count_8c0756.csv", None, "seen"),
    ("elb requests, hours", "elb_request_count_8c0756.csv", 60 * _MINUTE, "seen"),
    ("water flow, hours", "water_flow.csv", None, "seen"),
    ("nyc taxi, days", "nyc_taxi.csv", DAY, "held out"),
    ("nyc taxi, hours", "nyc_taxi.csv", 60 * _MINUTE, "seen"),
    ("nyc taxi, 30 minutes", "nyc_taxi.csv", None, "seen"),
)

Detector = Callable[[Sequence[float | None], Sequence[int]], list[bool | None]]


def main(
    series: Annotated[
        list[Path] | None, typer.Option(help="CSV of time and value; may be given several times.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="JSON of labelled windows; else the CSV's column of labels.")
    ] = None,
    step: Annotated[str | None, typer.Option(help="Add the values up to steps of this length: 30m, 1h, 1d.")] = None,
    period: Annotated[int | None, typer.Option(help="Steps in a season; by default a week or a day.", min=1)] = None,
    *,
    generated: Annotated[int, typer.Option(help="So many generated tables beside the published series.", min=0)] = 300,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measures precision and recall of the detector and of two baselines on the same points."""
    if series:
        given = [(read_series(path, labels, step=_duration(step)), "given") for path in series]
    else:
        windows = DATA / "combined_windows.json"
        given = [(read_series(DATA / file, windows, step=by, name=name), group) for name, file, by, group in _PUBLISHED]
    rows = [
        {"series": one.name, "group": group, "detector": name, "score": found}
        for one, group in given
        for name, found in scores(one, period).items()
    ]
    tables = None if series or not generated else _generated(generated)
    if as_json:
        plain = [{**row, "score": row["score"].as_json()} for row in [*rows, *_totals(rows)]]
        typer.echo(json.dumps({"series": plain, "generated": tables}, indent=2))
    else:
        _print([*rows, *_totals(rows)], tables)


def scores(series: Series, period: int | None = None) -> dict[str, Score]:
    """What each detector finds, on those points alone that ours judges."""
    periods, values = (period,) if period else series.periods, counts(series)
    verdicts = {name: detector(values, periods) for name, detector in BASELINES.items()}
    # What lasts for a day is a new level, as with tables what lasts for three days.
    method = Method(new_level=max(Method().new_level, DAY // series.step))
    found = {
        "platform": [None if j is None else j.unusual for j in judged(values, *periods, method=method)],
        **verdicts,
    }
    judged_points = [verdict is not None for verdict in found["platform"]]
    return {name: score(series, verdicts, judged_points) for name, verdicts in found.items()}


def _z_score(values: Sequence[float | None], periods: Sequence[int]) -> list[bool | None]:
    """More than three standard deviations from the mean of the last four seasons: 28 days of a daily series."""
    window, verdicts = max(4 * periods[0], 28), list[bool | None]()
    for index, value in enumerate(values):
        before = [known for known in values[max(0, index - window) : index] if known is not None]
        if value is None or len(before) < window / 2:
            verdicts.append(None)
        else:
            verdicts.append(abs(value - fmean(before)) > 3 * stdev(before))
    return verdicts


def _same_phase(values: Sequence[float | None], periods: Sequence[int]) -> list[bool | None]:
    """More than half away from the median of the same weekday (or hour of the week) of the last eight seasons."""
    period, verdicts = periods[-1], list[bool | None]()
    for index, value in enumerate(values):
        same = [values[place] for place in range(index - period, max(-1, index - 8 * period - 1), -period)]
        known = [other for other in same if other is not None]
        if value is None or len(known) < 3:
            verdicts.append(None)
        else:
            verdicts.append(abs(value - median(known)) > 0.5 * abs(median(known)))
    return verdicts


BASELINES: dict[str, Detector] = {
    "z-score, last 28": _z_score,
    "median +-50 %": _same_phase,
}


def _totals(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """All series of a group together, and all together, by detector."""
    totals: dict[tuple[str, str], Score] = {}
    groups = list(dict.fromkeys(row["group"] for row in rows))
    for group in [*groups, *(["all"] if len(groups) > 1 else [])]:
        for row in rows:
            if group in (row["group"], "all"):
                key = (group, row["detector"])
                totals[key] = totals.get(key, Score()) + row["score"]
    return [{"series": "total", "group": g, "detector": name, "score": s} for (g, name), s in totals.items()]


def _generated(count: int) -> dict[str, Any]:
    tables = [generated_table(10_000 + seed) for seed in range(count)]
    began = time.process_time()
    found = assess(tables)
    return {"tables": count, **found, "seconds": time.process_time() - began}


def _duration(text: str | None) -> timedelta | None:
    if text is None:
        return None
    if text[-1:] not in _UNITS or not text[:-1].isdigit() or int(text[:-1]) == 0:
        raise typer.BadParameter(f"{text!r} is no length of time; expected a number and m, h or d, as in 30m, 1h, 1d")
    return int(text[:-1]) * _UNITS[text[-1]]


def _print(rows: Sequence[dict[str, Any]], generated: dict[str, Any] | None) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 150)
    table = Table(title="Labelled series", box=SIMPLE)
    for heading in ("group", "series", "detector"):
        table.add_column(heading)
    for heading in ("windows", "found", "alarms", "true", "precision", "recall", "F1", "points: precision", "recall"):
        table.add_column(heading, justify="right")
    for row in rows:
        found = row["score"].as_json()
        shares = (found[name] for name in ("precision", "recall", "f1", "point_precision", "point_recall"))
        whole = (str(found[name]) for name in ("windows", "found", "alarms", "true"))
        table.add_row(
            row["group"], row["series"], row["detector"], *whole, *("-" if s is None else f"{s:.2f}" for s in shares)
        )
    console.print(table)
    if generated:
        shifts = generated["shift_alarms"]
        console.print(
            f"{generated['tables']} generated tables, {generated['table_years']:.0f} table years, "
            f"{generated['incidents']} incidents, judged in {generated['seconds']:.1f} s:\n"
            f"  recall {generated['recall']:.2f}, of clear ones {generated['recall_of_clear']:.2f}, by kind "
            f"{', '.join(f'{kind} {share:.2f}' for kind, share in generated['recall_by_kind'].items())}\n"
            f"  precision {generated['precision']:.2f}, holidays left out "
            f"{generated['precision_without_holidays']:.2f}\n"
            f"  false alarms of a table in a year: {generated['false_alarms_a_year']:.2f}, and on holidays "
            f"{generated['holiday_alarms_a_year']:.2f}\n"
            f"  alarms of a level shift: median {median(shifts):.0f}, most {max(shifts)}"
        )


if __name__ == "__main__":
    typer.run(main)

"""The benchmark of volume anomalies: what it reads, how it counts, and that it prints what it says."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner

from benchmarks.labelled_series import Series, counts, read_series, score
from benchmarks.volume_anomalies import DATA, main, scores

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2026, 1, 1)  # noqa: DTZ001 - series are in UTC without saying so


def run(*arguments: str) -> dict[str, Any]:
    app = Typer()
    app.command()(main)
    done = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.output)
    return found


def write(path: Path, *rows: str, header: str = "timestamp,value") -> Path:
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def hours(count: int, value: float = 100) -> list[str]:
    return [f"{START + place * HOUR},{value + place % 24}" for place in range(count)]


def test_a_window_is_found_by_any_point_in_it_and_an_alarm_covers_a_day() -> None:
    windows = [(START + 30 * HOUR, START + 35 * HOUR), (START + 80 * HOUR, START + 81 * HOUR)]
    series = Series("s", START, HOUR, [1.0] * 200, windows)
    unusual = [place in (10, 12, 32, 33, 60, 150, 173) for place in range(200)]
    found = score(series, unusual, [True] * 200)
    assert (found.windows, found.found) == (2, 1)
    assert (found.alarms, found.true) == (3, 1)  # at 10 (with 12, 32 and 33 in its day), at 60, at 150 (with 173)
    assert (found.points, found.points_found, found.flagged) == (8, 2, 7)
    assert found.as_json()["precision"] == pytest.approx(1 / 3)
    assert found.as_json()["recall"] == 0.5


def test_what_no_detector_could_judge_is_not_counted() -> None:
    windows = [(START, START + 3 * HOUR), (START + 50 * HOUR, START + 51 * HOUR)]
    series = Series("s", START, HOUR, [1.0] * 100, windows)
    found = score(series, [True] * 100, [place >= 40 for place in range(100)])
    assert (found.windows, found.found, found.judged, found.flagged) == (1, 1, 60, 60)


def test_the_format_of_the_numenta_anomaly_benchmark(tmp_path: Path) -> None:
    path = write(tmp_path / "requests.csv", *hours(48))
    labels = tmp_path / "windows.json"
    window = ["2026-01-02 03:00:00.000000", "2026-01-02 05:00:00.000000"]
    labels.write_text(json.dumps({"realWeb/requests.csv": [window], "other.csv": []}))
    series = read_series(path, labels)
    assert (series.step, len(series.values), series.start) == (HOUR, 48, START)
    assert series.windows == [(START + 27 * HOUR, START + 29 * HOUR)]
    labels.write_text(json.dumps({"other.csv": []}))
    with pytest.raises(ValueError, match=r"no windows for requests.csv; it has them for other.csv"):
        read_series(path, labels)


def test_labels_in_a_column_and_moments_as_labels(tmp_path: Path) -> None:
    rows = [f"{row},{int(place in (5, 6, 9))}" for place, row in enumerate(hours(12))]
    path = write(tmp_path / "a.csv", *rows, header="timestamp,value,label")
    assert read_series(path).windows == [(START + 5 * HOUR, START + 6 * HOUR), (START + 9 * HOUR,) * 2]
    labels = tmp_path / "moments.json"
    labels.write_text(json.dumps(["2026-01-01T04:00:00Z"]))
    assert read_series(path, labels).windows == [(START + 4 * HOUR,) * 2]


def test_values_are_added_up_to_a_longer_step_and_a_last_one_that_is_not_over_is_left_out(tmp_path: Path) -> None:
    series = read_series(write(tmp_path / "a.csv", *hours(60, value=1)), step=DAY)
    assert series.values == [24 + 276, 24 + 276]
    assert (series.step, series.start) == (DAY, START)


def test_times_out_of_order_twice_missing_and_in_seconds(tmp_path: Path) -> None:
    rows = hours(24)
    path = write(
        tmp_path / "a.csv", *reversed(rows[:10]), rows[3].replace(",103", ",105"), *rows[12:], "x,1", "2026-01-01"
    )
    values = read_series(path).values
    assert len(values) == 24
    assert values[3] == 104
    assert values[10:12] == [None, None]
    seconds = write(tmp_path / "b.csv", "1767225600,5", "1767229200,6")
    assert (read_series(seconds).start, read_series(seconds).step) == (START, HOUR)


def test_a_file_without_numbers_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no row has a time and a number"):
        read_series(write(tmp_path / "a.csv", "yesterday,many"))


def test_what_is_no_count_is_measured_in_thousandths_of_itself() -> None:
    assert counts(Series("s", START, DAY, [3.0, None, 4.0])) == [3, None, 4]
    assert counts(Series("s", START, DAY, [0.5, None, 1.0, 0.5] * 10))[:3] == [1_000, None, 2_000]


@pytest.mark.parametrize(
    "rows",
    [
        ["2026-01-01,1"],
        ["2026-01-01,1", "2026-01-02,2", "2026-01-03,nan"],
        [f"{START + place * HOUR},0" for place in range(400)],
        [f"{START + place * HOUR},7" for place in range(400)],
        [f"{START + place * HOUR},{1e300 if place % 50 == 0 else -1e300}" for place in range(400)],
        [f"{START + place * HOUR},{(-1) ** place * place / 1e9}" for place in range(400)],
        [f"{START + place * HOUR},{'inf' if place % 3 else 5}" for place in range(400)],
        ["1970-01-01,3", *hours(400), "2999-01-01,3"],
        [f"{START + place * place * timedelta(seconds=7)},{place}" for place in range(400)],
        [f"{START},{place}" for place in range(100)],
        [f"{START + place * 35 * timedelta(minutes=1)},{place % 9}" for place in range(900)],
    ],
    ids=[
        "one",
        "tiny",
        "zero",
        "constant",
        "huge",
        "small",
        "infinite",
        "wrong times",
        "irregular",
        "one time",
        "odd step",
    ],
)
def test_no_series_makes_it_fail(rows: list[str], tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", *rows)
    (tmp_path / "labels.json").write_text(json.dumps({"a.csv": [["2026-01-03", "2026-01-04"]]}))
    for step in ([], ["--step", "1d"]):
        found = run("--series", str(path), "--labels", str(tmp_path / "labels.json"), *step)
        assert {row["detector"] for row in found["series"]} == {"platform", "z-score, last 28", "median +-50 %"}


def test_an_anomaly_of_a_given_series_is_found_and_printed(tmp_path: Path) -> None:
    rows = hours(24 * 40)
    rows[700] = f"{START + 700 * HOUR},900"
    path = write(tmp_path / "a.csv", *rows)
    (tmp_path / "labels.json").write_text(json.dumps([[str(START + 699 * HOUR), str(START + 701 * HOUR)]]))
    found = run("--series", str(path), "--labels", str(tmp_path / "labels.json"))
    ours = next(row["score"] for row in found["series"] if row["detector"] == "platform")
    assert (ours["precision"], ours["recall"], ours["f1"]) == (1, 1, 1)


def test_of_the_held_out_taxi_days_more_is_found_than_by_the_baselines_and_hardly_anything_false() -> None:
    found = scores(read_series(DATA / "nyc_taxi.csv", DATA / "combined_windows.json", step=DAY))
    shares = {name: one.as_json() for name, one in found.items()}
    assert found["platform"].windows == 5
    assert found["platform"].found >= 3
    assert shares["platform"]["precision"] >= 0.8
    assert shares["platform"]["f1"] > max(share["f1"] or 0 for name, share in shares.items() if name != "platform")


@pytest.mark.parametrize(
    ("file", "values", "total"),
    [("nyc_taxi.csv", 10_320, 156_219_714), ("elb_request_count_8c0756.csv", 4_032, 249_327)],
)
def test_the_published_series_are_whole(file: str, values: int, total: int) -> None:
    series = read_series(DATA / file, DATA / "combined_windows.json")
    known = [value for value in series.values if value is not None]
    assert (len(known), sum(known)) == (values, total)

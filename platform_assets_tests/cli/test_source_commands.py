"""`platform-assets source …` and `contract …` as a person types them, on folders of their own; what runs is real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from platform_assets.cli import app
from platform_assets.sources.registry import read_sources
from platform_assets_tests.lakehouse.bronze_rows import object_schema, write_source_files
from platform_assets_tests.sources.documents import DOCUMENTS, write_document

GOOD = {"id": "1", "customer_id": "c", "amount": 1.5, "timestamp": "2026-11-20T10:00:00Z"}


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of sources, and a home in which nothing runs."""
    folder = tmp_path / "sources"
    folder.mkdir()
    monkeypatch.setenv("PLATFORM_SOURCES", str(folder))
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path / "home"))
    read_sources.cache_clear()
    return folder


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def answer(*arguments: str | Path) -> Any:  # noqa: ANN401 - JSON
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def sample(folder: Path, *records: object) -> Path:
    path = folder / "sample.jsonl"
    path.write_text("".join(f"{r if isinstance(r, str) else json.dumps(r)}\n" for r in records), encoding="utf-8")
    return path


def test_validate_says_what_is_right_and_each_problem_with_its_line(sources: Path) -> None:
    for name in DOCUMENTS:
        write_document(sources, name)
    assert run("source", "validate").stdout.startswith("6 of 6 right")
    file = sources / "iot_sensors" / "source.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("window_size", "window"), encoding="utf-8")
    done = run("source", "validate")
    assert done.exit_code == 1
    assert f"{file}:6: unknown setting `window`; did you mean `window_size`?" in done.stderr
    assert "5 of 6 right" in done.stdout
    assert run("source", "validate", sources / "example_source").exit_code == 0


def test_validate_binds_free_sql_to_the_columns_types(sources: Path) -> None:
    folder = write_document(sources, "example_source")
    file = folder / "source.yaml"
    rule = '          - {check: sql, name: late, expression: "amount > customer_id || id"}\n  silver_to_gold'
    text = file.read_text(encoding="utf-8").replace("\n  silver_to_gold", "\n" + rule, 1)
    file.write_text(text, encoding="utf-8")
    done = run("source", "validate", folder)
    assert done.exit_code == 1
    assert "silver.example_source: late cannot be computed" in done.stderr


def test_an_unknown_source_is_told_the_nearest_name(sources: Path) -> None:
    write_document(sources, "iot_sensors")
    done = run("source", "test", "iot_sensor")
    assert done.exit_code == 1
    assert "did you mean `iot_sensors`?" in done.stderr


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_source_without_a_sample_is_tried_with_records_made_from_its_schema(sources: Path, name: str) -> None:
    write_document(sources, name)
    for trial in answer("source", "test", name):
        assert trial["passed"]
        assert trial["records"] == 100
        assert trial["dead_letters"] == {}
        assert trial["unexpected"] == {}
        assert [table["rows_out"] for table in trial["tables"]] == [100] * len(trial["tables"])


def test_a_dry_run_accounts_for_every_record_and_says_why(sources: Path, tmp_path: Path) -> None:
    write_document(sources, "example_source")
    records = [GOOD, GOOD, {**GOOD, "id": "2", "amount": -1, "colour": "red"}, {**GOOD, "id": "3", "amount": "x"}, "{"]
    (trial,) = answer("source", "test", "example_source", "--sample", sample(tmp_path, *records))
    (table,) = trial["tables"]
    assert (table["rows_in"], table["rows_out"], table["rows_quarantined"], table["rows_duplicate"]) == (4, 1, 2, 1)
    assert table["quarantined"] == {"amount.positive": 1, "amount.type": 1}
    assert trial["unexpected"] == {"colour (string)": 1}
    assert list(trial["dead_letters"].values()) == [1]
    assert not (tmp_path / "home" / "lakehouse").exists()  # nothing outside of the scratch folder was made


def test_a_dry_run_that_would_be_blocked_says_what_changed_and_fails(sources: Path, tmp_path: Path) -> None:
    write_document(sources, "example_source")
    records = [{"id": str(n), "customerId": "c", "amount": "1", "timestamp": GOOD["timestamp"]} for n in range(30)]
    done = run("source", "test", "example_source", "--sample", sample(tmp_path, *records))
    assert done.exit_code == 1
    assert "30 of 30 rows break the contract" in done.stdout
    assert "customer_id is missing in all rows; `customerId` arrived instead" in done.stdout


def test_a_rule_about_a_table_that_was_never_published_is_named_as_not_checked(sources: Path, tmp_path: Path) -> None:
    record = object_schema("id", "owner", id={"type": "integer"}, owner={"type": "integer"})
    silver = [{"table": "things", "kind": "current_state", "key": ["id"], "references": {"owner": "silver.owners.id"}}]
    write_source_files(sources / "things", record, silver=silver)
    write_source_files(sources / "owners", object_schema("id", id={"type": "integer"}))
    (trial,) = answer("source", "test", "things", "--sample", sample(tmp_path, {"id": 1, "owner": 5}))
    assert trial["tables"][0]["rows_out"] == 1
    assert trial["tables"][0]["not_checked"] == ["owner refers to silver.owners.id, which is not published"]


def test_list_and_show_tell_what_follows_from_the_files(sources: Path) -> None:
    write_document(sources, "example_source")
    write_document(sources, "postgres_orders")
    rows = {row["source"]: row for row in answer("source", "list")}
    assert set(rows) == {"example_source", *(f"postgres_orders_{t}" for t in ("orders", "order_items", "customers"))}
    assert (rows["example_source"]["schema"], rows["example_source"]["fresh_within_minutes"]) == ("v1", 60)
    (shown,) = answer("source", "show", "example_source")
    assert [contract["table"] for contract in shown["contracts"]] == [
        "bronze.example_source",
        "silver.example_source",
        "quarantine.example_source",
    ]
    assert shown["event_time"] == "timestamp"
    assert {rule["notification"] for rule in shown["alert_rules"]} == {"data-team@example.com"}
    assert "Transaction amount in USD" in run("source", "show", "example_source").stdout


@pytest.mark.usefixtures("sources")
def test_new_writes_a_source_that_passes_its_own_test(tmp_path: Path) -> None:
    records = [
        {"order_id": n, "placed_at": f"2026-11-0{n}T10:00:00Z", "email": f"p{n}@example.com"} for n in range(1, 7)
    ]
    done = run("source", "new", "orders", "--from", sample(tmp_path, *records))
    assert done.exit_code == 0, done.output
    assert "platform-assets source test orders" in done.stdout
    read_sources.cache_clear()
    (trial,) = answer("source", "test", "orders")
    assert trial["passed"]
    again = run("source", "new", "orders")
    assert again.exit_code == 1
    assert "orders" in again.stderr


def test_remove_keeps_a_record_of_who_decided_and_why_and_asks_first(sources: Path) -> None:
    write_document(sources, "iot_sensors")
    asked = CliRunner().invoke(app, ["source", "remove", "iot_sensors", "--why", "sold"], input="n\n")
    assert asked.exit_code == 1
    assert (sources / "iot_sensors").is_dir()
    done = run("source", "remove", "iot_sensors", "--why", "sold", "--by", "ada", "--yes")
    assert done.exit_code == 0, done.output
    assert not (sources / "iot_sensors").exists()
    assert "silver.iot_sensors" in done.stdout
    assert "source: iot_sensors" in (sources / "removed.yaml").read_text(encoding="utf-8")
    assert "by: ada" in (sources / "removed.yaml").read_text(encoding="utf-8")


def test_a_source_that_others_refer_to_is_not_removed(sources: Path) -> None:
    record = object_schema("id", "owner", id={"type": "integer"}, owner={"type": "integer"})
    silver = [{"table": "things", "kind": "current_state", "key": ["id"], "references": {"owner": "silver.owners.id"}}]
    write_source_files(sources / "things", record, silver=silver)
    write_source_files(sources / "owners", object_schema("id", id={"type": "integer"}))
    done = run("source", "remove", "owners", "--why", "x", "--yes")
    assert done.exit_code == 1
    assert "things refers to silver.owners.id" in done.stderr
    assert (sources / "owners").is_dir()


def test_a_contract_is_shown_in_words_as_json_and_for_bigquery() -> None:
    assert "is a UUID" in run("contract", "show", "silver.events_clean").stdout
    assert answer("contract", "show", "gold.fact_orders")["table"] == "gold.fact_orders"
    fields = json.loads(run("contract", "show", "silver.events_clean", "--bigquery").stdout)
    assert {"name": "event_id", "type": "STRING", "mode": "REQUIRED"}.items() <= fields[0].items()
    wrong = run("contract", "show", "silver.event_clean")
    assert wrong.exit_code == 1
    assert "did you mean `silver.events_clean`?" in wrong.stderr


def test_what_can_not_be_compared_is_said() -> None:
    done = run("contract", "check", "--against", "no-such-commit")
    assert done.exit_code == 1
    assert "no-such-commit" in done.stderr

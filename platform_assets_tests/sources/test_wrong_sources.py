"""Wrong source files: each is refused at its line, with what was expected and the nearest right word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from platform_assets.sources.registry import load_folder, load_sources
from platform_assets.sources.yaml_file import SourceError
from platform_assets_tests.lakehouse.bronze_rows import object_schema

RIGHT = """\
source_id: returns
display_name: Returns
description: Parcels that came back.
owner: team:commerce
domain: commerce
ingestion:
  pattern: batch_file
  format: csv
  schedule: "0 3 * * *"
schema:
  file: schema.v1.json
  validation: strict
  evolution: backward_compatible
event_time: returned_at
classification:
  email: pii
silver:
  - table: returns
    kind: events
    key: [return_id]
    partition_column: return_date
    rules:
      - {field: amount, check: positive}
quarantine: {max_ratio: 0.1}
monitoring:
  freshness: {fail_minutes: 1440}
alerts:
  - {name: late, condition: data_age > 2 hours, notification: pagerduty}
"""
SHORT = """\
source_id: returns
pattern: streaming_api
api_endpoint: https://returns.example.com/v1
poll_interval: 60s
"""
SCHEMA = object_schema(
    "return_id",
    "returned_at",
    return_id={"type": "string"},
    returned_at={"type": "string", "format": "date-time"},
    amount={"type": "number"},
    email={"type": "string"},
    pin={"type": "string"},
    lines={"type": "array", "items": object_schema(sku={"type": "string"})},
    words={"type": "array"},
)


def write(folder: Path, text: str, schema: str | None = None) -> Path:
    source = folder / "returns"
    source.mkdir()
    (source / "source.yaml").write_text(text, encoding="utf-8")
    (source / "schema.v1.json").write_text(json.dumps(SCHEMA) if schema is None else schema, encoding="utf-8")
    return source


CASES = [
    # a right file, what is replaced by what, the line, what the error says
    (RIGHT, "domain: commerce", "colour: red", 5, "unknown setting `colour`; expected one of"),
    (RIGHT, "domain: commerce", "domian: commerce", 5, "unknown setting `domian`; did you mean `domain`?"),
    (
        RIGHT,
        "source_id: returns",
        "source_id: Returns",
        1,
        "`source_id`: 'Returns' is not a name: lower-case letters, di",
    ),
    (
        RIGHT,
        "source_id: returns",
        "source_id: parcels",
        1,
        "`source_id` is 'parcels', but the folder is called 'returns'; rename one",
    ),
    (RIGHT, "source_id: returns\n", "", 1, "`source_id` is missing"),
    (RIGHT, "owner: team:commerce", "owner: me", 4, "`owner`: 'me' is not an e-mail address or `team:name`"),
    (RIGHT, "domain: commerce", "domain: My Shop", 5, "`domain`: 'My Shop' is not a name: lower-case letters, digit"),
    (RIGHT, "description: Parcels that came back.", "description: [a, b]", 3, "`description` is a list, expected text"),
    (RIGHT, "pattern: batch_file", "pattern: batch", 7, "`ingestion.pattern` is 'batch', expected one of `batch_file`"),
    (RIGHT, "pattern: batch_file", "pattern: fax", 7, "`ingestion.pattern` is 'fax', expected one of"),
    (RIGHT, "  pattern: batch_file\n", "", 6, "`ingestion.pattern` is missing"),
    (
        RIGHT,
        'ingestion:\n  pattern: batch_file\n  format: csv\n  schedule: "0 3 * * *"\n',
        "ingestion: batch_file\n",
        6,
        "`ingestion` is 'batch_file', expected a mapping, `name: value`",
    ),
    (
        RIGHT,
        "format: csv",
        "format: xlsx",
        8,
        "`ingestion.format` is 'xlsx', expected one of `jsonl`, `json`, `csv`, `parquet`, `avro`",
    ),
    (RIGHT, "format: csv", "formt: csv", 8, "unknown setting `ingestion.formt`; did you mean `format`?"),
    (
        RIGHT,
        'schedule: "0 3 * * *"',
        'schedule: "0 25 * * *"',
        9,
        "`ingestion.schedule`: '0 25 * * *' is no cron expression of ",
    ),
    (
        RIGHT,
        'schedule: "0 3 * * *"',
        "schedule: daily",
        9,
        "`ingestion.schedule`: 'daily' is no cron expression of five ",
    ),
    (
        RIGHT,
        'schedule: "0 3 * * *"',
        'schedule: "0 3 * * * *"',
        9,
        "`ingestion.schedule`: '0 3 * * * *' is no cron expression of",
    ),
    (
        RIGHT,
        "format: csv",
        "location: gs://bucket/folder",
        8,
        "`ingestion.location`: 'gs://bucket/folder' is no folder of a",
    ),
    (
        RIGHT,
        "format: csv",
        "location: s3://bucket/folder/",
        8,
        "`ingestion.location`: 's3://bucket/folder/' is no folder of ",
    ),
    (RIGHT, "format: csv", "poll_interval: 60s", 8, "ingestion.poll_interval means nothing for pattern batch_file"),
    (
        RIGHT,
        "format: csv",
        "csv: {delimiter: ';;'}",
        8,
        "`ingestion.csv.delimiter`: ';;' is not one ASCII character",
    ),
    (
        RIGHT,
        "format: csv",
        "csv: {encoding: ebcdic}",
        8,
        "`ingestion.csv.encoding`: 'ebcdic' is no known encoding; expected one such as utf-8",
    ),
    (
        RIGHT,
        "validation: strict",
        "validation: strikt",
        12,
        "`schema.validation` is 'strikt', expected one of `strict`, `lenient`; did you mean `strict`?",
    ),
    (
        RIGHT,
        "evolution: backward_compatible",
        "evolution: forward",
        13,
        "`schema.evolution` is 'forward', expected one of `backward_compatible`, `additive`, `frozen`",
    ),
    (
        RIGHT,
        "file: schema.v1.json",
        "file: schema.v9.json",
        11,
        "schema.v9.json: there is no such file; `schema.file` is relative to the source's folder",
    ),
    (
        RIGHT,
        "event_time: returned_at",
        "event_time: returned",
        14,
        "`event_time` names 'returned', which is no column of a record; did you mean `returned_at`?",
    ),
    (
        RIGHT,
        "event_time: returned_at",
        "event_time: amount",
        14,
        "`event_time` names 'amount', which is a double; expected a timestamp or a date",
    ),
    (
        RIGHT,
        "event_time: returned_at\n",
        "",
        16,
        "`silver` has a table of kind `events`, which needs `event_time`: what dates a record",
    ),
    (
        RIGHT,
        "email: pii",
        "email: private",
        16,
        "`classification.email` is 'private', expected one of `public`, `pii`, `secret`",
    ),
    (
        RIGHT,
        "email: pii",
        "mail: pii",
        16,
        "classification names 'mail', which the schema does not have; did you mean `email`?",
    ),
    (
        RIGHT,
        "classification:\n  email: pii\n",
        "classification: pii\n",
        15,
        "`classification` is 'pii', expected a mapping, `name: value`",
    ),
    (
        RIGHT,
        "kind: events",
        "kind: event",
        19,
        "`silver.0.kind` is 'event', expected one of `events`, `current_state`, `scd2`; did you mean `events`?",
    ),
    (
        RIGHT,
        "kind: events",
        "kind: current_state",
        21,
        "`silver.0`: returns: `partition_column` belongs to kind `events`, and every such table has one",
    ),
    (RIGHT, "table: returns", "table: Returns!", 18, "`silver.0.table`: 'Returns!' is not a name: lower-case lette"),
    (RIGHT, "key: [return_id]", "key: [return]", 18, "silver.returns: key names 'return', which is no column; colu"),
    (RIGHT, "key: [return_id]", "key: return_id", 20, "`silver.0.key` is 'return_id', expected a list, `[a, b]`"),
    (
        RIGHT,
        "partition_column: return_date",
        "ordering: [nothing]\n    partition_column: return_date",
        18,
        "silver.returns: ordering names 'nothing', which is no column",
    ),
    (
        RIGHT,
        "partition_column: return_date",
        "clustering: [a, b, c, d, e]\n    partition_column: return_date",
        21,
        "`silver.0.clustering` is a list: tuple should have at most 4 items after validation, not 5",
    ),
    (
        RIGHT,
        "partition_column: return_date",
        "clustering: [nothing]\n    partition_column: return_date",
        18,
        "silver.returns: clustering names 'nothing', which is no colu",
    ),
    (
        RIGHT,
        "    partition_column: return_date\n",
        "",
        19,
        "`silver.0`: returns: `partition_column` belongs to kind `events`, and every such table has one",
    ),
    (
        RIGHT,
        "partition_column: return_date",
        "explode: nothing\n    partition_column: return_date",
        18,
        "returns: `explode` names 'nothing', which is no array with `items`",
    ),
    (
        RIGHT,
        "partition_column: return_date",
        "explode: words\n    partition_column: return_date",
        18,
        "returns: `explode` names 'words', which is no array with `items`",
    ),
    (
        RIGHT,
        "partition_column: return_date",
        "keep: [return_id]\n    partition_column: return_date",
        21,
        "`silver.0`: returns: `keep` says what an exploded element keeps, but nothing is exploded",
    ),
    (
        RIGHT,
        "partition_column: return_date",
        "references: {amount: silver.nothing.id}\n    partition_column: return_date",
        21,
        "returns.amount refers to 'silver.nothing.id', which no source has; expected `silver.table.column`",
    ),
    (
        RIGHT,
        "quarantine: {max_ratio: 0.1}",
        "quarantine: {max_ratio: 10}",
        24,
        "`quarantine.max_ratio` is 10: input should be less than or equal to 1",
    ),
    (
        RIGHT,
        "quarantine: {max_ratio: 0.1}",
        "quarantine: {ratio: 0.1}",
        24,
        "unknown setting `quarantine.ratio`; did you mean `max_ratio`?",
    ),
    (
        RIGHT,
        "quarantine: {max_ratio: 0.1}",
        "quarantine: 0.1",
        24,
        "`quarantine` is 0.1, expected a mapping, `name: value`",
    ),
    (
        RIGHT,
        "freshness: {fail_minutes: 1440}",
        "freshness: {fail_minutes: 0}",
        26,
        "`monitoring.freshness.fail_minutes` is 0: input should be greater than or equal to 1",
    ),
    (
        RIGHT,
        "freshness: {fail_minutes: 1440}",
        "freshness: {fail_minutes: soon}",
        26,
        "`monitoring.freshness.fail_minutes` is 'soon', expected a whole number",
    ),
    (
        RIGHT,
        "freshness: {fail_minutes: 1440}",
        "freshness: {warn_minutes: 5}",
        26,
        "`monitoring.freshness.fail_minutes` is missing",
    ),
    (
        RIGHT,
        "freshness: {fail_minutes: 1440}",
        "freshness: {warn_minutes: 10, fail_minutes: 5}",
        26,
        "`monitoring.freshness`: warns after 10 minutes, but fails after 5 already",
    ),
    (
        RIGHT,
        "freshness: {fail_minutes: 1440}",
        "freshness: {fail_minutes: 5}\n  sla_minutes: 5",
        27,
        "`monitoring`: `sla_minutes` and `freshness` say the same; keep one",
    ),
    (
        RIGHT,
        "freshness: {fail_minutes: 1440}",
        "metrics: [record_cout]\n  freshness: {fail_minutes: 5}",
        26,
        "`monitoring.metrics.0` is 'record_cout', expected one of `re",
    ),
    (
        RIGHT,
        "freshness: {fail_minutes: 1440}",
        "alert_email: nobody\n  freshness: {fail_minutes: 5}",
        26,
        "`monitoring.alert_email`: 'nobody' is not an e-mail address",
    ),
    (
        RIGHT,
        "condition: data_age > 2 hours",
        "condition: data_age is old",
        28,
        "`alerts.0`: condition 'data_age is old' is not `metric > bound`, such as `data_age > 2 hours`",
    ),
    (
        RIGHT,
        "condition: data_age > 2 hours",
        "condition: dataage > 2 hours",
        28,
        "`alerts.0`: condition 'dataage > 2 hours' is about none of t",
    ),
    (
        RIGHT,
        "silver:",
        "processing:\n  bronze_to_silver:\n    - deduplication: {key: [return_id]}\nsilver:",
        20,
        "`silver` and `processing.bronze_to_silver` both say what becomes of bronze; keep one",
    ),
    (
        RIGHT,
        "owner: team:commerce",
        "owner: team:commerce\nowner: team:shop",
        5,
        "`owner` is said twice; it stands in line 4 already",
    ),
    (RIGHT, "owner: team:commerce", "owner: 'team:commerce", 29, "not YAML: found unexpected end of stream"),
    (RIGHT, "owner: team:commerce", "owner:\tteam", 4, "`owner`: 'team' is not an e-mail address or `team:name`"),
    (
        RIGHT,
        "ingestion:",
        "pattern: batch_file\ningestion:",
        6,
        "`pattern` stands at the top of the file and in `ingestion` too; keep one of them",
    ),
    (
        RIGHT,
        "silver:\n",
        "retention: 90 days\nsilver:\n",
        17,
        "`retention` is '90 days', expected a mapping, `name: value`",
    ),
    (
        SHORT,
        "poll_interval: 60s",
        "poll_interval: 60",
        4,
        "`ingestion.poll_interval`: 60 is no duration; write a number",
    ),
    (
        SHORT,
        "poll_interval: 60s",
        "poll_interval: 0s",
        4,
        "`ingestion.poll_interval` is '0s': input should be greater than or equal to 1",
    ),
    (
        SHORT,
        "poll_interval: 60s",
        "poll_interval: sixty",
        4,
        "`ingestion.poll_interval`: 'sixty' is no duration; write a n",
    ),
    (
        SHORT,
        "api_endpoint: https://returns.example.com/v1\n",
        "",
        2,
        "ingestion.pattern streaming_api needs ingestion.api_endpoint",
    ),
    (
        SHORT,
        "poll_interval: 60s",
        "auth_type: bearer_token",
        4,
        "ingestion.auth_type bearer_token needs ingestion.secret_name, the name of its secret",
    ),
    (
        SHORT,
        "poll_interval: 60s",
        "auth_type: bearer",
        4,
        "`ingestion.auth_type` is 'bearer', expected one of `none`, `",
    ),
    (
        SHORT,
        "pattern: streaming_api",
        "pattern: event_streaming",
        2,
        "ingestion.pattern event_streaming needs ingestion.topic",
    ),
    (
        SHORT,
        "pattern: streaming_api",
        "pattern: database_cdc",
        2,
        "ingestion.pattern database_cdc needs ingestion.tables",
    ),
    (
        SHORT,
        "poll_interval: 60s",
        "webhook_path: stripe",
        4,
        "`ingestion.webhook_path`: 'stripe' is no path; expected one such as `/webhooks/stripe`",
    ),
    (
        SHORT,
        "poll_interval: 60s",
        "schema_file: schema.v1.json\nschema: {file: schema.v1.json}",
        4,
        "`schema_file` stands at the top of the file and in `schema` too; keep one of them",
    ),
    # How a source is fetched, asked or called
    (RIGHT, "format: csv", "params: {a: 1}", 8, "ingestion.params means nothing for pattern batch_file; it belongs to"),
    (RIGHT, "format: csv", "secret_name: key", 8, "ingestion.secret_name means nothing for pattern batch_file"),
    (
        RIGHT,
        "format: csv",
        "connector: mine.py",
        8,
        "`ingestion.connector`: 'mine.py' names no class; expected `file.py:Class`, beside this file, or `package",
    ),
    (
        RIGHT,
        "format: csv",
        "format: csv\n  connector: mine.py:Mine",
        8,
        "ingestion.format is csv, but what the connector fetches lands as jsonl; leave it out",
    ),
    (RIGHT, "format: csv", "connector: ../mine.py:Mine", 8, "`ingestion.connector`: '../mine.py:Mine' names no class"),
    (
        RIGHT,
        "format: csv",
        "location: gs://bucket/folder/\n  connector: mine.py:Mine",
        8,
        "ingestion.location is where somebody else puts objects, but a connector fetches them",
    ),
    (
        RIGHT,
        "format: csv",
        "connector: mine.py:Mine\n  connector_type: sftp\n  secret_name: x",
        8,
        "ingestion.connector and ingestion.connector_type sftp: keep one of them",
    ),
    (
        RIGHT,
        "format: csv",
        "connector_type: rest_api",
        8,
        "ingestion.connector_type rest_api belongs to pattern streaming_api or rest_snapshot, not to batch_file",
    ),
    (RIGHT, "format: csv", "connector_type: sftp", 8, "ingestion.connector_type sftp needs ingestion.secret_name"),
    (
        RIGHT,
        "format: csv",
        "connector_type: sftp\n  secret_name: bank\n  params: {host: bank.example.com, path: /out}",
        8,
        "ingestion.connector_type sftp needs ingestion.params.username",
    ),
    (
        RIGHT,
        "format: csv",
        "connector_type: database_query\n  secret_name: db\n  params: {query: SELECT 1, cursor_colum: id}",
        8,
        "ingestion.connector_type database_query needs ingestion.params.cursor_column",
    ),
    (
        RIGHT,
        "format: csv",
        "connector_type: database_query\n  secret_name: d\n  params: {query: Q, cursor_column: i, rows_per_objekt: 1}",
        10,
        "ingestion.params.rows_per_objekt means nothing for connector_type database_query; did you mean `rows_per_obj",
    ),
    (
        SHORT,
        "poll_interval: 60s",
        "secret_name: sk_live/abc",
        4,
        "`ingestion.secret_name`: expected the name of a secret, never the secret itself",
    ),
    (
        SHORT,
        "poll_interval: 60s",
        "secret_name: key",
        4,
        "ingestion.secret_name is used for nothing; say ingestion.aut",
    ),
    (
        SHORT,
        "poll_interval: 60s",
        "params: {a: 1}",
        4,
        "ingestion.params are given to ingestion.connector, and there is",
    ),
    (
        SHORT,
        "poll_interval: 60s",
        "connector_type: webhook",
        4,
        "ingestion.connector_type webhook needs ingestion.webh",
    ),
    (
        SHORT,
        "poll_interval: 60s",
        "webhook_signature: stripe",
        4,
        "ingestion.webhook_signature means nothing without ingestion.webhook_path",
    ),
    (
        SHORT,
        "poll_interval: 60s",
        "webhook_path: /webhooks/returns\nwebhook_signature: stripe",
        5,
        "ingestion.webhook_signature stripe needs ingestion.webhook_secret_name, the name of the secret that calls are",
    ),
]


@pytest.mark.parametrize(("right", "old", "new", "line", "expected"), CASES)
def test_a_wrong_file_is_refused_at_its_line_with_what_was_expected(
    tmp_path: Path, right: str, old: str, new: str, line: int, expected: str
) -> None:
    assert old in right
    source = write(tmp_path, right.replace(old, new, 1))
    with pytest.raises(SourceError) as refused:
        load_sources(tmp_path)
    assert f"{source / 'source.yaml'}:{line}: {expected}" in str(refused.value).replace(f"{source}/schema", "schema")


FETCHED = RIGHT.replace("  format: csv\n", "  format: jsonl\n  secret_name: x\n")
FETCHING = [
    "connector: mine.py:Mine\n  params: {a: 1}\n  poll_interval: 5m",
    "connector: package.module:Mine",
    "connector_type: sftp\n  params: {host: h, username: u, path: /p, port: 22, pattern: '*.csv', known_hosts: k}",
    "connector_type: database_query\n  params: {query: SELECT 1 AS id, cursor_column: id}",
]
CALLED = f"{SHORT}webhook_path: /webhooks/returns\nwebhook_signature: github\nwebhook_secret_name: signing\n"


@pytest.mark.parametrize(
    "right",
    [RIGHT, SHORT, CALLED, *(FETCHED.replace("secret_name: x", f"secret_name: x\n  {said}") for said in FETCHING)],
)
def test_the_right_files_are_right(tmp_path: Path, right: str) -> None:
    write(tmp_path, right)
    assert [source.name for source in load_sources(tmp_path)] == ["returns"]


CHECK = "{field: amount, check: positive}"


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        ("{field: amount, check: positve}", "did you mean"),
        ("{field: amout, check: positive}", "amount"),
        ("{field: amount, check: range, mim: 1}", "min"),
        ("{field: amount, check: range, min: one}", "number"),
        ("{field: email, check: positive}", "email"),
        ("{field: amount, check: positive, severity: loud}", "severity"),
        ("{check: compare, field: amount, operator: about, other: amount}", "operator"),
        ('{check: sql, name: x, expression: "amount >"}', "expression"),
        ('{check: sql, name: x, expression: "amont > 1"}', "amont"),
        ('{field: return_id, check: pattern, pattern: "["}', "pattern"),
        ("{field: amount}", "check"),
        ("positive", "check"),
    ],
)
def test_a_wrong_check_is_refused_at_its_line(tmp_path: Path, check: str, expected: str) -> None:
    write(tmp_path, RIGHT.replace(CHECK, check))
    with pytest.raises(SourceError) as refused:
        load_sources(tmp_path)
    assert "source.yaml:23: " in str(refused.value)
    assert expected in str(refused.value)


FIELD = '{"name": "return_id", "type": "STRING", "mode": "REQUIRED"}'


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ('{"fields": [', "schema.v1.json:1: not JSON"),
        ("[]", "schema.v1.json: a schema is a JSON object"),
        ("{}", "schema.v1.json: the schema: expected an object schema with `properties`"),
        ('{"fields": []}', "`fields` is a list of at least one field"),
        ('{"fields": [{"type": "STRING"}]}', "`fields[0]` needs a `name`"),
        (f'{{"fields": [{FIELD}, {FIELD}]}}', "`fields[1]`: field 'return_id' is declared twice"),
        (f'{{"fields": [{FIELD.replace("STRING", "STRNG")}]}}', "`fields[0].type` is 'STRNG', expected one of STRING"),
        (f'{{"fields": [{FIELD.replace("STRING", "STRNG")}]}}', "did you mean `STRING`?"),
        (f'{{"fields": [{FIELD.replace("REQUIRED", "NEEDED")}]}}', "`fields[0].mode` is 'NEEDED', expected one of"),
        (f'{{"fields": [{FIELD.replace("STRING", "RECORD")}]}}', "`fields[0].fields` is a list of at least one field"),
        ('{"properties": {"a": {"type": "string"}, "a": {"type": "integer"}}}', "'a' stands twice in one object"),
        ('{"properties": {"a": {"type": "text"}}}', "a: unknown JSON type 'text'"),
    ],
)
def test_a_wrong_schema_is_refused_with_its_file(tmp_path: Path, schema: str, expected: str) -> None:
    write(tmp_path, SHORT, schema)
    with pytest.raises(SourceError) as refused:
        load_sources(tmp_path)
    assert "schema.v1.json" in str(refused.value)
    assert expected in str(refused.value)


@pytest.mark.parametrize("content", ["", "- a\n", "returns", "\x07: 1\n"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, content: str) -> None:
    write(tmp_path, content)
    with pytest.raises(SourceError, match=r"source\.yaml.*(expected settings|not YAML)"):
        load_sources(tmp_path)


def test_two_sources_cannot_share_a_table(tmp_path: Path) -> None:
    write(tmp_path, RIGHT)
    other = tmp_path / "parcels"
    other.mkdir()
    (other / "source.yaml").write_text(RIGHT.replace("source_id: returns", "source_id: parcels"), encoding="utf-8")
    (other / "schema.v1.json").write_text(json.dumps(SCHEMA), encoding="utf-8")
    with pytest.raises(SourceError, match=r"parcels/source\.yaml: silver\.returns is a table of .*/returns/.* already"):
        load_sources(tmp_path)


def test_a_file_with_another_name_is_told_what_it_should_be_called(tmp_path: Path) -> None:
    folder = write(tmp_path, RIGHT)
    (folder / "source.yaml").rename(folder / "returns.yaml")
    with pytest.raises(SourceError, match=r"returns\.yaml: the file is called `source\.yaml`; rename it"):
        load_folder(folder)

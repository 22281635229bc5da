"""The folder of a new source: it loads as it was written, says why, and holds nothing personal."""

from __future__ import annotations

import codecs
import gzip
import itertools
import json
from pathlib import Path

import pytest
import yaml

from platform_assets.contracts.model import Classification
from platform_assets.operations.onboarding import new
from platform_assets.operations.onboarding.infer import infer
from platform_assets.operations.onboarding.new import TEMPLATES, new_source
from platform_assets.operations.onboarding.sample import SampleError
from platform_assets.sources.contracts import bronze_contract, silver_contract
from platform_assets.sources.model import Kind
from platform_assets.sources.pattern import Pattern
from platform_assets.sources.registry import load_folder, load_source
from platform_assets.sources.yaml_file import SourceError
from platform_assets_tests.operations.onboarding.samples import Record, write_csv, write_lines

ORDERS: list[Record] = [
    {
        "orderId": f"o-{number}",
        "createdAt": f"2026-11-{1 + number % 28:02}T10:00:00Z",
        "updated_at": "2026-11-30T10:00:00Z",
        "amount": number + 0.25,
        "customer": {"email": f"ann{number}@personal.example", "pin": "8452"},
    }
    for number in range(120)
]
KINDS: list[tuple[Pattern, str | None]] = [(pattern, None) for pattern in Pattern]
KINDS += [(pattern, kind) for pattern, kind in TEMPLATES.values() if kind]


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "annabel_export.jsonl", ORDERS)


@pytest.mark.parametrize(("pattern", "connector_type"), KINDS)
def test_every_template_loads_as_it_is_written(tmp_path: Path, pattern: Pattern, connector_type: str | None) -> None:
    written = new_source(tmp_path, "returns", pattern, connector_type=connector_type, owner="team:commerce")
    (source,) = load_folder(written.folder)
    assert source.file.ingestion.pattern is pattern
    assert source.file.owner == "team:commerce"
    (table,) = source.file.silver
    assert silver_contract(source, table).key == ("id",)
    assert [path.name for path in written.files] == ["source.yaml", "schema.v1.json"]
    assert all(path.is_file() for path in written.files)
    assert "# decide" in written.files[0].read_text(encoding="utf-8")
    assert written.next_command == "platform-assets source validate returns"


@pytest.mark.parametrize(("pattern", "connector_type"), KINDS)
def test_every_template_takes_what_a_sample_says(
    tmp_path: Path, sample: Path, pattern: Pattern, connector_type: str | None
) -> None:
    written = new_source(tmp_path / "sources", "orders", pattern, connector_type=connector_type, sample=sample)
    (source,) = load_folder(written.folder)
    assert source.file.classification == {
        "customer.email": Classification.PII,
        "customer.pin": Classification.SECRET,
    }
    (table,) = source.file.silver
    assert table.key == ("order_id",)
    assert table.ordering == ("updated_at",)
    states = pattern in {Pattern.DATABASE_CDC, Pattern.REST_SNAPSHOT}
    assert table.kind is (Kind.CURRENT_STATE if states else Kind.EVENTS)
    assert source.file.event_time == (None if states else "created_at")
    assert "customer" in [column.name for column in bronze_contract(source).columns]
    assert written.next_command == "platform-assets source test orders"


def test_the_source_file_says_why(tmp_path: Path, sample: Path) -> None:
    text = new_source(tmp_path / "sources", "orders", Pattern.BATCH_FILE, sample=sample).files[0].read_text("utf-8")
    assert "file: schema.v1.json # told from all 120 records of a sample" in text
    assert "event_time: created_at # a date or timestamp in every record" in text
    assert "customer.pin: secret # `pin` is what a secret is called" in text
    assert "key: [order_id] # never null and different in each of 120 records" in text


def test_nothing_personal_is_written(tmp_path: Path, sample: Path) -> None:
    written = new_source(tmp_path / "sources", "orders", Pattern.BATCH_FILE, sample=sample)
    excerpt = written.files[2]
    assert excerpt == tmp_path / "sources" / "orders" / "sample" / "orders.jsonl"
    assert len(excerpt.read_text(encoding="utf-8").splitlines()) == 100
    for path in written.files:
        text = path.read_text(encoding="utf-8")
        assert "personal.example" not in text
        assert "8452" not in text
        assert "annabel" not in f"{path.relative_to(tmp_path)}{text}"


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_csv_says_how_it_is_written_and_its_excerpt_is_written_so(tmp_path: Path, delimiter: str) -> None:
    rows = [["id", "Straße", "n"], *([str(number), "Weg", str(number * 2)] for number in range(1, 9))]
    plain = write_csv(tmp_path / "a.csv", rows, delimiter)
    packed = tmp_path / "a.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_text(encoding="utf-8").encode("latin-1")))
    written = new_source(tmp_path / "sources", "ways", Pattern.BATCH_FILE, sample=packed)
    ingestion = load_source(written.folder).file.ingestion
    assert (ingestion.format, ingestion.compression) == ("csv", "gzip")
    assert codecs.lookup(ingestion.csv.encoding) == codecs.lookup("latin-1")
    assert (ingestion.csv.delimiter or ",") == delimiter
    again = infer(written.files[2])
    assert again.sample.csv.encoding == ingestion.csv.encoding
    assert [record["n"] for record in again.sample.records] == [row[2] for row in rows[1:]]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("Web Events", "web_events"), ("2024-orders", "orders"), ("userEvents", "user_events"), ("Größe", "gr_e")],
)
def test_a_wrong_name_is_refused_with_the_nearest_right_one(tmp_path: Path, name: str, nearest: str) -> None:
    with pytest.raises(SourceError, match=f"is no name of a source: .*; `{nearest}` would be one"):
        new_source(tmp_path, name, Pattern.BATCH_FILE)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    written = new_source(tmp_path, "returns", Pattern.BATCH_FILE)
    before = written.files[0].read_bytes()
    with pytest.raises(SourceError, match="returns exists already; choose another name"):
        new_source(tmp_path, "returns", Pattern.REST_SNAPSHOT)
    assert written.files[0].read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"owner": "me"}, "owner: 'me' is not an e-mail address or `team:name`"),
        ({"domain": "My Shop"}, "domain: 'My Shop' is not a name"),
        ({"connector_type": "webhook"}, "connector type webhook belongs to pattern streaming_api, not to batch_file"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_written(
    tmp_path: Path, settings: dict[str, str], said: str
) -> None:
    with pytest.raises(SourceError, match=said):
        new_source(tmp_path, "returns", Pattern.BATCH_FILE, **settings)  # type: ignore[arg-type] # texts all of them
    assert list(tmp_path.iterdir()) == []


def test_an_unusable_sample_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]", encoding="utf-8")
    with pytest.raises(SampleError, match=r"a\.json: "):
        new_source(tmp_path / "sources", "returns", Pattern.BATCH_FILE, sample=tmp_path / "a.json")
    assert not (tmp_path / "sources").exists()


def test_a_database_becomes_a_source_for_each_table(tmp_path: Path) -> None:
    written = new_source(tmp_path, "shop", Pattern.DATABASE_CDC, tables=["orders", "customers"])
    assert [source.name for source in load_folder(written.folder)] == ["shop_orders", "shop_customers"]


def test_records_without_key_and_date_are_all_kept(tmp_path: Path) -> None:
    sample = write_lines(tmp_path / "a.jsonl", [{"value": 1}, {"value": 1}])
    written = new_source(tmp_path / "sources", "values", Pattern.BATCH_FILE, sample=sample)
    (table,) = load_source(written.folder).file.silver
    assert (table.kind, table.key, table.partition_column) == (Kind.EVENTS, (), "arrival_date")


NAUGHTY = [
    "on",
    "a: b",
    "#x",
    "- y",
    "'",
    '"',
    "{}",
    "null",
    "line\nend",
    "tab\t",
    "\x07bell",
    "😀 smile",
    "true",
    "a.b",
]
NAUGHTY += ["\u2028", "%s ${name} $$", "[z]", "&amp", "*star", "!tag", "|", ">", "`tick`", "\\n", "ünder"]


def test_naughty_names_stand_in_the_source_file_as_they_are(tmp_path: Path) -> None:
    records = [{f"{name} email": "ann@personal.example", "id": 1} for name in NAUGHTY[:1]]
    for name, number in zip(NAUGHTY, itertools.count(1), strict=False):
        records[0][f"{name} {number} email"] = "ann@personal.example"
    sample = write_lines(tmp_path / "a.jsonl", records)
    written = new_source(tmp_path / "sources", "naughty", Pattern.BATCH_FILE, sample=sample)
    source = load_source(written.folder)
    assert set(source.file.classification) == {name for name in records[0] if name != "id"}
    assert source.record_schema is not None
    assert list(source.record_schema["properties"]) == list(records[0])


def test_a_source_of_the_repository_names_the_schema_that_editors_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "yaml-language-server" not in new_source(tmp_path, "far", Pattern.BATCH_FILE).files[0].read_text("utf-8")
    checkout = tmp_path / "checkout"
    monkeypatch.setattr(new, "CHECKOUT", checkout)
    monkeypatch.setattr(new, "EDITOR_SCHEMA", checkout / "docs" / "reference" / "source.schema.json")
    written = new_source(checkout / "platform_assets" / "sources", "near", Pattern.BATCH_FILE)
    first = written.files[0].read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=../../../docs/reference/source.schema.json"


def test_real_files_become_sources_that_load(tmp_path: Path, real_data: Path) -> None:
    files = [*(real_data / "stripe_fivetran_seeds").glob("*.csv"), *(real_data / "fakestore").glob("*.json")]
    files += [
        *(real_data / "cdc_datastream_avro").rglob("*.avro"),
        *(real_data / "mds_trips_sharedstreets").glob("*.jsonl"),
    ]
    for number, path in enumerate(files):
        written = new_source(tmp_path, f"source_{number}", Pattern.BATCH_FILE, sample=path)
        source = load_source(written.folder)
        assert source.file.silver
        assert infer(written.files[2]).sample.format is source.file.ingestion.format
    users = json.loads((real_data / "fakestore" / "users.json").read_text(encoding="utf-8"))
    everything = "".join(path.read_text("utf-8") for path in tmp_path.rglob("*") if path.suffix in {".json", ".yaml"})
    assert [user["email"] for user in users if user["email"] in everything] == []
    assert (
        yaml.safe_load((tmp_path / "source_0" / "source.yaml").read_text(encoding="utf-8"))["source_id"] == "source_0"
    )

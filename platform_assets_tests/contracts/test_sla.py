"""What a table promises about time: as it is written, by default, and in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import time, timedelta
from pathlib import Path

import pytest
import yaml

from platform_assets.contracts.dbt_yaml import load_models
from platform_assets.contracts.model import ContractError
from platform_assets.contracts.sla import DEFAULTS, Promise, percent, promises_of, read_sla
from platform_assets.lakehouse import declared
from platform_assets.lakehouse.declared import declared_tables
from platform_assets.settings import CHECKOUT
from platform_assets.sources.model import Source
from platform_assets.sources.registry import load_source
from platform_assets_tests.contracts.test_dbt_yaml import ITEMS
from platform_assets_tests.lakehouse.bronze_rows import object_schema, write_source_files

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SCHEMA = object_schema("id", "at", id={"type": "string"}, at={"type": "string", "format": "date-time"})
EVENTS = [{"table": "things", "kind": "events", "key": ["id"], "partition_column": "day"}]


@pytest.mark.parametrize(
    ("text", "promises"),
    [
        ("{within: 5m}", [Promise(0.999, within=5 * MINUTE)]),
        ("{within: 90s, target: 95%}", [Promise(0.95, within=90 * timedelta(seconds=1))]),
        ('{ready_by: "08:00"}', [Promise(0.999, ready_by=time(8))]),
        ("{ready_by: 08:00}", [Promise(0.999, ready_by=time(8))]),
        ("{ready_by: 10:30}", [Promise(0.999, ready_by=time(10, 30))]),  # YAML reads the number 630
        (
            '{within: 1h, ready_by: "23:59", timezone: Europe/Berlin, target: 100%}',
            [Promise(1, within=HOUR), Promise(1, ready_by=time(23, 59), timezone="Europe/Berlin")],
        ),
        ("none", []),
    ],
)
def test_an_sla_is_read_from_yaml(text: str, promises: list[Promise]) -> None:
    assert list(read_sla(yaml.safe_load(text)).promises) == promises


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "`sla`: an SLA says `within`, `ready_by` or both; to promise nothing, write `none`"),
        ("no SLA", "'no SLA' is no SLA; write `none`, or a mapping such as `{within: 5m, target: 99.9%}`"),
        ("{within: 5}", "`sla.within`: 5 is no duration; write a number and its unit, such as `60s`, `5m` or `6h`"),
        ("{ready_by: 8}", "8 is no time of day"),
        ('{ready_by: "24:00"}', "'24:00' is no time of day; write hours and minutes in quotes, such as `\"08:00\"`"),
        ('{ready_by: "8:00"}', "'8:00' is no time of day"),
        ('{ready_by: "08:00", timezone: Europe/Berln}', "no time zone; did you mean `Europe/Berlin`?"),
        ('{ready_by: "08:00", timezone: Europe}', "'Europe' is no time zone"),
        ('{ready_by: "08:00", timezone: ../etc}', "'../etc' is no time zone; expected an IANA name"),
        ("{within: 5m, timezone: UTC}", "`timezone` belongs to `ready_by`"),
        ("{within: 5m, target: 99.9}", "`sla.target`: 99.9 is no share; write it in percent, such as `99.9%`"),
        ("{within: 5m, target: 101%}", "'101%' is no share"),
        ("{within: 5m, target: 0%}", "'0%' is no share"),
        ("{within: 5m, colour: red}", "`sla.colour`: Extra inputs are not permitted"),
    ],
)
def test_what_is_no_sla_is_refused_in_words(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="sla") as refused:
        read_sla(yaml.safe_load(text))
    assert message in str(refused.value)


def test_every_layer_that_is_promised_anything_has_its_default() -> None:
    assert {layer: promise.in_words for layer, promise in DEFAULTS.items()} == {
        "bronze": "99.9 % within 5 min",
        "gold": "99.9 % ready by 08:00 UTC",
        "mart": "99.9 % ready by 08:00 UTC",
        "feature": "99 % within 1 h",
    }
    assert promises_of("gold", None, dated=False) == promises_of("silver", None, dated=True) == ()
    assert promises_of("gold", read_sla({"ready_by": "06:00"}), dated=False) == (Promise(0.999, ready_by=time(6)),)
    assert promises_of("gold", read_sla("none"), dated=True) == ()


@pytest.mark.parametrize(
    ("share", "words"), [(1.0, "100 %"), (0.99999, "99.99 %"), (0.999, "99.9 %"), (29 / 30, "96.67 %"), (0.0, "0 %")]
)
def test_a_share_is_never_rounded_up_to_all_of_it(share: float, words: str) -> None:
    assert percent(share) == words


def test_the_same_promise_has_one_name() -> None:
    names = [Promise(0.9, within=timedelta(seconds=seconds)).name for seconds in (90, 300, 3600, 5400, 86_400)]
    assert names == ["within 90 s", "within 5 min", "within 1 h", "within 90 min", "within 1 d"]
    assert replace(Promise(0.9, ready_by=time(8)), target=0.5).name == "ready by 08:00 UTC"


def promised(source: Source, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """By table, what is promised."""
    monkeypatch.setattr(declared, "load_sources", lambda: [source])
    tables = declared_tables(Path("no such folder"))
    return {table.name: [promise.in_words for promise in table.sla] for table in tables}


BY_DEFAULT = ["99.9 % within 5 min"]


@pytest.mark.parametrize(
    ("settings", "bronze", "silver"),
    [
        ({}, BY_DEFAULT, []),
        ({"monitoring": {"sla": {"within": "10m"}}}, ["99.9 % within 10 min"], ["99.9 % within 10 min"]),
        ({"monitoring": {"sla": "none"}}, [], []),
        ({"monitoring": {"sla_minutes": 60}}, ["99.9 % within 1 h"], ["99.9 % within 1 h"]),  # S1-87
        ({"monitoring": {"sla_minutes": 60, "sla": "none"}}, [], []),
        (
            {"silver": [EVENTS[0] | {"sla": {"ready_by": "07:00", "target": "99%"}}]},
            BY_DEFAULT,
            ["99 % ready by 07:00 UTC"],
        ),
        (
            {"monitoring": {"sla": {"within": "1m"}}, "silver": [EVENTS[0] | {"sla": "none"}]},
            ["99.9 % within 1 min"],
            [],
        ),
        ({"sla": {"within": "2m"}}, ["99.9 % within 2 min"], ["99.9 % within 2 min"]),  # as in the short form
    ],
)
def test_a_source_says_what_bronze_and_silver_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, object], bronze: list[str], silver: list[str]
) -> None:
    said = {"silver": EVENTS, "event_time": "at", "monitoring": {}, **settings}
    write_source_files(tmp_path / "things", SCHEMA, **said)
    found = promised(load_source(tmp_path / "things"), monkeypatch)
    assert found == {"bronze.things": bronze, "silver.things": silver, "quarantine.things": []}


def test_a_model_says_what_it_promises(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "gold"
    folder.mkdir(parents=True)
    (folder / "items.sql").write_text("select 1 as id")
    for number, (said, promises) in enumerate(
        (("", None), (", sla: none", ()), (", sla: {within: 1h}", (Promise(0.999, within=HOUR),)))
    ):
        (folder / "items.yml").write_text(ITEMS.replace("domain: commerce", f"domain: commerce{said}"))
        load_models.cache_clear()
        (model,) = load_models(tmp_path)
        assert (model.sla and model.sla.promises) == promises, number
    (folder / "items.yml").write_text(ITEMS.replace("domain: commerce", "domain: commerce, sla: {within: soon}"))
    load_models.cache_clear()
    with pytest.raises(ContractError, match=r"items.yml: items: `config.meta`: `sla.within`: 'soon' is no duration"):
        load_models(tmp_path)


def test_dated_gold_and_marts_of_the_project_are_ready_by_eight() -> None:
    tables = declared_tables(CHECKOUT / "dbt_project")
    dated = [table for table in tables if table.contract.layer in {"gold", "mart"} and table.contract.partition_column]
    assert {promise.in_words for table in dated for promise in table.sla} == {"99.9 % ready by 08:00 UTC"}
    assert all(table.sla for table in dated)
    assert not any(table.sla for table in tables if table.contract.layer == "quarantine")

"""Polling a real API into a real topic: what is published, when, under which key, and what is not again (S1-40)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from platform_assets.ingestion import rest
from platform_assets.ingestion.connectors import ConnectorError
from platform_assets.ingestion.connectors.polling import poll, record_key
from platform_assets.ingestion.pubsub import open_publisher, topic_path
from platform_assets.settings import Settings
from platform_assets_tests.broker import create_subscription
from platform_assets_tests.http_api import Answer, HttpApi, http_api, json_answer
from platform_assets_tests.ingestion.connectors.ticks import Ticks, write_source

CHARGES: dict[str, Any] = {
    "type": "object",
    "required": ["id", "created"],
    "properties": {
        "id": {"type": "string"},
        "created": {"type": "string", "format": "date-time"},
        "amount": {"type": "integer"},
        "customer": {"type": "object", "properties": {"number": {"type": "integer"}}},
    },
}


@pytest.fixture
def api() -> Iterator[HttpApi]:
    with http_api() as api:
        yield api


def ticks(settings: Settings, tmp_path: Path, api: HttpApi, **said: Any) -> Ticks:  # noqa: ANN401 - as YAML has it
    given = {"pattern": "streaming_api", "api_endpoint": f"{api.root}/v1/charges", "schema": None, **said}
    schema = given.pop("schema")
    return Ticks(settings, write_source(tmp_path, "charges", schema=schema, **given))


@pytest.fixture
def tick(settings: Settings, tmp_path: Path, api: HttpApi) -> Ticks:
    create_subscription(settings, "charges", "charges-sub")
    return ticks(settings, tmp_path, api, schema=CHARGES)


def charge(number: int, **changes: object) -> dict[str, object]:
    return {"id": f"ch_{number}", "created": "2026-01-01T00:00:00Z", "amount": number, **changes}


def arrived(tick: Ticks) -> list[dict[str, Any]]:
    """The messages that one tick of the arrival sensor lands, in the order of their events."""
    before = tick.landed()
    tick()
    new = [found for found in tick.landed() if found not in before]
    lines = [line for found in new for line in tick.landing.remembered(found)[0].splitlines()]
    return sorted((json.loads(line) for line in lines), key=lambda message: str(message["data"]))


def test_each_record_is_published_once_with_what_tells_its_event(tick: Ticks, api: HttpApi) -> None:
    api.says([charge(1), charge(2)])
    assert poll(tick.source, tick.context()) == 2
    api.says({"data": [charge(3), charge(2), charge(1)]})
    assert poll(tick.source, tick.context()) == 1
    messages = arrived(tick)
    events = sorted((json.loads(message["data"]) for message in messages), key=lambda event: str(event["id"]))
    assert [event["id"] for event in events] == ["ch_1", "ch_2", "ch_3"]
    first = events[0]
    times = [datetime.fromisoformat(first.pop(name)) for name in ("extracted_at", "published_at")]
    assert times == sorted(times)
    assert first == {"event_id": first["event_id"], "event_type": "charges_record", **charge(1)}
    assert {message["attributes"]["event_type"] for message in messages} == {"charges_record"}
    assert {message["attributes"]["event_id"] for message in messages} == {event["event_id"] for event in events}


def test_a_member_of_the_record_stays_as_it_is_whatever_it_is_called(tick: Ticks, api: HttpApi) -> None:
    api.says([charge(1, event_id="theirs", event_type="charge.created", published_at="2020-01-01")])
    poll(tick.source, tick.context())
    (message,) = arrived(tick)
    event = json.loads(message["data"])
    assert (event["event_id"], event["event_type"], event["published_at"]) == ("theirs", "charge.created", "2020-01-01")
    assert message["attributes"]["event_id"] != "theirs"


@pytest.mark.parametrize(
    ("said", "same", "other"),
    [
        ({}, charge(1, amount=9), charge(2)),
        (
            {"processing": {"bronze_to_silver": [{"deduplication": {"key": ["customer_number", "id"]}}]}},
            None,
            charge(1),
        ),
        ({"schema": None}, charge(1), charge(1, amount=9)),
    ],
    ids=["the key alone", "a key of several columns", "no schema: the content"],
)
def test_a_record_is_known_by_the_key_of_its_table_or_by_its_content(
    settings: Settings,
    tmp_path: Path,
    api: HttpApi,
    said: dict[str, Any],
    same: dict[str, object] | None,
    other: dict[str, object],
) -> None:
    source = ticks(settings, tmp_path, api, **{"schema": CHARGES, **said}).source
    first = charge(1, customer={"number": 7})
    same = charge(1, customer={"number": 7}, amount=9) if same is None else {**same, "customer": {"number": 7}}
    if not source.file.silver:
        same = dict(reversed(first.items()))
    assert record_key(source, same) == record_key(source, first)
    assert record_key(source, other) != record_key(source, first)


def test_of_a_table_that_keeps_the_latest_state_a_change_is_published_too(
    settings: Settings, tmp_path: Path, api: HttpApi
) -> None:
    schema = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}, "n": {"type": "integer"}}}
    create_subscription(settings, "charges", "charges-sub")
    tick = ticks(settings, tmp_path, api, schema=schema)
    for answer, published in (([{"id": 1, "n": 1}], 1), ([{"id": 1, "n": 2}], 1), ([{"id": 1, "n": 2}], 0)):
        api.says(answer)
        assert poll(tick.source, tick.context()) == published


def test_a_source_of_many_pages_is_read_on_from_where_the_time_was_up(tick: Ticks, api: HttpApi) -> None:
    def respond(_: str, query: Mapping[str, str]) -> Answer:
        page = int(query.get("page", 0))
        return json_answer({"data": [charge(page)], "next": f"?page={page + 1}" if page < 4 else None})

    api.respond = respond
    assert [poll(tick.source, tick.context(budget=-1)) for _ in range(6)] == [1, 1, 1, 1, 1, 0]
    assert api.asked[-1][0] == "/v1/charges"  # then it begins again
    assert poll(tick.source, tick.context()) == 0


def test_an_address_of_a_page_that_has_expired_is_forgotten(
    tick: Ticks, api: HttpApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "FIRST_WAIT_SECONDS", 0)
    api.says({"data": [charge(1)], "next": "?page=2"})
    poll(tick.source, tick.context(budget=-1))
    api.answers = [(410, {}, b""), json_answer([charge(2)])]
    with pytest.raises(ConnectorError, match=r"charges: .*answered 410 Gone"):
        poll(tick.source, tick.context())
    assert poll(tick.source, tick.context()) == 1


def test_a_source_that_asks_to_be_left_alone_is_left_alone(
    tick: Ticks, api: HttpApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "LONGEST_WAIT_SECONDS", 0)
    api.answers = [(429, {"Retry-After": "600"}, b"")]
    with pytest.raises(ConnectorError, match=r"charges: .*answered 429 Too Many Requests"):
        poll(tick.source, tick.context())
    asked = len(api.asked)
    api.says([charge(1)])
    tick.now += timedelta(seconds=599)
    assert poll(tick.source, tick.context()) == 0
    assert len(api.asked) == asked
    tick.now += timedelta(seconds=2)
    assert poll(tick.source, tick.context()) == 1


def test_the_credential_comes_from_the_secret_and_is_told_nowhere(
    settings: Settings, tmp_path: Path, api: HttpApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    create_subscription(settings, "charges", "charges-sub")
    tick = ticks(settings, tmp_path, api, auth_type="bearer_token", secret_name="stripe-api-key")
    with pytest.raises(
        ConnectorError,
        match=r"charges: No secret 'stripe-api-key': looked for the environment variable "
        r"PLATFORM_SECRET_STRIPE_API_KEY and the file .*/secrets/stripe-api-key\. Set one",
    ):
        poll(tick.source, tick.context())
    monkeypatch.setenv("PLATFORM_SECRET_STRIPE_API_KEY", "hunter2")
    caplog.set_level("DEBUG")
    api.says([charge(1)])
    assert poll(tick.source, tick.context()) == 1
    assert api.asked[0][1]["Authorization"] == "Bearer hunter2"
    api.answers = [(403, {}, b"")]
    with pytest.raises(ConnectorError) as error:
        poll(tick.source, tick.context())
    assert "hunter2" not in f"{error.value}{error.value.__cause__!r}{caplog.text}"


def test_a_connector_of_ones_own_may_fetch_what_is_published(settings: Settings, tmp_path: Path, api: HttpApi) -> None:
    create_subscription(settings, "charges", "charges-sub")
    code = (
        "from datetime import date\n"
        "class Mine:\n"
        "    def fetch(self, since):\n"
        "        yield {'id': 1, 'since': str(since), 'on': date(2026, 1, 2)}\n"
        "        yield {'id': 2, 'skip': True}\n"
        "    def transform(self, record):\n"
        "        return None if 'skip' in record else record\n"
    )
    tick = ticks(settings, tmp_path, api, connector="mine.py:Mine", api_endpoint=None, code=code)
    assert poll(tick.source, tick.context()) == 1
    assert poll(tick.source, tick.context()) == 1  # since another moment it is another record: there is no key
    dates = {json.loads(message["data"])["on"] for message in arrived(tick)}
    assert dates == {"2026-01-02"}
    assert api.asked == []


def test_a_topic_that_does_not_exist_is_told_and_nothing_counts_as_published(
    settings: Settings, tmp_path: Path, api: HttpApi
) -> None:
    tick = ticks(settings, tmp_path, api, schema=CHARGES)
    api.says([charge(1)])
    with pytest.raises(ConnectorError, match=r"charges: There is no topic projects/.*/topics/charges\. Create it"):
        poll(tick.source, tick.context())
    with open_publisher() as publisher:
        publisher.create_topic(name=topic_path(settings, "charges"))
    assert poll(tick.source, tick.context()) == 1


def test_every_charge_of_stripe_s_own_fixtures_arrives(
    settings: Settings, tmp_path: Path, api: HttpApi, real_data: Path
) -> None:
    fixtures = json.loads((real_data / "stripe_fixtures" / "fixtures3.json").read_text(encoding="utf-8"))
    records = [{**record, "id": name} for name, record in fixtures["resources"].items()]
    create_subscription(settings, "charges", "charges-sub")
    tick = ticks(settings, tmp_path, api)

    def respond(_: str, query: Mapping[str, str]) -> Answer:
        names = [record["id"] for record in records]
        start = names.index(query["starting_after"]) + 1 if "starting_after" in query else 0
        return json_answer({"data": records[start : start + 10], "has_more": start + 10 < len(records)})

    api.respond = respond
    assert poll(tick.source, tick.context()) == len(records) == 176
    assert poll(tick.source, tick.context()) == 0
    found = {event["id"]: event for event in (json.loads(message["data"]) for message in arrived(tick))}
    for record in records:
        event = found[record["id"]]
        assert {name: event[name] for name in record} == record

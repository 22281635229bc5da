"""Polling a JSON API: a real HTTP server that answers as it is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from platform_assets.ingestion import rest
from platform_assets.ingestion.landing import Landing
from platform_assets.ingestion.rest import SourceUnavailable, credential_headers, fetch_json, land_snapshot, pages
from platform_assets.settings import Settings, SettingsError
from platform_assets_tests.http_api import Answer, HttpApi, http_api, json_answer

DAY = date(2026, 1, 2)


@pytest.fixture
def api() -> Iterator[HttpApi]:
    with http_api() as api:
        yield api


@pytest.fixture
def url(api: HttpApi) -> str:
    return f"{api.root}/carts?key=hunter2"


@pytest.fixture
def waits() -> list[float]:
    return []


def test_records_come_in_the_order_given(api: HttpApi, url: str) -> None:
    api.says([{"id": 2}, {"id": 1, "price": 109.95, "name": "ü"}])
    assert fetch_json(url) == [{"id": 2}, {"id": 1, "price": 109.95, "name": "ü"}]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_failure_is_tried_again_with_growing_pauses(
    api: HttpApi, url: str, waits: list[float], status: int
) -> None:
    api.answers = [*((status, dict[str, str](), b"") for _ in range(3)), (200, {}, b'[{"id":1}]')]
    assert fetch_json(url, sleep=waits.append) == [{"id": 1}]
    assert [low <= wait <= 2 * low for low, wait in zip((0.5, 1, 2), waits, strict=True)] == [True] * 3


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(api: HttpApi, url: str, waits: list[float], status: int) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=9), usegmt=True)
    answers = [{"Retry-After": "7"}, {"Retry-After": soon}, {"Retry-After": "9999"}, {"Retry-After": "?"}]
    api.answers = [*((status, headers, b"") for headers in answers), (200, {}, b"[]")]
    assert fetch_json(url, sleep=waits.append) == []
    assert waits[0] == 7
    assert 5 <= waits[1] <= 9
    assert waits[2] == 30
    assert 4 <= waits[3] <= 8


def test_failure_that_stays_is_raised_after_the_last_attempt(api: HttpApi, url: str, waits: list[float]) -> None:
    api.answers = [(503, {}, b"")]
    with pytest.raises(SourceUnavailable, match="answered 503 Service Unavailable") as error:
        fetch_json(url, attempts=3, sleep=waits.append)
    assert (len(api.asked), len(waits), error.value.permanent) == (3, 2, False)


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_permanent_failure_is_not_tried_again(api: HttpApi, url: str, waits: list[float], status: int) -> None:
    api.answers = [(status, {}, b"")]
    with pytest.raises(SourceUnavailable, match=str(status)) as error:
        fetch_json(url, sleep=waits.append)
    assert (len(api.asked), waits, error.value.permanent) == (1, [], True)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"<html>", "6 bytes that are not JSON"),
        (b"", "0 bytes that are not JSON"),
        (b"[NaN]", "5 bytes that are not JSON"),
        (b'{"id":1}', "an object"),
        (b"null", "null"),
        (b'[{"id":1},[]]', "an array whose element 2 is an array"),
        (b"[1]", "an array whose element 1 is a number"),
        (b'[{"id":"\xff"}]', "bytes that are not JSON"),
    ],
)
def test_answer_of_another_shape_lands_nothing(
    api: HttpApi, url: str, settings: Settings, body: bytes, what: str
) -> None:
    api.answers = [(200, {}, body)]
    landing = Landing(settings)
    with pytest.raises(SourceUnavailable, match=f"/carts answered .*{what}; expected a JSON array of objects"):
        land_snapshot(landing, "carts", url, DAY)
    assert landing.objects("carts") == []


def test_source_that_is_down_is_named_without_its_key(waits: list[float]) -> None:
    url = "http://me:hunter2@127.0.0.1:1/carts?key=hunter2"
    with pytest.raises(
        SourceUnavailable, match=r"http://127\.0\.0\.1:1/carts cannot be reached: ConnectError"
    ) as error:
        fetch_json(url, attempts=2, sleep=waits.append)
    assert "hunter2" not in str(error.value)
    assert len(waits) == 1
    assert not error.value.permanent


def test_same_answer_on_the_same_day_lands_once(api: HttpApi, url: str, settings: Settings, tmp_path: Path) -> None:
    landing = Landing(settings)
    api.says([{"id": 1, "name": "ü", "price": 109.95}, {"id": 2}])
    first = land_snapshot(landing, "products", url, DAY)
    assert land_snapshot(landing, "products", url, DAY) == first
    assert landing.download([first], tmp_path)[0].read_text(encoding="utf-8") == (
        '{"id":1,"name":"ü","price":109.95}\n{"id":2}\n'
    )
    tomorrow = land_snapshot(landing, "products", url, DAY + timedelta(days=1))
    api.says([{"id": 1}])
    changed = land_snapshot(landing, "products", url, DAY)
    assert landing.objects("products") == sorted([first, changed, tomorrow], key=lambda a: a.name)


# Pages


def ids(url: str, headers: dict[str, str] | None = None) -> list[object]:
    return [record["id"] for record in fetch_json(url, headers=headers, sleep=lambda _: None)]


@pytest.mark.parametrize("name", ["data", "items", "results", "records", "value"])
def test_an_object_may_hold_the_records(api: HttpApi, url: str, name: str) -> None:
    api.says({name: [{"id": 1}], "total": 1, "tags": ["x"]})
    assert ids(url) == [1]


def test_an_object_with_two_lists_of_records_is_not_guessed_at(api: HttpApi, url: str) -> None:
    api.says({"data": [{"id": 1}], "items": []})
    with pytest.raises(SourceUnavailable, match="an object that holds data and items; expected"):
        ids(url)


def test_a_link_header_leads_to_the_next_page(api: HttpApi, url: str) -> None:
    api.answers = [
        json_answer([{"id": 1}], Link='</carts?page=2>; rel="next", </carts?page=9>; rel="last"'),
        json_answer([{"id": 2}], Link='</carts?page=1>; rel="prev"'),
    ]
    assert ids(url) == [1, 2]
    assert [path for path, _ in api.asked] == ["/carts?key=hunter2", "/carts?page=2"]


@pytest.mark.parametrize(
    "told", [{"next": "{}/carts?page=2"}, {"@odata.nextLink": "/carts?page=2"}, {"links": {"next": "?page=2"}}]
)
def test_a_member_that_is_an_address_leads_to_the_next_page(api: HttpApi, url: str, told: dict[str, object]) -> None:
    told = {name: value.format(api.root) if isinstance(value, str) else value for name, value in told.items()}
    api.says({"data": [{"id": 1}], **told}, {"data": [{"id": 2}], "next": None})
    assert ids(url) == [1, 2]
    assert api.asked[1][0] == "/carts?page=2"


def test_has_more_asks_for_what_starts_after_the_last_record(api: HttpApi, url: str) -> None:
    charges = [{"id": f"ch_{number}"} for number in range(7)]

    def respond(_: str, query: Mapping[str, str]) -> Answer:
        after = query.get("starting_after")
        start = 0 if after is None else [charge["id"] for charge in charges].index(after) + 1
        return json_answer({"object": "list", "data": charges[start : start + 3], "has_more": start + 3 < 7})

    api.respond = respond
    assert ids(url) == [charge["id"] for charge in charges]
    assert api.asked[1][0] == "/carts?key=hunter2&starting_after=ch_2"


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ({"next": "http://localhost:1/carts"}, "names a next page on http://localhost:1, another host than its own"),
        ({"next": "?key=hunter2"}, "leads from page 1 back to a page that was read already"),
        ({"has_more": True}, "whose last record has no `id`"),
    ],
)
def test_pages_that_lead_nowhere_are_refused(api: HttpApi, url: str, second: dict[str, object], expected: str) -> None:
    api.says({"data": [{}], **second})
    with pytest.raises(SourceUnavailable, match=expected) as error:
        fetch_json(url)
    assert error.value.permanent
    assert "hunter2" not in str(error.value)


def test_more_pages_than_can_be_had_at_once_land_nothing(
    api: HttpApi, url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "MAX_PAGES", 3)
    api.respond = lambda _, query: json_answer({"data": [], "next": f"?page={int(query.get('page', 0)) + 1}"})
    with pytest.raises(SourceUnavailable, match="has more than 3 pages"):
        land_snapshot(Landing(settings), "carts", url, DAY)
    assert Landing(settings).objects("carts") == []


def test_an_endless_answer_is_cut_off(api: HttpApi, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "MAX_BYTES", 100)
    api.says([{"id": "x" * 200}])
    with pytest.raises(SourceUnavailable, match="answers more than 100 bytes at once"):
        fetch_json(url)


def test_each_page_is_asked_for_with_patience(api: HttpApi, url: str, waits: list[float]) -> None:
    failed: Answer = (503, {}, b"")
    api.answers = [failed, json_answer({"data": [], "next": "?2"}), failed, failed, json_answer({"data": []})]
    assert len(list(pages(url, sleep=waits.append))) == 2
    assert len(waits) == 3


# Credentials


@pytest.mark.parametrize(
    ("auth_type", "secret", "name", "value"),
    [
        ("bearer_token", "sk_1\n", "Authorization", "Bearer sk_1"),
        ("api_key", "k1", "X-API-Key", "k1"),
        ("api_key", "X-Shop-Token: k1", "X-Shop-Token", "k1"),
        ("basic", "me:pass:word", "Authorization", "Basic bWU6cGFzczp3b3Jk"),
    ],
)
def test_a_credential_is_sent_with_every_page(
    api: HttpApi, url: str, auth_type: str, secret: str, name: str, value: str
) -> None:
    api.says({"data": [{"id": 1}], "next": "?page=2"}, [])
    assert ids(url, credential_headers(auth_type, SecretStr(secret))) == [1]
    assert [headers[name] for _, headers in api.asked] == [value, value]


@pytest.mark.parametrize(("auth_type", "secret"), [("basic", "hunter2"), ("api_key", "hunter2\nX: y")])
def test_a_credential_of_another_form_is_refused_without_telling_it(auth_type: str, secret: str) -> None:
    with pytest.raises(SettingsError) as error:
        credential_headers(auth_type, SecretStr(secret))
    assert "hunter2" not in str(error.value)


def test_a_credential_goes_to_no_other_address(api: HttpApi, url: str) -> None:
    with http_api() as other:
        other.says([{"id": 1}])
        api.answers = [(302, {"Location": f"{other.root}/carts"}, b"")]
        assert ids(url) == [1]  # without a credential a redirect is followed
        with pytest.raises(SourceUnavailable, match=r"answered 302 Found.* A credential goes to no other address"):
            fetch_json(url, headers=credential_headers("api_key", SecretStr("hunter2")))
        assert len(other.asked) == 1


def test_a_refused_credential_says_where_to_look(api: HttpApi, url: str) -> None:
    api.answers = [(401, {}, b"")]
    with pytest.raises(SourceUnavailable, match=r"answered 401 Unauthorized.*ingestion.secret_name"):
        fetch_json(url, headers=credential_headers("bearer_token", SecretStr("hunter2")))

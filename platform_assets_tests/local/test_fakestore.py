"""The local FakeStore API as its clients see it: over HTTP, from the process that `platform-assets up` starts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from platform_assets.local.fakestore import COLLECTIONS, write_sample
from platform_assets.local.servers import start_fakestore


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="module")
def server_url(folder: Path) -> Iterator[str]:
    write_sample(folder)
    with start_fakestore(folder, folder.parent / f"{folder.name}.log") as server:
        yield server.url


@pytest.fixture
def shop(folder: Path, server_url: str) -> Iterator[httpx.Client]:
    """A client of the API over an untouched sample."""
    for collection in COLLECTIONS:
        (folder / f"{collection}.json").unlink(missing_ok=True)
    write_sample(folder)
    with httpx.Client(base_url=server_url) as client:
        yield client


def shape(value: object) -> object:
    """A value with every leaf replaced by its type, and a list by the shape of its first item."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])]
    return "number" if isinstance(value, int | float) else type(value).__name__


@pytest.mark.parametrize(("collection", "count"), [("products", 20), ("users", 10), ("carts", 7)])
def test_every_record_is_answered_in_the_list_and_alone(shop: httpx.Client, collection: str, count: int) -> None:
    answer = shop.get(f"/{collection}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    rows = answer.json()
    assert [row["id"] for row in rows] == list(range(1, count + 1))
    assert [shop.get(f"/{collection}/{row['id']}").json() for row in rows] == rows


def test_list_is_the_file_to_the_byte(shop: httpx.Client, folder: Path) -> None:
    content = b'[{"id": 1, "price": 22.30},\n {"id": 2, "price": "9.5", "id": 3}]'
    (folder / "products.json").write_bytes(content)
    assert shop.get("/products").content == content


def test_edited_file_changes_the_next_answer(shop: httpx.Client, folder: Path) -> None:
    products = shop.get("/products").json()
    products[2]["price"] = 1.25
    (folder / "products.json").write_text(json.dumps([*products, {"id": 21, "price": "12.50"}]), encoding="utf-8")
    assert len(shop.get("/products").json()) == 21
    assert shop.get("/products/3").json()["price"] == 1.25
    assert shop.get("/products/21").json() == {"id": 21, "price": "12.50"}


@pytest.mark.parametrize("path", ["/products/21", "/users/0", "/carts/8", "/carts/-1", "/products/first"])
def test_unknown_id_is_not_found(shop: httpx.Client, path: str) -> None:
    answer = shop.get(path)
    assert answer.status_code == 404
    assert repr(path.rsplit("/", 1)[1]) in answer.json()["error"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "users.json is missing"),
        (b"", "users.json is not valid JSON"),
        (b'[{"id": 1}, {"id"', "users.json is not valid JSON"),
        ('[{"id": 1, "name": "Zoë"}]'.encode("latin-1"), "users.json is not valid JSON"),
        (b'{"id": 1}', "users.json holds a JSON dict; expected a list"),
    ],
    ids=["missing", "empty", "cut off", "wrong encoding", "no list"],
)
def test_file_that_cannot_be_served_is_named_and_leaves_the_others_alone(
    shop: httpx.Client, folder: Path, content: bytes | None, complaint: str
) -> None:
    if content is None:
        (folder / "users.json").unlink()
    else:
        (folder / "users.json").write_bytes(content)
    for path in ("/users", "/users/1"):
        answer = shop.get(path)
        assert answer.status_code == 503
        assert complaint in answer.json()["error"]
    assert shop.get("/products").status_code == 200
    health = shop.get("/health")
    assert health.status_code == 200
    assert health.json()["status"] == "degraded"
    assert complaint in health.json()["files"]["users.json"]
    assert health.json()["files"]["products.json"] == "ok"


def test_health_says_that_all_files_can_be_served(shop: httpx.Client) -> None:
    files = {"products.json": "ok", "users.json": "ok", "carts.json": "ok"}
    assert shop.get("/health").json() == {"status": "ok", "files": files}


def test_sample_has_the_shape_of_the_real_api_and_refers_to_itself(tmp_path: Path) -> None:
    write_sample(tmp_path)
    products, users, carts = (json.loads((tmp_path / f"{name}.json").read_bytes()) for name in COLLECTIONS)
    rating = {"rate": "number", "count": "number"}
    texts = dict.fromkeys(("title", "description", "category", "image"), "str")
    assert all(shape(row) == {"id": "number", "price": "number", "rating": rating, **texts} for row in products)
    place = {"geolocation": {"lat": "str", "long": "str"}, "number": "number"}
    address = {**place, **dict.fromkeys(("city", "street", "zipcode"), "str")}
    name = {"firstname": "str", "lastname": "str"}
    texts = dict.fromkeys(("email", "username", "password", "phone"), "str")
    assert all(
        shape(row) == {"address": address, "id": "number", "name": name, "__v": "number", **texts} for row in users
    )
    line = {"productId": "number", "quantity": "number"}
    cart = {"id": "number", "userId": "number", "date": "str", "products": [line], "__v": "number"}
    assert all(shape(row) == cart for row in carts)
    assert all(round(row["price"], 2) == row["price"] > 0 for row in products)
    assert all(re.fullmatch(r"2025-1[012]-\d\dT00:00:00\.000Z", row["date"]) for row in carts)
    assert {row["userId"] for row in carts} <= {row["id"] for row in users}
    for row in carts:
        ordered = [line["productId"] for line in row["products"]]
        assert len(set(ordered)) == len(ordered)
        assert set(ordered) <= {row["id"] for row in products}
        assert all(line["quantity"] >= 1 for line in row["products"])


def test_real_responses_have_the_shape_of_the_sample(real_data: Path, tmp_path: Path) -> None:
    write_sample(tmp_path)
    for collection in COLLECTIONS:
        sample = json.loads((tmp_path / f"{collection}.json").read_bytes())
        real = json.loads((real_data / "fakestore" / f"{collection}.json").read_bytes())
        assert len(real) == len(sample)
        assert [shape(row) for row in real] == [shape(row) for row in sample]


def test_sample_is_the_same_for_a_seed_and_leaves_existing_files_alone(tmp_path: Path) -> None:
    first, second, other = tmp_path / "first", tmp_path / "second", tmp_path / "other"
    second.mkdir()
    (second / "users.json").write_text("mine", encoding="utf-8")
    for folder, seed in ((first, 7), (second, 7), (other, 8)):
        write_sample(folder, seed)
    write_sample(first, 9)
    for collection in ("products.json", "carts.json"):
        assert (second / collection).read_bytes() == (first / collection).read_bytes()
        assert (other / collection).read_bytes() != (first / collection).read_bytes()
    assert (second / "users.json").read_text(encoding="utf-8") == "mine"
    assert sorted(path.name for path in first.iterdir()) == ["carts.json", "products.json", "users.json"]

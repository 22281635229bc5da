"""A stand-in for the FakeStore API: the shop's files over HTTP, and an invented sample of them.

It answers as https://fakestoreapi.com does for products, users and carts; it holds no data of its own. Run it with
`python -m platform_assets.local.fakestore --data-dir DIR --port N`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

COLLECTIONS = ("products", "users", "carts")

_FIRST_CART_DAY = date(2025, 10, 1)
_CART_DAYS = 92  # until 31 December 2025: fixed, so that a sample written later holds the same carts
_GOODS = {
    "kitchen": ("Enamel Kettle", "Walnut Board", "Copper Whisk", "Stoneware Bowl", "Linen Apron"),
    "garden": ("Watering Can", "Pruning Shears", "Bamboo Trellis", "Seed Tray", "Rain Gauge"),
    "office": ("Desk Lamp", "Paper Tray", "Ink Set", "Cork Notebook", "Page Holder"),
    "travel": ("Canvas Duffel", "Packing Cube", "Wool Blanket", "Tin Flask", "Folding Stool"),
}
_MAKERS = ("Aldern", "Brightwick", "Corvane", "Dunmarrow", "Eastholm")
_FIRST_NAMES = ("ada", "bruno", "celia", "dorian", "edda", "felix", "greta", "hugo", "imke", "jonas")
_LAST_NAMES = ("abelard", "brookes", "carrow", "dunmore", "ellwood", "farrow", "garnet", "holloway", "ivers", "juniper")
_CITIES = ("Alderford", "Brackenby", "Coldwater Bay", "Dunstead", "Elmsworth")
_STREETS = ("mill lane", "harbour row", "orchard way", "foundry street", "quarry road")


class DataFileError(RuntimeError):
    """A file of the shop is missing or is no JSON list; the message names the file and says what is wrong."""


def create_app(data_dir: Path) -> Starlette:
    """The API over `data_dir`/products.json, users.json and carts.json (the issue's local FakeStore, S3-01).

    A list is answered with the file's own bytes and an item is looked up by its `id`. The file is read at every
    request, so an edited file changes the next answer. A missing or broken file answers 503 with the file's name, an
    unknown id 404. `/health` answers 200 as long as the server runs, and says of each file whether it can be served.
    """
    routes = [Route("/health", _health(data_dir))]
    for collection in COLLECTIONS:
        path = data_dir / f"{collection}.json"
        routes.append(Route(f"/{collection}", _listing(path)))
        routes.append(Route(f"/{collection}/{{item_id}}", _item(collection, path)))
    return Starlette(routes=routes, exception_handlers={DataFileError: _unavailable})


def write_sample(directory: Path, seed: int = 7) -> None:
    """Write an invented shop: 20 products, 10 users and 7 carts in the shape of the real API, the same for one seed.

    A file that exists is left alone, so a shop that was edited by hand stays edited.
    """
    directory.mkdir(parents=True, exist_ok=True)
    makers: dict[str, Callable[[random.Random], list[dict[str, object]]]] = {
        "products": _sample_products,
        "users": _sample_users,
        "carts": _sample_carts,
    }
    for collection, make in makers.items():
        target = directory / f"{collection}.json"
        if target.exists():
            continue
        # One stream of numbers per file: what stands in one does not depend on whether another had to be written.
        rows = make(random.Random(f"{seed}:{collection}"))  # noqa: S311 - an invented shop holds no secrets
        partial = directory / f".{target.name}.{os.getpid()}.partial"
        partial.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        partial.replace(target)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve a folder until interrupted; prints the address once connections are accepted. Port 0 takes a free one."""
    parser = argparse.ArgumentParser(prog="python -m platform_assets.local.fakestore", description=main.__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of products.json, users.json, carts.json")
    parser.add_argument("--port", type=int, required=True, help="port to listen on; 0 for a free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    options = parser.parse_args(arguments)

    import uvicorn

    app = create_app(options.data_dir)
    config = uvicorn.Config(app, host=options.host, port=options.port, log_level="warning")
    listener = config.bind_socket()
    # Listening before the address is printed: whoever reads the line can connect, and waits in the backlog if early.
    listener.listen(config.backlog)
    print(f"FakeStore API on http://{options.host}:{listener.getsockname()[1]}", flush=True)  # noqa: T201 - a server's greeting
    uvicorn.Server(config).run(sockets=[listener])


def _read(path: Path) -> tuple[bytes, list[object]]:
    try:
        content = path.read_bytes()
        rows = json.loads(content.decode("utf-8"))
    except FileNotFoundError:
        raise DataFileError(f"{path.name} is missing from the data folder {path.parent}") from None
    except OSError as error:
        raise DataFileError(f"{path.name} cannot be read: {error.strerror}") from error
    except ValueError as error:  # not UTF-8, or not JSON
        raise DataFileError(f"{path.name} is not valid JSON: {error}") from error
    if not isinstance(rows, list):
        raise DataFileError(f"{path.name} holds a JSON {type(rows).__name__}; expected a list of records")
    return content, rows


def _listing(path: Path) -> Callable[[Request], Response]:
    def listing(_: Request) -> Response:
        # The bytes as they are: a price written as 22.30, or as a string, arrives as it was written.
        return Response(_read(path)[0], media_type="application/json")

    return listing


def _item(collection: str, path: Path) -> Callable[[Request], Response]:
    def item(request: Request) -> Response:
        wanted = request.path_params["item_id"]
        for row in _read(path)[1]:
            if isinstance(row, dict) and str(row.get("id")) == wanted:
                return JSONResponse(row)
        return JSONResponse({"error": f"there is no {collection.removesuffix('s')} with id {wanted!r}"}, 404)

    return item


def _health(data_dir: Path) -> Callable[[Request], Response]:
    def state(path: Path) -> str:
        try:
            _read(path)
        except DataFileError as error:
            return str(error)
        return "ok"

    def health(_: Request) -> Response:
        files = {f"{collection}.json": state(data_dir / f"{collection}.json") for collection in COLLECTIONS}
        served = all(answer == "ok" for answer in files.values())
        return JSONResponse({"status": "ok" if served else "degraded", "files": files})

    return health


def _unavailable(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 503)


def _sample_products(draw: random.Random) -> list[dict[str, object]]:
    goods = [(category, name) for category, names in _GOODS.items() for name in names]
    products: list[dict[str, object]] = []
    for number, (category, name) in enumerate(goods, start=1):
        maker = draw.choice(_MAKERS)
        products.append(
            {
                "id": number,
                "title": f"{maker} {name}",
                "price": draw.randrange(495, 39_900) / 100,
                "description": f"{name} of the {maker} workshop, for {category} use. Made to be repaired.",
                "category": category,
                "image": f"https://shop.example/images/{name.lower().replace(' ', '-')}.png",
                "rating": {"rate": draw.randrange(15, 50) / 10, "count": draw.randrange(40, 600)},
            }
        )
    return products


def _sample_users(draw: random.Random) -> list[dict[str, object]]:
    users: list[dict[str, object]] = []
    for number, (first, last) in enumerate(zip(_FIRST_NAMES, draw.sample(_LAST_NAMES, 10), strict=True), start=1):
        users.append(
            {
                "address": {
                    "geolocation": {
                        "lat": f"{draw.uniform(-60, 60):.4f}",
                        "long": f"{draw.uniform(-180, 180):.4f}",
                    },
                    "city": draw.choice(_CITIES),
                    "street": draw.choice(_STREETS),
                    "number": draw.randrange(1, 9_999),
                    "zipcode": f"{draw.randrange(10_000, 99_999)}-{draw.randrange(1_000, 9_999)}",
                },
                "id": number,
                "email": f"{first}.{last}@example.com",
                "username": f"{first}{last[0]}",
                "password": "".join(draw.choices("abcdefghkmnpqrstuvwxyz23456789_#", k=9)),
                "name": {"firstname": first, "lastname": last},
                "phone": f"1-{draw.randrange(200, 999)}-555-01{draw.randrange(100):02d}",
                "__v": 0,
            }
        )
    return users


def _sample_carts(draw: random.Random) -> list[dict[str, object]]:
    carts: list[dict[str, object]] = []
    for number in range(1, 8):
        day = _FIRST_CART_DAY + timedelta(days=draw.randrange(_CART_DAYS))
        wanted = draw.sample(range(1, 21), draw.randrange(1, 5))
        carts.append(
            {
                "id": number,
                "userId": draw.randrange(1, 11),
                "date": f"{day.isoformat()}T00:00:00.000Z",
                "products": [{"productId": product, "quantity": draw.randrange(1, 7)} for product in wanted],
                "__v": 0,
            }
        )
    return carts


if __name__ == "__main__":
    main()

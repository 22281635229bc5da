"""Deciding about quarantined rows: what is listed and shown, what is refused, and what is never told (S0-55, I7)."""

from __future__ import annotations

import gzip
import json
import logging
import re
import shlex
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from platform_assets.cli.quarantine import quarantine_app
from platform_assets.ingestion.landing import Landing
from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.decisions import DECISIONS, Decision, Outcome, record
from platform_assets.operations.fixed_record import parse_change
from platform_assets.operations.quarantine import NotThrough, discard, not_through
from platform_assets.operations.quarantined_rows import OpenRows, QuarantineError, open_rows
from platform_assets.operations.release import Released, release
from platform_assets.settings import CHECKOUT, Settings
from platform_assets_tests.arrivals import drop, json_lines, remove
from platform_assets_tests.graph_runner import GraphRunner

DAY = "2026-03-10"
PRODUCTS, USERS = "fakestore_products", "fakestore_users"
CLEAR = {"email": "grace hopper at example", "username": "amazing.grace", "phone": "555-0199", "password": "c0b0l!59"}


@pytest.fixture
def graph(settings: Settings, tmp_path: Path) -> GraphRunner:
    return GraphRunner(settings, dg.DagsterInstance.ephemeral(str(tmp_path)))


def _product(number: int, **changes: object) -> dict[str, object]:
    return {"id": number, "title": f"Thing {number}", "price": 9.5, "category": "things", **changes}


def _arrive(graph: GraphRunner, source: str, content: bytes, file_name: str = "a.jsonl", day: str = DAY) -> str:
    """An object lands and goes as far as silver."""
    uri = drop(graph.settings, source, day, file_name, content)
    assert graph.run([f"bronze/{source}"], day).success
    assert graph.run([f"silver/{source}", f"quarantine/{source}"]).success
    return uri


def _list(graph: GraphRunner) -> NotThrough:
    return not_through(Lakehouse(graph.settings), Landing(graph.settings))


def _open(graph: GraphRunner, table: str, **options: Any) -> OpenRows:  # noqa: ANN401 - those of `open_rows`
    return open_rows(Lakehouse(graph.settings), table, **options)


def _release(
    graph: GraphRunner,
    table: str,
    *row_ids: str,
    **options: Any,  # noqa: ANN401 - those of `release`
) -> list[Released]:
    given = {"by": "ada", "why": "the shop said so", **options}
    return release(Lakehouse(graph.settings), Landing(graph.settings), table, row_ids, **given)


def _discard(graph: GraphRunner, table: str, *row_ids: str) -> list[Decision]:
    return discard(Lakehouse(graph.settings), table, row_ids, by="ada", why="a test of the shop")


def _changes(*changes: str) -> dict[str, Any]:
    return {"changes": [parse_change(change) for change in changes]}


def _released_objects(graph: GraphRunner, source: str) -> list[str]:
    return [o.uri for o in Landing(graph.settings).objects(source) if o.file_name.startswith("released-")]


def _run_released(graph: GraphRunner, source: str) -> dg.ExecuteInProcessResult:
    """What landed today goes as far as silver."""
    assert graph.run([f"bronze/{source}"], datetime.now(UTC).date().isoformat()).success
    return graph.run([f"silver/{source}", f"quarantine/{source}"])


def _quarantine_check(result: dg.ExecuteInProcessResult) -> tuple[bool, int, int]:
    (check,) = [e for e in result.get_asset_check_evaluations() if e.check_name == "quarantine"]
    opened, decided = check.metadata["rows_open"].value, check.metadata["rows_decided"].value
    assert isinstance(opened, int)
    assert isinstance(decided, int)
    return check.passed, opened, decided


def test_the_list_counts_what_is_open_by_rule_and_what_could_not_even_be_read(graph: GraphRunner) -> None:
    assert _list(graph) == NotThrough((), ())
    rows = [_product(1), _product(2, price="9.5"), _product(3, price=-1), _product(4, price="x", title=None)]
    _arrive(graph, PRODUCTS, json_lines(rows) + b"no JSON\nnor this\n")

    found = _list(graph)

    (letters,) = found.dead_letters
    assert letters.as_json() == {"source": PRODUCTS, "arrival_date": DAY, "objects": 1, "letters": 2}
    (table,) = found.quarantined
    assert (table.table, table.partition) == (f"quarantine.{PRODUCTS}", None)
    assert (table.open_rows, table.released, table.discarded) == (3, 0, 0)
    assert table.broken_rules == {"price.type": 2, "price.minimum": 1, "title.not_null": 1}
    assert next(iter(table.broken_rules)) == "price.type"
    (oldest,) = graph.ask(f"select min(_landed_at) from quarantine.{PRODUCTS}")[0]
    assert table.oldest_arrival == oldest


def test_rows_are_shown_with_their_origin_and_the_same_name_after_every_rebuild(graph: GraphRunner) -> None:
    uri = _arrive(graph, PRODUCTS, json_lines([_product(1), _product(2, price="9.5"), _product(3, price=-1)]))

    first = _open(graph, PRODUCTS)
    assert [(row.landing_uri, row.row_number, row.broken_rules) for row in first.rows] == [
        (uri, 2, ("price.type",)),
        (uri, 3, ("price.minimum",)),
    ]
    assert first.rows[0].values["price"] == '"9.5"'
    assert all(re.fullmatch("[0-9a-f]{16}", row.row_id) for row in first.rows)
    assert graph.run([f"bronze/{PRODUCTS}"], DAY).success
    assert graph.run([f"silver/{PRODUCTS}", f"quarantine/{PRODUCTS}"]).success
    assert _open(graph, f"quarantine.{PRODUCTS}") == first
    assert _open(graph, PRODUCTS, rule="price.minimum").rows == first.rows[1:]
    limited = _open(graph, PRODUCTS, limit=1)
    assert (limited.total, limited.rows) == (2, first.rows[:1])


def test_a_row_with_a_price_that_is_a_text_is_released_and_is_silver(graph: GraphRunner) -> None:
    _arrive(graph, PRODUCTS, json_lines([_product(1), _product(2, price="9.5", extra={"kept": 1})]))
    (row,) = _open(graph, PRODUCTS).rows

    (released,) = _release(graph, PRODUCTS, row.row_id, **_changes("price=9.50"))

    assert released.row_ids == (row.row_id,)
    assert released.new
    today = datetime.now(UTC).date().isoformat()
    assert released.landing_uri.startswith(
        f"gs://{graph.settings.landing_bucket}/source={PRODUCTS}/date={today}/released-"
    )
    (arrival,) = [o for o in Landing(graph.settings).objects(PRODUCTS) if o.uri == released.landing_uri]
    (path,) = Landing(graph.settings).download([arrival], graph.settings.home)
    # Numbers are as they were written, members that are no field of the schema are still there.
    assert '"price":9.50' in path.read_text()
    assert json.loads(path.read_text()) == _product(2, extra={"kept": 1})
    assert _open(graph, PRODUCTS).total == 0
    assert _quarantine_check(_run_released(graph, PRODUCTS)) == (True, 0, 1)
    assert graph.ask(f"select id, price::double from silver.{PRODUCTS} order by id") == [(1, 9.5), (2, 9.5)]
    (table,) = _list(graph).quarantined
    assert (table.open_rows, table.released, table.oldest_arrival) == (0, 1, None)
    assert graph.ask(
        f"select row_id, silver_table, row_number, decision, decided_by, why, changed, released_uri from {DECISIONS}"
    ) == [(row.row_id, PRODUCTS, 2, "released", "ada", "the shop said so", "price", released.landing_uri)]


def test_a_rebuild_does_not_know_of_decisions(graph: GraphRunner) -> None:
    _arrive(graph, PRODUCTS, json_lines([_product(1), _product(2, price=-1)]))
    before = graph.ask(f"select * from quarantine.{PRODUCTS}")
    _discard(graph, PRODUCTS, _open(graph, PRODUCTS).rows[0].row_id)

    assert graph.run([f"silver/{PRODUCTS}", f"quarantine/{PRODUCTS}"]).success

    assert graph.ask(f"select * from quarantine.{PRODUCTS}") == before


def test_the_same_release_twice_lands_once_and_keeps_the_first_decision(graph: GraphRunner) -> None:
    _arrive(graph, PRODUCTS, json_lines([_product(2, price=-1)]))
    (row,) = _open(graph, PRODUCTS).rows
    (first,) = _release(graph, PRODUCTS, row.row_id, **_changes("price=1"))
    assert _run_released(graph, PRODUCTS).success

    (second,) = _release(graph, PRODUCTS, row.row_id, **_changes("price=1"), by="bob", why="again")

    assert (second.landing_uri, second.new) == (first.landing_uri, False)
    assert _released_objects(graph, PRODUCTS) == [first.landing_uri]
    assert graph.ask(f"select decided_by from {DECISIONS}") == [("ada",)]
    with pytest.raises(
        QuarantineError, match=r"was released by ada on .* \(the shop said so\), with other values: gs://"
    ):
        _release(graph, PRODUCTS, row.row_id, **_changes("price=2"))
    with pytest.raises(QuarantineError, match=r"was released by ada .* cannot be discarded any more"):
        _discard(graph, PRODUCTS, row.row_id)


def test_a_release_of_another_day_finds_what_an_unfinished_one_landed(graph: GraphRunner) -> None:
    _arrive(graph, PRODUCTS, json_lines([_product(2, price=-1)]))
    (row,) = _open(graph, PRODUCTS).rows
    (released,) = _release(graph, PRODUCTS, row.row_id, **_changes("price=1"))
    # As if it had landed on a later day and had been killed before it was recorded.
    (arrival,) = [o for o in Landing(graph.settings).objects(PRODUCTS) if o.uri == released.landing_uri]
    (path,) = Landing(graph.settings).download([arrival], graph.settings.home)
    remove(graph.settings, released.landing_uri)
    later = drop(graph.settings, PRODUCTS, date(2099, 1, 1), arrival.file_name, path.read_bytes())
    Lakehouse(graph.settings).catalog.drop_table(DECISIONS)

    (again,) = _release(graph, PRODUCTS, row.row_id, **_changes("price=1"))

    assert (again.landing_uri, again.new) == (later, True)
    assert _released_objects(graph, PRODUCTS) == [later]


def test_a_discarded_row_is_not_open_and_turns_the_check_green(graph: GraphRunner) -> None:
    _arrive(graph, PRODUCTS, json_lines([_product(1), _product(2, price=-1), _product(3, price=-1)]))
    first, second = _open(graph, PRODUCTS).rows

    (decision,) = _discard(graph, PRODUCTS, first.row_id)
    assert (decision.outcome, decision.row_id) == (Outcome.DISCARDED, first.row_id)
    assert _discard(graph, PRODUCTS, first.row_id) == []

    assert [row.row_id for row in _open(graph, PRODUCTS).rows] == [second.row_id]
    (table,) = _list(graph).quarantined
    assert (table.open_rows, table.discarded, table.broken_rules) == (1, 1, {"price.minimum": 1})
    silver = [f"silver/{PRODUCTS}", f"quarantine/{PRODUCTS}"]
    assert _quarantine_check(graph.run(silver)) == (False, 1, 1)
    _discard(graph, PRODUCTS, first.row_id, second.row_id)
    assert _quarantine_check(graph.run(silver)) == (True, 0, 2)
    assert graph.ask(f"select count(*) from {DECISIONS}") == [(2,)]
    # Who finds that there was something in it after all can still release it.
    assert _release(graph, PRODUCTS, first.row_id, **_changes("price=1"))[0].new
    (table,) = _list(graph).quarantined
    assert (table.released, table.discarded) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (("price=-2",), r"would be quarantined again, changed like this \(silver.fakestore_products: price.minimum\)"),
        (("price=",), "price.type"),
        (("id=1.5", "price=1"), r"silver.fakestore_products: id.type"),
        (
            (),
            r"would break the contract again as it is \(silver.fakestore_products: price.minimum\); say what to change",
        ),
        (("prize=1",), "the source has no field 'prize'; did you mean `price`?"),
        (("price.cents=1",), "price is a single value, so it has no 'cents'"),
        (("title[0]=x",), "title is a single value, so it has no 0"),
    ],
)
def test_what_would_not_get_through_is_refused_and_nothing_lands(
    graph: GraphRunner, changes: tuple[str, ...], says: str
) -> None:
    _arrive(graph, PRODUCTS, json_lines([_product(1), _product(2, price=-1)]))
    (row,) = _open(graph, PRODUCTS).rows
    with pytest.raises(QuarantineError, match=says):
        _release(graph, PRODUCTS, row.row_id, **_changes(*changes))
    assert _released_objects(graph, PRODUCTS) == []
    assert Lakehouse(graph.settings).find(DECISIONS) is None


def test_all_open_rows_of_a_rule_are_discarded_at_once(graph: GraphRunner) -> None:
    rows = [_product(n, price=-1) for n in range(1, 5)] + [_product(5, price=-1, title=None), _product(6, title=None)]
    _arrive(graph, PRODUCTS, json_lines(rows))

    def run(*options: str, code: int = 0) -> str:
        result = CliRunner().invoke(quarantine_app, ["discard", PRODUCTS, "--why", "a price list of tests", *options])
        assert result.exit_code == code, result.output
        return result.output

    assert "Which rows? Name them, or say --partition or --rule" in run(code=1)
    assert "not both" in run("0123456789abcdef", "--rule", "price.minimum", code=2)
    assert "5 rows discarded\n" in run("--rule", "price.minimum")
    (left,) = _open(graph, PRODUCTS).rows
    assert left.broken_rules == ("title.not_null",)
    assert "No open row of quarantine.fakestore_products breaks 'price.minimum'" in run(
        "--rule", "price.minimum", code=1
    )


def test_if_one_of_several_records_would_not_get_through_none_lands(graph: GraphRunner) -> None:
    _arrive(graph, PRODUCTS, json_lines([_product(2, price=-1), _product(3, title=None)]))
    first, second = _open(graph, PRODUCTS).rows
    with pytest.raises(QuarantineError, match=f"row {second.row_id} .*title.not_null"):
        _release(graph, PRODUCTS, first.row_id, second.row_id, **_changes("price=1"))
    assert _released_objects(graph, PRODUCTS) == []
    released = _release(graph, PRODUCTS, first.row_id, second.row_id, **_changes("price=1", "title=Thing"))
    assert [one.row_ids for one in released] == [(first.row_id,), (second.row_id,)]
    assert len(set(_released_objects(graph, PRODUCTS))) == 2


def test_a_row_that_would_pass_as_it_is_needs_a_rebuild_whose_command_is_told_and_works(
    graph: GraphRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A line of a cart comes before its product, and nobody was there to rebuild its date when that came.
    cart = {
        "event_id": "00000000-0000-4000-8000-000000000001",
        "event_type": "cart_created",
        "cart_id": 1,
        "user_id": 1,
        "published_at": f"{DAY}T12:00:00Z",
        "cart_date": f"{DAY}T12:00:00Z",
        "products": [{"product_id": 7, "quantity": 1}],
    }
    drop(graph.settings, "fakestore_carts", DAY, "a.jsonl", json_lines([{"data": json.dumps(cart)}]))
    assert graph.run(["bronze/fakestore_carts"], DAY).success
    assert graph.run(["silver/fakestore_cart_lines", "quarantine/fakestore_cart_lines"], DAY).success
    user = {"id": 1, "email": "ada@example.com", "username": "ada", "password": "hidden"}
    _arrive(graph, USERS, json_lines([user]))
    _arrive(graph, PRODUCTS, json_lines([_product(7)]))
    (row,) = _open(graph, "fakestore_cart_lines", partition=date.fromisoformat(DAY)).rows

    with pytest.raises(QuarantineError, match="would pass as it is now") as refused:
        _release(graph, "fakestore_cart_lines", row.row_id)

    command = str(refused.value).splitlines()[-1]
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("dagster")), *shlex.split(command)[1:]],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert graph.ask("select count(*) from silver.fakestore_cart_lines") == [(1,)]
    assert _open(graph, "fakestore_cart_lines").total == 0


def test_an_older_record_does_not_take_the_place_of_a_later_one_of_its_key(graph: GraphRunner) -> None:
    _arrive(graph, PRODUCTS, json_lines([_product(2, price=-1)]), "a.jsonl")
    _arrive(graph, PRODUCTS, json_lines([_product(2, price=3)]), "b.jsonl")
    (row,) = _open(graph, PRODUCTS).rows
    with pytest.raises(QuarantineError, match=r"older than a record of the same key in silver.fakestore_products"):
        _release(graph, PRODUCTS, row.row_id, **_changes("price=1"))
    assert _release(graph, PRODUCTS, row.row_id, **_changes("price=1", "id=3"))[0].new


@pytest.mark.parametrize("table", [PRODUCTS, "silver.fakestore_products"])
def test_what_does_not_exist_is_told_with_what_does(graph: GraphRunner, table: str) -> None:
    with pytest.raises(QuarantineError, match="no quarantine table 'fakestore_produkts': nothing was published yet"):
        _open(graph, "fakestore_produkts")
    _arrive(graph, PRODUCTS, json_lines([_product(1), _product(2, price=-1)]))
    with pytest.raises(QuarantineError, match=r"'fakestore_produkts'; did you mean `fakestore_products`\?"):
        _open(graph, "fakestore_produkts")
    with pytest.raises(QuarantineError, match=r"breaks 'price.minimun'; did you mean `price.minimum`\?"):
        _open(graph, table, rule="price.minimun")
    with pytest.raises(QuarantineError, match="one whole table, without partitions"):
        _open(graph, table, partition=date(2026, 3, 10))
    for decide in (_release, _discard):
        with pytest.raises(
            QuarantineError, match=r"has no row '0123456789abcdef'; .*quarantine show fakestore_products"
        ):
            decide(graph, table, "0123456789abcdef")
        with pytest.raises(QuarantineError, match=r"Which rows\?"):
            decide(graph, table)
    with pytest.raises(QuarantineError, match="--why is empty"):
        _release(graph, table, "0123456789abcdef", why=" ")


def test_a_record_of_a_gzip_object_with_bad_and_blank_lines_is_the_right_one(graph: GraphRunner) -> None:
    lines = [b"\xef\xbb\xbf", json_lines([_product(1)]), b"no JSON\n", b" \t\n", json_lines([_product(2, price=-1)])]
    _arrive(graph, PRODUCTS, gzip.compress(b"".join(lines)), "a.jsonl.gz")
    (row,) = _open(graph, PRODUCTS).rows
    assert row.row_number == 3
    _release(graph, PRODUCTS, row.row_id, **_changes("price=1"))
    assert _run_released(graph, PRODUCTS).success
    assert graph.ask(f"select id, title from silver.{PRODUCTS} order by id") == [(1, "Thing 1"), (2, "Thing 2")]


def test_a_record_whose_object_is_gone_can_only_be_given_whole(graph: GraphRunner) -> None:
    uri = _arrive(graph, PRODUCTS, json_lines([_product(2, price=-1)]))
    (row,) = _open(graph, PRODUCTS).rows
    remove(graph.settings, uri)
    with pytest.raises(
        QuarantineError, match=r"cannot be taken from landing again: gs://.* was overwritten or deleted"
    ):
        _release(graph, PRODUCTS, row.row_id, **_changes("price=1"))
    with pytest.raises(QuarantineError, match="made of 1 records, and --file holds 2"):
        _release(graph, PRODUCTS, row.row_id, records=[_product(2), _product(2)])
    assert _release(graph, PRODUCTS, row.row_id, records=[_product(2)])[0].new
    assert graph.ask(f"select changed from {DECISIONS}") == [("the whole record",)]


def test_two_who_decide_at_once_leave_one_decision(graph: GraphRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    _arrive(graph, PRODUCTS, json_lines([_product(2, price=-1)]))
    (row,) = _open(graph, PRODUCTS).rows
    lakehouse = Lakehouse(graph.settings)
    ensure = lakehouse.ensure
    others: list[Decision] = []

    def somebody_is_quicker(contract: Any) -> Any:  # noqa: ANN401 - the lakehouse's
        table = ensure(contract)
        if not others:
            others.extend(discard(Lakehouse(graph.settings), PRODUCTS, [row.row_id], by="bob", why="quicker"))
        return table

    monkeypatch.setattr(lakehouse, "ensure", somebody_is_quicker)
    assert discard(lakehouse, PRODUCTS, [row.row_id], by="ada", why="slower") == []
    assert graph.ask(f"select decided_by, why from {DECISIONS}") == [("bob", "quicker")]
    assert record(lakehouse, others) == []


def test_no_clear_value_of_a_person_is_shown_logged_or_kept(
    graph: GraphRunner, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    user = {"id": 5, **CLEAR, "name": {"firstname": "Grace", "lastname": "Hopper"}}
    _arrive(graph, USERS, json_lines([user, {**user, "id": 6}, {**user, "id": 7}]) + b'{"email": "grace hopper at ex\n')
    told: list[str] = []

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(quarantine_app, list(arguments))
        assert result.exit_code == code, result.output
        told.append(result.output + str(result.exception))
        return result.stdout

    shown = json.loads(run("show", USERS, "--json"))
    first, second, third = (row["row_id"] for row in shown["rows"])
    assert re.fullmatch("[0-9a-f]{64}", shown["rows"][0]["values"]["email"])
    assert "password" not in shown["rows"][0]["values"]
    listed = json.loads(run("list", "--json"))
    assert [(t["open_rows"], t["broken_rules"]) for t in listed["quarantined"]] == [(3, {"email.email": 3})]
    assert [(t["source"], t["letters"]) for t in listed["dead_letters"]] == [(USERS, 1)]
    run("list")
    assert first in run("show", USERS)
    run("release", USERS, first, "--why", "none", code=1)
    run("release", USERS, first, "--why", "still wrong", "--set", "email=grace at example", code=1)
    bad, good = tmp_path / "bad.jsonl", tmp_path / "good.jsonl"
    bad.write_text(f"{json.dumps(user)[:-3]}\n")
    run("release", USERS, first, "--why", "cut", "--file", str(bad), code=1)
    good.write_text(json.dumps({**user, "email": "grace@example.com"}))
    (released,) = json.loads(run("release", USERS, first, "--why", "mail", "--file", str(good), "--json"))
    changed = "email=hopper@example.com"
    assert "released, landed as gs://" in run(
        "release", USERS, second, "--why", "mail", "--set", changed, "--by", "ada"
    )
    assert "was released before" in run("release", USERS, second, "--why", "mail", "--set", changed)
    assert "1 rows discarded" in run("discard", USERS, third, "--why", "a test user")
    assert "0 rows discarded, 1 had been before" in run("discard", USERS, third, "--why", "a test user")
    done = _run_released(graph, USERS)

    assert _quarantine_check(done) == (True, 0, 3)
    assert len(graph.ask(f"select id from silver.{USERS}")) == 2
    assert "c0b0l!59" in _content(graph, released["landing_uri"])
    tables = [f"select * from {DECISIONS}", f"select * from silver.{USERS}", f"select * from quarantine.{USERS}"]
    kept = "\n".join(str(graph.ask(table)) for table in tables)
    events = "\n".join(str(event) for event in done.all_events)
    for value in (*CLEAR.values(), "Grace", "Hopper", "grace@example.com", "hopper@example.com", "grace at example"):
        for place in (*told, caplog.text, kept, events):
            assert value not in place, value
    assert list((graph.settings.home / "spill").iterdir()) == []


def _content(graph: GraphRunner, uri: str) -> str:
    (arrival,) = [o for o in Landing(graph.settings).objects(USERS) if o.uri == uri]
    (path,) = Landing(graph.settings).download([arrival], graph.settings.home)
    return path.read_text()


def test_dead_letters_are_told_one_by_one_without_what_they_hold_until_the_object_is_mended(graph: GraphRunner) -> None:
    bad = b'{"id": 7, "email": "grace@example.com"\n'
    uri = drop(graph.settings, USERS, DAY, "a.jsonl", json_lines([{"id": 1}]) + bad)
    assert graph.run([f"bronze/{USERS}"], DAY).success
    told = CliRunner().invoke(quarantine_app, ["letters", USERS, DAY, "--json"])
    assert told.exit_code == 0, told.output
    (letter,) = json.loads(told.stdout)
    assert (letter["object"], letter["row_number"]) == (uri, 2)
    assert "not JSON" in letter["reason"]
    shown = CliRunner().invoke(quarantine_app, ["letters", USERS, DAY]).stdout
    assert "not JSON" in shown
    assert "grace" not in told.stdout + shown
    drop(graph.settings, USERS, DAY, "a.jsonl", json_lines([{"id": 1}, {"id": 7}]))
    assert graph.run([f"bronze/{USERS}"], DAY).success
    assert (
        CliRunner().invoke(quarantine_app, ["letters", USERS, DAY]).stdout == f"{USERS} has no dead letters of {DAY}.\n"
    )
    assert _list(graph).dead_letters == ()
    unknown = CliRunner().invoke(quarantine_app, ["letters", "fakestore_usrs", DAY])
    assert (unknown.exit_code, unknown.stderr) == (1, "fakestore_usrs is no source; did you mean `fakestore_users`?\n")

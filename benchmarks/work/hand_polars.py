"""What somebody writes with Polars alone: the same layers into plain Parquet files, without contract, audit or commit.

    python -m benchmarks.work.hand_polars work INPUT OUTPUT [--layers bronze,silver,gold] [--repeat N]
    python -m benchmarks.work.hand_polars answer OUTPUT

Lazy where that is faster. Polars reads the text "12.50" and the number 12.5 into the same text but for the zero, which
is how a number in quotes is told here; a text without it would be taken for a number.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import typer

from benchmarks.work.events import KEY
from benchmarks.work.side import add_work

_TEXTS = (
    "event_id",
    "user_id",
    "session_id",
    "event_type",
    "event_timestamp",
    "amount",
    "currency",
    "product_id",
    "properties",
    "email",
)
_TYPES = ("page_view", "click", "add_to_cart", "purchase", "signup", "search", "error")
_UUID = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_EMAIL = r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$"

app = typer.Typer()


def once(given: Path, output: Path, layers: Sequence[str]) -> dict[str, float]:
    """The work, layer by layer; seconds by layer."""
    days = sorted(folder.name for folder in given.glob("source=*/date=*"))
    for name in ("bronze", "silver", "quarantine", "event_metrics", "user_metrics"):
        (output / name).mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}
    for layer in layers:
        began = time.perf_counter()
        for day in days:
            {"bronze": _bronze, "silver": _silver, "gold": _gold}[layer](given, output, day)
        seconds[layer] = time.perf_counter() - began
    return seconds


def _write(rows: pl.DataFrame, path: Path) -> None:
    rows.write_parquet(path, compression="zstd", compression_level=1)


def _bronze(given: Path, output: Path, day: str) -> None:
    files = sorted((given / "source=web_events" / day).glob("*.jsonl"))
    arrived = pl.lit(day.removeprefix("date=")).str.to_date()
    dated = pl.scan_ndjson(files, schema=dict.fromkeys(_TEXTS, pl.String)).with_columns(
        _moment(pl.col("event_timestamp")).dt.date().fill_null(arrived).alias("event_date")
    )
    dated.sink_parquet(output / "bronze" / f"{day}.parquet", compression="zstd", compression_level=1)


def _moment(text: pl.Expr) -> pl.Expr:
    return text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ", time_unit="us", time_zone="UTC", strict=False)


def _silver(given: Path, output: Path, day: str) -> None:  # noqa: ARG001
    text, amount, moment, product = pl.col, pl.col("amount"), pl.col("event_timestamp"), pl.col("product_id")
    in_quotes = pl.col("raw_amount").str.contains(r"\.\d*0$")
    breaks = {
        "event_id.not_null": text("event_id").is_null(),
        "user_id.not_null": text("user_id").is_null(),
        "session_id.not_null": text("session_id").is_null(),
        "event_type.not_null": text("event_type").is_null(),
        "event_timestamp.type": moment.is_null(),
        "amount.type": in_quotes | (pl.col("raw_amount").is_not_null() & amount.is_null()),
        "product_id.type": pl.col("raw_product_id").is_not_null() & product.is_null(),
        "event_id.uuid": ~text("event_id").str.contains(_UUID),
        "user_id.length": ~text("user_id").str.len_chars().is_between(1, 64),
        "session_id.length": text("session_id").str.len_chars() < 1,
        "event_type.one_of": ~text("event_type").is_in(_TYPES),
        "amount.minimum": amount < 0,
        "currency.one_of": ~text("currency").is_in(("USD", "EUR", "GBP")),
        "product_id.minimum": product < 1,
        "email.email": ~text("email").str.contains(_EMAIL),
    }
    reasons = [pl.when(condition).then(pl.lit(name)) for name, condition in breaks.items()]
    staged = (
        pl.scan_parquet(output / "bronze" / "*.parquet")
        .filter(pl.col("event_date") == pl.lit(day.removeprefix("date=")).str.to_date())
        .with_columns(
            amount.alias("raw_amount"),
            product.alias("raw_product_id"),
            moment.alias("raw_event_timestamp"),
            amount.cast(pl.Decimal(18, 2), strict=False),
            product.cast(pl.Int64, strict=False),
            _moment(moment),
        )
        .with_columns(pl.concat_str(reasons, separator=", ", ignore_nulls=True).alias("broken_rules"))
        .collect()
    )
    addresses = staged.get_column("email").drop_nulls().unique()
    hashed = [hmac.digest(KEY.encode(), value.encode(), hashlib.sha256).hex() for value in addresses.to_list()]
    tokens = pl.DataFrame({"email": addresses, "token": hashed})
    raw = ("raw_amount", "raw_product_id", "raw_event_timestamp")
    good = (
        staged.lazy()
        .filter(pl.col("broken_rules") == "")
        .drop("broken_rules", *raw)
        .sort("event_timestamp", descending=True)
        .unique("event_id", keep="first")
        .join(tokens.lazy(), on="email", how="left")
        .with_columns(pl.col("token").alias("email"))
        .drop("token")
        .sort("user_id", "event_type")
        .collect()
    )
    _write(good, output / "silver" / f"{day}.parquet")
    broken = staged.filter(pl.col("broken_rules") != "").join(tokens, on="email", how="left")
    broken = broken.with_columns(pl.col("token").alias("email")).drop("token")
    _write(broken, output / "quarantine" / f"{day}.parquet")


def _gold(given: Path, output: Path, day: str) -> None:  # noqa: ARG001
    silver = pl.scan_parquet(output / "silver" / f"{day}.parquet")
    amount = pl.col("amount").sum().cast(pl.Decimal(18, 2))
    events = silver.group_by("event_date", "event_type").agg(
        pl.len().alias("events"),
        pl.col("user_id").n_unique().alias("users"),
        pl.col("session_id").n_unique().alias("sessions"),
        amount,
    )
    bought = pl.col("event_type") == "purchase"
    users = (
        silver.group_by("event_date", "user_id")
        .agg(
            pl.len().alias("events"),
            pl.col("session_id").n_unique().alias("sessions"),
            bought.sum().alias("purchases"),
            pl.when(bought).then("amount").sum().cast(pl.Decimal(18, 2)).alias("amount"),
        )
        .sort("user_id")
    )
    for name, rows in zip(("event_metrics", "user_metrics"), pl.collect_all([events, users]), strict=True):
        _write(rows, output / name / f"{day}.parquet")


@app.command("answer")
def print_answer(output: Path) -> None:
    """Prints what the files hold."""
    from benchmarks.work.raw_duckdb import print_answer as answer_of_files

    answer_of_files(output)


add_work(app, once)

if __name__ == "__main__":
    app()

"""Spark's side: all layers into Parquet files, on two threads of this machine.

    python -m benchmarks.peers.pyspark.side work INPUT OUTPUT [--layers bronze,silver,gold]
    python -m benchmarks.peers.pyspark.side answer OUTPUT

As for the platform: the same rules, tokens and order of silver, zstd. Tuned: four shuffle partitions instead of 200,
no user interface, the judged rows kept since silver and quarantine both read them. Tokens are made row by row, of
Spark's own functions.
Less than the platform: plain Parquet instead of Iceberg commits, no audit, no row accounting, both days in one go.
A text in quotes where a number is promised is told by its ending zero, as Spark reads both into the same text.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as f

from benchmarks.peers.command import Seconds, hmac_pads, side
from benchmarks.work.answer import Relations, answer, bronze_answer

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
_TABLES = ("silver", "quarantine", "event_metrics", "user_metrics")
_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.driver.memory": "4g",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.shuffle.partitions": "4",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.io.compression.zstd.level": "1",
    "spark.sql.ansi.enabled": "false",  # what cannot be typed is null, and then judged
}


def work(given: Path, output: Path, layers: Sequence[str]) -> Seconds:
    """The layers, each from the files of the one before it."""
    spark = SparkSession.builder.master("local[2]")
    for name, value in {**_SETTINGS, "spark.local.dir": str(output / "spill")}.items():
        spark = spark.config(name, value)
    session = spark.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    seconds: Seconds = {}
    for layer in layers:
        began = time.perf_counter()
        {"bronze": _bronze, "silver": _silver, "gold": _gold}[layer](session, given, output)
        seconds[layer] = time.perf_counter() - began
    session.stop()
    return seconds


def _write(rows: DataFrame, path: Path) -> None:
    rows.write.mode("overwrite").partitionBy("event_date").parquet(str(path))


def _bronze(session: SparkSession, given: Path, output: Path) -> None:
    schema = ", ".join(f"{name} STRING" for name in (*_TEXTS, "date"))
    rows = session.read.schema(schema).json(str(given / "source=web_events"))
    event_date = f.coalesce(_moment().cast("date"), f.col("date").cast("date"))
    _write(rows.withColumn("event_date", event_date).drop("date"), output / "bronze")


def _moment() -> Column:
    return f.try_to_timestamp(f.col("event_timestamp"), f.lit("yyyy-MM-dd'T'HH:mm:ss.SSSX"))


def _breaks() -> dict[str, Column]:
    missing = {f"{name}.not_null": f.col(name).isNull() for name in ("event_id", "user_id", "session_id", "event_type")}
    amount, product, raw = f.col("amount"), f.col("product_id"), "raw_{}".format
    return {
        **missing,
        "event_timestamp.not_null": f.col(raw("event_timestamp")).isNull(),
        "event_timestamp.type": f.col(raw("event_timestamp")).isNotNull() & f.col("event_timestamp").isNull(),
        "amount.type": f.col(raw("amount")).isNotNull() & (amount.isNull() | f.col(raw("amount")).rlike(r"\.\d+0$")),
        "product_id.type": f.col(raw("product_id")).isNotNull() & product.isNull(),
        "properties.type": ~f.col("properties").startswith("{"),
        "event_id.uuid": ~f.col("event_id").rlike(_UUID),
        "user_id.length": ~f.length("user_id").between(1, 64),
        "session_id.length": f.length("session_id") < 1,
        "event_type.one_of": ~f.col("event_type").isin(*_TYPES),
        "amount.minimum": amount < 0,
        "currency.one_of": ~f.col("currency").isin("USD", "EUR", "GBP"),
        "product_id.minimum": product < 1,
        "email.email": ~f.col("email").rlike(_EMAIL),
    }


def _silver(session: SparkSession, given: Path, output: Path) -> None:  # noqa: ARG001
    raw = ("event_timestamp", "amount", "product_id")
    typed = session.read.parquet(str(output / "bronze")).withColumns({f"raw_{name}": f.col(name) for name in raw})
    typed = typed.withColumns(
        {
            "event_timestamp": _moment(),
            "amount": f.col("amount").cast("decimal(18,2)"),
            "product_id": f.col("product_id").cast("bigint"),
        }
    )
    reasons = [f.when(condition, f.lit(name)) for name, condition in _breaks().items()]
    inner, outer = (f.unhex(f.lit(pad)) for pad in hmac_pads())
    token = f.sha2(f.concat(outer, f.unhex(f.sha2(f.concat(inner, f.col("email").cast("binary")), 256))), 256)
    judged = typed.withColumn("broken_rules", f.concat_ws(", ", *reasons)).withColumn("email", token).persist()
    _write(judged.where("broken_rules != ''").repartition("event_date"), output / "quarantine")
    latest = Window.partitionBy("event_id").orderBy(f.col("event_timestamp").desc())
    kept = judged.where("broken_rules = ''").drop("broken_rules", *(f"raw_{name}" for name in raw))
    kept = kept.withColumn("place", f.row_number().over(latest)).where("place = 1").drop("place")
    ordered = kept.repartition("event_date").sortWithinPartitions("event_date", "user_id", "event_type")
    _write(ordered, output / "silver")
    judged.unpersist()


def _gold(session: SparkSession, given: Path, output: Path) -> None:  # noqa: ARG001
    silver = session.read.parquet(str(output / "silver"))
    money = "CAST(coalesce(sum({}), 0) AS DECIMAL(18, 2))".format
    events = silver.groupBy("event_date", "event_type").agg(
        f.count("*").alias("events"),
        f.countDistinct("user_id").alias("users"),
        f.countDistinct("session_id").alias("sessions"),
        f.expr(money("amount")).alias("amount"),
    )
    bought = f.col("event_type") == "purchase"
    users = silver.groupBy("event_date", "user_id").agg(
        f.count("*").alias("events"),
        f.countDistinct("session_id").alias("sessions"),
        f.count(f.when(bought, 1)).alias("purchases"),
        f.expr(money("CASE WHEN event_type = 'purchase' THEN amount END")).alias("amount"),
    )
    _write(events, output / "event_metrics")
    _write(users.repartition("event_date").sortWithinPartitions("event_date", "user_id"), output / "user_metrics")


def find_answer(output: Path, layers: Sequence[str]) -> Mapping[str, str]:
    """What the files hold."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        files = "read_parquet('{}/*/*.parquet', hive_partitioning = true)".format
        if list(layers) == ["bronze"]:
            return bronze_answer(connection, files(output / "bronze"))
        return answer(connection, Relations(*(files(output / name) for name in _TABLES)))


if __name__ == "__main__":
    side(work, find_answer)

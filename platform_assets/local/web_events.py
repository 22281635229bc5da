"""The generator of web events: what somebody else's web shop would drop into the landing bucket, with known counts.

Every row is a function of the seed, the first day and the row's number, and DuckDB writes it; no row passes through
Python. How many rows are bad, copied or late follows from the numbering alone, which is why the report is exact.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date
from fractions import Fraction
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

BAD_KINDS = (
    "unknown event_type",
    "user_id null",
    "negative amount",
    "unknown currency",
    "malformed email",
    "event_timestamp not a timestamp",
    "event_id not a uuid",
    "amount as text",
)
_LARGEST = 1_000_000_000  # numbers of rows are multiplied with each other, and the product must fit 64 bits
_MOST_WRITERS = 8


class EventBatchError(ValueError):
    """What was asked for cannot be generated, or there is nothing to upload; the message says what was expected."""


@dataclass(frozen=True)
class EventObject:
    """One file of a batch: its object name in the landing bucket and how many rows it holds."""

    name: str
    rows: int


@dataclass(frozen=True)
class EventBatch:
    """What `generate` wrote, to the row.

    Attributes:
        events: rows written, of every kind; equals distinct_valid_event_ids + quarantined + duplicates.
        quarantined: rows that break the contract of web events.
        duplicates: valid rows beyond the first of their event_id.
        late: valid rows, copies included, that are dated before the date of their object.
        rows_by_event_date: distinct valid event ids by the ISO date of their event_timestamp (UTC).
    """

    events: int
    objects: tuple[EventObject, ...]
    distinct_valid_event_ids: int
    quarantined: int
    duplicates: int
    late: int
    rows_by_event_date: dict[str, int]

    def as_json(self) -> str:
        """The report as JSON text."""
        return json.dumps(asdict(self), indent=2)


def generate(  # noqa: PLR0913 - a batch has that many independent numbers
    directory: Path,
    *,
    events: int,
    first_day: date,
    days: int,
    objects: int,
    seed: int,
    duplicate_share: float = 0.02,
    late_share: float = 0.05,
    bad_share: float = 0.005,
    late_days: int = 3,
) -> EventBatch:
    """Write `events` rows of web events (S4-05) as `objects` gzipped JSON-lines files in the landing layout.

    File i is `directory`/source=web_events/date=<first_day + i*days//objects>/events-<seed>-<i>.jsonl.gz; the same
    arguments write the same rows in the same order. Batches that differ in seed or first day share no event_id.

    Shares are of `events`, rounded down. Rows are dated on the day of their file, but for `late_share` of them, dated
    1 to `late_days` days earlier. A duplicate is a copy of an earlier row of the same file or of one of the files
    before it, so a copy may be late where its original is not (it is counted), and none is dated after its file.
    Bad rows are of all `BAD_KINDS` alike; none is copied, none is late.

    Raises:
        EventBatchError: the numbers contradict each other; nothing has been written.
    """
    shares = {"duplicate_share": duplicate_share, "late_share": late_share, "bad_share": bad_share}
    _validate(events=events, days=days, objects=objects, seed=seed, late_days=late_days)
    _validate_shares(shares)
    bad, duplicates, late = (math.floor(Fraction(str(shares[f"{kind}_share"])) * events) for kind in _ORDER_OF_PLACES)
    numbers: dict[str, object] = {
        "events": events,
        "stride": _stride(events),
        "objects": objects,
        "days": days,
        "first_day": first_day.isoformat(),
        "seed": seed,
        "bad_kinds": list(BAD_KINDS),
        "bad_below": bad,
        "copies_below": bad + duplicates,
        "late_below": bad + duplicates + late,
        "late_days": late_days,
        # A copy stands within about two files after its original, as a redelivery does.
        "reach": max(1, 2 * events // objects),
    }

    import duckdb

    with duckdb.connect() as connection:
        # One thread per query and one query per core: the rows of a file stay in order, and memory stays flat.
        connection.execute("SET threads = 1")
        connection.execute(_NUMBERING.substitute(numbers))
        return EventBatch(
            events=events,
            objects=_write_objects(connection, directory, seed),
            distinct_valid_event_ids=events - bad - duplicates,
            quarantined=bad,
            duplicates=duplicates,
            late=late + _count_late_copies(connection),
            rows_by_event_date=_count_by_event_date(connection),
        )


def upload(batch_directory: Path, put: Callable[[str, bytes], None]) -> int:
    """Hand every file under `batch_directory` to `put(object_name, content)`, by name; returns how many there were.

    Raises:
        EventBatchError: there is no file of web events there.
    """
    files = sorted((batch_directory / "source=web_events").glob("date=*/events-*.jsonl.gz"))
    if not files:
        raise EventBatchError(f"no source=web_events/date=*/events-*.jsonl.gz under {batch_directory}: generate first")
    for file in files:
        put(file.relative_to(batch_directory).as_posix(), file.read_bytes())
    return len(files)


def _validate(*, events: int, days: int, objects: int, seed: int, late_days: int) -> None:
    for name, number in {"days": days, "objects": objects, "late_days": late_days}.items():
        if number < 1:
            raise EventBatchError(f"{name} is {number}; expected at least 1")
    if seed < 0:
        raise EventBatchError(f"seed is {seed}; expected 0 or more")
    if not objects <= events <= _LARGEST:
        raise EventBatchError(f"events is {events}; expected {objects} (one per object) to {_LARGEST}")


def _validate_shares(shares: dict[str, float]) -> None:
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise EventBatchError(f"{name} is {share}; expected a share between 0 and 1")
    total = sum(Fraction(str(share)) for share in shares.values())
    if total >= 1:
        raise EventBatchError(f"{' + '.join(shares)} is {float(total):g}; expected less than 1: some rows are ordinary")


def _stride(events: int) -> int:
    """A step through the rows that meets each once before it returns, near the golden section to spread evenly."""
    stride = max(1, round(events * 0.618_033_988_75))
    while math.gcd(stride, events) != 1:
        stride += 1
    return stride


def _write_objects(connection: duckdb.DuckDBPyConnection, directory: Path, seed: int) -> tuple[EventObject, ...]:
    objects = [
        EventObject(f"source=web_events/date={day.isoformat()}/events-{seed}-{file:05d}.jsonl.gz", rows)
        for file, day, rows in connection.execute("SELECT file, day, rows FROM files ORDER BY file").fetchall()
    ]
    with ThreadPoolExecutor(min(len(objects), os.cpu_count() or 1, _MOST_WRITERS)) as pool:
        writes = [
            pool.submit(_write, connection.cursor(), file, directory / written.name)
            for file, written in enumerate(objects)
        ]
        for write in writes:
            write.result()
    return tuple(objects)


def _write(cursor: duckdb.DuckDBPyConnection, index: int, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    quoted = str(partial).replace("'", "''")
    try:
        cursor.execute(_ROWS.substitute(file=index, target=quoted))
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
        cursor.close()


def _count_late_copies(connection: duckdb.DuckDBPyConnection) -> int:
    query = "SELECT count(*) FROM copies WHERE event_day(original) < file_day(slot)"
    (count,) = connection.execute(query).fetchall()[0]
    return int(count)


def _count_by_event_date(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    query = "SELECT event_day(slot)::VARCHAR, count(*) FROM slots WHERE is_original(slot) GROUP BY ALL ORDER BY ALL"
    return dict(connection.execute(query).fetchall())


# Rows are numbered in writing order: these numbers are the slots, and a file is a run of slots. Stepping by the stride
# gives every slot a place of its own, and the place says what the row is: the first places are bad, the next are
# copies, the next are late, the rest are ordinary. So each kind has exactly its number of rows, evenly spread. Slot 0
# has the last place, which is ordinary: a copy always finds an original before it.
_ORDER_OF_PLACES = ("bad", "duplicate", "late")
_NUMBERING = Template("""
CREATE MACRO place(slot) AS (slot * $stride + $events - 1) % $events;
CREATE MACRO file_of(slot) AS ((slot + 1) * $objects - 1) // $events;
CREATE MACRO day_of_file(file) AS DATE '$first_day' + CAST(file * $days // $objects AS INTEGER);
CREATE MACRO file_day(slot) AS day_of_file(file_of(slot));
CREATE MACRO first_slot(file) AS file::BIGINT * $events // $objects;
CREATE MACRO is_bad(slot) AS place(slot) < $bad_below;
CREATE MACRO bad_kind(slot) AS list_extract($bad_kinds, 1 + place(slot) % len($bad_kinds));
CREATE MACRO is_copy(slot) AS place(slot) BETWEEN $bad_below AND $copies_below - 1;
CREATE MACRO is_late(slot) AS place(slot) BETWEEN $copies_below AND $late_below - 1;
CREATE MACRO is_original(slot) AS place(slot) >= $copies_below;
CREATE MACRO event_day(slot) AS
    file_day(slot) - CASE WHEN is_late(slot) THEN CAST(1 + place(slot) % $late_days AS INTEGER) ELSE 0 END;
-- md5 and not hash(): its values are the same in every version of DuckDB.
CREATE MACRO name_of(slot, purpose) AS '$seed:$first_day:' || purpose || ':' || slot;
CREATE VIEW slots AS SELECT range AS slot FROM range($events);
CREATE VIEW files AS
SELECT range AS file, day_of_file(range) AS day, first_slot(range + 1) - first_slot(range) AS rows FROM range($objects);
CREATE TABLE copies AS
SELECT copy.slot, original.slot AS original
FROM (
    SELECT slot, greatest(0, slot - 1 - CAST(md5_number_lower(name_of(slot, 'copy')) % $reach AS BIGINT)) AS wanted
    FROM slots
    WHERE is_copy(slot)
) AS copy
ASOF JOIN (SELECT slot FROM slots WHERE is_original(slot)) AS original ON copy.wanted >= original.slot;
""")

# `drawn` holds two random 64-bit numbers of which each field takes bits of its own. Users are drawn by the square of a
# uniform number, so that some come often and many seldom.
_ROWS = Template("""
COPY (
    WITH numbered AS (
        SELECT slot, coalesce(original, slot) AS origin
        FROM (SELECT range AS slot FROM range(first_slot($file), first_slot($file + 1)))
        LEFT JOIN copies USING (slot)
        ORDER BY slot
    ),
    drawn AS (
        SELECT
            origin,
            event_day(origin) AS day,
            CASE WHEN is_bad(origin) THEN bad_kind(origin) END AS bad,
            md5(name_of(origin, 'id')) AS id,
            md5_number_upper(name_of(origin, 'row')) AS upper_bits,
            md5_number_lower(name_of(origin, 'row')) AS lower_bits
        FROM numbered
    ),
    chosen AS (
        SELECT
            origin, day, bad, id,
            (upper_bits & 1048575)::BIGINT AS user_draw,
            ((upper_bits >> 20) & 65535)::BIGINT % 100 AS event_draw,
            (upper_bits >> 36)::BIGINT % 86400000 AS millisecond,
            1 + (lower_bits & 65535)::BIGINT % 20 AS product,
            100 + ((lower_bits >> 16) & 1048575)::BIGINT % 49900 AS cents,
            ((lower_bits >> 36) & 255)::BIGINT AS page_draw,
            ((lower_bits >> 44) & 255)::BIGINT AS referrer_draw,
            ((lower_bits >> 52) & 15)::BIGINT AS os_draw,
            ((lower_bits >> 56) & 15)::BIGINT AS browser_draw,
            (lower_bits >> 60)::BIGINT AS currency_draw
        FROM drawn
    ),
    counted AS (
        SELECT *, 1 + (user_draw * user_draw // 1048576) * 100000 // 1048576 AS user_number FROM chosen
    ),
    typed AS (
        SELECT
            *,
            CASE
                WHEN bad IN ('negative amount', 'unknown currency', 'amount as text') THEN 'purchase'
                WHEN event_draw < 42 THEN 'page_view'
                WHEN event_draw < 64 THEN 'click'
                WHEN event_draw < 75 THEN 'search'
                WHEN event_draw < 86 THEN 'add_to_cart'
                WHEN event_draw < 92 THEN 'purchase'
                WHEN event_draw < 96 THEN 'signup'
                ELSE 'error'
            END AS event_type,
            lpad(user_number::VARCHAR, 6, '0') AS user_text
        FROM counted
    )
    SELECT
        CASE
            WHEN bad = 'event_id not a uuid' THEN 'event-' || origin
            ELSE id[1:8] || '-' || id[9:12] || '-4' || id[14:16] || '-a' || id[18:20] || '-' || id[21:32]
        END AS event_id,
        CASE WHEN bad IS DISTINCT FROM 'user_id null' THEN 'user_' || user_text END AS user_id,
        'session_' || user_text || strftime(day, '_%Y%m%d_') || millisecond // 21600000 AS session_id,
        CASE WHEN bad = 'unknown event_type' THEN 'teleport' ELSE event_type END AS event_type,
        CASE
            WHEN bad = 'event_timestamp not a timestamp' THEN 'yesterday'
            ELSE strftime(day + to_milliseconds(millisecond), '%Y-%m-%dT%H:%M:%S.%gZ')
        END AS event_timestamp,
        CASE
            WHEN event_type <> 'purchase' THEN NULL
            WHEN bad = 'amount as text' THEN '"12.50"'::JSON
            WHEN bad = 'negative amount' THEN to_json(-(cents / 100)::DECIMAL(9, 2))
            ELSE to_json((cents / 100)::DECIMAL(9, 2))
        END AS amount,
        CASE
            WHEN event_type <> 'purchase' THEN NULL
            WHEN bad = 'unknown currency' THEN 'XXX'
            WHEN currency_draw < 9 THEN 'USD'
            WHEN currency_draw < 13 THEN 'EUR'
            ELSE 'GBP'
        END AS currency,
        CASE
            WHEN event_type IN ('click', 'add_to_cart', 'purchase') THEN product
            WHEN event_type = 'page_view' AND page_draw < 128 THEN product
        END AS product_id,
        {
            'page': CASE
                WHEN event_type IN ('click', 'add_to_cart') THEN '/products/' || product
                WHEN event_type = 'page_view' AND page_draw < 128 THEN '/products/' || product
                WHEN event_type = 'page_view' THEN '/'
                WHEN event_type = 'purchase' THEN '/checkout'
                ELSE '/' || event_type
            END,
            'referrer': CASE
                WHEN referrer_draw < 96 THEN 'https://search.example/'
                WHEN referrer_draw < 128 THEN 'https://news.example/letter?id=' || referrer_draw
            END,
            'device': {
                'os': ['android', 'ios', 'windows', 'macos', 'linux'][1 + os_draw % 5],
                'browser': ['chrome', 'safari', 'firefox', 'edge'][1 + browser_draw % 4]
            }
        } AS properties,
        CASE
            WHEN bad = 'malformed email' THEN 'user' || user_text || '.example.com'
            WHEN user_number % 20 = 0 THEN NULL
            ELSE 'user' || user_text || '@example.' || ['com', 'net', 'org'][1 + user_number % 3]
        END AS email
    FROM typed
) TO '$target' (FORMAT json, COMPRESSION gzip)
""")

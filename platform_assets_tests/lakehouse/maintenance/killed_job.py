"""Does one job to the events in a process of its own, which kills itself (SIGKILL) at a given moment.

`python -m platform_assets_tests.lakehouse.maintenance.killed_job MOMENT`, on the lakehouse of the environment.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from platform_assets.lakehouse.catalog import Lakehouse
from platform_assets.lakehouse.maintenance import compaction
from platform_assets.lakehouse.maintenance.expiry import expire
from platform_assets.lakehouse.maintenance.orphans import remove_orphans
from platform_assets.lakehouse.maintenance.retention import Keep, delete_expired
from platform_assets.settings import load_settings
from platform_assets_tests.lakehouse.maintenance.events import EVENTS, NEXT, days_ago, later, merge


def _die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _compact(lakehouse: Lakehouse) -> None:
    merge(lakehouse)


def _compact_to_death_before_a_file_is_checked(lakehouse: Lakehouse) -> None:
    compaction._refuse_other_rows = _die
    merge(lakehouse)


def _compact_to_death_before_the_commit(lakehouse: Lakehouse) -> None:
    compaction._commit = _die  # type: ignore[assignment]
    merge(lakehouse)


def _before_the_catalog(lakehouse: Lakehouse) -> None:
    """Metadata and manifests are written, the catalog does not know of them."""
    from pyiceberg.catalog.sql import SqlCatalog

    written = SqlCatalog._write_metadata

    def then_die(*arguments: object, **options: object) -> None:
        written(*arguments, **options)  # type: ignore[arg-type]
        _die()

    SqlCatalog._write_metadata = staticmethod(then_die)  # type: ignore[method-assign]
    assert lakehouse.tables()


def _after_the_catalog(lakehouse: Lakehouse) -> None:
    """The commit stands; nobody has been told."""
    from pyiceberg.catalog.sql import SqlCatalog

    committed = SqlCatalog.commit_table

    def then_die(*arguments: object, **options: object) -> None:
        committed(*arguments, **options)  # type: ignore[arg-type]
        _die()

    SqlCatalog.commit_table = then_die  # type: ignore[method-assign,assignment]
    assert lakehouse.tables()


def _expire(lakehouse: Lakehouse) -> None:
    expire(lakehouse, EVENTS.table, later())


def _retain(lakehouse: Lakehouse) -> None:
    delete_expired(lakehouse, Keep(EVENTS.table, "day", 1), NEXT + timedelta(days=1))


def _remove_to_death_in_the_middle(lakehouse: Lakehouse) -> None:
    removed, unlink = [], Path.unlink

    def few(path: Path, *, missing_ok: bool = False) -> None:
        unlink(path, missing_ok=missing_ok)
        removed.append(path)
        if len(removed) == 3:
            _die()

    Path.unlink = few  # type: ignore[method-assign,assignment]
    remove_orphans(lakehouse, EVENTS.table, days_ago(3))


JOBS: dict[str, tuple[Callable[[Lakehouse], None], ...]] = {
    "compact, before a file is checked": (_compact_to_death_before_a_file_is_checked,),
    "compact, before the commit": (_compact_to_death_before_the_commit,),
    "compact, before the catalog": (_before_the_catalog, _compact),
    "compact, after the catalog": (_after_the_catalog, _compact),
    "expire, before the catalog": (_before_the_catalog, _expire),
    "expire, after the catalog": (_after_the_catalog, _expire),
    "retain, before the catalog": (_before_the_catalog, _retain),
    "retain, after the catalog": (_after_the_catalog, _retain),
    "orphans, in the middle": (_remove_to_death_in_the_middle,),
}


if __name__ == "__main__":
    for step in JOBS[sys.argv[1]]:
        step(Lakehouse(load_settings()))

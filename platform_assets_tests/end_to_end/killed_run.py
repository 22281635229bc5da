"""Runs a part of the graph in a process of its own, which kills itself (SIGKILL) at a given moment.

`python -m platform_assets_tests.end_to_end.killed_run MOMENT tick SOURCE` or `... MOMENT run PARTITION ASSET...`, on
the platform of the environment's settings and the Dagster instance of DAGSTER_HOME.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import dagster as dg

from platform_assets.assets import bronze as bronze_asset
from platform_assets.ingestion import pubsub
from platform_assets.ingestion.ledger import Ledger
from platform_assets.lakehouse import publisher
from platform_assets.lakehouse.staging import Staged
from platform_assets.settings import load_settings
from platform_assets_tests.graph_runner import GraphRunner


def _die(*_: object, **__: object) -> None:
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def _after_pull() -> None:
    def die(*arguments: Any) -> None:  # noqa: ANN401 - whatever the connector hands over
        batch = next(part for part in arguments if isinstance(part, list))
        sys.stdout.writelines(f"{received.ack_id}\n" for received in batch)
        _die()

    pubsub.land_batch = die  # type: ignore[assignment]


def _before_acknowledgement() -> None:
    def die(_subscriber: object, _path: object, batch: list[Any]) -> None:
        sys.stdout.writelines(f"{received.ack_id}\n" for received in batch)
        _die()

    pubsub.acknowledge = die  # type: ignore[assignment]


def _while_parquet_is_written() -> None:
    write = Staged.write

    def half(staged: Staged, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - the publisher's
        write(staged, *arguments, **named)
        path = staged.files[-1].path
        os.truncate(path, path.stat().st_size // 2)
        _die()

    Staged.write = half  # type: ignore[method-assign,assignment]


def _before_commit() -> None:
    publisher._commit = _die  # type: ignore[assignment]


def _before_announcement() -> None:
    bronze_asset.announce = _die


def _before_the_ledger_knows() -> None:
    Ledger.mark_ingested = _die  # type: ignore[method-assign]


def _before_dagster_knows() -> None:
    bronze_asset._materialization = _die  # type: ignore[assignment]


def _between_silver_and_quarantine() -> None:
    replace = publisher.replace

    def die_at_quarantine(lakehouse: Any, contract: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as above
        if contract.layer == "quarantine":
            _die()
        return replace(lakehouse, contract, *arguments, **options)

    publisher.replace = die_at_quarantine


MOMENTS: dict[str, Callable[[], None]] = {
    "after pull": _after_pull,
    "after landing write, before ack": _before_acknowledgement,
    "during the Parquet write": _while_parquet_is_written,
    "before the Iceberg commit": _before_commit,
    "after the commit, before it is announced": _before_announcement,
    "after the announcement, before the ledger knows": _before_the_ledger_knows,
    "after everything, before the run is recorded": _before_dagster_knows,
    "between silver and quarantine": _between_silver_and_quarantine,
}


def main() -> None:
    """Does what the arguments say; does not return if the moment comes."""
    moment, what, *rest = sys.argv[1:]
    MOMENTS[moment]()
    with dg.DagsterInstance.get() as instance:
        graph = GraphRunner(load_settings(), instance)
        if what == "tick":
            graph.tick(*rest)
        else:
            partition, *assets = rest
            graph.run(assets, partition)


if __name__ == "__main__":
    main()

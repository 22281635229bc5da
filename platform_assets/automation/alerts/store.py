"""What survives a restart: the incidents and how far the facts were read, in the operations database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Self

from pydantic import TypeAdapter

from platform_assets.automation.alerts.incidents import Incident, is_over
from platform_assets.ingestion.ledger import operations_engine
from platform_assets.ingestion.ledger_tables import insert_of, tables

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from platform_assets.settings import Settings

_LEASE = "lease"
_INCIDENT = TypeAdapter(Incident)


class IncidentStore:
    """The incidents of the settings' operations database. One evaluation at a time changes them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __enter__(self) -> Self:
        """The store itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the connections."""
        if "_engine" in self.__dict__:
            self._engine.dispose()

    @contextmanager
    def lease(self, now: datetime, duration: timedelta) -> Iterator[bool]:
        """Whether this evaluation is the only one until the end of the block; one that was killed loses it in time."""
        until = _stamp(now + duration)
        held = self._take_lease(_stamp(now), until)
        try:
            yield held
        finally:
            if held:
                self._give_lease(until)

    def incidents(self) -> dict[str, Incident]:
        """Those that are open, and those of which somebody has yet to hear the end."""
        return {fingerprint: incident for fingerprint, incident in self._read().items() if not is_over(incident)}

    def history(self) -> list[Incident]:
        """The latest incident of each trouble there ever was, the newest first."""
        return sorted(self._read(everything=True).values(), key=lambda incident: incident.since, reverse=True)

    def positions(self) -> dict[str, str]:
        """How far each kind of fact was read."""
        from sqlalchemy import select

        table = tables().alert_positions
        with self._engine.connect() as connection:
            return {row.name: row.position for row in connection.execute(select(table)) if row.name != _LEASE}

    def save(self, incidents: Mapping[str, Incident], positions: Mapping[str, str] | None = None) -> None:
        """Keeps incidents and positions, all or none of them."""
        with self._engine.begin() as connection:
            for fingerprint, incident in incidents.items():
                self._keep(connection, fingerprint, incident)
            for name, position in (positions or {}).items():
                insert = insert_of(connection.dialect.name)(tables().alert_positions)
                row = {"name": name, "position": position}
                connection.execute(insert.values(row).on_conflict_do_update(index_elements=["name"], set_=row))

    def _keep(self, connection: Connection, fingerprint: str, incident: Incident) -> None:
        row = {
            "fingerprint": fingerprint,
            "severity": incident.severity.value,
            "since": incident.since.astimezone(UTC),
            "over": is_over(incident),
            "body": _INCIDENT.dump_json(incident).decode(),
        }
        insert = insert_of(connection.dialect.name)(tables().incidents)
        connection.execute(insert.values(row).on_conflict_do_update(index_elements=["fingerprint"], set_=row))

    def _read(self, *, everything: bool = False) -> dict[str, Incident]:
        from sqlalchemy import select

        table = tables().incidents
        query = select(table) if everything else select(table).where(table.c.over.is_(False))
        with self._engine.connect() as connection:
            return {row.fingerprint: _INCIDENT.validate_json(row.body) for row in connection.execute(query)}

    def _take_lease(self, now: str, until: str) -> bool:
        from sqlalchemy import update

        table = tables().alert_positions
        with self._engine.begin() as connection:
            fresh = insert_of(connection.dialect.name)(table).values(name=_LEASE, position="")
            connection.execute(fresh.on_conflict_do_nothing())
            free = update(table).where(table.c.name == _LEASE, table.c.position <= now)
            return bool(connection.execute(free.values(position=until)).rowcount)

    def _give_lease(self, until: str) -> None:
        from sqlalchemy import update

        table = tables().alert_positions
        with self._engine.begin() as connection:
            mine = update(table).where(table.c.name == _LEASE, table.c.position == until)
            connection.execute(mine.values(position=""))

    @cached_property
    def _engine(self) -> Engine:
        return operations_engine(self._settings)


def _stamp(moment: datetime) -> str:
    """Text that sorts as time does."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")

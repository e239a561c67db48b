"""Small numbers for the words that stand in every row of the ledger: destinations and names of events."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from etl.ledger.database import Database, chunked, retry_on_disconnect
from etl.ledger.tables import destinations, names

# Which number has this destination? One that was forgotten has another row.
_IN_USE = destinations.c.forgotten_at_ms.is_(None)
_DESTINATION = sa.select(destinations.c.destination_no).where(destinations.c.name == sa.bindparam("it"), _IN_USE)
_NAMES = sa.select(names.c.name, names.c.name_no)


class Numbers:
    """Words and their numbers; each is looked up once. Not to be asked within somebody else's transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._destinations: dict[str, int] = {}
        self._names: dict[str, int] = {}

    @retry_on_disconnect
    def destination(self, name: str) -> int:
        """A destination's number; it gets one where it has none."""
        if name not in self._destinations:
            with self.database.reading() as connection:
                found = connection.execute(_DESTINATION, {"it": name}).scalar()
            if found is None:
                with self.database.writing() as connection:
                    connection.execute(self.database.insert_new(destinations, name=name))
                    found = connection.execute(_DESTINATION, {"it": name}).scalar_one()
            self._destinations[name] = found
        return self._destinations[name]

    def known_destination(self, name: str) -> int:
        """A destination's number; 0 where it has none."""
        if name not in self._destinations:
            with self.database.reading() as connection:
                return connection.execute(_DESTINATION, {"it": name}).scalar() or 0
        return self._destinations[name]

    def forget(self, name: str) -> None:
        """A destination of this name has another number from now on."""
        self._destinations.pop(name, None)

    @retry_on_disconnect
    def names(self, wanted: Iterable[str]) -> dict[str, int]:
        """The numbers of names of events, of these and maybe of others; those get one that have none."""
        missing = list({*wanted} - self._names.keys())
        for some in chunked(missing):
            with self.database.writing() as connection:
                connection.execute(self.database.insert_new(names), [{"name": name} for name in some])
                rows = connection.execute(_NAMES.where(self.database.one_of(names.c.name, some))).all()
            self._names |= {row.name: row.name_no for row in rows}  # after the commit: what is undone has no number
        return self._names

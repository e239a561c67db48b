"""Identities: which account stands behind a destination's name, and whether it was a trial.

A key says that a conversion is known under a name. When the name gets another account, its keys are about somebody
else: nothing would be sent to the new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import orjson
import sqlalchemy as sa

from etl.clock import Clock
from etl.ledger.database import Database, retry_on_disconnect
from etl.ledger.numbers import Numbers
from etl.ledger.tables import HELD, destinations, entries

_IN_USE = (destinations.c.name == sa.bindparam("called")) & destinations.c.forgotten_at_ms.is_(None)
_KNOWN = sa.select(destinations.c.identity, destinations.c.host, destinations.c.is_trial).where(_IN_USE)
_KEYS = (
    sa.select(sa.func.count())
    .select_from(entries.join(destinations, destinations.c.destination_no == entries.c.destination_no))
    .where(_IN_USE, entries.c.state == sa.text(str(HELD)))
)


class Known(NamedTuple):
    """What the ledger knows of a destination; None: nothing yet."""

    identity: Mapping[str, str] | None
    host: str | None
    is_trial: bool | None


@dataclass(frozen=True)
class Identities:
    """The part of the ledger that knows who destinations are."""

    database: Database
    numbers: Numbers
    clock: Clock

    @retry_on_disconnect
    def known(self, name: str) -> Known:
        """What stands behind a destination's name."""
        with self.database.reading() as connection:
            row = connection.execute(_KNOWN, {"called": name}).first()
        if row is None or row.identity is None:
            return Known(None, None, None)
        return Known(orjson.loads(row.identity), row.host, None if row.is_trial is None else bool(row.is_trial))

    def take(self, name: str, identity: Mapping[str, str], host: str, *, is_trial: bool | None) -> None:
        """This is who stands behind the name from now on."""
        self.numbers.destination(name)
        said = orjson.dumps(dict(identity), option=orjson.OPT_SORT_KEYS).decode()
        values = {"identity": said, "host": host, "first_used_at_ms": self.clock()}
        self._change(name, values | {"is_trial": None if is_trial is None else int(is_trial)})

    def note_trial(self, name: str, *, is_trial: bool) -> None:
        """Whoever answers under the name is a sandbox, or is none."""
        self._change(name, {"is_trial": int(is_trial)})

    @retry_on_disconnect
    def keys(self, name: str) -> int:
        """How many conversions are held under the name."""
        with self.database.reading() as connection:
            return int(connection.execute(_KEYS, {"called": name}).scalar_one())

    def forget(self, name: str) -> None:
        """The name is free for another account; what is said of this one stays as history, and holds nothing."""
        self._change(name, {"forgotten_at_ms": self.clock()})
        self.numbers.forget(name)

    @retry_on_disconnect
    def _change(self, name: str, values: Mapping[str, object]) -> None:
        with self.database.writing() as connection:
            connection.execute(sa.update(destinations).where(_IN_USE).values(**values), {"called": name})

"""The fence: whether a process still holds what it claimed, asked at the moment a request leaves.

A process that sleeps past its lease (SIGSTOP, a paused machine, a clock that jumps) is taken over by others. When it
wakes up it must not go on sending. How long it slept is the larger of what two clocks say; unless that is well under
the lease, the ledger is asked whose the rows are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from etl.ledger import Claim, Ledger
from etl.model import Item


class Moment(NamedTuple):
    """The same moment by two clocks, in seconds: one that goes on while the machine sleeps, and the wall's."""

    since_boot: float
    wall: float

    def elapsed(self, before: Moment) -> float:
        """Seconds since a moment, by whichever clock says more; a wall clock that was set back counts, too."""
        return max(self.since_boot - before.since_boot, abs(self.wall - before.wall))


def now() -> Moment:
    """This moment."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return Moment(time.monotonic() if clock is None else time.clock_gettime(clock), time.time())


class Fence:
    """What a process knows of its claims at one destination in one run; `held` when it was last sure of them."""

    def __init__(self, ledger: Ledger, run_no: int, destination: str, clock: Callable[[], Moment] = now) -> None:
        self._ledger = ledger
        self._run_no = run_no
        self._destination = destination
        self._now = clock
        self._sure_at = clock()
        self._sure_s = ledger.leases.lease_ms / 1000 / 3

    def begin(self) -> Moment:
        """The moment before the ledger is asked."""
        return self._now()

    def held(self, since: Moment) -> None:
        """The ledger has said, not before ``since``, that the claims of this process are its own."""
        self._sure_at = max(self._sure_at, since)

    @property
    def is_sure(self) -> bool:
        """True while nobody can have taken a claim over."""
        return self._now().elapsed(self._sure_at) < self._sure_s

    def renew(self) -> None:
        """Renew the lease of the run. Who was sure until now is sure from now on; who was not does not become so.

        For the lease may have run out and been renewed by another part of the same run, at another destination, and
        claims have been taken over in between. Asks the ledger.
        """
        since = self.begin()
        was_sure = since.elapsed(self._sure_at) < self._sure_s
        if self._ledger.leases.renew(self._run_no) and was_sure:
            self.held(since)

    def still_ours(self, claim: Claim, items: Sequence[Item]) -> list[Item]:
        """Those of these items of a claim that nobody has taken over, nor takes over soon. Asks the ledger.

        It says nothing of other claims, so that it makes nobody sure of them.
        """
        self._ledger.leases.renew(self._run_no)
        ours = self._ledger.claims.held_rows(self._run_no, self._destination, claim)
        return [item for item in items if item.row_number in ours]

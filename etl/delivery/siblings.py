"""Rows of one run that bear on each other at a vendor: which of them go, and with what payload, after what went before.

What an item shares with others are its ties (`Destination.ties`). For each tie it is known whether a row that has it
was delivered, or may have been: of this run by what is learned as answers come in, of chunks before (in a task of its
own, or before a crash) by the ties that were staged with them and what the ledger says of their rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from etl.destinations.base import Destination, Ties
from etl.ledger import Ledger
from etl.model import Item, Status, Verdict

GAP, SPAN = 100, 20_000
"""Rows asked for together lie no further apart than this, and are no more than that."""


class Sorted(NamedTuple):
    """A batch: what is sent now, what has its last word without being sent, and what waits for the answer."""

    now: list[Item]
    settled: list[tuple[Item, Verdict]]
    later: list[Item]


class Siblings:
    """What is known of the ties of one destination's items, while a chunk of them is delivered."""

    def __init__(self, destination: Destination, shared: Collection[str] = ()) -> None:
        self.destination = destination
        self.shared = shared
        """Ties that several items of the chunk have."""
        self._known: dict[str, tuple[Status, str]] = {}
        """Tie -> delivered or unknown, and the event_id of a row of which that is true."""

    def order_key(self, item: Item) -> str:
        """Items that share it go in order, one after another."""
        return _ties(self.destination, item).order_key

    def sort(self, batch: Sequence[Item]) -> Sorted:
        """Judge a batch that is about to be sent. What depends on the answer to it waits, and so does what comes after
        that under the same order key."""
        now, settled, later = list[Item](), list[tuple[Item, Verdict]](), list[Item]()
        along: dict[str, Status] = {}
        waiting: set[str] = set()
        for item in batch:
            ties = _ties(self.destination, item)
            known = self._known_to(item, ties)
            with_along = known | {tie: along[tie] for tie in ties.shared if tie in along}
            if ties.order_key in waiting:
                later.append(item)
            elif (repeated := self.destination.repeated(ties, known)) is not None:
                settled.append((item, repeated))
            elif self.destination.repeated(ties, with_along) is not None:
                waiting.add(ties.order_key)
                later.append(item)
            else:
                now.append(self._amended(item, ties, with_along))
                along |= dict.fromkeys(ties.shared, Status.DELIVERED)  # the same request, the same fate
        return Sorted(now, settled, later)

    def _known_to(self, item: Item, ties: Ties) -> dict[str, Status]:
        """What other rows have shown of an item's ties; what became of the row itself before says nothing."""
        found = ((tie, self._known[tie]) for tie in ties.shared if tie in self._known)
        return {tie: status for tie, (status, event_id) in found if event_id != item.event_id}

    def _amended(self, item: Item, ties: Ties, known: Mapping[str, Status]) -> Item:
        payload, warning = self.destination.amended(item.payload, ties, known)
        if warning is None:
            return item._replace(payload=payload) if payload != item.payload else item
        codes, sentences = f"{item.warnings} {warning.code}", f"{item.warning_detail} {warning.sentence}"
        return item._replace(payload=payload, warnings=codes.strip(), warning_detail=sentences.strip())

    def learn(self, ends: Iterable[tuple[Item, Verdict]]) -> None:
        """Remember what became of items."""
        for item, verdict in ends:
            self.learn_of(_ties(self.destination, item).shared, item.event_id, verdict.status)

    def learn_of(self, shared: Iterable[str], event_id: str, status: Status) -> None:
        """Remember that a row with these ties was delivered, or may have been."""
        if status is Status.DELIVERED:
            self._known |= dict.fromkeys(shared, (status, event_id))
        elif status is Status.UNKNOWN:
            for tie in shared:
                self._known.setdefault(tie, (status, event_id))

    def _shared_ties(self, item: Item) -> set[str]:
        return set(_ties(self.destination, item).shared)

    def learn_lost(self, ledger: Ledger, run_no: int, items: Sequence[Item]) -> None:
        """Remember what the ledger says of items that were not won, as far as others of the chunk ask for it."""
        items = [item for item in items if not self._shared_ties(item).isdisjoint(self.shared)]
        found = _statuses(ledger, [run_no], self.destination.name, [item.row_number for item in items])
        for item in items:
            if status := found.get(item.row_number):
                self.learn_of(_ties(self.destination, item).shared, item.event_id, status)


def staged(destination: Destination, items: Sequence[Item]) -> pd.DataFrame:
    """The ties of a chunk as they are staged: row number (index), event_id, tie; visitors cannot be read from them."""
    rows = [(item.row_number, item.event_id, _digest(tie)) for item in items for tie in _ties(destination, item).shared]
    numbers, event_ids, ties = zip(*rows, strict=True) if rows else ((), (), ())
    return pd.DataFrame({"event_id": event_ids, "tie": ties}, index=pd.Index(numbers, dtype="int64"), dtype="str")


def found(
    destination: Destination,
    ledger: Ledger,
    run_nos: Sequence[int],
    items: Sequence[Item],
    others: Iterable[pd.DataFrame],
) -> Siblings:
    """The siblings of a chunk, with what the ledger knows of rows that share ties with it.

    ``others``: what `staged` made of the other chunks of these runs (a run and the one that it repeats).
    """
    ties = {_digest(tie): tie for item in items for tie in _ties(destination, item).shared}
    own = staged(destination, items)
    several = own[own["tie"].duplicated(keep=False)]
    siblings = Siblings(destination, {ties[tie] for tie in several["tie"].unique()})
    for frame in (several, *others):
        shared = frame[frame["tie"].isin(list(ties))]
        if shared.empty:
            continue
        delivered = ledger.results.delivered_by(destination.name, shared["event_id"].drop_duplicates().tolist())
        open_rows = shared.index[~shared["event_id"].isin(list(delivered))]
        statuses = _statuses(ledger, run_nos, destination.name, open_rows.unique().tolist())
        for number, event_id, tie in shared.itertuples():
            status = Status.DELIVERED if event_id in delivered else statuses.get(number)
            if status is not None:
                siblings.learn_of([ties[tie]], event_id, status)
    return siblings


def _ties(destination: Destination, item: Item) -> Ties:
    """Of an item that was staged without a payload, because its destination had stopped: none but its own id."""
    return destination.ties(item.payload) if item.payload else Ties(item.event_id)


def _digest(tie: str) -> str:
    return hashlib.blake2b(tie.encode(), digest_size=16).hexdigest()


def _statuses(
    ledger: Ledger, run_nos: Sequence[int], destination: str, row_numbers: Sequence[int]
) -> dict[int, Status]:
    """What these runs say of these rows."""
    found: dict[int, Status] = {}
    for first, last in _spans(sorted(row_numbers)):
        said = ledger.results.row_results(run_nos, [destination], first, last)[destination]
        found |= {number: Status(result.status) for number, result in said.items()}
    return found


def _spans(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of neighbouring numbers."""
    if not numbers:
        return
    first = last = numbers[0]
    for number in numbers[1:]:
        if number - last > GAP or number - first >= SPAN:
            yield first, last
            first = number
        last = number
    yield first, last

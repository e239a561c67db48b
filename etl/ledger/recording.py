"""Recording: the last word on what was claimed, and how the requests went.

One verdict was said of all rows of a claim. Where one answer is given to all of them it is overwritten, and no row is
touched. Rows of which something else is said get a verdict of their own.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat

from etl.ledger.entries import Entries, NewVerdict
from etl.ledger.values import Claim, Sent
from etl.model import Status, Verdict

_HOLDS = frozenset({Status.DELIVERED, Status.UNKNOWN})


@dataclass
class _Word:
    """What is said of some rows of a claim, ascending. ``number`` is the claim's, or that of a verdict of their own."""

    sent: Sent
    verdict: Verdict
    rows: list[int]
    number: int = 0
    batch_no: int | None = None

    @property
    def holds(self) -> bool:
        return self.verdict.status in _HOLDS

    def said(self, first: int, last: int) -> NewVerdict:
        """As it is written down, for rows from ``first`` to ``last``."""
        verdict, sent = self.verdict, self.sent
        if verdict.status is Status.DELIVERED:
            warnings, answer = verdict.warnings or verdict.reason or None, None
        else:
            warnings, answer = verdict.warnings or None, sent.answer or None
        words = (verdict.status.value, verdict.reason, verdict.detail, warnings, answer)
        if not sent.attempts:
            return NewVerdict(self.number, first, last, *words)
        request = (self.batch_no, len(sent.items), sent.bytes, sent.http_status, sent.attempts)
        return NewVerdict(self.number, first, last, *words, *request, sent.sent_at_ms, sent.answered_at_ms)


@dataclass
class _Words:
    """All that is said of the rows of one claim; what most of them share takes the claim's number.

    Not while there are rows of which nothing is said yet.
    """

    claim: Claim
    words: list[_Word] = field(default_factory=list)

    @property
    def main(self) -> _Word | None:
        if len(self.rows) < len(self.claim.items):
            return None
        return max(self.words, key=lambda word: len(word.rows))

    @property
    def rows(self) -> list[int]:
        return [row for word in self.words for row in word.rows]


def record(entries: Entries, sent: Sequence[Sent], at_ms: int) -> None:
    """Write down what became of claims, within a transaction."""
    claims = _by_claim(sent)
    held = entries.still_held([row for claim in claims for row in claim.rows])
    _number(entries, claims)
    main = [(word, min(claim.rows), max(claim.rows)) for claim in claims if (word := claim.main)]
    others = [word for claim in claims for word in claim.words if word.number != claim.claim.number]
    entries.overwrite_verdicts([word.said(first, last) for word, first, last in main], at_ms)
    entries.insert_verdicts([word.said(word.rows[0], word.rows[-1]) for word in others], at_ms)
    entries.say_otherwise(
        [(word.sent.claim.number, word.number, *span, word.holds) for word in others for span in _spans(word.rows)]
    )
    entries.let_go([(word.number, first, last) for word, first, last in main if not word.holds])
    for claim in claims:
        if held.get(claim.claim.number, 0) < len(claim.claim.items):
            _hold_what_came_late(entries, claim)


def _by_claim(sent: Sequence[Sent]) -> list[_Words]:
    claims: dict[int, _Words] = {}
    for each in sent:
        if each.items:
            claims.setdefault(each.claim.number, _Words(each.claim)).words += _words(each)
    return list(claims.values())


def _words(sent: Sent) -> Iterator[_Word]:
    rows = [item.row_number for item in sent.items]
    if all(map(operator.is_, sent.verdicts, repeat(sent.verdicts[0]))):
        yield _Word(sent, sent.verdicts[0], sorted(rows))  # the usual case, seen without looking at every row
        return
    said: dict[Verdict, list[int]] = {}
    for row, verdict in zip(rows, sent.verdicts, strict=True):
        said.setdefault(verdict, []).append(row)
    for verdict, some in said.items():
        yield _Word(sent, verdict, sorted(some))


def _number(entries: Entries, claims: Sequence[_Words]) -> None:
    """Give every word its number, and the words of one request the number that stands for it."""
    free = iter(entries.reserve(sum(len(claim.words) for claim in claims if len(claim.words) > 1 or not claim.main)))
    for claim in claims:
        main = claim.main
        for word in claim.words:
            word.number = claim.claim.number if word is main else next(free)
        for word in claim.words:
            word.batch_no = min(other.number for other in claim.words if other.sent is word.sent)


def _spans(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Runs of neighbouring rows, as (first, last)."""
    first = last = rows[0]
    for row in rows[1:]:
        if row != last + 1:
            yield first, last
            first = row
        last = row
    yield first, last


def _hold_what_came_late(entries: Entries, claim: _Words) -> None:
    """Somebody took rows of this claim over while they were on the wire. What was delivered holds its key all the same.

    Also where who took it over does not know yet, or never will, what became of it: it is not sent once more after
    that one has failed.
    """
    for word in claim.words:
        if word.verdict.status is Status.DELIVERED:
            entries.hold_delivered(word.rows, word.number)

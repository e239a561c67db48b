"""Whether a destination is the account that the ledger knows under its name; asked before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from etl import reasons
from etl.destinations.base import Destination
from etl.errors import LookupFailed
from etl.ledger import Ledger
from etl.ledger.facts import LEDGER_ID
from etl.ledger.identities import Known
from etl.model import RunWarning
from etl.redact import host_of

SANDBOX_HEADER = "x-conversions-sandbox"
"""A sandbox answers with it; no vendor does."""

Ask = Callable[[str], Mapping[str, str]]
"""``ask(url)`` -> the headers of the answer to one HEAD, in lower case. Raises LookupFailed."""


def judge(destination: Destination, ledger: Ledger, ask: Ask) -> RunWarning | None:
    """Compare a destination with what the ledger knows of its name, and write it down at its first use.

    Raises LookupFailed where another account stands behind the name, with what to do; a warning where only its host
    is another.
    """
    now, host = identity(destination, ledger), host_of(destination.endpoint)
    known = refuse_another(destination, ledger)
    if known.identity is None:
        ledger.identities.take(destination.name, now, host, is_trial=None)
        return None
    if known.host == host:
        return None
    if known.is_trial:
        refuse_after_trial(destination, ledger, is_trial=is_sandbox(ask(destination.endpoint)))
    ledger.identities.take(destination.name, now, host, is_trial=known.is_trial)
    sentence = f"{destination.name} is at {host} now; the ledger knew it at {known.host}. Its keys go on counting."
    return RunWarning("host_changed", "", 0, sentence)


def refuse_another(destination: Destination, ledger: Ledger) -> Known:
    """What the ledger knows of a destination. Raises LookupFailed where that is another account."""
    now, known = identity(destination, ledger), ledger.identities.known(destination.name)
    if known.identity is not None and known.identity != now:
        raise LookupFailed(_another(destination, known.identity, now), reasons.OTHER_ACCOUNT.code)
    return known


def refuse_after_trial(destination: Destination, ledger: Ledger, *, is_trial: bool) -> None:
    """Note whether whoever answers is a sandbox. Raises LookupFailed where the ledger's keys are of the other kind."""
    name, known = destination.name, ledger.identities.known(destination.name)
    if known.is_trial is None:
        ledger.identities.note_trial(name, is_trial=is_trial)
    elif known.is_trial and not is_trial:
        raise LookupFailed(
            f"the ledger's keys of {name} are from a trial at a sandbox, so that what was tried there would never be "
            f"sent. `conversions ledger forget {name}` begins anew for it.",
            reasons.OTHER_ACCOUNT.code,
        )
    elif is_trial and not known.is_trial:
        raise LookupFailed(
            f"a sandbox answers, and the ledger's keys of {name} are from the vendor itself: a trial wants a ledger of "
            f"its own (`ledger:` in another imports.yaml).",
            reasons.OTHER_ACCOUNT.code,
        )


def identity(destination: Destination, ledger: Ledger) -> Mapping[str, str]:
    """What tells this destination's account from others, secrets only as this ledger's own digests."""
    return destination.identity(ledger.facts.get(LEDGER_ID) or "")


def is_sandbox(headers: Mapping[str, str]) -> bool:
    """True when a sandbox has answered."""
    return SANDBOX_HEADER in headers


def _another(destination: Destination, known: Mapping[str, str], now: Mapping[str, str]) -> str:
    name = destination.name
    shown = [field for field in destination.shown_identity if known.get(field) != now.get(field)]
    told = ", ".join(f"{field} {known.get(field, 'none')}, now {now.get(field, 'none')}" for field in shown)
    return (
        f"the ledger knows {name} as another account{f' ({told})' if told else ''}: what that one has would count as "
        f"delivered here. If it is the same account, `conversions ledger accept {name}`; if it is another, "
        f"`conversions ledger forget {name}` lets its keys count no more."
    )

"""How a task fails: the last line of its log is a sentence, without the frames that led there.

Airflow logs every exception with its frames, but for the end of the program. Where it can be told which ends are final
(`retry_policy`, from 3.3 on) our errors end the program; before that they are Airflow's own, frames and all.
"""

from __future__ import annotations

import logging
from typing import Any, NoReturn

from airflow import sdk
from airflow.sdk.exceptions import AirflowFailException

log = logging.getLogger("conversions")

HAS_POLICIES = hasattr(sdk, "ExceptionRetryPolicy")


class TryAgain(SystemExit):
    """A task ends that may succeed when it is repeated; `sentence` says why."""

    @property
    def sentence(self) -> str:
        """Why, for people."""
        return str(self.code)


class Failed(TryAgain):
    """A task ends that would end like this however often it was repeated."""


class Unexpected(Exception):
    """An error for Airflow to repeat the task, where it cannot be told of `TryAgain`."""


def fail(sentence: str) -> NoReturn:
    """End a task for good."""
    raise (Failed(sentence) if HAS_POLICIES else AirflowFailException(sentence)) from None


def try_again(sentence: str) -> NoReturn:
    """End a task, to be repeated as often as it may be."""
    raise (TryAgain(sentence) if HAS_POLICIES else Unexpected(sentence)) from None


def tell(context: Any) -> None:
    """Callback of a failed task: what it failed of is the last line of its log."""
    error = context.get("exception")
    log.error("%s", error.sentence if isinstance(error, TryAgain) else error)


def arguments() -> dict[str, Any]:
    """What our tasks are made with, so that they end like this."""
    told: dict[str, Any] = {"on_failure_callback": tell, "on_retry_callback": tell}
    if HAS_POLICIES:
        final = sdk.RetryRule(exception=f"{__name__}.{Failed.__name__}", action=sdk.RetryAction.FAIL)
        told["retry_policy"] = sdk.ExceptionRetryPolicy(rules=[final])
    return told

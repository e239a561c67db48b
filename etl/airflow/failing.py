"""How a task fails: with a sentence that people find."""

from __future__ import annotations

from typing import NoReturn

from airflow.sdk.exceptions import AirflowFailException


def fail(sentence: str) -> NoReturn:
    """End a task for good."""
    raise AirflowFailException(sentence)

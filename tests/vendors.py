"""Which vendors the tests go through, and how each is talked to at the sandbox; by file name, none by its own name."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from etl import destinations

EVERYBODY = destinations.types()
FOLDER = Path(__file__).parents[1] / "sample_data" / "exchanges"


def settings(type_: str, url: str) -> dict[str, Any]:
    """What imports.yaml says of a vendor that the sandbox at this URL plays."""
    said: dict[str, Any] = _filled(_at_the_sandbox(type_)["settings"], url=url)
    return said


def row(type_: str, number: int) -> dict[str, str]:
    """What a good row has for this vendor alone, beside the columns that everybody reads."""
    said: dict[str, str] = _filled(_at_the_sandbox(type_).get("row", {}), number=str(number))
    return said


def counted(type_: str, event_id: str, occurred_at_ms: int) -> dict[str, Any]:
    """A request that the vendor counts as one conversion: query, headers and body, and the status of its answer."""
    said: dict[str, Any] = _filled(
        {"query": "", "headers": {}, **_at_the_sandbox(type_)["counted"]},
        event_id=event_id,
        occurred_at_ms=occurred_at_ms,
    )
    return said


@cache
def _at_the_sandbox(type_: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((FOLDER / f"{type_}.json").read_text())["sandbox"]
    return said


def _filled(value: Any, **words: Any) -> Any:
    """The value with every ``{word}`` in a text replaced; a text that is nothing else becomes what the word is."""
    if isinstance(value, dict):
        return {key: _filled(part, **words) for key, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, **words) for part in value]
    if not isinstance(value, str):
        return value
    for word, means in words.items():
        if value == f"{{{word}}}":
            return means
        value = value.replace(f"{{{word}}}", str(means))
    return value

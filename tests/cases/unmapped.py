"""Orders whose money stands in a column that nobody mapped, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from etl import preview
from etl.errors import SourceError
from tests.conftest import House, order


def row(number: int, *without: str, **more: str) -> dict[str, str]:
    """A good order without some of our columns, and with others."""
    return {key: value for key, value in order(number).items() if key not in {"revenue", *without}} | more


def refusal(house: House) -> str:
    """Why the import stops."""
    with pytest.raises(SourceError) as refused:
        preview.check(house.config, "orders")
    return str(refused.value)


def pasted(sentence: str) -> Any:
    """The lines to paste, read as YAML."""
    return yaml.safe_load(sentence.partition("Add to the import:\n")[2])

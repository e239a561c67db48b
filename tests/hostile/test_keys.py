"""Keys, whatever the row: they hang on the destination and the event_id, and on nothing else of the row or the file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from etl.ledger import Ledger
from etl.model import Item

QUIET = settings(max_examples=25, derandomize=True, deadline=None, database=None)
IDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=12)
"""Any text that a row may carry as its event_id, however alike to another one."""


def claimed(ledger: Ledger, ids: list[str], first_row: int, destination: str) -> list[str]:
    """What one more run, over another file with these ids, may send."""
    run = ledger.runs.open(kind="import", import_name="orders", source=f"{first_row}.csv", destinations=[destination])
    items = [Item(first_row + place, event_id, "x", b"{}", place) for place, event_id in enumerate(ids)]
    claims = ledger.claims.claim(run.run_no, destination, [items], repeatable=False)
    return [item.event_id for claim in claims for item in claim.items]


@QUIET
@given(ids=st.lists(IDS, unique=True, min_size=1, max_size=20), data=st.data())
def test_the_same_id_is_one_key_and_another_id_another(ids: list[str], data: Any) -> None:
    again = data.draw(st.permutations(ids))
    with tempfile.TemporaryDirectory() as folder, Ledger(f"sqlite:///{Path(folder)}/ledger.db").open() as ledger:
        assert claimed(ledger, ids, 1, "convert") == ids, "no two ids are taken for one"
        assert claimed(ledger, again, 100, "convert") == [], "whatever the order, the row, the run and the file"
        assert claimed(ledger, again, 100, "convert_too") == again, "another destination is another key"

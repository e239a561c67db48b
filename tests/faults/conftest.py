"""What several tests of faults share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.harness import Victims


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Victims]]:
    """Two machines that share nothing but the ledger: the locks of one are unknown to the other."""
    with Victims(tmp_path_factory.mktemp("one")) as one, Victims(tmp_path_factory.mktemp("two")) as two:
        yield [one, two]

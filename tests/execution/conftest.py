"""Farms for the tests of executors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.execution.farm import Farm


@pytest.fixture(scope="session")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """A scheduler with the workers ``one`` and ``two``, of which nothing is to be stopped."""
    farm = Farm(tmp_path_factory.mktemp("farm"))
    try:
        farm.start_scheduler()
        farm.start_worker("one")
        farm.start_worker("two")
        farm.await_workers(2)
        yield farm
    finally:
        farm.close()


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    """A farm of which nothing is started yet."""
    made = Farm(tmp_path / "farm")
    try:
        yield made
    finally:
        made.close()

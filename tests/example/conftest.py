"""The example's scripts as modules; a user runs them as programs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def generator() -> Iterator[ModuleType]:
    pytest.importorskip("PIL", reason="the extra 'example' is not installed")
    yield from _module("datasets", "generate")


@pytest.fixture(scope="session")
def preparation() -> Iterator[ModuleType]:
    yield from _module("models", "prepare")


def _module(directory: str, name: str) -> Iterator[ModuleType]:
    place = str(REPOSITORY / directory)
    sys.path.insert(0, place)
    try:
        yield importlib.import_module(name)
    finally:
        sys.path.remove(place)

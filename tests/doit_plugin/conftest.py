"""Repositories for the tests of the plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doit_plugin.repository import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with one target of three buckets, nothing built."""
    made = Repository(tmp_path)
    made.write_target()
    return made


@pytest.fixture
def built(repository: Repository) -> Repository:
    """The same, built."""
    run = repository.doit()
    assert run.ok, run.output
    assert len(run.compiled) == 3
    return repository

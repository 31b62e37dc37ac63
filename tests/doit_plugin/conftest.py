"""Repositories for the tests of the plugin."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.doit_plugin.repository import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with one target of three buckets, nothing built."""
    made = Repository(tmp_path)
    made.write_target()
    return made


@pytest.fixture(scope="session")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The same, built; not to be touched."""
    made = Repository(tmp_path_factory.mktemp("built"))
    made.write_target()
    run = made.doit("-n", "2")
    assert run.ok, run.output
    assert len(run.compiled) == 3
    return made


@pytest.fixture
def built(built_once: Repository, tmp_path: Path) -> Repository:
    """A copy of the built repository, in which nothing is left to do."""
    shutil.copytree(built_once.root, tmp_path, dirs_exist_ok=True)
    made = Repository.at(tmp_path)
    run = made.doit()
    assert run.ok, run.output
    assert run.compiled == run.restored == []
    return made

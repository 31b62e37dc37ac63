"""The two commands: what they say before they begin. (Running them whole is what runs this test.)"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make on this machine")


def _make(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # The suite may itself run under make, whose flags are not for this one.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    }
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)


def test_help_lists_the_goals(repository: Path) -> None:
    result = _make(repository, "help")
    assert result.returncode == 0
    goals = [line.split()[1] for line in result.stdout.splitlines()]
    assert goals[:2] == ["example", "test"]
    assert "clean" in goals


def test_a_python_too_old_is_refused_with_its_version(repository: Path, tmp_path: Path) -> None:
    python = tmp_path / "python3.9"
    python.write_text('#!/bin/sh\ntest "$1" = --version && echo Python 3.9.18 && exit 0\nexit 1\n')
    python.chmod(0o755)
    result = _make(repository, f"PYTHON={python}", f"VENV={tmp_path / 'venv'}")
    assert result.returncode != 0
    assert f"error: {python} is Python 3.9.18. Name a Python from 3.10 on" in result.stderr
    assert not (tmp_path / "venv").exists()


def test_a_missing_python_is_refused(repository: Path, tmp_path: Path) -> None:
    result = _make(repository, f"PYTHON={tmp_path / 'nowhere'}", f"VENV={tmp_path / 'venv'}")
    assert result.returncode != 0
    assert "Name a Python from 3.10 on" in result.stderr


def test_continuous_integration_runs_the_tests(repository: Path) -> None:
    script = repository / ".ci/run"
    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("make test")

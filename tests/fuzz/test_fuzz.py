"""A short slice of what ``make fuzz`` runs: spoiled files are refused in words, or taken for what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CASES = 600


def test_no_reader_is_hurt_by_a_spoiled_file() -> None:
    """In a process of its own, which starts others, as threads of this one would not survive that."""
    command = [sys.executable, "-m", "tests.fuzz", "--cases", str(CASES)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-4000:]

"""The cases of ``process_engine_cases.py`` in a process of their own: they interrupt it with signals.

A test worker that other tests have loaded engines and runtimes into may not survive a signal; a fresh process does.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CASES = Path(__file__).with_name("process_engine_cases.py")
ROOT = Path(__file__).resolve().parents[2]


def test_engines_in_processes_of_their_own_survive_interruptions() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", str(CASES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no tests ran" not in done.stdout

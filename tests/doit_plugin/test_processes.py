"""Signals at the moments that are hard to hit by chance."""

from __future__ import annotations

import subprocess
import sys

import pytest

PREPARE = "from scaling_tasks.doit_plugin.interruption import interruptible\ninterruptible()\n"
SLEEP = "import time\ntime.sleep(20)\nprint('not interrupted')\n"
SAID = "interrupted; what is finished will not be done again\n"


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "import os, signal\n" + code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    return done.stdout + done.stderr


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("moment", ["before", "after_in_parent"])
def test_an_interrupt_in_the_middle_of_a_fork_is_not_lost(number: str, moment: str) -> None:
    hook = f"os.register_at_fork({moment}=lambda: os.kill(os.getpid(), signal.{number}))\n"
    assert run(hook + PREPARE + "if os.fork() == 0:\n    os._exit(0)\n" + SLEEP) == SAID


def test_a_worker_told_to_end_while_it_is_forked_ends_without_a_word() -> None:
    hook = "os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))\n"
    work = "import time\nif os.fork() == 0:\n    time.sleep(20)\n    os._exit(0)\n"
    end = "_, status = os.wait()\nprint(os.waitstatus_to_exitcode(status))\nraise KeyboardInterrupt\n"
    assert run(hook + PREPARE + work + end) == f"130\n{SAID}"


def test_a_second_interrupt_does_not_break_into_the_way_out() -> None:
    again = "try:\n    os.kill(os.getpid(), signal.SIGINT)\nfinally:\n    os.kill(os.getpid(), signal.SIGTERM)\n"
    assert run(PREPARE + again + SLEEP) == SAID

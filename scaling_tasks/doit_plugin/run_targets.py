"""Running the tasks of given targets without a dodo file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain

from scaling_tasks.doit_plugin.loader import add_tasks
from scaling_tasks.stages.target import Target

__all__ = ["run_targets"]

_JOBS = "SCALING_TASKS_JOBS"


def run_targets(targets: Sequence[Target], *, jobs: int) -> int:
    """Build the targets in the current directory; return doit's exit status (0 when everything succeeded)."""
    namespace: dict[str, Any] = {}
    before = os.environ.get(_JOBS)
    os.environ[_JOBS] = str(jobs)
    try:
        add_tasks(namespace, targets)
        # No configuration files: the directory may hold an unrelated pyproject.toml.
        main = DoitMain(ModuleTaskLoader(namespace), config_filenames=())
        return int(main.run(["run", "--continue", "-n", str(jobs)]) or 0)
    finally:  # What the caller starts later has its own number.
        if before is None:
            os.environ.pop(_JOBS, None)
        else:
            os.environ[_JOBS] = before

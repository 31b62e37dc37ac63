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


def run_targets(targets: Sequence[Target], *, jobs: int) -> int:
    """Build the targets in the current directory; return doit's exit status (0 when everything succeeded)."""
    namespace: dict[str, Any] = {}
    os.environ["SCALING_TASKS_JOBS"] = str(jobs)
    add_tasks(namespace, targets)
    # No configuration files: the directory may hold an unrelated pyproject.toml.
    main = DoitMain(ModuleTaskLoader(namespace), config_filenames=())
    return int(main.run(["run", "--continue", "-n", str(jobs)]) or 0)

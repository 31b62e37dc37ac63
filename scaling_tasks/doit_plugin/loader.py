"""A doit loader that needs no dodo file: ``[tool.doit] loader = "scaling_tasks"`` in pyproject.toml."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from doit import loader as doit_loader
from doit.cmd_base import DodoTaskLoader

__all__ = ["ScalingLoader"]


class ScalingLoader(DodoTaskLoader):  # type: ignore[misc]  # doit carries no types
    """Loads every ``configs/*.yaml``, and a dodo file's own tasks where there is one."""

    def setup(self, opt_values: dict[str, Any]) -> None:
        """Load the dodo file if it exists, then add the targets unless it has added them itself."""
        from scaling_tasks.doit_plugin import load_tasks

        dodo = Path(opt_values["cwdPath"] or ".") / opt_values["dodoFile"]
        self.namespace = {}
        if dodo.exists() or opt_values["seek_file"]:
            module = doit_loader.get_module(opt_values["dodoFile"], opt_values["cwdPath"], opt_values["seek_file"])
            self.namespace = dict(inspect.getmembers(module))
        if not any(name.startswith("buckets") for name in self.namespace):
            load_tasks(self.namespace)

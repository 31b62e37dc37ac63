"""MindSpore Lite: a MindIR, in a process under the Python that has the package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling_tasks.engines import lite_loader
from scaling_tasks.engines.lite_python import find_python, tool_environment
from scaling_tasks.engines.process_engine import ProcessEngine
from scaling_tasks.engines.threads import thread_count

__all__ = ["OWN_PROCESS", "check", "load"]

OWN_PROCESS = True
"""Its engines run in processes of their own."""


def check(options: Mapping[str, Any]) -> None:
    """Require a Python that has the package.

    Raises:
        EngineError: There is none.
    """
    find_python(_device(options))


def load(path: Path, options: Mapping[str, Any]) -> ProcessEngine:
    """Load a MindIR for the options' device.

    Raises:
        EngineError: It does not load, or no Python has the package.
    """
    device = _device(options)
    python, _ = find_python(device)
    arguments = [device, str(thread_count() or 0)]
    return ProcessEngine(python, Path(lite_loader.__file__), path, arguments, tool_environment(device))


def _device(options: Mapping[str, Any]) -> str:
    return str(options.get("device", "ascend"))

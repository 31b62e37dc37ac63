"""Engines that come with a Python package and run in this process."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling_tasks.engines.contract import Engine
from scaling_tasks.errors import EngineError

__all__ = ["PackageEngine", "require"]


@dataclass(frozen=True)
class PackageEngine:
    """How artefacts are loaded by what a package brings; an ``EngineKind``.

    Attributes:
        package: What is to be installed.
        make: Loads an artefact by its first file with the options that it was compiled with.
    """

    package: str
    make: Callable[[Path, Mapping[str, Any]], Engine]

    def check(self, options: Mapping[str, Any]) -> None:
        """Require the package.

        Raises:
            EngineError: It is not installed.
        """
        require(self.package)

    def load(self, path: Path, options: Mapping[str, Any]) -> Engine:
        """Load an artefact.

        Raises:
            EngineError: It does not load.
        """
        return self.make(path, options)


def require(package: str) -> None:
    """Require a package, without importing it.

    Raises:
        EngineError: It is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise EngineError(f"{package} is not installed", fix=f"Run `pip install {package}`.")

"""Telling whether an engine's package is installed, without importing it."""

from __future__ import annotations

import importlib.util

from scaling_tasks.errors import EngineError

__all__ = ["require"]


def require(package: str) -> None:
    """Require a package.

    Raises:
        EngineError: It is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise EngineError(f"{package} is not installed", fix=f"Run `pip install {package}`.")

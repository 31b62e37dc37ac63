"""Ascend's offline models: run by the platform's own runtime, on an NPU, and not from here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from scaling_tasks.errors import EngineError

__all__ = ["check", "load"]


def check(options: Mapping[str, Any]) -> NoReturn:
    """Refuse.

    Raises:
        EngineError: Always.
    """
    raise EngineError("an offline model runs on an Ascend NPU only", fix="Run it with the platform's own runtime.")


def load(path: Path, options: Mapping[str, Any]) -> NoReturn:
    """Refuse.

    Raises:
        EngineError: Always.
    """
    check(options)

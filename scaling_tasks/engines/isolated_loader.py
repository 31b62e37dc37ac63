"""Runs in a process of its own, for a ``ProcessEngine``: loads an artefact with any engine of this Python."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["load"]


def load(path: str, engine: str, options: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return the engine's function from arrays by input name to arrays by output name; ``options`` are JSON."""
    from scaling_tasks.engines.registry import load_engine

    return load_engine(engine, Path(path), json.loads(options)).run

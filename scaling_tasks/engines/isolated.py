"""An engine in a process of its own, whose end does not take the caller's process with it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling_tasks.engines import isolated_loader
from scaling_tasks.engines.process_engine import ProcessEngine
from scaling_tasks.engines.threads import THREADS_VARIABLE, thread_count

__all__ = ["load_isolated"]


def load_isolated(name: str, path: Path, options: Mapping[str, Any]) -> ProcessEngine:
    """Load an artefact by its first file, in a process with this Python.

    Args:
        name: Of the engine.
        path: The artefact's first file.
        options: Those that it was compiled with.

    Raises:
        EngineError: It does not load.
    """
    threads = thread_count()
    environment = dict(os.environ) | ({THREADS_VARIABLE: str(threads)} if threads else {})
    loader = Path(isolated_loader.__file__)
    return ProcessEngine(Path(sys.executable), loader, path, [name, json.dumps(dict(options))], environment)

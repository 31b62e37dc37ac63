"""Tasks, loader, reporter and commands for doit."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling_tasks.doit_plugin.loader import load_tasks

__all__ = ["collect_seldom", "load_tasks"]

_NEW_OBJECTS = 100_000


def collect_seldom() -> None:
    """Have Python look for what nothing needs any more when there are this many new objects, not 700.

    What is loaded, and what is known of tasks, lives as long as a run: looking through all of it again and again would
    take a fifth of a run of many targets that has nothing to do.
    """
    gc.set_threshold(_NEW_OBJECTS)


def __getattr__(name: str) -> Any:
    # doit imports every installed state backend in every repository on the machine: this package must cost nothing.
    if name == "load_tasks":
        collect_seldom()
        from scaling_tasks.doit_plugin.interruption import speak_of_interrupts

        speak_of_interrupts()
        from scaling_tasks.doit_plugin.loader import load_tasks

        return load_tasks
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

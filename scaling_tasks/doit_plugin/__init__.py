"""Tasks, loader, reporter and commands for doit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling_tasks.doit_plugin.loader import load_tasks

__all__ = ["load_tasks"]


def __getattr__(name: str) -> Any:
    # doit imports every installed state backend in every repository on the machine: this package must cost nothing.
    if name == "load_tasks":
        from scaling_tasks.doit_plugin.interruption import speak_of_interrupts

        speak_of_interrupts()
        from scaling_tasks.doit_plugin.loader import load_tasks

        return load_tasks
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

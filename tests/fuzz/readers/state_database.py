"""doit's state: whatever is spoiled in it is forgotten, never believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scaling_tasks.doit_plugin.state_database import ScalingState
from tests.fuzz.reader import Reader

TASKS = [f"compile:net:N1_W{width}" for width in range(32, 1024, 32)]


def make(directory: Path) -> list[Path]:
    """Write the state of some tasks."""
    path = directory / "state.sqlite"
    state = ScalingState(str(path), None)
    for number, task in enumerate(TASKS):
        state.set(task, "_values_:", {"outcome": "done", "seconds": number / 8})
        state.set(task, "deps:", [f"models/{number}.onnx"])
    state.dump()
    return [path]


def _read(directory: Path) -> Any:
    state = ScalingState(str(directory / "state.sqlite"), None)
    found = [(state.get(task, "_values_:"), state.get(task, "deps:")) for task in TASKS]
    state.set("one more", "deps:", [])
    state.dump()
    return found


def _some_forgotten(valid: Any, found: Any) -> bool:
    return all(there in (known, (None, None)) for known, there in zip(valid, found, strict=True))


READERS = (Reader("state database", make, _read, allowed=_some_forgotten, refuses=False),)
